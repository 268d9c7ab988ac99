//! `aeolus table`: every published type in one pass, and the table of what was written.

use super::evaluate::CutArgs;
use super::forge;
use crate::options::{
    EncodeArgs, ImatrixArgs, PlanArgs, RecipeArgs, SourceArgs, TargetArgs, parse_file_type,
};
use crate::plan;
use aeolus_recipe::{FileType, PlanFile};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write every published quantization of a model in one pass over its weights
///
/// Reads each weight once and encodes it once for each distinct block type, so the twelve
/// files cost little more than their types. Ends with a table of what was written; with a text,
/// of how good it is, too: perplexity, and divergence from the source.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus table fixtures/notus-mini -o out/
  aeolus table fixtures/notus-mini -o out/ -f fixtures/text/heldout.txt
  aeolus table notus-7b-v1 -o out/ --type Q4_K_M,Q5_K_M,Q8_0
  aeolus table notus-7b-v1 -o out/ --imatrix notus.imatrix.gguf
  aeolus table notus-7b-v1 -o out/ --set 2026 --calibrate calibration.txt -f text.txt
  aeolus table notus-7b-v1 -o again/ --plan out/notus-7b-v1.plan.toml
  aeolus table notus-7b-v1 -o out/ --recipe current --gguf-version 3 --json")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Which file types, in any letter case (default: Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_0,
    /// Q4_K_S, Q4_K_M, Q5_0, Q5_K_S, Q5_K_M, Q6_K, Q8_0)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type)]
    types: Vec<FileType>,

    /// Which set of files: `2023`, the twelve above (default), `2026`, the 25 that publishers list now, or a
    /// file with one
    #[arg(long, value_name = "SET|FILE", conflicts_with_all = ["types", "plan"])]
    set: Option<String>,

    #[command(flatten)]
    plan: PlanArgs,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    encode: EncodeArgs,

    #[command(flatten)]
    imatrix: ImatrixArgs,

    /// Collect an importance matrix over this text first, as `aeolus imatrix` does, and use it
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["imatrix", "plan"])]
    calibrate: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,

    /// Measure the written files on this text; - for stdin
    #[arg(short = 'f', long = "file", id = "text", value_name = "TEXT")]
    text: Option<PathBuf>,

    #[command(flatten)]
    cut: CutArgs,

    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    args.cut.refuse_without_text(args.text.is_some())?;
    let repeated = args
        .plan
        .plan
        .as_deref()
        .map(|path| plan::repeated(path, &args.source, &args.imatrix, &args.target));
    let repeated = repeated.transpose()?;
    let set = match (&args.set, args.types.is_empty()) {
        (Some(name), _) => Some(plan::set(name, &args.recipe)?),
        (None, true) => Some(plan::set(PlanFile::DEFAULT_SET, &args.recipe)?),
        (None, false) => None,
    };
    let entries = match &set {
        Some(set) => set.files.clone(),
        None => plan::entries(&args.types, Some(&args.recipe)),
    };
    let encode = EncodeArgs {
        via: match &set {
            Some(set) => plan::via(set, args.encode.via)?,
            None => args.encode.via,
        },
        ..args.encode
    };
    let request = forge::Request {
        source: &args.source,
        entries: &entries,
        set: set.as_ref().and_then(|set| set.set.as_deref()),
        encode: Some(&encode),
        imatrix: Some(&args.imatrix),
        calibrate: args.calibrate.as_deref(),
        target: &args.target,
        plans: forge::Plans::OfAll,
        repeated: None,
        quality: args.text.as_deref().map(|text| forge::Quality {
            text,
            cut: &args.cut,
        }),
        json: args.json,
    };
    forge::run(&match &repeated {
        Some(repeated) => request.repeating(repeated),
        None => request,
    })
}
