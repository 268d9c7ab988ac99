//! `aeolus quantize`: one or several quantized files.

use super::choice::{self, ChoiceArgs};
use super::forge;
use super::refine::{Asked, RefineArgs};
use crate::options::{
    EncodeArgs, ImatrixArgs, PlanArgs, RecipeArgs, SourceArgs, TargetArgs, file_types_help,
    parse_file_type,
};
use crate::plan;
use aeolus_recipe::FileType;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Quantize a model to one or several file types in one pass
///
/// As file types, Q3_K, Q4_K and Q5_K mean the _M mixes. With --tensor-type, --output-type and
/// --embedding-type the same words name block types.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus quantize notus-7b-v1 --type Q4_K_M -o out/
  aeolus quantize notus-7b-v1 --type q4_k_m,q8_0 -o out/
  aeolus quantize notus-7b-v1 --type Q4_K_M --tensor-type 'ffn_down=Q6_K' -o mine.gguf
  aeolus quantize notus-7b-v1 --type Q4_K_M,IQ4_XS --imatrix notus.imatrix.gguf -o out/
  aeolus quantize notus-7b-v1 --type Q4_K_M --refine --calibrate calibration.txt -o out/
  aeolus quantize notus-7b-v1 --target-size 4.1GB --calibrate text.txt -o out/
  aeolus quantize model.F16.gguf --type Q5_K_M -o out/
  aeolus quantize notus-7b-v1 --plan out/notus-7b-v1.Q4_K_M.plan.toml -o again/")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// File types, separated by commas, in upper or lower case
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', required_unless_present_any = ["plan", "sizes"], conflicts_with = "sizes", value_parser = parse_file_type)]
    #[arg(long_help = file_types_help("File type, in any letter case; several with commas"))]
    types: Vec<FileType>,

    #[command(flatten)]
    choice: ChoiceArgs,

    /// Tokens of the KV cache that --fits leaves memory for (default: 4096)
    #[arg(short = 'c', long, value_name = "TOKENS", requires = "fits")]
    context: Option<u64>,

    #[command(flatten)]
    plan: PlanArgs,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    encode: EncodeArgs,

    #[command(flatten)]
    imatrix: ImatrixArgs,

    #[command(flatten)]
    refine: RefineArgs,

    /// The text that --refine goes by (default: one that the model writes), and that shows what each type
    /// costs each tensor where types are chosen for a size
    #[arg(long, value_name = "TEXT")]
    calibrate: Option<PathBuf>,

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
    let calibrate = args.calibrate.as_deref();
    let sizes = choice::Request::new(
        &args.choice,
        (args.context, calibrate),
        &args.recipe,
        &args.target,
        args.json,
    )?;
    let entries = match &sizes {
        Some(_) => args.choice.sizes.placeholders(),
        None => plan::entries(&args.types, Some(&args.recipe)),
    };
    let request = forge::Request {
        sizes,
        source: &args.source,
        entries: &entries,
        set: None,
        encode: Some(&args.encode),
        imatrix: Some(&args.imatrix),
        calibrate: None,
        refine: Asked {
            effort: args.refine.refine,
            norms: args.refine.norms,
            text: calibrate.filter(|_| args.refine.refine.is_some() || sizes.is_none()),
        },
        target: &args.target,
        plans: forge::Plans::OfEach,
        repeated: None,
        quality: None,
        card: None,
        json: args.json,
    };
    forge::run(&match &repeated {
        Some(repeated) => request.repeating(repeated),
        None => request,
    })
}
