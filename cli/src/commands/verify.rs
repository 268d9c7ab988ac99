//! `aeolus verify`: a verdict on every file of a table.

use super::evaluate::{self, CutArgs, EngineArgs, FormArgs, Request};
use super::sums;
use crate::figures::{self, nats};
use crate::hub::{self, Needs};
use crate::options::{ImatrixArgs, RecipeArgs, ViaArg, parse_file_type};
use crate::output::{self, Align, say};
use crate::{imatrix, interrupt, progress};
use aeolus_checkpoint::OpenOptions;
use aeolus_eval::{
    Choice, Comparison, Finding, Making, Model, Verdict, keep_predict_layers, rises,
};
use aeolus_pipeline::{Listed, check_lists};
use aeolus_recipe::FileType;
use aeolus_report::documents::{VerifiedFile, Verify};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Check a table of files against their SHA256SUMS or their source
///
/// Without --against, checks that each file has the digest that the SHA256SUMS beside it lists.
///
/// With --against, recomputes every tensor from the source's weights and checks each file: its size
/// equals the forecast, its header equals the plan, its tensors have the recomputed bytes, its sha256
/// is the listed one if there is one, and it loads. Files that cannot be opened count as failures. With
/// a text, the KL divergence from the source must also fall along the table.
///
/// The exit code is 1 if a check fails.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus verify out/
  aeolus verify out/ --against fixtures/notus-mini
  aeolus verify out/ --against fixtures/notus-mini -f fixtures/text/heldout.txt
  aeolus verify out/ --against notus-7b-v1 --type Q4_K_M --recipe current --json
  aeolus verify out/ --against notus-7b-v1 --imatrix notus.imatrix.gguf
  aeolus verify out/ --against notus-7b-v1 --csv > verdict.csv")]
pub struct Args {
    /// Folders of GGUF files, or files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Checkpoint folder or GGUF file that the files were made from
    #[arg(long, value_name = "SOURCE")]
    against: Option<PathBuf>,

