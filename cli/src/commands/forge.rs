//! What `table`, `quantize` and `convert` share: open, plan, run, report.

use super::evaluate::{self, CutArgs, EngineArgs};
use crate::hub::{self, Needs};
use crate::model::ModeArg;
use crate::options::{EncodeArgs, ImatrixArgs, RecipeArgs, SourceArgs, TargetArgs};
use crate::output::{self, Align, say};
use crate::{imatrix, interrupt, plan, progress};
use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions, TokenizerMode};
use aeolus_eval::collect::Saved;
use aeolus_eval::{Comparison, Divergence};
use aeolus_gguf::{Endian, Metadata};
use aeolus_infer::{Model, Tokenizer};
use aeolus_job::Cancel;
use aeolus_pipeline::{Coverage, Format, Guide, Options, Output, SUMS, Sum, Sums, Written};
use aeolus_recipe::{Fallback, FileType, PlanEntry, PlanFile, PlanImatrix, PlannedTensor};

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
    /// The files, each of another name.
    pub entries: &'a [PlanEntry],
    /// The set that they are.
    pub set: Option<&'a str>,
    /// `None` where nothing is quantized.
    pub encode: Option<&'a EncodeArgs>,
    pub imatrix: Option<&'a ImatrixArgs>,
    /// The text that an importance matrix is collected over first.
    pub calibrate: Option<&'a Path>,
    pub target: &'a TargetArgs,
    /// Whether, and where, it is written down what was done.
    pub plans: Plans,
    /// The plan that is repeated.
    pub repeated: Option<&'a PlanFile>,
    /// What is measured of the files once they are written.
    pub quality: Option<Quality<'a>>,
    pub json: bool,
}

/// Where the plans of a run go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Plans {
    /// Nowhere.
    None,
    /// One beside each file.
    OfEach,
    /// One beside all files.
    OfAll,
}

/// The text that files are measured on.
#[derive(Clone, Copy)]
pub struct Quality<'a> {
    pub text: &'a Path,
    pub cut: &'a CutArgs,
}

impl<'a> Request<'a> {
    /// The request that a plan stands for, in place of what flags say.
    pub fn repeating(self, repeated: &'a plan::Repeated) -> Self {
        Self {
            source: &repeated.source,
            entries: &repeated.plan.files,
            set: repeated.plan.set.as_deref(),
            encode: Some(&repeated.encode),
            imatrix: Some(&repeated.imatrix),
            target: &repeated.target,
            repeated: Some(&repeated.plan),
            ..self
        }
    }
}

