//! Time, memory and bytes of quantizing, beside llama.cpp's tools where they are on PATH.

use crate::measure::{self, Cost, median};
use aeolus_gguf::{Difference, GgufFile};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measure quantizing, beside llama.cpp's tools where they are on PATH
///
/// Runs alternate between the programs, so that a noisy machine is noisy for both; each figure
/// is the median. The peers are `llama-quantize` and `convert_hf_to_gguf.py`.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint folder, for example of `aeolus synth`
    #[arg(long)]
    model: PathBuf,

    /// Folder for sources and outputs; on tmpfs the disk does not count
    #[arg(long)]
    work: PathBuf,

    /// The program to measure
    #[arg(long, default_value = "target/release/aeolus")]
    aeolus: PathBuf,

    /// Runs of each program
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// File types measured alone
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "Q4_K_M,Q5_K_M,Q2_K,Q6_K,Q3_K_M,Q3_K_S,Q4_0,Q5_0,Q8_0"
    )]
    types: Vec<String>,

    /// Which parts to run
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "files,threads,table,glance"
    )]
    parts: Vec<String>,

    /// Folder on a disk for the cold-cache runs (part `cold`, needs root)
    #[arg(long)]
    disk: Option<PathBuf>,
}

const TABLE: [&str; 12] = [
    "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_0", "Q5_K_S", "Q5_K_M",
    "Q6_K", "Q8_0",
];

/// Runs the parts that were asked for and prints their tables.
pub fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.work)?;
    let bench = Bench {
        args,
        quantize: measure::on_path("llama-quantize"),
        convert: measure::on_path("convert_hf_to_gguf.py"),
        f16: args.work.join("source.f16.gguf"),
    };
    if bench.quantize.is_none() {
        eprintln!("llama-quantize is not on PATH: only this project is measured");
    }
    bench.convert_source()?;
    let weights: u64 = GgufFile::open(&bench.f16)?
        .tensors()
        .iter()
        .map(|t| t.shape.elems())
        .sum();
    println!(
        "{weights} weights, {} threads, medians of {}\n",
        args.threads, args.runs
    );
    for part in &args.parts {
        match part.as_str() {
            "files" => bench.files(weights)?,
            "threads" => bench.threads(weights)?,
            "table" => bench.table()?,
            "cold" => bench.cold()?,
            "glance" => bench.glance()?,
            other => anyhow::bail!("no part {other}: files, threads, table, cold, glance"),
        }
    }
    std::fs::remove_file(&bench.f16)?;
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
    quantize: Option<PathBuf>,
    convert: Option<PathBuf>,
    f16: PathBuf,
}

