//! What `table`, `quantize` and `convert` share: open, plan, run, report.

use super::card::CardArgs;
use super::choice;
use super::evaluate::{self, CutArgs, EngineArgs};
use super::finish::{self, Folder};
use super::refine;
use crate::figures;
use crate::hub::{self, Needs};
use crate::model::ModeArg;
use crate::options::{EncodeArgs, ImatrixArgs, SourceArgs, TargetArgs};
use crate::output::{self, Align, say};
use crate::sizes;
use crate::{imatrix, interrupt, plan, progress};
use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions};
use aeolus_eval::collect::Saved;
use aeolus_gguf::{Endian, Metadata, is_named_gguf};
use aeolus_infer::{Model, Tokenizer};
use aeolus_job::Cancel;
use aeolus_pipeline::{Coverage, Format, Guide, Options, Output, SUMS, Sum, Sums, Written};
use aeolus_recipe::{FileType, PlanEntry, PlanFile, PlanImatrix};
use aeolus_report::documents::{self, Figures, FileQuality, Files, MadeFile};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// What a command asks for.
pub struct Request<'a> {
    pub source: &'a SourceArgs,
    /// The files, each of another name.
    pub entries: &'a [PlanEntry],
    /// The set that they are.
    pub set: Option<&'a str>,
    /// The sizes that types are chosen for, in place of those of the entries.
    pub sizes: Option<choice::Request<'a>>,
    /// `None` where nothing is quantized.
    pub encode: Option<&'a EncodeArgs>,
    pub imatrix: Option<&'a ImatrixArgs>,
    /// The text that an importance matrix is collected over first.
    pub calibrate: Option<&'a Path>,
    /// Better codes.
    pub refine: refine::Asked<'a>,
    pub target: &'a TargetArgs,
    /// Whether, and where, it is written down what was done.
    pub plans: Plans,
    /// The plan that is repeated.
    pub repeated: Option<&'a PlanFile>,
    /// What is measured of the files once they are written.
    pub quality: Option<Quality<'a>>,
    /// What the card of their folder says, if one is made once they are measured.
    pub card: Option<&'a CardArgs>,
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
            sizes: None,
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
    let refine = refine::Request::of(request.refine, request.repeated)?;
    refuse_idle_flags(request)?;
    let quiet = target.quiet || request.json;
    let text = request.quality.map(|quality| text(request, quality));
    let text = text.transpose()?;
    let mut guide = request.imatrix.map(imatrix::open).transpose()?.flatten();
    let planned_imatrix = request.repeated.and_then(|plan| plan.imatrix.as_ref());
    if let Some(planned) = planned_imatrix {
        guide = guide.map(|guide| as_planned(&guide, planned)).transpose()?;
    }
    let source = hub::place(&request.source.source, Needs::Checkpoint, quiet)?;
    let started = Instant::now();
    let planned = request.repeated.and_then(|plan| plan.source.as_ref());
    let folder_name = planned.and_then(|planned| planned.folder.clone());
    let options = OpenOptions {
        folder_name: folder_name.or(source.folder_name),
        ..request.source.open_options(target.name.clone())
    };
    let checkpoint = aeolus_checkpoint::open(&source.path, &options)?;
    output::say_notes(&checkpoint.notes);
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
    let folder = match (request.card, request.quality) {
        // One file with a name of its own is no folder.
        (Some(card), Some(_)) if !is_named_gguf(&target.out) => Some(Folder::open(
            &target.out,
            &checkpoint.name,
            &weights,
            card,
            &source.path,
        )?),
        _ => None,
    };
    let cancel = interrupt::cancel_on_ctrl_c()?;
    let mut calibration = planned_imatrix.and_then(|planned| planned.calibration.clone());
    let mut saved = None;
    if let Some(text) = request.calibrate {
        let content = aeolus_eval::text::read(text)?;
        let digest = figures::text_sha256(&content);
        let file = format!("{}.imatrix.gguf", checkpoint.name);
        let known = folder
            .as_ref()
            .filter(|_| !target.force)
            .and_then(|folder| folder.collected(&file, &weights, &digest));
        guide = Some(match known {
            Some(known) => known,
            None => {
                let from = (&*source.path, &checkpoint);
                let (collected, kept) = calibrate(request, (text, &content), file, from, cancel)?;
                saved = Some(kept);
                collected
            }
        });
        calibration = Some(digest);
    }
    let chosen = match request.sizes {
        Some(sizes) => {
            let folder = target.folder();
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
            let from = (&*source.path, &checkpoint);
            let chosen = sizes.choose(from, Some(folder), guide.as_ref(), cancel)?;
            if !quiet {
                say(choice::frontier(&choice::forecasts(&chosen, &[])).trim_end());
            }
            Some(chosen)
        }
        None => None,
    };
    let request = &match &chosen {
        Some(chosen) => Request {
            entries: &chosen.entries,
            ..*request
        },
        None => Request { ..*request },
    };
    let facts = Forecastable::from(&checkpoint);
    let format = Format {
        version: target.format.gguf_version,
        endian: target.format.endian.into(),
    };
    let outputs = Output::plan_all(&facts, request.entries, format, guide.as_ref())?;
    plan::say_fallbacks(&outputs);
    let guide = guide.map(|guide| {
        let coverage = imatrix::report(&guide, &outputs);
        (guide, coverage)
    });
    check_runs(&outputs, &checkpoint.metadata, request)?;
    let paths = paths(&checkpoint.name, request)?;
    let (outputs, refined) = match &refine {
        None => (outputs, None),
        Some(refine) => {
            refuse_existing(&paths, target.force)?;
            let source = (&*source.path, &checkpoint);
            let via = request.encode.and_then(|e| e.via).map(Into::into);
            let made = refine::run(
                refine,
                (target, via, quiet),
                source,
                (&paths, outputs),
                cancel,
            )?;
            (made.outputs, Some((made.stores, made.plan)))
        }
    };
    let outputs: Vec<(PathBuf, Output)> = paths.into_iter().zip(outputs).collect();
    let bar = progress::Bar::new(quiet);
    let options = Options {
        threads: target.threads.map_or(0, usize::from),
        via: request.encode.and_then(|e| e.via).map(Into::into),
        force: target.force,
        allow_requantize: request.encode.is_some_and(|e| e.allow_requantize),
        scratch: false,
        errors: folder.is_some(),
    };
    let folder_name = (source.path.is_dir() && target.name.is_none()).then_some(&*checkpoint.name);
    let run = plan::Run {
        source: request.source,
        encode: request.encode,
        imatrix: request.imatrix,
        target,
        set: request.set,
        entries: request.entries,
        guide: guide.as_ref().map(|(guide, _)| guide),
        calibration: calibration.as_deref(),
        refine: refined.as_ref().map(|(_, plan)| plan.clone()),
        folder: folder_name,
        weights: &weights,
    };
    let mut kept: Vec<Option<Written>> = match &folder {
        Some(folder) => folder.kept(&run.plan(&[], &[]), request.entries, &outputs, cancel)?,
        None => outputs.iter().map(|_| None).collect(),
    };
    let count = kept.iter().flatten().count();
    if count > 0 && !quiet {
        let files = output::count(count, "file");
        say(format_args!(
            "note: {files} of this run and its plan are there already"
        ));
    }
    let missing = outputs.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
    let missing: Vec<(PathBuf, Output)> = missing.map(|(output, _)| output.clone()).collect();
    let result = match missing.is_empty() {
        true => Ok(Vec::new()),
        false => aeolus_pipeline::run(&checkpoint, &missing, &options, &bar, cancel),
    };
    bar.clear();
    let mut made = result?.into_iter();
    let written = kept
        .iter_mut()
        .filter_map(|kept| kept.take().or_else(|| made.next()));
    let written: Vec<Written> = written.collect();
    if let Some(saved) = saved {
        saved.discard();
    }
    let plans = write_plans(request, &outputs, &written, &run, &checkpoint.name)?;
    let measured = match (request.quality, &text) {
        (Some(quality), Some(text)) => {
            let measuring = Measuring {
                base: &source.path,
                quality,
                text,
                written: &written,
                folder: folder.as_ref(),
                cancel,
            };
            measure(request, &measuring).map(Some)
        }
        _ => Ok(None),
    };
    if let (Some(_), Ok(Some(quality))) = (&chosen, &measured) {
        let entries = as_measured(request.entries, &outputs, quality);
        let run = plan::Run {
            entries: &entries,
            ..run
        };
        let whole = run.plan(&outputs, &written);
        for (number, path) in plans.iter().enumerate() {
            let plan = match request.plans {
                Plans::OfEach => PlanFile {
                    files: vec![whole.files[number].clone()],
                    ..whole.clone()
                },
                Plans::None | Plans::OfAll => whole.clone(),
            };
            plan::write(&plan, path.clone(), true)?;
        }
    }
    // The files are written, whatever came of measuring them.
    let made = Made {
        checkpoint: &checkpoint,
        outputs: &outputs,
        written: &written,
        guide: guide.as_ref(),
        quality: measured.as_ref().ok().and_then(Option::as_ref),
        plans: &plans,
    };
    print(&made, started, request)?;
    drop(missing);
    drop(outputs);
    let stores = refined.into_iter().flat_map(|(stores, _)| stores).rev();
    for store in stores.filter_map(Arc::into_inner) {
        store.discard();
    }
    let quality = measured
        .context("the files are written but not measured; `aeolus compare` does only that")?;
    if let (Some(folder), Some(quality), Some(plan)) = (&folder, &quality, plans.first()) {
        let run = finish::Run {
            checkpoint: &checkpoint,
            plan,
            guide: guide.as_ref().map(|(guide, _)| guide),
            written: &written,
            quality,
            threads: target.threads,
            quiet,
            cancel,
        };
        folder
            .finish(&run)
            .context("the files are written and measured, but their folder is not finished")?;
    }
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

