//! `aeolus quantize`: one or several quantized files.

use super::forge;
use crate::options::{
    EncodeArgs, ImatrixArgs, PlanArgs, RecipeArgs, SourceArgs, TargetArgs, file_types_help,
    parse_file_type,
};
use crate::plan;
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
  aeolus quantize model.F16.gguf --type Q5_K_M -o out/
  aeolus quantize notus-7b-v1 --plan out/notus-7b-v1.Q4_K_M.plan.toml -o again/")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// File type, in any letter case; several with commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', required_unless_present = "plan", value_parser = parse_file_type)]
    #[arg(long_help = file_types_help("File type, in any letter case; several with commas"))]
    types: Vec<FileType>,

    #[command(flatten)]
    plan: PlanArgs,

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
    let repeated = args
        .plan
        .plan
        .as_deref()
        .map(|path| plan::repeated(path, &args.source, &args.imatrix, &args.target));
    let repeated = repeated.transpose()?;
    let entries = plan::entries(&args.types, Some(&args.recipe));
    let request = forge::Request {
        source: &args.source,
        entries: &entries,
        set: None,
        encode: Some(&args.encode),
        imatrix: Some(&args.imatrix),
        calibrate: None,
        target: &args.target,
        plans: forge::Plans::OfEach,
        repeated: None,
        quality: None,
        json: args.json,
    };
    forge::run(&match &repeated {
        Some(repeated) => request.repeating(repeated),
        None => request,
    })
}
