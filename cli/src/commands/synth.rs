//! `aeolus synth`: full-size checkpoints of random weights, to measure with.

use crate::output;
use crate::progress::byte_bar;
use aeolus_checkpoint::synth;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Development: make a checkpoint with random weights, for measurements at full size
///
/// Shapes and tokenizer come from an existing folder, which needs no weights. The weights are
/// heavy-tailed bf16 numbers that depend on the seed alone.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus synth --like fixtures/notus-7b-v1 -o /tmp/notus-8l --layers 8    4 GB
  aeolus synth --like fixtures/notus-7b-v1 -o /data/notus-7b              14.5 GB
  aeolus synth --like fixtures/notus-7b-v1 -o /tmp/shapes --sparse        nothing on the disk")]
pub struct Args {
    /// Folder with config.json and the tokenizer
    #[arg(long, value_name = "FOLDER")]
    like: PathBuf,

    /// Folder to make
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,

    /// Layers (default: as in config.json)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    layers: Option<u32>,

    /// Seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Largest size of a shard, in GB
    #[arg(long, value_name = "GB", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..1000))]
    shard_gb: u64,

    /// Write no weights: sparse files of full length, to measure commands that read no weights
    #[arg(long)]
    sparse: bool,

    /// Draw no progress bar
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let bar = byte_bar(args.quiet);
    let summary = synth::write(
        &synth::Request {
            like: args.like.clone(),
            out: args.out.clone(),
            layers: args.layers,
            seed: args.seed,
            shard_bytes: args.shard_gb * 1_000_000_000,
            sparse: args.sparse,
        },
        |bytes, total| {
            bar.set_length(total);
            bar.inc(bytes);
        },
    )?;
    bar.finish_and_clear();
    output::print(&format!(
        "{}: {} weights, {} in {} shards\n",
        args.out.display(),
        output::grouped(summary.weights),
        output::human_bytes(summary.bytes),
        summary.shards
    ))?;
    Ok(ExitCode::SUCCESS)
}
