//! Time, memory and bytes of quantizing, beside llama.cpp's tools where they are on PATH.
//!
//! The programs take turns, and rounds go over all of them: what else the machine does slows both
//! down. Each figure is the median of the rounds.

mod record;

use crate::measure::{self, Cost, median};
use aeolus_gguf::{Difference, GgufFile};
use anyhow::{Context, Result};
use record::Record;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// Measure quantizing, beside llama.cpp's tools where they are on PATH
///
/// The peers are `llama-quantize` and `convert_hf_to_gguf.py`. Programs take turns, so that a noisy
/// machine is noisy for both; each figure is the median of the rounds.
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

    /// Which parts to run: files, threads, table, glance, cold
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "files,threads,table,glance"
    )]
    parts: Vec<String>,

    /// Keep every run in this file, and count those that it has: for runs in several sittings
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Checkpoint folder of full size for part glance; `aeolus synth --sparse` will do
    #[arg(long, value_name = "FOLDER")]
    full: Option<PathBuf>,

    /// Folder on a disk for the cold-cache runs (part cold, needs root)
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
    let quantize = measure::on_path("llama-quantize");
    let conditions = conditions(args, quantize.as_deref())?;
    println!("{conditions:#}\n");
    let bench = Bench {
        args,
        record: RefCell::new(Record::open(args.record.as_deref(), &conditions)?),
        quantize,
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

/// What the figures depend on.
fn conditions(args: &Args, peer: Option<&Path>) -> Result<Value> {
    let program = std::fs::metadata(&args.aeolus)
        .with_context(|| format!("{}: build it first", args.aeolus.display()))?;
    let built = program.modified()?.duration_since(UNIX_EPOCH)?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    Ok(json!({
        "aeolus": format!("{} bytes, built {} s after 1970", program.len(), built.as_secs()),
        "commit": output_of("git", &["rev-parse", "HEAD"]),
        "compiler": output_of("rustc", &["--version"]),
        "cpu": cpu.map(|text| text.trim_start_matches(['\t', ' ', ':'])),
        "model": args.model,
        "threads": args.threads,
        "llama-quantize": peer.is_some(),
    }))
}

/// What a program prints, if it is there.
fn output_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

struct Bench<'a> {
    args: &'a Args,
    quantize: Option<PathBuf>,
    convert: Option<PathBuf>,
    f16: PathBuf,
    record: RefCell<Record>,
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

    /// Whether a round of something is still to be run.
    fn lacks(&self, what: &str, round: usize) -> bool {
        self.record.borrow().count(what) <= round
    }

    /// Runs a command and records it.
    fn measure(&self, what: &str, command: &mut Command) -> Result<()> {
        let cost = measure::run(command)?;
        self.record.borrow_mut().add(what, cost)
    }

    fn median(&self, what: &str) -> Result<Cost> {
        let median = self.record.borrow().median(what);
        median.with_context(|| format!("no runs of {what}"))
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

    /// One round of a file type: ours, theirs, and whether the bytes are equal.
    fn round(&self, ty: &str, round: usize) -> Result<()> {
        let (what, peer) = (format!("quantize {ty}"), format!("llama-quantize {ty}"));
        let (a, b) = (self.args.work.join("a.gguf"), self.args.work.join("b.gguf"));
        if !self.lacks(&what, round) {
            return Ok(());
        }
        let mut ours = self.ours(&self.f16, ty, &a);
        match self.theirs(&self.f16, ty, &b) {
            Some(mut theirs) => {
                self.measure(&peer, &mut theirs)?;
                let cost = measure::run(&mut ours)?;
                let differing = differing_tensors(&a, &b)?;
                anyhow::ensure!(differing == 0, "{ty}: {differing} tensors differ");
                // Recorded last: a round that was interrupted is not complete.
                self.record.borrow_mut().add(&what, cost)?;
                std::fs::remove_file(&b)?;
            }
            None => self.measure(&what, &mut ours)?,
        }
        std::fs::remove_file(&a)?;
        Ok(())
    }

    /// Single files, both programs from the same f16 file.
    fn files(&self, weights: u64) -> Result<()> {
        let copy = measure::copy_rate(&self.f16, &self.args.work)?;
        println!("Copying the source file: {:.2} GB/s\n", copy / 1e9);
        for round in 0..self.args.runs {
            for ty in &self.args.types {
                self.round(ty, round)?;
            }
        }
        println!(
            "| type | aeolus s | weights/s | RssAnon | llama-quantize s | its peak RSS | ratio | aeolus, every run | llama-quantize, every run |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for ty in &self.args.types {
            let (what, peer) = (format!("quantize {ty}"), format!("llama-quantize {ty}"));
            let ours = self.median(&what)?;
            let (their_time, their_memory, ratio) = match self.median(&peer) {
                Ok(theirs) => (
                    format!("{:.2}", seconds(&theirs)),
                    megabytes(theirs.resident),
                    format!("{:.1}x", seconds(&theirs) / seconds(&ours)),
                ),
                Err(_) => ("-".into(), "-".into(), "-".into()),
            };
            println!(
                "| {ty} | {:.2} | {:.0} M | {} | {their_time} | {their_memory} | {ratio} | {} | {} |",
                seconds(&ours),
                weights as f64 / seconds(&ours) / 1e6,
                megabytes(ours.anonymous),
                self.record.borrow().seconds(&what),
                self.record.borrow().seconds(&peer),
            );
        }
        if self.quantize.is_some() {
            println!("\nAfter every run all tensors of both files were compared: equal.");
        }
        println!();
        Ok(())
    }

    /// One thread and all of them.
    fn threads(&self, weights: u64) -> Result<()> {
        let types = ["Q4_K_M", "Q2_K", "Q6_K"];
        let out = self.args.work.join("a.gguf");
        let name = |ty: &str, threads: usize| format!("quantize {ty} with {threads} threads");
        for round in 0..self.args.runs {
            for ty in types {
                for threads in [1, self.args.threads] {
                    let what = name(ty, threads);
                    if self.lacks(&what, round) {
                        self.measure(&what, &mut self.ours_on(threads, &self.f16, ty, &out))?;
                        std::fs::remove_file(&out)?;
                    }
                }
            }
        }
        println!(
            "| type | 1 thread s | {} threads s | times as fast |",
            self.args.threads
        );
        println!("|---|---|---|---|");
        for ty in types {
            let one = self.median(&name(ty, 1))?;
            let all = self.median(&name(ty, self.args.threads))?;
            println!(
                "| {ty} | {:.2} | {:.2} | {:.2} |",
                seconds(&one),
                seconds(&all),
                seconds(&one) / seconds(&all)
            );
        }
        println!("\n({weights} weights)\n");
        Ok(())
    }

    /// All twelve from safetensors; the peer converts to f16 first. Its twelve are those of the
    /// part for single files, where that has them.
    fn table(&self) -> Result<()> {
        let out = self.args.work.join("table");
        let peer_f16 = self.args.work.join("peer.f16.gguf");
        const CONVERT: &str = "convert_hf_to_gguf.py to f16";
        for round in 0..self.args.runs {
            if self.lacks("table", round) {
                // Twelve outputs and the checkpoint fill the memory of a tmpfs: the f16 file makes
                // room.
                let _ = std::fs::remove_file(&self.f16);
                let mut command = self.aeolus("table");
                command
                    .arg(&self.args.model)
                    .args(["--recipe", "current", "-o"])
                    .arg(&out);
                self.measure("table", &mut command)?;
                std::fs::remove_dir_all(&out)?;
            }
            if let Some(convert) = self.convert.as_ref().filter(|_| self.lacks(CONVERT, round)) {
                let mut command = Command::new(convert);
                command
                    .arg(&self.args.model)
                    .args(["--outtype", "f16", "--outfile"])
                    .arg(&peer_f16);
                self.measure(CONVERT, &mut command)?;
                std::fs::remove_file(&peer_f16)?;
            }
            if !self.f16.exists() {
                self.convert_source()?;
            }
            if self.convert.is_some() {
                for ty in TABLE {
                    self.round(ty, round)?;
                }
            }
        }
        let ours = self.median("table")?;
        println!("| all twelve from safetensors | s | memory |");
        println!("|---|---|---|");
        println!(
            "| aeolus table | {:.1} | {} RssAnon |",
            seconds(&ours),
            megabytes(ours.anonymous)
        );
        if let (Ok(converted), Some(_)) = (self.median(CONVERT), &self.quantize) {
            println!(
                "| convert_hf_to_gguf.py to f16 | {:.1} | {} RSS |",
                seconds(&converted),
                megabytes(converted.resident)
            );
            let twelve = TABLE
                .iter()
                .map(|ty| self.median(&format!("llama-quantize {ty}")));
            let theirs = twelve.collect::<Result<Vec<Cost>>>()?;
            let total = seconds(&converted) + theirs.iter().map(seconds).sum::<f64>();
            let peak = theirs.iter().map(|c| c.resident).max().unwrap_or(0);
            println!(
                "| and 12 x llama-quantize, together | {total:.1} | {} RSS |",
                megabytes(peak)
            );
            println!("| ratio | {:.1}x | |", total / seconds(&ours));
        }
        println!(
            "\nEvery run of aeolus table: {} s\n",
            self.record.borrow().seconds("table")
        );
        Ok(())
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
        // A file of the model's full size: zeros are quantized as fast as they are read.
        let model = self.args.full.as_ref().unwrap_or(&self.args.model);
        let file = self.args.work.join("full.gguf");
        let mut command = self.aeolus("quantize");
        command.arg(model).args(["--type", "Q2_K", "-o"]).arg(&file);
        measure::run(&mut command)?;
        println!("| no weights read | ms |");
        println!("|---|---|");
        for (command, path) in [("forecast", model), ("inspect", &file)] {
            let mut costs = Vec::new();
            for _ in 0..self.args.runs {
                costs.push(measure::run(self.aeolus(command).arg(path))?);
            }
            let cost = median(costs).context("no runs")?;
            println!("| {command} | {:.0} |", seconds(&cost) * 1e3);
        }
        std::fs::remove_file(&file)?;
        println!();
        Ok(())
    }
}

/// How many tensors of two files are not the same, byte for byte.
fn differing_tensors(a: &Path, b: &Path) -> Result<usize> {
    let differences = aeolus_gguf::differences(&GgufFile::open(a)?, &GgufFile::open(b)?);
    let tensors = differences
        .iter()
        .filter(|d| d.kind() == Difference::TENSOR);
    Ok(tensors.count())
}
