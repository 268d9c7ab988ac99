//! One module per command: its arguments and what it does with them.

mod card;
mod chat;
mod choice;
mod compare;
mod completions;
mod convert;
mod errors;
mod evaluate;
#[cfg(feature = "hub")]
mod fetch;
mod finish;
mod forecast;
mod forge;
mod hash;
mod imatrix;
mod inspect;
mod logits;
mod man;
mod perplexity;
#[cfg(feature = "hub")]
mod publish;
mod quantize;
mod refine;
mod report;
mod run;
mod sums;
mod synth;
mod table;
mod tasks;
mod tokenize;
mod verify;

pub(crate) use evaluate::CutArgs;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The whole command line.
#[derive(Parser, Debug)]
#[command(name = "aeolus", version, about = ABOUT, max_term_width = 100, after_help = EXAMPLES)]
#[command(propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ABOUT: &str = "Convert, quantize, inspect and run language models as GGUF files";

const EXAMPLES: &str = "\
Examples:
  aeolus table notus-7b-v1 -o out/                    every published type in one pass
  aeolus quantize notus-7b-v1 --type Q4_K_M -o out/   one file
  aeolus forecast notus-7b-v1                         sizes, before any weight is read
  aeolus inspect out/notus-7b-v1.Q4_K_M.gguf          what is in a file
  aeolus chat out/notus-7b-v1.Q4_K_M.gguf             talk to it

Exit codes: 0 done, 1 a check found a difference, 2 an error, 130 interrupted.";

#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
#[derive(Subcommand, Debug)]
enum Command {
    Table(table::Args),
    Quantize(quantize::Args),
    Convert(convert::Args),
    Forecast(forecast::Args),
    Inspect(inspect::Args),
    Hash(hash::Args),
    Imatrix(imatrix::Args),
    Run(run::Args),
    Chat(chat::Args),
    Tokenize(tokenize::Args),
    Logits(logits::Args),
    Perplexity(perplexity::Args),
    Compare(compare::Args),
    Verify(verify::Args),
    Errors(errors::Args),
    Tasks(tasks::Args),
    Card(card::Args),
    Report(report::Args),
    #[cfg(feature = "hub")]
    Fetch(fetch::Args),
    #[cfg(feature = "hub")]
    Publish(publish::Args),
    Completions(completions::Args),
    Man(man::Args),
    Synth(synth::Args),
}

/// Runs the chosen command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Table(args) => table::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Forecast(args) => forecast::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Hash(args) => hash::run(&args),
        Command::Imatrix(args) => imatrix::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Tokenize(args) => tokenize::run(&args),
        Command::Logits(args) => logits::run(&args),
        Command::Perplexity(args) => perplexity::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Errors(args) => errors::run(&args),
        Command::Tasks(args) => tasks::run(&args),
        Command::Card(args) => card::run(&args),
        Command::Report(args) => report::run(&args),
        #[cfg(feature = "hub")]
        Command::Fetch(args) => fetch::run(&args),
        #[cfg(feature = "hub")]
        Command::Publish(args) => publish::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Synth(args) => synth::run(&args),
    }
}
