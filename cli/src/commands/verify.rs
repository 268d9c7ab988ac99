//! `aeolus verify`: a verdict on every file of a table.

use super::evaluate::{self, CutArgs, EngineArgs, FormArgs, Request, nats};
use super::{forge, sums};
use crate::hub::{self, Needs};
use crate::options::{ImatrixArgs, RecipeArgs, ViaArg, parse_file_type};
use crate::output::{self, Align, say};
use crate::{imatrix, interrupt, progress};
use aeolus_checkpoint::OpenOptions;
use aeolus_eval::{Comparison, Divergence, Making, Model, Subject, Verdict};
use aeolus_recipe::FileType;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Check a whole table of files against their SHA256SUMS, or the checkpoint they were made from
///
/// Alone: every file is the one that was written, by the SHA256SUMS beside it. With --against, for
/// every file: its size is the forecast, its header as planned, every tensor's bytes as recomputed
/// from the source's weights, its sha256 as listed if it is, and it loads; one that cannot be
/// opened is wrong. With a text, also its KL divergence from the source, which has to fall along
/// the table. Exit code 1 if anything fails.
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

    /// The checkpoint folder or GGUF file that they were made from
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

    /// Which file types have to be there, in any letter case (default: the twelve of
    /// `aeolus table`)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type, requires = "against")]
    types: Vec<FileType>,

    #[command(flatten)]
    recipe: RecipeArgs,

    /// What the weights were rounded to first (default: as `aeolus quantize` has it)
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

/// One file's findings.
struct Row {
    path: PathBuf,
    /// `None` if the file does not say it, or cannot be opened.
    file_type: Option<FileType>,
    /// `None` for the same files: nothing is known of what they should be.
    verdict: Option<Verdict>,
    /// How it differs from the list of digests.
    sum: Option<String>,
    /// Why it cannot be opened, or does not load.
    load_error: Option<String>,
    quality: Option<Result<Divergence, String>>,
}

impl Row {
    /// A file that cannot be told for what it is.
    fn unreadable(path: &Path, error: &str) -> Self {
        Self {
            path: path.into(),
            file_type: None,
            verdict: None,
            sum: None,
            load_error: Some(within(path, error)),
            quality: None,
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(verdict) = &self.verdict {
            if verdict.bytes != verdict.forecast {
                problems.push(format!(
                    "has {} bytes, the forecast is {}",
                    verdict.bytes, verdict.forecast
                ));
            }
            problems.extend(verdict.header.iter().map(|p| format!("header: {p}")));
            problems.extend(verdict.tensors.iter().map(|p| format!("tensor {p}")));
        }
        problems.extend(self.sum.clone());
        problems.extend(
            self.load_error
                .iter()
                .map(|e| format!("does not load: {e}")),
        );
        if let Some(Err(error)) = &self.quality {
            problems.push(error.clone());
        }
        problems
    }

    fn to_json(&self) -> Value {
        let bytes = std::fs::metadata(&self.path).map(|m| m.len()).ok();
        json!({
            "path": self.path.display().to_string(),
            "file_type": self.file_type.map(FileType::name),
            "bytes": self.verdict.as_ref().map(|v| v.bytes).or(bytes),
            "forecast_bytes": self.verdict.as_ref().map(|v| v.forecast),
            "loads": self.load_error.is_none(),
            "problems": self.problems(),
            "quality": self.quality.as_ref().and_then(|q| q.as_ref().ok()),
        })
    }
}

/// A message without the file's own name before it.
fn within(path: &Path, message: &str) -> String {
    let name = format!("{}: ", path.display());
    message.strip_prefix(&name).unwrap_or(message).to_owned()
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
        predict_layers: evaluate::predict_layers(&files),
        ..OpenOptions::default()
    };
    let source = aeolus_checkpoint::open(&against.path, &options)?;
    let types = match args.types.is_empty() {
        true => FileType::TABLE.to_vec(),
        false => args.types.clone(),
    };
    // Of what takes hours, a list that cannot be used is no result.
    sums::check_beside(&files)?;
    let (subjects, missing, mut rows) = subjects(&files, &types)?;

