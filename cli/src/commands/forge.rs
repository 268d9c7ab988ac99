//! What `table`, `quantize` and `convert` share: open, plan, run, report.

use super::evaluate::{self, CutArgs, EngineArgs, ModeArg};
use crate::hub::{self, Needs};
use crate::options::{EncodeArgs, ImatrixArgs, RecipeArgs, SourceArgs, TargetArgs};
use crate::output::{self, Align, say};
use crate::{imatrix, interrupt, progress};
use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions, TokenizerMode};
use aeolus_eval::{Comparison, Divergence};
use aeolus_gguf::{Endian, Metadata};
use aeolus_infer::{Model, Tokenizer};
use aeolus_job::Cancel;
use aeolus_pipeline::{Coverage, Format, Guide, Options, Output, SUMS, Written};
use aeolus_recipe::{Fallback, FileType, PlannedTensor};

use anyhow::{Context, Result, bail};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a command asks for.
pub struct Request<'a> {
    pub source: &'a SourceArgs,
    pub types: &'a [FileType],
    /// `None` where no mix is involved.
    pub recipe: Option<&'a RecipeArgs>,
    /// `None` where nothing is quantized.
    pub encode: Option<&'a EncodeArgs>,
    pub imatrix: Option<&'a ImatrixArgs>,
    pub target: &'a TargetArgs,
    /// What is measured of the files once they are written.
    pub quality: Option<Quality<'a>>,
    pub json: bool,
}

/// The text that files are measured on.
#[derive(Clone, Copy)]
pub struct Quality<'a> {
    pub text: &'a Path,
    pub cut: &'a CutArgs,
}

/// Does it.
pub fn run(request: &Request<'_>) -> Result<ExitCode> {
    let target = request.target;
    refuse_idle_flags(request)?;
    let quiet = target.quiet || request.json;
    let text = request.quality.map(|quality| text(request, quality));
    let text = text.transpose()?;
    let guide = request.imatrix.map(imatrix::open).transpose()?.flatten();
    let source = hub::place(&request.source.source, Needs::Checkpoint, quiet)?;
    let started = Instant::now();
    let options = OpenOptions {
        folder_name: source.folder_name,
        ..open_options(request.source, target.name.clone())
    };
    let checkpoint = aeolus_checkpoint::open(&source.path, &options)?;
    say_notes(&checkpoint.notes);
    if let (Some(quality), Some(text)) = (request.quality, &text) {
        quality.cut.check(text, &checkpoint.metadata)?;
    }
    let outputs = plan(&Forecastable::from(&checkpoint), request, guide.as_ref())?;
    report_fallbacks(&outputs);
    let guide = guide.map(|guide| {
        let coverage = imatrix::report(&guide, &outputs);
        (guide, coverage)
    });
    check_runs(&outputs, &checkpoint.metadata, request)?;
    let outputs = place(&checkpoint.name, outputs, target)?;

    let cancel = interrupt::cancel_on_ctrl_c()?;
    let bar = progress::Bar::new(quiet);
    let options = Options {
        threads: target.threads.map_or(0, usize::from),
        via: request.encode.and_then(|e| e.via).map(Into::into),
        force: target.force,
        allow_requantize: request.encode.is_some_and(|e| e.allow_requantize),
        scratch: false,
    };
    let result = aeolus_pipeline::run(&checkpoint, &outputs, &options, &bar, cancel);
    bar.clear();
    let written = result?;
    let measured = match (request.quality, &text) {
        (Some(quality), Some(text)) => {
            let base = &source.path;
            measure(request, base, quality, &outputs, text, cancel).map(Some)
        }
        _ => Ok(None),
    };
    // The files are written, whatever came of measuring them.
    let made = Made {
        checkpoint: &checkpoint,
        outputs: &outputs,
        written: &written,
        guide: guide.as_ref(),
        comparison: measured.as_ref().ok().and_then(Option::as_ref),
    };
    print(&made, started, request)?;
    measured.context("the files are written but not measured; `aeolus compare` does only that")?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the text before any work, and refuses files that could not be run on it.
fn text(request: &Request<'_>, quality: Quality<'_>) -> Result<String> {
    if request.source.no_tokenizer {
        bail!("--no-tokenizer makes files that cannot be given a text, and -f gives one");
    }
    if Endian::from(request.target.format.endian) == Endian::Big {
        bail!("big-endian files cannot be run, and -f measures by running them");
    }
    Ok(aeolus_eval::text::read(quality.text)?)
}

/// Says before any work that the files cannot be run; an error where they are to be measured.
fn check_runs(outputs: &[Output], metadata: &Metadata<'_>, request: &Request<'_>) -> Result<()> {
    // Whoever asks for files without a tokenizer, or big-endian ones, knows it.
    let is_asked_for =
        request.source.no_tokenizer || Endian::from(request.target.format.endian) == Endian::Big;
    let Some(output) = outputs.first().filter(|_| !is_asked_for) else {
        return Ok(());
    };
    let tensors = output.layout().tensors().iter();
    let runs = Model::check_plan(
        metadata,
        tensors.map(|info| (&*info.name, info.shape, info.ty)),
    );
    let runs = runs.and_then(|()| Tokenizer::from_metadata(metadata).map(drop));
    match (runs, request.quality) {
        (Ok(()), _) => Ok(()),
        (Err(error), Some(_)) => Err(error).context(
            "these files cannot be run here, and -f measures by running them; without it they are \
             written",
        ),
        (Err(error), None) => {
            say(format_args!(
                "note: these files cannot be run or measured by this program: {error}"
            ));
            Ok(())
        }
    }
}

/// Runs the written files and their source on the text.
fn measure(
    request: &Request<'_>,
    base: &Path,
    quality: Quality<'_>,
    outputs: &[(PathBuf, Output)],
    text: &str,
    cancel: &Cancel,
) -> Result<Comparison> {
    let files: Vec<PathBuf> = outputs.iter().map(|(path, _)| path.clone()).collect();
    let quiet = request.target.quiet || request.json;
    let engine = EngineArgs {
        mode: ModeArg::Exact,
        threads: request.target.threads,
        quiet,
    };
    let folder = match files[0].parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let comparison = evaluate::compare(&evaluate::Request {
        base,
        files: &files,
        text: Some(text),
        cut: quality.cut,
        engine: &engine,
        folder,
        keep_base: None,
        cancel,
    })?;
    // The others have their figures.
    for error in comparison.files.iter().filter_map(|r| r.as_ref().err()) {
        say(format_args!("warning: {error}"));
    }
    Ok(comparison)
}

/// Shows what a checkpoint's reader should know, before any work; once each, though a command may
/// open its source again to measure it.
pub fn say_notes(notes: &[String]) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    for note in notes {
        if said.insert(note.clone()) {
            say(format_args!("warning: {note}"));
        }
    }
}

