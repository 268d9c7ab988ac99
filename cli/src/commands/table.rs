//! `aeolus table`: every published type in one pass, and the table of what was written.

use super::evaluate::CutArgs;
use super::forge;
use crate::options::{
    EncodeArgs, ImatrixArgs, RecipeArgs, SourceArgs, TargetArgs, parse_file_type,
};
use aeolus_recipe::FileType;
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
  aeolus table notus-7b-v1 -o out/ --recipe current --gguf-version 3 --json")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Which file types, in any letter case (default: Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_0,
    /// Q4_K_S, Q4_K_M, Q5_0, Q5_K_S, Q5_K_M, Q6_K, Q8_0)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type)]
    types: Vec<FileType>,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    encode: EncodeArgs,

    #[command(flatten)]
    imatrix: ImatrixArgs,

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
    let types = if args.types.is_empty() {
        FileType::TABLE.to_vec()
    } else {
        args.types.clone()
    };
    args.cut.refuse_without_text(args.text.is_some())?;
    forge::run(&forge::Request {
        source: &args.source,
        types: &types,
        recipe: Some(&args.recipe),
        encode: Some(&args.encode),
        imatrix: Some(&args.imatrix),
        target: &args.target,
        quality: args.text.as_deref().map(|text| forge::Quality {
            text,
            cut: &args.cut,
        }),
        json: args.json,
    })
}
