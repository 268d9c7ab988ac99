//! Development commands.
//!
//! `cargo run --release -p xtask -- bench-quantize --model FOLDER --work FOLDER` measures this
//! project's quantizer and, where they are on PATH, llama.cpp's tools, on the same input in the
//! same run, and prints the tables of docs/benchmarks.md. `bench-run` does the same for the
//! built-in inference and llama-bench. `bench-experts` measures prompts through mixtures of experts
//! beside dense models, and `bench-refine` what it costs to refine the matrices of a 7B model.
//!
//! `cargo run -p xtask -- check` runs what CI runs, or the steps that are named.
//! `cargo run -p xtask -- dist --target SYSTEM` makes the archive of a release.
//! `cargo run -p xtask -- circles` finds files inside a crate that need each other,
//! `lines` counts the code of each crate.
//!
//! `cargo run -p xtask -- fuzz` runs the fuzz targets of all crates; docs/security.md says more.

#![forbid(unsafe_code)]

mod bench_experts;
mod bench_quantize;
mod bench_refine;
mod bench_run;
mod check;
mod circles;
mod dist;
mod fuzz;
mod lines;
mod measure;
mod sources;

use clap::{Parser, Subcommand};

/// Development commands of the Aeolus workspace
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    BenchExperts(bench_experts::Args),
    BenchQuantize(bench_quantize::Args),
    BenchRefine(bench_refine::Args),
    BenchRun(bench_run::Args),
    Check(check::Args),
    Circles(circles::Args),
    Dist(dist::Args),
    Fuzz(fuzz::Args),
    Lines(lines::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::BenchExperts(args) => bench_experts::run(&args),
        Command::BenchQuantize(args) => bench_quantize::run(&args),
        Command::BenchRefine(args) => bench_refine::run(&args),
        Command::BenchRun(args) => bench_run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Circles(args) => circles::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Lines(args) => lines::run(&args),
    }
}