/// Refuses before long work what would stop the run after it.
fn refuse_existing(paths: &[PathBuf], force: bool) -> Result<()> {
    match paths.iter().find(|path| !force && path.exists()) {
        Some(path) => bail!("{}: exists already; --force replaces it", path.display()),
        None => Ok(()),
    }
}

/// Collects an importance matrix beside the outputs as `file`, and lists its digest.
fn calibrate(
    request: &Request<'_>,
    text: (&Path, &str),
    file: String,
    (source, checkpoint): (&Path, &Checkpoint),
    cancel: &Cancel,
) -> Result<(Guide, Saved)> {
    let target = request.target;
    if is_named_gguf(&target.out) {
        bail!(
            "{}: --calibrate writes an importance matrix, too: give a folder",
            target.out.display()
        );
    }
    let path = target.out.join(&file);
    // One whose run is kept was collected by this very command.
    let is_kept = aeolus_job::Names::of(&path).log.exists();
    if path.exists() && !target.force && !is_kept {
        bail!(
            "{}: exists already, and no plan here says that it is of this model and text; --imatrix uses it, \
             --force collects it again",
            path.display()
        );
    }
    refuse_existing(&paths(&checkpoint.name, request)?, target.force)?;
    std::fs::create_dir_all(&target.out)
        .with_context(|| format!("{}: cannot make the folder", target.out.display()))?;
    let (mut imatrix, saved) = super::imatrix::collect(&super::imatrix::Request {
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
    imatrix.sha256 = sha256;
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
            let whole = plan::added_to(&path, &whole);
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

/// The entries of chosen types with what their files were measured to have; says where that is not what was
/// predicted.
fn as_measured(
    entries: &[PlanEntry],
    outputs: &[(PathBuf, Output)],
    quality: &documents::Quality,
) -> Vec<PlanEntry> {
    let files = entries.iter().zip(outputs).zip(&quality.files);
    let measured = files.map(|((entry, (_, output)), file)| {
        let figures = file.quality.as_ref();
        let measured = figures.and_then(|figures| Some(figures.kld_mean?.value));
        if let Some(measured) = measured {
            choice::say_if_off(entry, measured, output.types().bits_per_weight());
        }
        PlanEntry {
            measured,
            ..entry.clone()
        }
    });
    measured.collect()
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

/// What files are measured with.
struct Measuring<'a> {
    base: &'a Path,
    quality: Quality<'a>,
    text: &'a str,
    written: &'a [Written],
    /// What is known of some of them.
    folder: Option<&'a Folder>,
    cancel: &'a Cancel,
}

/// Runs the written files, but those that are known, and their source on the text.
fn measure(request: &Request<'_>, measuring: &Measuring<'_>) -> Result<documents::Quality> {
    let Measuring {
        quality, written, ..
    } = *measuring;
    let mode = ModeArg::Precise;
    let mode_name = aeolus_eval::numeric_name(mode.into());
    let known = measuring
        .folder
        .and_then(|folder| folder.known(measuring.text, quality.cut, mode_name, written));
    let mut files: Vec<Option<FileQuality>> = match &known {
        Some(known) => known.files.clone(),
        None => written.iter().map(|_| None).collect(),
    };
    let missing: Vec<usize> = (0..files.len()).filter(|i| files[*i].is_none()).collect();
    let same_windows = known
        .as_ref()
        .filter(|_| missing.len() < files.len())
        .and_then(|known| known.measured.chunks)
        .map(|chunks| quality.cut.with_windows(chunks as usize));
    let cut = same_windows.as_ref().unwrap_or(quality.cut);
    let measured = match (&known, missing.is_empty()) {
        (Some(known), true) => known.measured.clone(),
        _ => {
            let paths: Vec<PathBuf> = missing.iter().map(|i| written[*i].path.clone()).collect();
            let folder = paths[0]
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let comparison = evaluate::compare(&evaluate::Request {
                base: measuring.base,
                files: &paths,
                text: Some(measuring.text),
                cut,
                engine: &EngineArgs {
                    mode,
                    threads: request.target.threads,
                    quiet: request.target.quiet || request.json,
                },
                folder: folder.unwrap_or(Path::new(".")),
                keep_base: None,
                cancel: measuring.cancel,
            })?;
            // The others have their figures.
            for error in comparison.files.iter().filter_map(|r| r.as_ref().err()) {
                say(format_args!("warning: {error}"));
            }
            for (i, result) in missing.iter().zip(&comparison.files) {
                files[*i] = Some(FileQuality {
                    quality: result.as_ref().ok().map(figures::of),
                    error: result.as_ref().err().map(ToString::to_string),
                    ..FileQuality::default()
                });
            }
            let text = Some((quality.text, measuring.text));
            match known.as_ref().filter(|_| same_windows.is_some()) {
                // Of these windows are the others' figures, which say why there are no more.
                Some(known) => known.measured.clone(),
                None => figures::measured(&comparison, mode, quality.cut, text),
            }
        }
    };
    let files = files.into_iter().flatten().zip(written);
    let files = files.map(|(file, written)| FileQuality {
        path: written.path.display().to_string(),
        sha256: written.sha256.clone(),
        file_type: aeolus_eval::file_type(&written.path).map(|ty| ty.name().into()),
        bytes: Some(written.bytes),
        ..file
    });
    let mut files: Vec<FileQuality> = files.collect();
    finish::mark_beaten(&mut files);
    Ok(documents::Quality {
        schema: documents::Quality::SCHEMA.into(),
        measured,
        seconds: None,
        files,
    })
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
        (request.refine.effort.is_some(), "--refine"),
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
    let is_file = is_named_gguf(out);
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

/// What there is to tell of.
struct Made<'a> {
    checkpoint: &'a Checkpoint,
    outputs: &'a [(PathBuf, Output)],
    written: &'a [Written],
    guide: Option<&'a (Guide, Coverage)>,
    quality: Option<&'a documents::Quality>,
    plans: &'a [PathBuf],
}

fn print(made: &Made<'_>, started: Instant, request: &Request<'_>) -> Result<()> {
    let Made {
        checkpoint,
        outputs,
        written,
        guide,
        quality,
        plans: plan_files,
    } = *made;
    let seconds = started.elapsed().as_secs_f64();
    let source_bytes: u64 = checkpoint.tensors.iter().map(|t| t.size_bytes()).sum();
    let plans: Vec<&Output> = outputs.iter().map(|(_, o)| o).collect();
    let found = |i: usize| quality.map(|quality| &quality.files[i]);
    if request.json {
        let file = |(i, (path, output)): (usize, &(PathBuf, Output))| MadeFile {
            forecast: sizes::file(output),
            path: path.display().to_string(),
            sha256: written[i].sha256.clone(),
            quality: found(i).and_then(|file| file.quality.clone()),
            beaten_by: found(i).and_then(|file| file.beaten_by.clone()),
        };
        return output::print_json(&Files {
            schema: Files::SCHEMA.into(),
            name: checkpoint.name.clone(),
            source: request.source.source.display().to_string(),
            source_bytes,
            seconds,
            sums: sums_path(written).map(|sums| sums.display().to_string()),
            plans: plan_files
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            imatrix: guide.map(|(guide, coverage)| imatrix::document(guide, coverage)),
            measured: quality.map(|quality| quality.measured.clone()),
            files: outputs.iter().enumerate().map(file).collect(),
        });
    }
    let names = outputs
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    output::print(&sizes::table(
        &plans,
        ("File", Align::Left),
        names,
        &quality.map_or_else(Vec::new, |quality| {
            quality_columns(&quality.files, request.entries)
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
        if let Some(line) = quality.and_then(|quality| figures::base_line(&quality.measured)) {
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
    files: &[FileQuality],
    entries: &[PlanEntry],
) -> Vec<(&'static str, Vec<String>)> {
    let column = |cell: fn(&Figures) -> Option<String>| -> Vec<String> {
        let cell = |file: &FileQuality| file.quality.as_ref().and_then(cell);
        files
            .iter()
            .map(|file| cell(file).unwrap_or("-".into()))
            .collect()
    };
    let mut columns = vec![
        ("PPL", column(|f| Some(format!("{:.4}", f.ppl?.value)))),
        (
            "KLD mean",
            column(|f| Some(figures::nats(f.kld_mean?.value))),
        ),
        ("KLD 99%", column(|f| f.kld_99.map(figures::nats))),
        (
            "Same top",
            column(|f| Some(format!("{:.2}%", 100.0 * f.same_top?.value))),
        ),
    ];
    if files.iter().any(|file| file.beaten_by.is_some()) {
        let label = |file: &FileQuality| {
            let by = files
                .iter()
                .position(|other| Some(&other.path) == file.beaten_by.as_ref());
            by.map_or(String::new(), |by| entries[by].label().to_owned())
        };
        columns.push(("Beaten by", files.iter().map(label).collect()));
    }
    columns
}