/// How commands open their source.
pub fn open_options(source: &SourceArgs, name: Option<String>) -> OpenOptions {
    OpenOptions {
        tokenizer: if source.no_tokenizer {
            TokenizerMode::Skip
        } else {
            TokenizerMode::Required
        },
        name,
        pre: source.pre.clone(),
        ..OpenOptions::default()
    }
}

fn plan(facts: &Forecastable, request: &Request<'_>, guide: Option<&Guide>) -> Result<Vec<Output>> {
    let recipe = match request.recipe {
        Some(args) => recipe_options(args)?,
        None => aeolus_recipe::Options::default(),
    };
    let format = Format {
        version: request.target.format.gguf_version,
        endian: request.target.format.endian.into(),
    };
    let mut outputs: Vec<Output> = Vec::new();
    for ty in request.types {
        if outputs.iter().all(|o| o.file_type() != *ty) {
            outputs.push(Output::plan(facts, *ty, &recipe, format, guide)?);
        }
    }
    Ok(outputs)
}

/// The recipe's options from the arguments.
pub fn recipe_options(args: &RecipeArgs) -> Result<aeolus_recipe::Options> {
    Ok(aeolus_recipe::Options {
        vintage: args.recipe,
        tensor_types: args
            .tensor_type
            .iter()
            .map(|rule| aeolus_recipe::parse_tensor_rule(rule))
            .collect::<Result<_, _>>()?,
        output_type: args.output_type,
        embedding_type: args.embedding_type,
        pure: args.pure,
        no_fallback: args.no_fallback,
        ..aeolus_recipe::Options::default()
    })
}

/// Says which tensors get another type than their recipe wants, before any work: one line for
/// each pair of types in a file.
pub fn report_fallbacks(outputs: &[Output]) {
    for output in outputs {
        let mut groups: Vec<(&PlannedTensor, &Fallback, usize)> = Vec::new();
        for (tensor, fallback) in output.types().fallbacks() {
            let same = |(t, f, _): &&mut (&PlannedTensor, &Fallback, usize)| {
                (t.ty, f.wanted) == (tensor.ty, fallback.wanted)
            };
            match groups.iter_mut().find(same) {
                Some((_, _, count)) => *count += 1,
                None => groups.push((tensor, fallback, 1)),
            }
        }
        for (tensor, fallback, count) in groups {
            let more = match count - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            say(format_args!(
                "note: {}: {}{more}: {} instead of {} ({})",
                output.file_type().name(),
                tensor.name,
                tensor.ty,
                fallback.wanted,
                fallback.reason
            ));
        }
    }
}