/// Makes the files, and what else is asked for.
pub fn run(request: &Request<'_>) -> Result<ExitCode> {
    let target = request.target;
    refuse_idle_flags(request)?;
    let quiet = target.quiet || request.json;
    let text = request.quality.map(|quality| text(request, quality));
    let text = text.transpose()?;
    let mut guide = request.imatrix.map(imatrix::open).transpose()?.flatten();
    if let Some(planned) = request.repeated.and_then(|plan| plan.imatrix.as_ref()) {
        guide = guide.map(|guide| as_planned(&guide, planned)).transpose()?;
    }
    let source = hub::place(&request.source.source, Needs::Checkpoint, quiet)?;
    let started = Instant::now();
    let planned = request.repeated.and_then(|plan| plan.source.as_ref());
    let folder_name = planned.and_then(|planned| planned.folder.clone());
    let options = OpenOptions {
        folder_name: folder_name.or(source.folder_name),
        ..open_options(request.source, target.name.clone())
    };
    let checkpoint = aeolus_checkpoint::open(&source.path, &options)?;
    say_notes(&checkpoint.notes);
    let weights = match request.plans {
        Plans::None => String::new(),
        Plans::OfEach | Plans::OfAll => checkpoint.weights_sample(),
    };
    if let Some(planned) = planned.filter(|planned| planned.weights != weights) {
        bail!(
            "{}: is not the model of the plan: its weights have the digest {weights}, there it is {}",
            request.source.source.display(),
            planned.weights
        );
    }
    if let (Some(quality), Some(text)) = (request.quality, &text) {
        quality.cut.check(text, &checkpoint.metadata)?;
    }
    let cancel = interrupt::cancel_on_ctrl_c()?;
    let calibrated = match request.calibrate {
        Some(text) => Some(calibrate(request, text, &source.path, &checkpoint, cancel)?),
        None => None,
    };
    if let Some((calibrated, _)) = &calibrated {
        guide = Some(calibrated.clone());
    }
    let outputs = plan(&Forecastable::from(&checkpoint), request, guide.as_ref())?;
    report_fallbacks(&outputs);
    let guide = guide.map(|guide| {
        let coverage = imatrix::report(&guide, &outputs);
        (guide, coverage)
    });
    check_runs(&outputs, &checkpoint.metadata, request)?;
    let paths = paths(&checkpoint.name, request)?;
    let outputs: Vec<(PathBuf, Output)> = paths.into_iter().zip(outputs).collect();
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
    if let Some((_, kept)) = calibrated {
        kept.discard();
    }
    let folder = (source.path.is_dir() && target.name.is_none()).then_some(&*checkpoint.name);
    let plans = write_plans(
        request,
        &outputs,
        &written,
        &plan::Run {
            source: request.source,
            encode: request.encode,
            imatrix: request.imatrix,
            target,
            set: request.set,
            entries: request.entries,
            guide: guide.as_ref().map(|(guide, _)| guide),
            folder,
            weights: &weights,
        },
        &checkpoint.name,
    )?;
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
        plans: &plans,
    };
    print(&made, started, request)?;
    measured.context("the files are written but not measured; `aeolus compare` does only that")?;
    Ok(match is_as_planned(request, &written) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The guide under the name that the plan's files have for it, if it guides as theirs did.
fn as_planned(guide: &Guide, planned: &PlanImatrix) -> Result<Guide> {
    let importance = aeolus_source::hex(guide.sha256());
    if importance != planned.importance {
        bail!(
            "{}: is not the importance matrix of the plan: the digest of its importance is {importance}, \
             there it is {}",
            guide.file(),
            planned.importance
        );
    }
    Ok(guide.called(&planned.file))
}

/// Collects an importance matrix beside the outputs, and lists its digest.
fn calibrate(
    request: &Request<'_>,
    text: &Path,
    source: &Path,
    checkpoint: &Checkpoint,
    cancel: &Cancel,
) -> Result<(Guide, Saved)> {
    let target = request.target;
    if target
        .out
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
    {
        bail!(
            "{}: --calibrate writes an importance matrix, too: give a folder",
            target.out.display()
        );
    }
    let file = format!("{}.imatrix.gguf", checkpoint.name);
    let path = target.out.join(&file);
    // One whose run is kept was collected by this very command.
    let is_kept = aeolus_job::Names::of(&path).log.exists();
    if path.exists() && !target.force && !is_kept {
        bail!(
            "{}: exists already; --imatrix uses it, --force collects it again",
            path.display()
        );
    }
    // What would stop the run after it.
    let mut paths = paths(&checkpoint.name, request)?.into_iter();
    if let Some(path) = paths.find(|path| !target.force && path.exists()) {
        bail!("{}: exists already; --force replaces it", path.display());
    }
    std::fs::create_dir_all(&target.out)
        .with_context(|| format!("{}: cannot make the folder", target.out.display()))?;
    let (imatrix, saved) = super::imatrix::collect(&super::imatrix::Request {
        model: source,
        text,
        output: Some(&path),
        folder: &target.out,
        n_ctx: aeolus_imatrix::CHUNK_TOKENS as usize,
        limit: None,
        process_output: false,
        parse_special: false,
        merged: None,
        engine: &EngineArgs {
            mode: ModeArg::Exact,
            threads: target.threads,
            quiet: target.quiet || request.json,
        },
        cancel,
    })?;
    let sha256 =
        aeolus_eval::collect::write_file(&path, &imatrix, aeolus_imatrix::Format::Gguf, true)?;
    let sum = Sum {
        name: file.clone(),
        sha256: aeolus_source::hex(&sha256),
    };
    Sums::add(&target.out, &[sum])?;
    Ok((Guide::new(imatrix, file), saved))
}

/// Writes down what was done; gives where.
fn write_plans(
    request: &Request<'_>,
    outputs: &[(PathBuf, Output)],
    written: &[Written],
    run: &plan::Run<'_>,
    model: &str,
) -> Result<Vec<PathBuf>> {
    let whole = run.plan(outputs, written);
    let force = request.target.force;
    match (request.plans, outputs.first()) {
        (Plans::None, _) | (_, None) => Ok(Vec::new()),
        (Plans::OfAll, Some((first, _))) => {
            let path = plan::path_of_all(first, model);
            Ok(vec![plan::write(&whole, path, force)?])
        }
        (Plans::OfEach, _) => {
            let each = whole.files.iter().zip(outputs).map(|(entry, (path, _))| {
                let one = PlanFile {
                    files: vec![entry.clone()],
                    ..whole.clone()
                };
                plan::write(&one, plan::path_of(path), force)
            });
            each.collect()
        }
    }
}

/// Whether the files are those of the plan that is repeated; says which are not.
fn is_as_planned(request: &Request<'_>, written: &[Written]) -> bool {
    let mut as_planned = true;
    for (entry, written) in request.entries.iter().zip(written) {
        if let (Some(expected), Some(found)) = (&entry.sha256, &written.sha256)
            && request.repeated.is_some()
            && expected != found
        {
            as_planned = false;
            say(format_args!(
                "{}: is not the file of the plan: its sha256 is {found}, there it is {expected}",
                written.path.display()
            ));
        }
    }
    as_planned
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
        mode: ModeArg::Precise,
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
        predict_layers: source.mtp,
        ..OpenOptions::default()
    }
}