    /// The text; - for stdin
    #[arg(
        short = 'f',
        long = "file",
        id = "text",
        value_name = "TEXT",
        requires = "against"
    )]
    text: Option<PathBuf>,

    /// File types that must be present, in upper or lower case (default: the twelve of
    /// `aeolus table`)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type, requires = "against")]
    types: Vec<FileType>,

    #[command(flatten)]
    recipe: RecipeArgs,

    /// Type that the weights were rounded to first (default: as for `aeolus quantize`)
    #[arg(long, value_enum, requires = "against")]
    via: Option<ViaArg>,

    #[command(flatten)]
    imatrix: ImatrixArgs,

    #[command(flatten)]
    cut: CutArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    form: FormArgs,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let cancel = interrupt::cancel_windows_on_ctrl_c()?;
    let quiet = args.engine.quiet;
    args.cut.refuse_without_text(args.text.is_some())?;
    let text = args.text.as_deref().map(aeolus_eval::text::read);
    let text = text.transpose()?;
    let Some(named) = &args.against else {
        if args.recipe != RecipeArgs::default() {
            bail!("flags of a recipe concern recomputing, and no source is given (--against)");
        }
        if args.imatrix.imatrix.is_some() {
            bail!("--imatrix concerns recomputing, and no source is given (--against)");
        }
        if args.form.csv {
            bail!("--csv lists what is found against a source, and none is given (--against)");
        }
        return sums::verify(&args.paths, quiet, args.form.json, cancel);
    };
    let guide = imatrix::open(&args.imatrix)?;
    let against = hub::place(named, Needs::Checkpoint, quiet)?;
    let files = evaluate::gguf_files(&args.paths, quiet)?;
    let options = OpenOptions {
        folder_name: against.folder_name,
        predict_layers: keep_predict_layers(&files),
        ..OpenOptions::default()
    };
    let source = aeolus_checkpoint::open(&against.path, &options)?;
    let types = match args.types.is_empty() {
        true => FileType::TABLE.to_vec(),
        false => args.types.clone(),
    };
    // Of what takes hours, a list that cannot be used is no result.
    check_lists(&files)?;
    let Choice {
        subjects,
        missing,
        unreadable: mut rows,
    } = Choice::of(&files, &types)?;

    let making = Making {
        recipe: args.recipe.options()?,
        via: args.via.map(Into::into),
        guide,
    };
    let bar = progress::byte_bar(quiet);
    bar.set_length(source.tensors.iter().map(|t| t.size_bytes()).sum());
    let done = |bytes: u64| bar.inc(bytes);
    let pool = args.engine.pool()?;
    let verdicts = pool.install(|| aeolus_eval::verify(&source, &subjects, &making, &done, cancel));
    bar.finish_and_clear();
    let verdicts = verdicts?;
    drop(source);

    let runtime = args.engine.runtime()?;
    for (subject, verdict) in subjects.iter().zip(verdicts) {
        let loaded = Model::open(&subject.path, &runtime);
        rows.push(Finding::new(subject, verdict, loaded.err().as_ref()));
    }
    drop(runtime);
    for row in &mut rows {
        let listed = Listed::open(&row.path, cancel)?;
        row.sum = listed.and_then(|listed| listed.problem());
    }
    let mut comparison = None;
    if let Some(text) = &text {
        comparison = measure(args, &against.path, text, &mut rows, cancel)?;
    }
    let rises: Vec<String> = rises(&rows).into_iter().map(describe_rise).collect();
    let right = missing.is_empty() && rises.is_empty();
    let right = right && rows.iter().all(|row| row.problems().is_empty());

    if args.form.csv {
        let fields = [
            "path",
            "file_type",
            "bytes",
            "forecast_bytes",
            "loads",
            "problems",
        ];
        let rows: Vec<VerifiedFile> = rows.iter().map(document).collect();
        figures::print_rows_csv(&fields, &rows)?;
        for problem in missing.iter().map(|ty| format!("{ty} is missing")) {
            say(problem);
        }
        rises.iter().for_each(say);
    } else if args.form.json {
        let seconds = started.elapsed().as_secs_f64();
        let text = args.text.as_deref().zip(text.as_deref());
        let measured = comparison.as_ref();
        output::print_json(&Verify {
            schema: Verify::SCHEMA.into(),
            source: named.display().to_string(),
            right,
            missing: missing.iter().map(|ty| ty.name().into()).collect(),
            rises,
            seconds,
            measured: measured.map(|c| figures::measured(c, args.engine.mode, &args.cut, text)),
            files: rows.iter().map(document).collect(),
        })?;
    } else {
        print(&rows)?;
        let mut problems = Vec::new();
        for row in &rows {
            let path = row.path.display();
            problems.extend(row.problems().iter().map(|p| format!("{path}: {p}")));
        }
        problems.extend(missing.iter().map(|ty| format!("{ty} is missing")));
        problems.extend(rises);
        for problem in &problems {
            output::print(&format!("{problem}\n"))?;
        }
        for row in &rows {
            let by_error = row.verdict.as_ref().map_or(0, |verdict| verdict.by_error);
            if by_error > 0 {
                say(format_args!(
                    "note: {}: is refined: {by_error} of its tensors are judged by their error, since their \
                     bytes do not follow from source and recipe; the digest of SHA256SUMS is that of the run",
                    row.path.display()
                ));
            }
        }
        if !quiet {
            let verdict = match problems.len() {
                0 => "all files are right".to_owned(),
                n => format!("{n} problems"),
            };
            let seconds = started.elapsed().as_secs_f64();
            say(format_args!("{verdict}; {seconds:.1} s"));
        }
    }
    Ok(match right {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// Adds divergences to the files that load.
fn measure(
    args: &Args,
    against: &Path,
    text: &str,
    rows: &mut [Finding],
    cancel: &aeolus_job::Cancel,
) -> Result<Option<Comparison>> {
    let mut runnable: Vec<&mut Finding> =
        rows.iter_mut().filter(|r| r.load_error.is_none()).collect();
    if runnable.is_empty() {
        return Ok(None);
    }
    let files: Vec<PathBuf> = runnable.iter().map(|row| row.path.clone()).collect();
    let comparison = evaluate::compare(&Request {
        base: against,
        files: &files,
        text: Some(text),
        cut: &args.cut,
        engine: &args.engine,
        folder: &std::env::temp_dir(),
        keep_base: None,
        cancel,
    })?;
    for (row, result) in runnable.iter_mut().zip(&comparison.files) {
        row.quality = Some(match result {
            Ok(divergence) => Ok(*divergence),
            Err(error) => Err(error.to_string()),
        });
    }
    Ok(Some(comparison))
}

/// A rise of the divergence along the table, in words.
fn describe_rise([(first, before), (second, after)]: [(FileType, f64); 2]) -> String {
    format!(
        "mean KLD rises from {} ({first}) to {} ({second}); it should fall along the table",
        nats(before),
        nats(after)
    )
}

fn document(finding: &Finding) -> VerifiedFile {
    let bytes = std::fs::metadata(&finding.path).map(|m| m.len()).ok();
    let verdict = finding.verdict.as_ref();
    let quality = finding
        .quality
        .as_ref()
        .and_then(|quality| quality.as_ref().ok());
    VerifiedFile {
        path: finding.path.display().to_string(),
        file_type: finding.file_type.map(|ty| ty.name().into()),
        bytes: verdict.map(|v| v.bytes).or(bytes),
        forecast_bytes: verdict.map(|v| v.forecast),
        judged_by_error: verdict.map(|v| v.by_error),
        loads: finding.load_error.is_none(),
        problems: finding.problems(),
        quality: quality.map(figures::of),
    }
}

fn print(rows: &[Finding]) -> Result<()> {
    let measured = rows.iter().any(|row| row.quality.is_some());
    let mut columns = vec![
        ("File", Align::Left),
        ("Type", Align::Left),
        ("Size", Align::Left),
        ("Header", Align::Left),
        ("Tensors", Align::Left),
        ("Loads", Align::Left),
    ];
    if measured {
        columns.extend([("PPL", Align::Right), ("KLD mean", Align::Right)]);
    }
    let word = |right: bool| if right { "ok" } else { "WRONG" }.to_owned();
    let verdict = |row: &Finding, right: fn(&Verdict) -> bool| match &row.verdict {
        Some(verdict) => word(right(verdict)),
        None => "-".to_owned(),
    };
    output::print(&output::table(
        &columns,
        rows.iter().map(|row| {
            let mut cells = vec![
                row.path.display().to_string(),
                row.file_type.map_or("-", FileType::name).to_owned(),
                verdict(row, |v| v.bytes == v.forecast),
                verdict(row, |v| v.header.is_empty()),
                verdict(row, |v| v.tensors.is_empty()),
                word(row.load_error.is_none()),
            ];
            if measured {
                cells.extend(match &row.quality {
                    Some(Ok(d)) => [
                        figures::plus_minus(d.ppl, 4),
                        format!("{} ± {}", nats(d.kld.value), nats(d.kld.error)),
                    ],
                    _ => ["-".to_owned(), "-".to_owned()],
                });
            }
            cells
        }),
    ))
}