/// Refuses flags that none of the files can use.
fn refuse_idle_flags(request: &Request<'_>) -> Result<()> {
    let quantizes = request.types.iter().any(|ty| ty.is_quantized());
    if quantizes {
        return Ok(());
    }
    for (given, flag) in [
        (request.encode.is_some_and(|e| e.via.is_some()), "--via"),
        (
            request.encode.is_some_and(|e| e.allow_requantize),
            "--allow-requantize",
        ),
        (request.recipe.is_some_and(|r| r.pure), "--pure"),
        (
            request.imatrix.is_some_and(|i| i.imatrix.is_some()),
            "--imatrix",
        ),
    ] {
        if given {
            bail!("{flag} concerns quantized files, and none is asked for");
        }
    }
    Ok(())
}

/// Gives every output its path.
fn place(name: &str, outputs: Vec<Output>, target: &TargetArgs) -> Result<Vec<(PathBuf, Output)>> {
    let out = &target.out;
    let names_file = out
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
    if names_file && outputs.len() > 1 {
        bail!(
            "{}: one file name for {} outputs; give a folder",
            out.display(),
            outputs.len()
        );
    }
    Ok(outputs
        .into_iter()
        .map(|output| {
            let path = if names_file {
                out.clone()
            } else {
                out.join(format!("{name}.{}.gguf", output.file_type().name()))
            };
            (path, output)
        })
        .collect())
}

/// What there is to tell of.
struct Made<'a> {
    checkpoint: &'a Checkpoint,
    outputs: &'a [(PathBuf, Output)],
    written: &'a [Written],
    guide: Option<&'a (Guide, Coverage)>,
    comparison: Option<&'a Comparison>,
}

fn print(made: &Made<'_>, started: Instant, request: &Request<'_>) -> Result<()> {
    let Made {
        checkpoint,
        outputs,
        written,
        guide,
        comparison,
    } = *made;
    let seconds = started.elapsed().as_secs_f64();
    let source_bytes: u64 = checkpoint
        .tensors
        .iter()
        .map(|t| t.bytes().len() as u64)
        .sum();
    let plans: Vec<&Output> = outputs.iter().map(|(_, o)| o).collect();
    if request.json {
        let files: Vec<_> = outputs
            .iter()
            .enumerate()
            .map(|(i, (path, output))| {
                let mut file = super::forecast::row_json(output);
                file["path"] = json!(path.display().to_string());
                file["sha256"] = json!(written[i].sha256);
                if let Some(Ok(divergence)) = comparison.map(|c| &c.files[i]) {
                    file["quality"] = json!(divergence);
                }
                file
            })
            .collect();
        let mut value = json!({
            "schema": "aeolus.files/1",
            "name": checkpoint.name,
            "source": request.source.source.display().to_string(),
            "source_bytes": source_bytes,
            "seconds": seconds,
            "sums": sums_path(written).map(|sums| sums.display().to_string()),
        });
        if let Some((guide, coverage)) = guide {
            value["imatrix"] = imatrix::to_json(guide, coverage);
        }
        if let (Some(comparison), Some(quality)) = (comparison, request.quality) {
            evaluate::describe(&mut value, comparison, ModeArg::Exact, Some(quality.text));
        }
        value["files"] = json!(files);
        return output::print_json(&value);
    }
    let names = outputs
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    output::print(&super::forecast::sizes_table(
        &plans,
        ("File", Align::Left),
        names,
        &comparison.map_or_else(Vec::new, quality_columns),
    ))?;
    if !request.target.quiet {
        let bytes: u64 = written.iter().map(|output| output.bytes).sum();
        let digests = sums_path(written).map_or_else(String::new, |sums| {
            format!("; digests are in {}", sums.display())
        });
        say(format_args!(
            "{} read, {} written in {seconds:.1} s{digests}",
            output::human_bytes(source_bytes),
            output::human_bytes(bytes),
        ));
        if let Some(line) = comparison.and_then(evaluate::base_line) {
            say(line);
        }
    }
    Ok(())
}

/// The list that the files' digests were added to: all files of a run are in one folder. `None` if
/// their names are no text, which lists are.
fn sums_path(written: &[Written]) -> Option<PathBuf> {
    let is_text = |output: &Written| {
        output
            .path
            .file_name()
            .is_some_and(|n| n.to_str().is_some())
    };
    let first = written.first().filter(|_| written.iter().all(is_text))?;
    Some(first.path.with_file_name(SUMS))
}

/// A few columns of quality beside the sizes.
fn quality_columns(comparison: &Comparison) -> Vec<(&'static str, Vec<String>)> {
    let column = |cell: fn(&Divergence) -> String| -> Vec<String> {
        let cells = comparison.files.iter();
        cells
            .map(|result| result.as_ref().map_or_else(|_| "-".into(), cell))
            .collect()
    };
    vec![
        ("PPL", column(|d| format!("{:.4}", d.ppl.value))),
        ("KLD mean", column(|d| evaluate::nats(d.kld.value))),
        ("KLD 99%", column(|d| evaluate::nats(d.kld_99))),
        (
            "Same top",
            column(|d| format!("{:.2}%", 100.0 * d.same_top.value)),
        ),
    ]
}