fn plan(facts: &Forecastable, request: &Request<'_>, guide: Option<&Guide>) -> Result<Vec<Output>> {
    let format = Format {
        version: request.target.format.gguf_version,
        endian: request.target.format.endian.into(),
    };
    let entries = request.entries.iter();
    let plan = |entry: &PlanEntry| {
        let recipe = entry.options()?;
        Ok(Output::plan(
            facts,
            entry.file_type()?,
            &recipe,
            format,
            guide,
        )?)
    };
    entries.map(plan).collect()
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
    let is_quantized = |entry: &PlanEntry| entry.file_type().is_ok_and(FileType::is_quantized);
    let quantizes = request.entries.iter().any(is_quantized);
    if quantizes {
        return Ok(());
    }
    for (given, flag) in [
        (request.encode.is_some_and(|e| e.via.is_some()), "--via"),
        (
            request.encode.is_some_and(|e| e.allow_requantize),
            "--allow-requantize",
        ),
        (request.entries.iter().any(|entry| entry.pure), "--pure"),
        (request.calibrate.is_some(), "--calibrate"),
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

/// The path of each output of a model.
fn paths(model: &str, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    let out = &request.target.out;
    let is_file = names_file(out);
    if is_file && request.entries.len() > 1 {
        bail!(
            "{}: one file name for {} outputs; give a folder",
            out.display(),
            request.entries.len()
        );
    }
    let path = |entry: &PlanEntry| {
        let planned = entry.file.as_ref().filter(|_| request.repeated.is_some());
        Ok(match (planned, &entry.name) {
            _ if is_file => out.clone(),
            (Some(file), _) => out.join(file),
            (None, Some(name)) => out.join(format!("{model}.{name}.gguf")),
            // As types are spelled here, however the user did.
            (None, None) => out.join(format!("{model}.{}.gguf", entry.file_type()?.name())),
        })
    };
    request.entries.iter().map(path).collect()
}

fn names_file(out: &Path) -> bool {
    let extension = out.extension();
    extension.is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// What there is to tell of.
struct Made<'a> {
    checkpoint: &'a Checkpoint,
    outputs: &'a [(PathBuf, Output)],
    written: &'a [Written],
    guide: Option<&'a (Guide, Coverage)>,
    comparison: Option<&'a Comparison>,
    plans: &'a [PathBuf],
}

fn print(made: &Made<'_>, started: Instant, request: &Request<'_>) -> Result<()> {
    let Made {
        checkpoint,
        outputs,
        written,
        guide,
        comparison,
        plans: plan_files,
    } = *made;
    let seconds = started.elapsed().as_secs_f64();
    let source_bytes: u64 = checkpoint.tensors.iter().map(|t| t.size_bytes()).sum();
    let plans: Vec<&Output> = outputs.iter().map(|(_, o)| o).collect();
    let bytes: Vec<Option<u64>> = written.iter().map(|w| Some(w.bytes)).collect();
    let beaten_by = comparison.map_or_else(Vec::new, |c| evaluate::beaten_by(&bytes, c));
    let path_of = |i: usize| outputs[i].0.display().to_string();
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
                    file["beaten_by"] = json!(beaten_by[i].map(path_of));
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
            "plans": plan_files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        });
        if let Some((guide, coverage)) = guide {
            value["imatrix"] = imatrix::to_json(guide, coverage);
        }
        if let (Some(comparison), Some(quality)) = (comparison, request.quality) {
            evaluate::describe(&mut value, comparison, ModeArg::Precise, Some(quality.text));
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
        &comparison.map_or_else(Vec::new, |c| {
            quality_columns(c, &beaten_by, request.entries)
        }),
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
fn quality_columns(
    comparison: &Comparison,
    beaten_by: &[Option<usize>],
    entries: &[PlanEntry],
) -> Vec<(&'static str, Vec<String>)> {
    let column = |cell: fn(&Divergence) -> String| -> Vec<String> {
        let cells = comparison.files.iter();
        cells
            .map(|result| result.as_ref().map_or_else(|_| "-".into(), cell))
            .collect()
    };
    let mut columns = vec![
        ("PPL", column(|d| format!("{:.4}", d.ppl.value))),
        ("KLD mean", column(|d| evaluate::nats(d.kld.value))),
        ("KLD 99%", column(|d| evaluate::nats(d.kld_99))),
        (
            "Same top",
            column(|d| format!("{:.2}%", 100.0 * d.same_top.value)),
        ),
    ];
    if beaten_by.iter().any(Option::is_some) {
        let cell = |by: &Option<usize>| by.map_or(String::new(), |i| entries[i].label().to_owned());
        columns.push(("Beaten by", beaten_by.iter().map(cell).collect()));
    }
    columns
}
