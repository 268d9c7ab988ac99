//! `aeolus errors`: what quantization did to each tensor.

use super::evaluate::{self, FormArgs};
use crate::figures;
use crate::hub::{self, Needs};
use crate::output::{self, Align, say};
use crate::{interrupt, progress};
use aeolus_checkpoint::{Checkpoint, OpenOptions, TokenizerMode};
use aeolus_eval::TensorError;
use aeolus_gguf::GgufFile;
use aeolus_job::Cancel;
use aeolus_report::documents::{FileErrors, TensorErrors};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure the error of every tensor against its source, without running the model
///
/// Prints RMSE, largest error, relative error (RMSE over the root mean square of the weights) and
/// cosine, the worst tensors first.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus errors out/ --against fixtures/notus-mini
  aeolus errors out/notus-mini.Q4_K_M.gguf --against fixtures/notus-mini --top 0
  aeolus errors out/ --against model.F16.gguf --csv > errors.csv")]
pub struct Args {
    /// GGUF files, or folders of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Checkpoint folder or GGUF file that the files were made from
    #[arg(long, value_name = "SOURCE")]
    against: PathBuf,

    /// Number of tensors of each file in the table; 0 for all
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// Threads (default: all cores)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,

    /// Draw no progress bar
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    form: FormArgs,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let cancel = interrupt::cancel_on_ctrl_c()?;
    let quiet = args.quiet || args.form.json || args.form.csv;
    let against = hub::place(&args.against, Needs::Checkpoint, quiet)?;
    let paths = evaluate::gguf_files(&args.files, quiet)?;
    let options = OpenOptions {
        tokenizer: TokenizerMode::Skip,
        predict_layers: aeolus_eval::keep_predict_layers(&paths),
        ..OpenOptions::default()
    };
    let source = aeolus_checkpoint::open(&against.path, &options)?;
    let errors = measure(&source, &paths, args.threads, args.quiet, cancel)?;
    if args.form.json {
        let file = |(path, errors): (&PathBuf, &Vec<TensorError>)| FileErrors {
            path: path.display().to_string(),
            sha256: None,
            file_type: aeolus_eval::file_type(path).map(|ty| ty.name().into()),
            tensors: figures::tensor_errors(errors),
        };
        output::print_json(&TensorErrors {
            schema: TensorErrors::SCHEMA.into(),
            source: args.against.display().to_string(),
            files: paths.iter().zip(&errors).map(file).collect(),
        })?;
    } else if args.form.csv {
        let rows = paths.iter().zip(&errors).flat_map(|(path, errors)| {
            errors.iter().map(|e| {
                vec![
                    path.display().to_string(),
                    e.tensor.clone(),
                    e.ty.name().into(),
                    e.weights.to_string(),
                    e.rmse.to_string(),
                    e.max.to_string(),
                    e.relative.to_string(),
                    e.cosine.to_string(),
                ]
            })
        });
        let head = [
            "path", "name", "type", "weights", "rmse", "max", "relative", "cosine",
        ];
        figures::print_csv(&head, rows)?;
    } else {
        print_tables(args, &paths, &errors)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures files against their source.
pub fn measure(
    source: &Checkpoint,
    paths: &[PathBuf],
    threads: Option<u16>,
    quiet: bool,
    cancel: &Cancel,
) -> Result<Vec<Vec<TensorError>>> {
    let files = paths.iter().map(|path| GgufFile::open(path));
    let files: Vec<GgufFile> = files.collect::<Result<_, _>>()?;
    let pairs: Vec<(&Path, &GgufFile)> = paths.iter().map(PathBuf::as_path).zip(&files).collect();
    let bar = progress::byte_bar(quiet);
    bar.set_length(source.tensors.iter().map(|t| t.size_bytes()).sum());
    let done = |bytes: u64| bar.inc(bytes);
    let errors = evaluate::pool(threads)?
        .install(|| aeolus_eval::tensor_errors(source, &pairs, &done, cancel));
    bar.finish_and_clear();
    Ok(errors?)
}

fn print_tables(args: &Args, paths: &[PathBuf], errors: &[Vec<TensorError>]) -> Result<()> {
    let columns = [
        ("Tensor", Align::Left),
        ("Type", Align::Left),
        ("RMSE", Align::Right),
        ("Max", Align::Right),
        ("Relative", Align::Right),
        ("Cosine", Align::Right),
    ];
    let top = if args.top == 0 { usize::MAX } else { args.top };
    let mut text = String::new();
    for (path, errors) in paths.iter().zip(errors) {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!("{}\n", path.display());
        let rows = errors.iter().take(top).map(|e| {
            vec![
                e.tensor.escape_debug().to_string(),
                e.ty.to_string(),
                format!("{:.4e}", e.rmse),
                format!("{:.4e}", e.max),
                format!("{:.4}%", 100.0 * e.relative),
                format!("{:.8}", e.cosine),
            ]
        });
        text += &output::table(&columns, rows);
    }
    output::print(&text)?;
    if errors.iter().any(|errors| errors.len() > top) {
        say(format_args!(
            "note: the {top} worst tensors of each file; --top 0 shows all"
        ));
    }
    Ok(())
}