fn seconds(cost: &Cost) -> f64 {
    cost.time.as_secs_f64()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

impl Bench<'_> {
    fn aeolus(&self, command: &str) -> Command {
        self.aeolus_on(self.args.threads, command)
    }

    fn aeolus_on(&self, threads: usize, command: &str) -> Command {
        let mut aeolus = Command::new(&self.args.aeolus);
        aeolus.arg(command);
        if command != "forecast" && command != "inspect" {
            aeolus.args(["--quiet", "--force", "-t", &threads.to_string()]);
        }
        aeolus
    }

    /// The f16 file that single files are made from.
    fn convert_source(&self) -> Result<()> {
        measure::run(
            self.aeolus("convert")
                .arg(&self.args.model)
                .args(["--type", "f16", "-o"])
                .arg(&self.f16),
        )?;
        Ok(())
    }

    fn ours(&self, source: &Path, ty: &str, out: &Path) -> Command {
        self.ours_on(self.args.threads, source, ty, out)
    }

    fn ours_on(&self, threads: usize, source: &Path, ty: &str, out: &Path) -> Command {
        let mut command = self.aeolus_on(threads, "quantize");
        command
            .arg(source)
            .args(["--type", ty, "--recipe", "current", "-o"])
            .arg(out);
        command
    }

    fn theirs(&self, source: &Path, ty: &str, out: &Path) -> Option<Command> {
        let mut command = Command::new(self.quantize.as_ref()?);
        command
            .arg(source)
            .arg(out)
            .arg(ty)
            .arg(self.args.threads.to_string());
        Some(command)
    }

    /// Single files, both programs from the same f16 file.
    fn files(&self, weights: u64) -> Result<()> {
        let copy = measure::copy_rate(&self.f16, &self.args.work)?;
        println!("Copying the source file: {:.2} GB/s\n", copy / 1e9);
        println!(
            "| type | aeolus s | weights/s | read + written GB/s | RssAnon | llama-quantize s | its peak RSS | ratio | bytes |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for ty in &self.args.types {
            let (a, b) = (self.args.work.join("a.gguf"), self.args.work.join("b.gguf"));
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let mut equal = "-".to_string();
            let mut moved = 0;
            for _ in 0..self.args.runs {
                ours.push(measure::run(&mut self.ours(&self.f16, ty, &a))?);
                moved = std::fs::metadata(&self.f16)?.len() + std::fs::metadata(&a)?.len();
                if let Some(mut command) = self.theirs(&self.f16, ty, &b) {
                    theirs.push(measure::run(&mut command)?);
                    equal = same_tensors(&a, &b)?;
                    std::fs::remove_file(&b)?;
                }
                std::fs::remove_file(&a)?;
            }
            let ours = median(ours).context("no runs")?;
            let rate = weights as f64 / seconds(&ours);
            let (their_time, their_memory, ratio) = match median(theirs) {
                Some(t) => (
                    format!("{:.2}", seconds(&t)),
                    megabytes(t.resident),
                    format!("{:.1}x", seconds(&t) / seconds(&ours)),
                ),
                None => ("-".into(), "-".into(), "-".into()),
            };
            println!(
                "| {ty} | {:.2} | {:.0} M | {:.2} | {} | {their_time} | {their_memory} | {ratio} | {equal} |",
                seconds(&ours),
                rate / 1e6,
                moved as f64 / seconds(&ours) / 1e9,
                megabytes(ours.anonymous),
            );
        }
        println!();
        Ok(())
    }

    /// One thread and all of them.
    fn threads(&self, weights: u64) -> Result<()> {
        println!(
            "| type | 1 thread s | {} threads s | times as fast |",
            self.args.threads
        );
        println!("|---|---|---|---|");
        let out = self.args.work.join("a.gguf");
        for ty in ["Q4_K_M", "Q2_K", "Q6_K"] {
            let (mut one, mut all) = (Vec::new(), Vec::new());
            for _ in 0..self.args.runs {
                one.push(measure::run(&mut self.ours_on(1, &self.f16, ty, &out))?);
                all.push(measure::run(&mut self.ours(&self.f16, ty, &out))?);
            }
            let (one, all) = (
                median(one).context("no runs")?,
                median(all).context("no runs")?,
            );
            println!(
                "| {ty} | {:.2} | {:.2} | {:.2} |",
                seconds(&one),
                seconds(&all),
                seconds(&one) / seconds(&all)
            );
        }
        std::fs::remove_file(out)?;
        println!("\n({weights} weights)\n");
        Ok(())
    }

    /// All twelve from safetensors; the peer converts to f16 first.
    fn table(&self) -> Result<()> {
        // Twelve outputs and the checkpoint fill the memory of a tmpfs: the f16 file makes room.
        std::fs::remove_file(&self.f16)?;
        let out = self.args.work.join("table");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.args.runs {
            let mut command = self.aeolus("table");
            command
                .arg(&self.args.model)
                .args(["--recipe", "current", "-o"])
                .arg(&out);
            ours.push(measure::run(&mut command)?);
            std::fs::remove_dir_all(&out)?;
        }
        let ours = median(ours).context("no runs")?;
        println!("| all twelve from safetensors | s | memory |");
        println!("|---|---|---|");
        println!(
            "| aeolus table | {:.1} | {} RssAnon |",
            seconds(&ours),
            megabytes(ours.anonymous)
        );
        if let (Some(convert), Some(_)) = (&self.convert, &self.quantize) {
            let f16 = self.args.work.join("peer.f16.gguf");
            let b = self.args.work.join("b.gguf");
            let mut command = Command::new(convert);
            command
                .arg(&self.args.model)
                .args(["--outtype", "f16", "--outfile"])
                .arg(&f16);
            let converted = measure::run(&mut command)?;
            println!(
                "| convert_hf_to_gguf.py to f16 | {:.1} | {} RSS |",
                seconds(&converted),
                megabytes(converted.resident)
            );
            theirs.push(converted);
            for ty in TABLE {
                if let Some(mut command) = self.theirs(&f16, ty, &b) {
                    theirs.push(measure::run(&mut command)?);
                    std::fs::remove_file(&b)?;
                }
            }
            std::fs::remove_file(&f16)?;
            let total: f64 = theirs.iter().map(seconds).sum();
            let peak = theirs.iter().map(|c| c.resident).max().unwrap_or(0);
            println!(
                "| and 12 x llama-quantize, together | {total:.1} | {} RSS |",
                megabytes(peak)
            );
            println!("| ratio | {:.1}x | |", total / seconds(&ours));
        }
        println!();
        self.convert_source()
    }

    /// One file from and to a disk whose pages are not in memory.
    fn cold(&self) -> Result<()> {
        let Some(disk) = &self.args.disk else {
            anyhow::bail!("part cold needs --disk");
        };
        std::fs::create_dir_all(disk)?;
        let source = disk.join("source.f16.gguf");
        std::fs::copy(&self.f16, &source)?;
        println!("| cold cache, Q4_K_M | s |");
        println!("|---|---|");
        let (a, b) = (disk.join("a.gguf"), disk.join("b.gguf"));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.args.runs {
            anyhow::ensure!(
                measure::drop_caches(),
                "cannot drop the page cache: root is needed"
            );
            ours.push(measure::run(&mut self.ours(&source, "Q4_K_M", &a))?);
            if let Some(mut command) = self.theirs(&source, "Q4_K_M", &b) {
                anyhow::ensure!(measure::drop_caches(), "cannot drop the page cache");
                theirs.push(measure::run(&mut command)?);
            }
        }
        let ours = median(ours).context("no runs")?;
        println!("| aeolus, synced | {:.2} |", seconds(&ours));
        if let Some(theirs) = median(theirs) {
            println!("| llama-quantize, not synced | {:.2} |", seconds(&theirs));
        }
        for path in [source, a, b] {
            let _ = std::fs::remove_file(path);
        }
        println!();
        Ok(())
    }

    /// What reads no weights.
    fn glance(&self) -> Result<()> {
        println!("| no weights read | ms |");
        println!("|---|---|");
        for (command, path) in [("forecast", &self.args.model), ("inspect", &self.f16)] {
            let mut costs = Vec::new();
            for _ in 0..self.args.runs {
                costs.push(measure::run(self.aeolus(command).arg(path))?);
            }
            let cost = median(costs).context("no runs")?;
            println!("| {command} | {:.0} |", seconds(&cost) * 1e3);
        }
        println!();
        Ok(())
    }
}

/// Whether two files hold the same tensors, byte for byte.
fn same_tensors(a: &Path, b: &Path) -> Result<String> {
    let differences = aeolus_gguf::differences(&GgufFile::open(a)?, &GgufFile::open(b)?);
    let tensors = differences
        .iter()
        .filter(|d| d.kind() == Difference::TENSOR)
        .count();
    Ok(match tensors {
        0 => "equal".into(),
        n => format!("{n} tensors differ"),
    })
}
