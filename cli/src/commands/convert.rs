//! `aeolus convert`: a checkpoint as an unquantized GGUF file.

use super::forge;
use crate::options::{SourceArgs, TargetArgs, parse_file_type};
use crate::plan;
use aeolus_recipe::FileType;
use anyhow::Result;
use std::process::ExitCode;

/// Convert a checkpoint to an unquantized GGUF file
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus convert notus-7b-v1 --type bf16 -o out/
  aeolus convert notus-7b-v1 --type f16,f32 -o out/ --gguf-version 3")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// f16, bf16 or f32; several are separated by commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', required = true, value_parser = parse_float_type)]
    types: Vec<FileType>,

    #[command(flatten)]
    target: TargetArgs,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// One of the unquantized file types.
fn parse_float_type(text: &str) -> Result<FileType, String> {
    match parse_file_type(text)? {
        ty @ (FileType::F16 | FileType::BF16 | FileType::F32) => Ok(ty),
        ty => Err(format!(
            "{} is quantized: use `aeolus quantize`; convert writes f16, bf16 or f32",
            ty.name()
        )),
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    forge::run(&forge::Request {
        source: &args.source,
        entries: &plan::entries(&args.types, None),
        set: None,
        sizes: None,
        encode: None,
        imatrix: None,
        calibrate: None,
        refine: super::refine::Asked::default(),
        plans: forge::Plans::None,
        repeated: None,
        target: &args.target,
        quality: None,
        card: None,
        json: args.json,
    })
}