    let making = Making {
        recipe: forge::recipe_options(&args.recipe)?,
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

    for row in &mut rows {
        row.sum = sums::problem(&row.path, cancel)?;
    }
    let runtime = args.engine.runtime()?;
    for (subject, verdict) in subjects.iter().zip(verdicts) {
        let loaded = Model::open(&subject.path, &runtime);
        rows.push(Row {
            path: subject.path.clone(),
            file_type: Some(subject.file_type),
            verdict: Some(verdict),
            sum: sums::problem(&subject.path, cancel)?,
            load_error: loaded.err().map(|e| within(&subject.path, &e.to_string())),
            quality: None,
        });
    }
    drop(runtime);
    let mut comparison = None;
    if let Some(text) = &text {
        comparison = measure(args, &against.path, text, &mut rows, cancel)?;
    }
    let rises = rises(&rows);
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
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
        evaluate::print_rows_csv(&fields, &rows)?;
        for problem in missing.iter().map(|ty| format!("{ty} is missing")) {
            say(problem);
        }
        rises.iter().for_each(say);
    } else if args.form.json {
        let seconds = started.elapsed().as_secs_f64();
        let mut value = json!({
            "schema": "aeolus.verify/1",
            "source": named.display().to_string(),
            "right": right,
            "missing": missing.iter().map(|ty| ty.name()).collect::<Vec<_>>(),
            "rises": rises,
            "seconds": seconds,
        });
        if let Some(comparison) = &comparison {
            let text = args.text.as_deref();
            evaluate::describe(&mut value, comparison, args.engine.mode, text);
        }
        value["files"] = json!(rows.iter().map(Row::to_json).collect::<Vec<_>>());
        output::print_json(&value)?;
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

/// The files of the wanted types in the order of the table, the types that no file has, and the
/// files that cannot be told for what they are.
fn subjects(
    files: &[PathBuf],
    types: &[FileType],
) -> Result<(Vec<Subject>, Vec<FileType>, Vec<Row>)> {
    let mut all: Vec<Subject> = Vec::new();
    let mut unreadable = Vec::new();
    for path in files {
        let subject = match Subject::open(path) {
            Ok(subject) => subject,
            // A name that stands for nothing is a slip of the command line.
            Err(error) if !path.exists() => return Err(error.into()),
            Err(error) => {
                unreadable.push(Row::unreadable(path, &error.to_string()));
                continue;
            }
        };
        if !types.contains(&subject.file_type) {
            continue;
        }
        if let Some(other) = all.iter().find(|s| s.file_type == subject.file_type) {
            bail!(
                "{} and {} are both {}; name one of them",
                other.path.display(),
                path.display(),
                subject.file_type
            );
        }
        all.push(subject);
    }
    if all.is_empty() && unreadable.is_empty() {
        bail!("no file of the wanted types is there");
    }
    all.sort_by_key(|subject| place(subject.file_type));
    let found = |ty: &FileType| all.iter().any(|s| s.file_type == *ty);
    let missing = types.iter().copied().filter(|ty| !found(ty)).collect();
    Ok((all, missing, unreadable))
}

/// Where a type stands in the table; those that are not in it come last, as they are declared.
fn place(file_type: FileType) -> (usize, FileType) {
    let place = FileType::TABLE.iter().position(|ty| *ty == file_type);
    (place.unwrap_or(usize::MAX), file_type)
}

/// Adds divergences to the files that load.
fn measure(
    args: &Args,
    against: &Path,
    text: &str,
    rows: &mut [Row],
    cancel: &aeolus_job::Cancel,
) -> Result<Option<Comparison>> {
    let mut runnable: Vec<&mut Row> = rows.iter_mut().filter(|r| r.load_error.is_none()).collect();
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

/// Neighbours of the table whose divergence does not fall.
fn rises(rows: &[Row]) -> Vec<String> {
    let measured: Vec<(FileType, f64)> = rows
        .iter()
        .filter_map(|row| match (&row.quality, row.file_type) {
            (Some(Ok(divergence)), Some(ty)) => Some((ty, divergence.kld.value)),
            _ => None,
        })
        .filter(|(ty, _)| FileType::TABLE.contains(ty))
        .collect();
    measured
        .windows(2)
        .filter(|pair| pair[1].1 >= pair[0].1)
        .map(|pair| {
            format!(
                "mean KLD rises from {} ({}) to {} ({}); it should fall along the table",
                pair[0].0,
                nats(pair[0].1),
                pair[1].0,
                nats(pair[1].1)
            )
        })
        .collect()
}

fn print(rows: &[Row]) -> Result<()> {
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
    let verdict = |row: &Row, right: fn(&Verdict) -> bool| match &row.verdict {
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
                        evaluate::plus_minus(d.ppl, 4),
                        format!("{} ± {}", nats(d.kld.value), nats(d.kld.error)),
                    ],
                    _ => ["-".to_owned(), "-".to_owned()],
                });
            }
            cells
        }),
    ))
}
