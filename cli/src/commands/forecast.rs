//! `aeolus forecast`: exact sizes from shapes alone.

use super::choice::{self, ChoiceArgs};
use crate::hub::{self, Needs};
use crate::options::{
    FormatArgs, ImatrixArgs, RecipeArgs, SourceArgs, parse_file_type, parse_name,
};
use crate::output::{self, Align};
use crate::{imatrix, interrupt, plan, sizes};
use aeolus_checkpoint::{Forecastable, OpenOptions};
use aeolus_pipeline::{Format, Guide, Output};
use aeolus_recipe::{FileType, PlanFile};
use aeolus_report::documents::Forecast;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the exact size of every file before any weight is read
///
/// Needs only config.json and the tokenizer. If the weights are there, their headers are read too.
/// A GB is 10^9 bytes. Max RAM is the size plus 2.5 GB, as model cards print it.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus forecast notus-7b-v1
  aeolus forecast notus-7b-v1/config.json --type Q4_K_M --tensor-type 'ffn_down=Q6_K'
  aeolus forecast notus-7b-v1 --type IQ4_XS --imatrix notus.imatrix.gguf
  aeolus forecast notus-7b-v1 --set 2026 --imatrix notus.imatrix.gguf
  aeolus forecast notus-7b-v1 --target-bpw 2,3,4,5,6 --calibrate text.txt
  aeolus forecast notus-7b-v1 --json")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// File types, separated by commas, in upper or lower case (default: the twelve of `aeolus table`)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', conflicts_with = "sizes", value_parser = parse_file_type)]
    types: Vec<FileType>,

    /// Set of files: `2023` (default), `2026`, or the path of a set
    #[arg(long, value_name = "SET|FILE", conflicts_with_all = ["types", "sizes"])]
    set: Option<String>,

    #[command(flatten)]
    choice: ChoiceArgs,

    /// Tokens of the KV cache that --fits leaves memory for (default: 4096)
    #[arg(short = 'c', long, value_name = "TOKENS", requires = "fits")]
    context: Option<u64>,

    /// The text that tells what each type costs each tensor, where types are chosen for a size; the
    /// model's weights are read then
    #[arg(long, value_name = "TEXT", requires = "sizes")]
    calibrate: Option<PathBuf>,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    imatrix: ImatrixArgs,

    #[command(flatten)]
    format: FormatArgs,

    /// Model name, written as general.name (default: the source's)
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let guide = imatrix::open(&args.imatrix)?;
    if args.choice.sizes.is_given() {
        return frontier(args, guide.as_ref());
    }
    let source = hub::place(&args.source.source, Needs::Configuration, args.json)?;
    let options = OpenOptions {
        folder_name: source.folder_name,
        ..args.source.open_options(args.name.clone())
    };
    let facts = Forecastable::from_config(&source.path, &options)?;
    output::say_notes(&facts.notes);
    let format = Format {
        version: args.format.gguf_version,
        endian: args.format.endian.into(),
    };
    let entries = match &args.set {
        Some(name) => plan::set(name, &args.recipe)?.files,
        None if args.types.is_empty() => plan::set(PlanFile::DEFAULT_SET, &args.recipe)?.files,
        None => plan::entries(&args.types, Some(&args.recipe)),
    };
    let outputs = Output::plan_all(&facts, &entries, format, guide.as_ref())?;
    plan::say_fallbacks(&outputs);
    let guide = guide.as_ref();
    let imatrix = guide.map(|guide| imatrix::document(guide, &imatrix::report(guide, &outputs)));
    if args.json {
        output::print_json(&Forecast {
            schema: Forecast::SCHEMA.into(),
            name: facts.name.clone(),
            imatrix,
            files: outputs.iter().map(sizes::file).collect(),
        })?;
    } else {
        let plans: Vec<&Output> = outputs.iter().collect();
        let names = entries
            .iter()
            .map(|entry| entry.label().to_owned())
            .collect();
        output::print(&sizes::table(&plans, ("Type", Align::Left), names, &[]))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of the sizes that are asked for.
fn frontier(args: &Args, guide: Option<&Guide>) -> Result<ExitCode> {
    let Some(text) = &args.calibrate else {
        bail!("{}", choice::NEEDS_TEXT);
    };
    let source = hub::place(&args.source.source, Needs::Checkpoint, args.json)?;
    let options = OpenOptions {
        folder_name: source.folder_name,
        ..args.source.open_options(args.name.clone())
    };
    let checkpoint = aeolus_checkpoint::open(&source.path, &options)?;
    output::say_notes(&checkpoint.notes);
    let request = choice::Request {
        args: &args.choice,
        context: args.context.unwrap_or(choice::DEFAULT_CONTEXT),
        text,
        recipe: &args.recipe,
        format: Format {
            version: args.format.gguf_version,
            endian: args.format.endian.into(),
        },
        threads: None,
        quiet: args.json,
    };
    let cancel = interrupt::cancel_on_ctrl_c()?;
    let chosen = request.choose((&source.path, &checkpoint), None, guide, cancel)?;
    let facts = Forecastable::from(&checkpoint);
    let named = plan::set(PlanFile::DEFAULT_SET, &args.recipe)?.files;
    let named = Output::plan_all(&facts, &named, request.format, guide)?;
    let files = choice::forecasts(&chosen, &named);
    if args.json {
        output::print_json(&Forecast {
            schema: Forecast::SCHEMA.into(),
            name: checkpoint.name.clone(),
            imatrix: None,
            files,
        })?;
    } else {
        output::print(&choice::frontier(&files))?;
    }
    Ok(ExitCode::SUCCESS)
}
