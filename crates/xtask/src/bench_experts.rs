//! Speed of a prompt through a mixture of experts, beside a dense model with as many active weights.

use crate::bench_run::{json, number};
use crate::measure;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Elements between the two halves of an expert.
const WIDTH: u64 = 1024;

/// Experts of a layer, and how many of them a token goes to.
const MIXTURES: [(u64, u64); 2] = [(32, 4), (128, 8)];

/// Measure prompts through mixtures of experts, beside dense models with as many active weights
///
/// Models of random weights are made for it, with attention alike; the two of a pair take turns, and
/// each figure is the median. The target is a ratio of 0.7.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with the tokenizer to take
    #[arg(long, default_value = "fixtures/notus-7b-v1")]
    tokenizer: PathBuf,

    /// Text whose beginning is the prompt
    #[arg(long, default_value = "fixtures/text/heldout.txt")]
    text: PathBuf,

    /// Folder for the models: up to 4 GB; on tmpfs the disk does not count
    #[arg(long)]
    work: PathBuf,

    /// The program to measure
    #[arg(long, default_value = "target/release/aeolus")]
    aeolus: PathBuf,

    /// Runs of each model
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Tokens of the prompt
    #[arg(long, default_value_t = 512)]
    prompt: usize,

    /// Layers of the models
    #[arg(long, default_value_t = 2)]
    layers: u64,

    /// File type
    #[arg(long, default_value = "Q4_K_M")]
    r#type: String,
}

/// Measures each pair and prints a row for it.
pub fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.work)?;
    let prompt = prompt(args)?;
    println!(
        "{} threads, prompt of {}, {}, {} layers, medians of {}; tokens per second\n",
        args.threads, args.prompt, args.r#type, args.layers, args.runs
    );
    println!("| experts | active | mixture | dense | ratio |");
    println!("|---|---|---|---|---|");
    for (experts, active) in MIXTURES {
        let mixture = model(args, "mixture", &mixture(experts, active))?;
        let dense = model(args, "dense", &dense(active))?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.runs {
            ours.push(rate(args, &mixture, &prompt)?);
            theirs.push(rate(args, &dense, &prompt)?);
        }
        let (a, b) = (median(&mut ours), median(&mut theirs));
        println!("| {experts} | {active} | {a:.1} | {b:.1} | {:.2} |", a / b);
        std::fs::remove_file(mixture)?;
        std::fs::remove_file(dense)?;
    }
    std::fs::remove_file(prompt)?;
    Ok(())
}

/// What both models have in common.
fn config(class: &str) -> Value {
    json!({
        "architectures": [class], "hidden_act": "silu", "hidden_size": 2048, "head_dim": 128,
        "max_position_embeddings": 4096, "num_attention_heads": 16, "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": false,
    })
}

fn mixture(experts: u64, active: u64) -> Value {
    let mut config = config("Qwen3MoeForCausalLM");
    config["intermediate_size"] = json!(WIDTH * active);
    config["moe_intermediate_size"] = json!(WIDTH);
    config["norm_topk_prob"] = json!(true);
    config["num_experts"] = json!(experts);
    config["num_experts_per_tok"] = json!(active);
    config
}

fn dense(active: u64) -> Value {
    let mut config = config("Qwen3ForCausalLM");
    config["intermediate_size"] = json!(WIDTH * active);
    config
}

/// Makes a file of a configuration.
fn model(args: &Args, name: &str, config: &Value) -> Result<PathBuf> {
    let (like, folder) = (args.work.join("like"), args.work.join(name));
    std::fs::create_dir_all(&like)?;
    for entry in std::fs::read_dir(&args.tokenizer)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name != "config.json" && path.is_file() {
            std::fs::copy(&path, like.join(name))?;
        }
    }
    let of_tokenizer = std::fs::read(args.tokenizer.join("config.json"))?;
    let of_tokenizer: Value = serde_json::from_slice(&of_tokenizer)?;
    let mut config = config.clone();
    config["vocab_size"] = of_tokenizer["vocab_size"].clone();
    config["num_hidden_layers"] = json!(args.layers);
    std::fs::write(like.join("config.json"), config.to_string())?;
    let file = args.work.join(format!("{name}.gguf"));
    let (from, to) = (like.display().to_string(), folder.display().to_string());
    measure::run(Command::new(&args.aeolus).args(["synth", "-q", "--like", &from, "-o", &to]))?;
    measure::run(
        Command::new(&args.aeolus)
            .args([
                "quantize",
                &to,
                "--quiet",
                "--force",
                "--type",
                &args.r#type,
                "-o",
            ])
            .arg(&file),
    )?;
    std::fs::remove_dir_all(folder)?;
    std::fs::remove_dir_all(like)?;
    Ok(file)
}

/// A file with a text that is as many tokens as wanted, or nearly.
fn prompt(args: &Args) -> Result<PathBuf> {
    /// English letters for a token of a large vocabulary.
    const LETTERS: usize = 4;
    let text = std::fs::read_to_string(&args.text)
        .with_context(|| format!("cannot read {}", args.text.display()))?;
    let beginning: String = text.chars().take(args.prompt * LETTERS).collect();
    let path = args.work.join("prompt.txt");
    std::fs::write(&path, beginning)?;
    Ok(path)
}

/// Tokens of the prompt per second.
fn rate(args: &Args, file: &Path, prompt: &Path) -> Result<f64> {
    let mut command = Command::new(&args.aeolus);
    command.arg("run").arg(file).arg("-f").arg(prompt);
    command.args([
        "-n",
        "1",
        "--json",
        "--temp",
        "0",
        "-t",
        &args.threads.to_string(),
    ]);
    number(&json(&mut command)?["timings"], "prompt_tokens_per_second")
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
