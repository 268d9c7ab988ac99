//! `aeolus table`: every published type in one pass, and the table of what was written.

use super::card::CardArgs;
use super::choice::{self, ChoiceArgs};
use super::evaluate::CutArgs;
use super::forge;
use super::refine::{Asked, RefineArgs};
use crate::options::{
    EncodeArgs, ImatrixArgs, PlanArgs, RecipeArgs, SourceArgs, TargetArgs, parse_file_type,
};
use crate::plan;
use aeolus_recipe::{FileType, PlanFile};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write every published quantization of a model in one pass over its weights
///
/// Reads each weight once and encodes it once for each distinct block type, so the twelve
/// files cost little more than their types. Ends with a table of what was written; with a text,
/// of how good it is, too: perplexity, and divergence from the source. Then the folder is ready to be
/// published: README.md (the model card), report.html, quality.json and errors.json are beside the files. A
/// second run makes only what is missing, and keeps what was written into README.md by hand.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus table fixtures/notus-mini -o out/
  aeolus table fixtures/notus-mini -o out/ -f fixtures/text/heldout.txt
  aeolus table notus-7b-v1 -o out/ --type Q4_K_M,Q5_K_M,Q8_0
  aeolus table notus-7b-v1 -o out/ --imatrix notus.imatrix.gguf
  aeolus table notus-7b-v1 -o out/ --set 2026 --calibrate calibration.txt -f text.txt
  aeolus table notus-7b-v1 -o out/ --target-bpw 2.5,3,4 --calibrate calibration.txt -f text.txt
  aeolus table notus-7b-v1 -o again/ --plan out/notus-7b-v1.plan.toml
  aeolus table notus-7b-v1 -o out/ --recipe current --gguf-version 3 --json")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Which file types, in any letter case (default: Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_0,
    /// Q4_K_S, Q4_K_M, Q5_0, Q5_K_S, Q5_K_M, Q6_K, Q8_0)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', conflicts_with = "sizes", value_parser = parse_file_type)]
    types: Vec<FileType>,

    /// Which set of files: `2023`, the twelve above (default), `2026`, the 25 that publishers list now, or a
    /// file with one
    #[arg(long, value_name = "SET|FILE", conflicts_with_all = ["types", "plan", "sizes"])]
    set: Option<String>,

    #[command(flatten)]
    choice: ChoiceArgs,

    /// Tokens of the KV cache that --fits leaves memory for (default: 4096)
    #[arg(long, value_name = "TOKENS", requires = "fits")]
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

    /// Collect an importance matrix over this text first, as `aeolus imatrix` does, and use it; with
    /// --refine, the text that codes are chosen by (default: one that the model writes)
    #[arg(long, value_name = "TEXT", conflicts_with = "imatrix")]
    calibrate: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,

    /// Measure the written files on this text, and finish their folder; - for stdin
    #[arg(short = 'f', long = "file", id = "text", value_name = "TEXT")]
    text: Option<PathBuf>,

    #[command(flatten)]
    cut: CutArgs,

    #[command(flatten)]
    card: CardArgs,

    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    args.cut.refuse_without_text(args.text.is_some())?;
    if args.card.are_given() && args.text.is_none() {
        bail!("flags of the model card are given, and without a text (-f) none is made");
    }
    let repeated = args
        .plan
        .plan
        .as_deref()
        .map(|path| plan::repeated(path, &args.source, &args.imatrix, &args.target));
    let repeated = repeated.transpose()?;
    let set = match (&args.set, args.types.is_empty()) {
        (Some(name), _) => Some(plan::set(name, &args.recipe)?),
        (None, true) if !args.choice.sizes.is_given() => {
            Some(plan::set(PlanFile::DEFAULT_SET, &args.recipe)?)
        }
        (None, _) => None,
    };
    let sizes = choice::Request::new(
        &args.choice,
        (args.context, args.calibrate.as_deref()),
        &args.recipe,
        &args.target,
        args.json,
    )?;
    let entries = match &set {
        _ if sizes.is_some() => args.choice.sizes.placeholders(),
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
    // A plan says whether it refined.
    let refines = args.refine.refine.is_some() || args.plan.plan.is_some();
    let request = forge::Request {
        source: &args.source,
        entries: &entries,
        sizes,
        set: set.as_ref().and_then(|set| set.set.as_deref()),
        encode: Some(&encode),
        imatrix: Some(&args.imatrix),
        calibrate: args.calibrate.as_deref().filter(|_| !refines),
        refine: Asked {
            effort: args.refine.refine,
            norms: args.refine.norms,
            text: args.calibrate.as_deref().filter(|_| refines),
        },
        target: &args.target,
        plans: forge::Plans::OfAll,
        repeated: None,
        quality: args.text.as_deref().map(|text| forge::Quality {
            text,
            cut: &args.cut,
        }),
        card: Some(&args.card),
        json: args.json,
    };
    forge::run(&match &repeated {
        Some(repeated) => request.repeating(repeated),
        None => request,
    })
}
