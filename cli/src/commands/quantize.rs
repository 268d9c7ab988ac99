//! `aeolus quantize`: one or several quantized files.

use super::forge;
use crate::options::{
    EncodeArgs, ImatrixArgs, RecipeArgs, SourceArgs, TargetArgs, file_types_help, parse_file_type,
};
use aeolus_recipe::FileType;
use anyhow::Result;
use std::process::ExitCode;

/// Quantize a model to one or several file types in one pass
///
/// Of file types, Q3_K, Q4_K and Q5_K stand for the _M mixes; in --tensor-type, --output-type and
/// --embedding-type the same words are block types.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus quantize notus-7b-v1 --type Q4_K_M -o out/
  aeolus quantize notus-7b-v1 --type q4_k_m,q8_0 -o out/
  aeolus quantize notus-7b-v1 --type Q4_K_M --tensor-type 'ffn_down=Q6_K' -o mine.gguf
  aeolus quantize notus-7b-v1 --type Q4_K_M,IQ4_XS --imatrix notus.imatrix.gguf -o out/
  aeolus quantize model.F16.gguf --type Q5_K_M -o out/")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// File type, in any letter case; several with commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', required = true, value_parser = parse_file_type)]
    #[arg(long_help = file_types_help("File type, in any letter case; several with commas"))]
    types: Vec<FileType>,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    encode: EncodeArgs,

    #[command(flatten)]
    imatrix: ImatrixArgs,

    #[command(flatten)]
    target: TargetArgs,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    forge::run(&forge::Request {
        source: &args.source,
        types: &args.types,
        recipe: Some(&args.recipe),
        encode: Some(&args.encode),
        imatrix: Some(&args.imatrix),
        target: &args.target,
        quality: None,
        json: args.json,
    })
}
