//! Speed of the built-in inference, beside llama-bench where it is on PATH.

use crate::measure;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Measure inference, beside llama-bench where it is on PATH
///
/// Each type is quantized from the checkpoint, then the programs take turns on the same file, so
/// that a noisy machine is noisy for both; each figure is the median. A prompt is measured with
/// one token generated after it, generation from a prompt of one word, as llama-bench does. The other
/// program runs with its weights as they are in the file and repacked; the faster one counts, and a
/// star marks figures for which that is the repacked one.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint folder, for example of `aeolus synth`
    #[arg(long)]
    model: PathBuf,

    /// Folder for the quantized files; on tmpfs the disk does not count
    #[arg(long)]
    work: PathBuf,

    /// The program to measure
    #[arg(long, default_value = "target/release/aeolus")]
    aeolus: PathBuf,

    /// Name of the other program, on PATH
    #[arg(long, default_value = "llama-bench")]
    peer: String,

    /// Runs of each program
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Tokens of the prompt
    #[arg(long, default_value_t = 512)]
    prompt: usize,

    /// Tokens to generate
    #[arg(long, default_value_t = 64)]
    generate: usize,

    /// File types; TYPE:BLOCK gives the matrices of the layers that block type
    #[arg(long, value_delimiter = ',', default_value = "Q4_K_M,Q8_0")]
    types: Vec<String>,

    /// Importance matrix for the types that need one
    #[arg(long)]
    imatrix: Option<PathBuf>,
}

/// Tokens per second.
#[derive(Clone, Copy)]
struct Rates {
    prompt: f64,
    generation: f64,
}

/// Measures each type and prints a row for it.
pub fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.work)?;
    let peer = measure::on_path(&args.peer);
    if peer.is_none() {
        eprintln!(
            "{} is not on PATH: only this project is measured",
            args.peer
        );
    }
    // The beginning of the text makes one token, each further word another.
    let words = args.work.join("prompt.txt");
    std::fs::write(&words, "the ".repeat(args.prompt - 1).trim_end())?;
    println!(
        "{} threads, prompt of {}, {} generated, medians of {}; tokens per second\n",
        args.threads, args.prompt, args.generate, args.runs
    );
    println!(
        "| type | prompt: aeolus | {0} | ratio | generation: aeolus | {0} | ratio |",
        args.peer
    );
    println!("|---|---|---|---|---|---|---|");
    let file = args.work.join("model.gguf");
    for ty in &args.types {
        let (file_type, block) = ty.split_once(':').unwrap_or((ty, ""));
        let mut quantize = Command::new(&args.aeolus);
        quantize.arg("quantize").arg(&args.model);
        quantize.args(["--quiet", "--force", "--recipe", "current"]);
        quantize.args(["--type", file_type, "-o"]).arg(&file);
        if let Some(imatrix) = &args.imatrix {
            quantize.arg("--imatrix").arg(imatrix);
        }
        if !block.is_empty() {
            quantize.args(["--tensor-type", &format!("blk.*={block}")]);
        }
        measure::run(&mut quantize)?;
        let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
        for _ in 0..args.runs {
            ours.push(Rates {
                prompt: our_rate(args, &file, &words)?,
                generation: our_generation(args, &file)?,
            });
            if let Some(peer) = &peer {
                for (repack, theirs) in theirs.iter_mut().enumerate() {
                    theirs.push(their_rates(args, peer, &file, repack)?);
                }
            }
        }
        let cell = |of: fn(&Rates) -> f64| {
            let [plain, repacked] = theirs.each_ref().map(|rates| median(rates, of));
            let star = if repacked > plain { "\\*" } else { "" };
            let theirs = plain.zip(repacked).map(|(a, b)| a.max(b));
            match (median(&ours, of), theirs) {
                (Some(a), Some(b)) => format!("{a:.2} | {b:.2}{star} | {:.2}x", a / b),
                (Some(a), None) => format!("{a:.2} | - | -"),
                (None, _) => "- | - | -".into(),
            }
        };
        println!(
            "| {ty} | {} | {} |",
            cell(|r| r.prompt),
            cell(|r| r.generation)
        );
    }
    std::fs::remove_file(&file)?;
    std::fs::remove_file(&words)?;
    Ok(())
}

fn median(rates: &[Rates], of: fn(&Rates) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = rates.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn our_rate(args: &Args, file: &Path, words: &Path) -> Result<f64> {
    let timings = ours(args, file, &["-f", &words.to_string_lossy(), "-n", "1"])?;
    let tokens = number(&timings, "prompt_tokens")?;
    ensure!(
        tokens == args.prompt as f64,
        "the prompt became {tokens} tokens instead of {}",
        args.prompt
    );
    number(&timings, "prompt_tokens_per_second")
}

fn our_generation(args: &Args, file: &Path) -> Result<f64> {
    let timings = ours(args, file, &["-p", "the", "-n", &args.generate.to_string()])?;
    number(&timings, "generation_tokens_per_second")
}

fn ours(args: &Args, file: &Path, more: &[&str]) -> Result<Value> {
    let mut command = Command::new(&args.aeolus);
    command
        .arg("run")
        .arg(file)
        .args(["--json", "--temp", "0", "-t", &args.threads.to_string()])
        .args(more);
    Ok(json(&mut command)?["timings"].take())
}

fn their_rates(args: &Args, peer: &Path, file: &Path, repack: usize) -> Result<Rates> {
    let mut command = Command::new(peer);
    command.arg("-m").arg(file).args([
        "-r",
        "1",
        "--repack",
        &repack.to_string(),
        "-o",
        "json",
        "-t",
        &args.threads.to_string(),
        "-p",
        &args.prompt.to_string(),
        "-n",
        &args.generate.to_string(),
    ]);
    let runs = json(&mut command)?;
    let rate = |field: &str| -> Result<f64> {
        let run = runs
            .as_array()
            .and_then(|runs| runs.iter().find(|run| run[field].as_u64() > Some(0)))
            .with_context(|| format!("no run with {field} in what {} printed", args.peer))?;
        number(run, "avg_ts")
    };
    Ok(Rates {
        prompt: rate("n_prompt")?,
        generation: rate("n_gen")?,
    })
}

pub(crate) fn number(value: &Value, field: &str) -> Result<f64> {
    value[field]
        .as_f64()
        .with_context(|| format!("no number {field} in {value}"))
}

/// What a program prints, as JSON.
pub(crate) fn json(command: &mut Command) -> Result<Value> {
    let name = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    ensure!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} printed no JSON"))
}
