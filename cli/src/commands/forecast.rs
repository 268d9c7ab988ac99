//! `aeolus forecast`: exact sizes from shapes alone.

use super::forge;
use crate::hub::{self, Needs};
use crate::options::{
    FormatArgs, ImatrixArgs, RecipeArgs, SourceArgs, parse_file_type, parse_name,
};
use crate::output::{self, Align};
use crate::{imatrix, plan};
use aeolus_checkpoint::{Forecastable, OpenOptions};
use aeolus_pipeline::{Format, Output};
use aeolus_recipe::{FileType, PlanFile};
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

/// What the field adds to a file's size for "max RAM required", in bytes: the runtime's buffers
/// and a small context.
const RAM_OVERHEAD_BYTES: u64 = 2_500_000_000;

/// Tell the exact size of every file before any weight is read
///
/// Needs config.json and the tokenizer only; where weights are there, their headers are read too.
/// GB are 10^9 bytes; max RAM is size + 2.5 GB, as model cards print it.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus forecast notus-7b-v1
  aeolus forecast notus-7b-v1/config.json --type Q4_K_M --tensor-type 'ffn_down=Q6_K'
  aeolus forecast notus-7b-v1 --type IQ4_XS --imatrix notus.imatrix.gguf
  aeolus forecast notus-7b-v1 --set 2026 --imatrix notus.imatrix.gguf
  aeolus forecast notus-7b-v1 --json")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Which file types, in any letter case (default: the twelve of `aeolus table`)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type)]
    types: Vec<FileType>,

    /// Which set of files: `2023` (default), `2026`, or a file with one
    #[arg(long, value_name = "SET|FILE", conflicts_with = "types")]
    set: Option<String>,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    imatrix: ImatrixArgs,

    #[command(flatten)]
    format: FormatArgs,

    /// Model name, as general.name (default: the source's)
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let guide = imatrix::open(&args.imatrix)?;
    let source = hub::place(&args.source.source, Needs::Configuration, args.json)?;
    let options = OpenOptions {
        folder_name: source.folder_name,
        ..forge::open_options(&args.source, args.name.clone())
    };
    let facts = Forecastable::from_config(&source.path, &options)?;
    super::forge::say_notes(&facts.notes);
    let format = Format {
        version: args.format.gguf_version,
        endian: args.format.endian.into(),
    };
    let entries = match &args.set {
        Some(name) => plan::set(name, &args.recipe)?.files,
        None if args.types.is_empty() => plan::set(PlanFile::DEFAULT_SET, &args.recipe)?.files,
        None => plan::entries(&args.types, Some(&args.recipe)),
    };
    let outputs = entries.iter().map(|entry| {
        let recipe = entry.options()?;
        Ok(Output::plan(
            &facts,
            entry.file_type()?,
            &recipe,
            format,
            guide.as_ref(),
        )?)
    });
    let outputs: Vec<Output> = outputs.collect::<Result<_>>()?;
    forge::report_fallbacks(&outputs);
    let mut value = json!({
        "schema": "aeolus.forecast/1",
        "name": facts.name,
    });
    if let Some(guide) = &guide {
        value["imatrix"] = imatrix::to_json(guide, &imatrix::report(guide, &outputs));
    }
    if args.json {
        value["files"] = outputs.iter().map(row_json).collect();
        output::print_json(&value)?;
    } else {
        let plans: Vec<&Output> = outputs.iter().collect();
        let names = entries
            .iter()
            .map(|entry| entry.label().to_owned())
            .collect();
        output::print(&sizes_table(&plans, ("Type", Align::Left), names, &[]))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One file as JSON, without a path.
pub fn row_json(output: &Output) -> serde_json::Value {
    let bytes = output.layout().file_bytes();
    let mut types = serde_json::Map::new();
    for tensor in &output.types().tensors {
        let count = types.entry(tensor.ty.name()).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap_or(0) + 1);
    }
    json!({
        "file_type": output.file_type().name(),
        "bytes": bytes,
        "max_ram_bytes": bytes + RAM_OVERHEAD_BYTES,
        "bits_per_weight": output.types().bits_per_weight(),
        "tensor_types": types,
        "fallbacks": output
            .types()
            .fallbacks()
            .map(|(tensor, fallback)| {
                json!({
                    "tensor": tensor.name,
                    "type": tensor.ty.name(),
                    "wanted": fallback.wanted.name(),
                    "reason": fallback.reason,
                })
            })
            .collect::<Vec<_>>(),
    })
}

/// The table of sizes; the first column is the caller's, and so are those before the last: each
/// a head and a cell for every output.
pub fn sizes_table(
    outputs: &[&Output],
    first: (&str, Align),
    names: Vec<String>,
    more: &[(&str, Vec<String>)],
) -> String {
    let mut columns = vec![
        first,
        ("Bits", Align::Right),
        ("Bits/weight", Align::Right),
        ("Size", Align::Right),
        ("Max RAM", Align::Right),
    ];
    columns.extend(more.iter().map(|(head, _)| (*head, Align::Right)));
    columns.push(("Use", Align::Left));
    let large = outputs
        .iter()
        .any(|o| o.layout().file_bytes() >= 100_000_000);
    let rows = names.into_iter().zip(outputs).enumerate();
    let rows = rows.map(|(i, (name, output))| {
        let bytes = output.layout().file_bytes();
        let mut row = vec![
            name,
            output.file_type().bits().to_string(),
            format!("{:.3}", output.types().bits_per_weight()),
            if large {
                format!("{} GB", output::gigabytes(bytes))
            } else {
                output::human_bytes(bytes)
            },
            format!("{} GB", output::gigabytes(bytes + RAM_OVERHEAD_BYTES)),
        ];
        row.extend(more.iter().map(|(_, cells)| cells[i].clone()));
        row.push(output.file_type().description().to_string());
        row
    });
    output::table(&columns, rows)
}
