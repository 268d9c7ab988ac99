//! `aeolus compare`: how far files are from their base.

use super::evaluate::{self, CutArgs, EngineArgs, FormArgs, Request};
use crate::figures;
use crate::hub::{self, Needs};
use crate::interrupt;
use crate::output::{self, Align, say};
use aeolus_eval::Format;
use aeolus_report::Quality;
use aeolus_report::documents::FileQuality;
use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Measure how far quantized files are from their base
///
/// Every file reads the same windows of the same text as the base. Full distributions are
/// compared: KL divergence, most probable token, probability of the token that came. BASE is a
/// GGUF file, a checkpoint folder, or a file of log-probabilities, which includes its text: one of
/// ours, or one that llama-perplexity wrote with --kl-divergence-base.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus compare fixtures/notus-mini out/ -f fixtures/text/heldout.txt
  aeolus compare model.F16.gguf a.gguf b.gguf -f text.txt --save-base base.logprobs --json
  aeolus compare base.logprobs c.gguf
  aeolus compare model.F16.gguf out/ -f text.txt --chunks all --state run.state")]
pub struct Args {
    /// Model or file of log-probabilities to compare the files with
    #[arg(value_name = "BASE")]
    base: PathBuf,

    /// GGUF files, or folders of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The text; - for stdin
    #[arg(short = 'f', long = "file", id = "text", value_name = "TEXT")]
    text: Option<PathBuf>,

    #[command(flatten)]
    cut: CutArgs,

    /// Keep the base's log-probabilities in this file, or use the file if it exists
    #[arg(long, value_name = "FILE", requires = "text")]
    save_base: Option<PathBuf>,

    /// Layout of that file: `aeolus` takes 3 bytes per token and loses nothing that figures show;
    /// `llama.cpp` takes 2
    #[arg(long, value_enum, default_value = "aeolus", requires = "save_base")]
    base_format: FormatArg,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    form: FormArgs,
}

/// Values of `--base-format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Aeolus,
    #[value(name = "llama.cpp")]
    LlamaCpp,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let cancel = interrupt::cancel_windows_on_ctrl_c()?;
    let files = evaluate::gguf_files(&args.files, args.engine.quiet)?;
    let base = hub::place(&args.base, Needs::Checkpoint, args.engine.quiet)?;
    let text = args.text.as_deref().map(aeolus_eval::text::read);
    let text = text.transpose()?;
    let format = match args.base_format {
        FormatArg::Aeolus => Format::Aeolus,
        FormatArg::LlamaCpp => Format::LlamaCpp,
    };
    let request = Request {
        base: &base.path,
        files: &files,
        text: text.as_deref(),
        cut: &args.cut,
        engine: &args.engine,
        folder: &std::env::temp_dir(),
        keep_base: args.save_base.clone().map(|path| (path, format)),
        cancel,
    };
    let comparison = evaluate::compare(&request)?;

    let read = args.text.as_deref().zip(text.as_deref());
    let measured = figures::measured(&comparison, args.engine.mode, &args.cut, read);
    let results = || files.iter().zip(&comparison.files);
    let bytes = files
        .iter()
        .map(|path| std::fs::metadata(path).map(|m| m.len()).ok());
    let bytes: Vec<Option<u64>> = bytes.collect();
    let beaten_by = figures::beaten_by(&bytes, &comparison);
    let beaten_by = |i: usize| beaten_by[i].map(|by| files[by].display().to_string());
    let seconds = started.elapsed().as_secs_f64();
    if args.form.json || args.form.csv {
        let rows: Vec<FileQuality> = results()
            .enumerate()
            .map(|(i, (path, result))| {
                let (quality, error) = match result {
                    Ok(divergence) => (Some(figures::of(divergence)), None),
                    Err(error) => (None, Some(error.to_string())),
                };
                FileQuality {
                    path: path.display().to_string(),
                    sha256: None,
                    file_type: aeolus_eval::file_type(path).map(|ty| ty.name().into()),
                    bytes: bytes[i],
                    beaten_by: beaten_by(i),
                    quality,
                    error,
                }
            })
            .collect();
        if args.form.json {
            output::print_json(&Quality {
                schema: Quality::SCHEMA.into(),
                measured,
                seconds: Some(seconds),
                files: rows,
            })?;
        } else {
            let fields = ["path", "file_type", "bytes", "beaten_by", "error"];
            figures::print_rows_csv(&fields, &rows)?;
        }
    } else {
        let mut columns = vec![("File", Align::Left)];
        columns.extend(figures::COLUMNS);
        let any_beaten = (0..files.len()).any(|i| beaten_by(i).is_some());
        if any_beaten {
            columns.push(("Beaten by", Align::Left));
        }
        let rows = results().enumerate().filter_map(|(i, (path, result))| {
            let mut row = vec![path.display().to_string()];
            row.extend(figures::cells(result.as_ref().ok()?));
            if any_beaten {
                row.push(beaten_by(i).unwrap_or_default());
            }
            Some(row)
        });
        output::print(&output::table(&columns, rows))?;
        if let Some(line) = figures::base_line(&measured).filter(|_| !args.engine.quiet) {
            say(format_args!("{line}; {seconds:.1} s"));
        }
    }
    let mut code = ExitCode::SUCCESS;
    for error in comparison.files.iter().filter_map(|r| r.as_ref().err()) {
        say(format_args!("error: {error}"));
        code = ExitCode::from(2);
    }
    Ok(code)
}
