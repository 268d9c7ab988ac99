//! A whole comparison: one base, one text, any number of files.
//!
//! Text, tokens and the base's distributions are shared. The base runs first, over all windows,
//! into a file of log-probabilities; then one model after the other reads the same windows. So
//! only one model at a time competes for memory, however many there are.

use crate::distribution::BaseRow;
use crate::divergence::{Divergence, divergence};
use crate::logprobs::{BaseFacts, Format, LogProbs, Writer};
use crate::model::Model;
use crate::pass::{Failure, Job, pass};
use crate::perplexity::scored_bytes;
use crate::scorer::{Scorer, numeric_name};
use crate::state::State;
use crate::stats;
use crate::windows::{Cut, Windows};
use crate::{Error, distribution, fingerprint, state};
use aeolus_job::{Cancel, Event, Figure, Identity, Names, Progress};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What distributions are compared with.
#[derive(Debug)]
pub enum Base<'r> {
    /// A model, which runs first.
    Model(Box<Model<'r>>),
    /// Its log-probabilities, computed before. The text is theirs.
    File(Box<LogProbs>),
}

/// How a comparison goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tokens of a window.
    pub n_ctx: usize,
    /// A window every so many tokens instead of side by side.
    pub stride: Option<usize>,
    /// At most this many windows.
    pub limit: Option<usize>,
    /// Where a base model's log-probabilities are kept, and how; a file that is there already is
    /// used. `None` keeps them for the run only.
    pub keep_base: Option<(PathBuf, Format)>,
    /// Where results are kept, so that an interrupted run can go on.
    pub state: Option<PathBuf>,
}

/// The result.
#[derive(Debug)]
pub struct Comparison {
    /// The base's name.
    pub base: String,
    /// Tokens of a window.
    pub n_ctx: usize,
    /// Windows scored.
    pub windows: usize,
    /// Windows that the whole text would give.
    pub available: usize,
    /// For each model, in the order given. The one error is [`Error::NonFinite`]: a damaged file
    /// does not spoil the others' results.
    pub files: Vec<Result<Divergence, Error>>,
}

/// Windows that take a few minutes: as many as cost 1.5e13 multiplications with a model of this
/// many weights, but at least 4 and at most 64.
///
/// 64 for a model of 460 million weights or fewer, 4 for one of 7 billion.
pub fn default_windows(weights: u64, n_ctx: usize) -> usize {
    let cost = (weights as f64 * n_ctx as f64).max(1.0);
    (1.5e13 / cost).clamp(4.0, 64.0) as usize
}

/// Compares `models` with `base` on `text` (which a base file need not be given).
///
/// # Errors
/// Before any computation: [`Error::VocabularySize`] and [`Error::Vocabulary`], those of
/// [`Windows::new`], [`Error::OtherRun`] if kept files belong to another run, [`Error::NoSpace`].
/// Then those of [`divergence`](crate::divergence()).
pub fn compare(
    base: Base<'_>,
    models: &[Model<'_>],
    text: Option<&str>,
    options: &Options,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Comparison, Error> {
    check_vocabularies(&base, models)?;
    let windows = windows(&base, models, text, options)?;
    let job = Job {
        windows: &windows,
        progress,
        cancel,
    };
    let name = match &base {
        Base::Model(model) => model.name().to_owned(),
        Base::File(file) => file.path().display().to_string(),
    };
    let mut state = match &options.state {
        Some(path) => {
            state::check_kind(path)?;
            let base = match &base {
                Base::Model(model) => model.fingerprint(progress, cancel)?.to_owned(),
                Base::File(file) => file.identity(),
            };
            let numeric = match models.first() {
                Some(model) => numeric_name(model.numeric()),
                None => "none",
            };
            State::open(path, &describe("compare", &windows, numeric, Some(&base)))?
        }
        None => State::in_memory(),
    };
    let marks = models.iter().map(|m| m.mark(&state, progress, cancel));
    let marks = marks.collect::<Result<Vec<String>, Error>>()?;
    let known: usize = marks
        .iter()
        .map(|mark| state.known(fingerprint::key(mark), windows.len()))
        .sum();
    state.tell(progress, known);

    let total = windows.len() * models.len();
    let started = |total: usize| {
        let (total, known) = (total as u64, known as u64);
        progress.event(Event::Started { total, known });
    };
    let (rows, at_end) = match base {
        Base::File(file) => {
            started(total);
            (Some(*file), None)
        }
        Base::Model(_) if known == total && options.keep_base.is_none() => {
            started(total);
            (None, None)
        }
        Base::Model(model) => {
            let place = BasePlace::of(options)?;
            let rows = base_rows(job, &model, &place, total, known)?;
            match place {
                BasePlace::Kept { .. } => (Some(rows), None),
                BasePlace::WithState { path } => (Some(rows), Some(path)),
                BasePlace::Scratch { path, .. } => {
                    // Mapped, it needs no name: nothing large stays behind however the program
                    // ends.
                    let _ = std::fs::remove_file(path);
                    (Some(rows), None)
                }
            }
        }
    };

    let mut files = Vec::with_capacity(models.len());
    for (model, mark) in models.iter().zip(&marks) {
        let bytes = scored_bytes(&windows, |tokens| model.text_bytes(tokens));
        let base = rows.as_ref();
        let found = divergence(job, base, model, mark, bytes, &mut state);
        match found {
            Err(error) if !matches!(error, Error::NonFinite { .. }) => return Err(error),
            found => files.push(found),
        }
    }
    drop(rows);
    if let Some(path) = at_end {
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(Comparison {
        base: name,
        n_ctx: windows.n_ctx(),
        windows: windows.len(),
        available: windows.available(),
        files,
    })
}

/// What a state file of `kind` holds results of.
pub fn describe(kind: &str, windows: &Windows, numeric: &str, base: Option<&str>) -> Identity {
    let mut identity = Identity::new([
        ("kind", kind.to_owned()),
        ("n_ctx", windows.n_ctx().to_string()),
        ("text", windows.digest()),
        ("numeric", numeric.to_owned()),
    ]);
    if let Some(base) = base {
        identity.push("base", base);
    }
    identity
}

fn check_vocabularies(base: &Base<'_>, models: &[Model<'_>]) -> Result<(), Error> {
    let (name, facts, pieces): (String, BaseFacts, Option<&[String]>) = match base {
        Base::Model(model) => (
            model.name().into(),
            model.facts(),
            Some(&model.tokenizer().vocabulary().pieces),
        ),
        Base::File(file) => (
            file.path().display().to_string(),
            file.facts().clone(),
            None,
        ),
    };
    models
        .iter()
        .try_for_each(|model| model.check_vocabulary(&name, &facts, pieces))
}

fn windows(
    base: &Base<'_>,
    models: &[Model<'_>],
    text: Option<&str>,
    options: &Options,
) -> Result<Windows, Error> {
    match base {
        Base::Model(model) => Windows::new(
            model.tokens(text.unwrap_or("")),
            &Cut {
                n_ctx: options.n_ctx,
                stride: options.stride,
                bos: model.bos(),
                limit: options.limit,
            },
        ),
        Base::File(file) => {
            let kept = file.windows();
            let same =
                |(model, text): (&Model<'_>, &str)| model.tokens(text).starts_with(kept.tokens());
            if models.first().zip(text).is_some_and(|pair| !same(pair)) {
                return Err(Error::OtherRun {
                    path: file.path().into(),
                    field: "text".into(),
                    found: "another".into(),
                    expected: "the one given".into(),
                });
            }
            Ok(kept.clone().first(options.limit.unwrap_or(usize::MAX)))
        }
    }
}

/// Where a base model's log-probabilities go.
enum BasePlace {
    /// Where the caller wants them.
    Kept { path: PathBuf, format: Format },
    /// Beside the state file until the run is through, so that it need not be computed twice.
    WithState { path: PathBuf },
    /// In a folder of the run's own.
    Scratch {
        path: PathBuf,
        _folder: tempfile::TempDir,
    },
}

impl BasePlace {
    fn of(options: &Options) -> Result<Self, Error> {
        if let Some((path, format)) = &options.keep_base {
            return Ok(Self::Kept {
                path: path.clone(),
                format: *format,
            });
        }
        if let Some(state) = &options.state {
            let mut path = state.as_os_str().to_owned();
            path.push(".base");
            return Ok(Self::WithState { path: path.into() });
        }
        let folder = tempfile::tempdir();
        let folder = folder.map_err(Error::io("make a folder in", &std::env::temp_dir()))?;
        Ok(Self::Scratch {
            path: folder.path().join("base"),
            _folder: folder,
        })
    }

    fn file(&self) -> (&Path, Format) {
        match self {
            Self::Kept { path, format } => (path, *format),
            Self::WithState { path } | Self::Scratch { path, .. } => (path, Format::Aeolus),
        }
    }
}

/// Runs the base, or takes its file where it is there already. The files have `total` windows,
/// `known` of which are done.
fn base_rows(
    job: Job<'_>,
    model: &Model<'_>,
    place: &BasePlace,
    total: usize,
    known: usize,
) -> Result<LogProbs, Error> {
    let windows = job.windows;
    let mut facts = model.facts();
    if !matches!(place, BasePlace::Scratch { .. }) {
        facts.fingerprint = Some(model.fingerprint(job.progress, job.cancel)?.to_owned());
    }
    let started = |complete: usize| {
        job.progress.event(Event::Started {
            total: (total + windows.len()) as u64,
            known: (known + complete) as u64,
        });
    };
    let (path, format) = place.file();
    if path.exists() {
        let file = LogProbs::open(path, model.bos())?;
        let own = env!("CARGO_PKG_VERSION");
        let other = file.other_program().map(|o| o.escape_debug().to_string());
        match (other, place) {
            // Ours alone, as the state beside it: begun anew like that.
            (Some(found), BasePlace::WithState { .. }) => {
                let why = format!("its program was {found}, now it is {own}");
                let why = why.as_str();
                job.progress.event(Event::StartedOver { path, why });
                drop(file);
                std::fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
            (other, _) => {
                check_kept(&file, windows, &facts)?;
                // What somebody asked to be kept is not thrown away.
                if let Some(found) = other {
                    return Err(Error::OtherRun {
                        path: path.into(),
                        field: "program".into(),
                        found,
                        expected: own.into(),
                    });
                }
                if file.facts().fingerprint.is_none() {
                    check_model(&file, windows, model)?;
                }
                // Left by a run that was killed right after it gave the file its name.
                let names = Names::of(path);
                if names.is_named_and_logged() {
                    names.forget();
                }
                started(windows.len());
                return Ok(file);
            }
        }
    }
    let mut writer = Writer::create(path, format, windows, &facts)?;
    if let Some((path, why)) = writer.started_over() {
        job.progress.event(Event::StartedOver { path, why });
    }
    started(writer.complete());
    job.progress.event(Event::Next {
        name: model.name(),
        total: windows.len() as u64,
        known: writer.complete() as u64,
    });
    let todo: Vec<usize> = (writer.complete()..windows.len()).collect();
    let (mut count, mut sum, mut squares) = (0, 0.0, 0.0);
    let encoder = writer.encoder();
    let score = |window: usize, logits: &[f32]| {
        let mut nlls = Vec::new();
        let rows = logits.chunks_exact(model.vocab());
        for (position, (row, target)) in rows.zip(windows.targets(window)).enumerate() {
            let nll = distribution::nll(row, *target);
            nlls.push(nll.map_err(|bad| Failure::Logit { position, bad })?);
        }
        let record = encoder.encode(logits);
        let record = record.map_err(|(position, bad)| Failure::Logit { position, bad })?;
        Ok((record, nlls))
    };
    pass(job, model, &todo, score, |_, (record, nlls)| {
        writer.append(&record)?;
        count += nlls.len() as u64;
        for nll in nlls {
            sum += nll;
            squares += nll * nll;
        }
        let mean = stats::mean(sum, squares, count);
        Ok(stats::exp(mean).figure(Figure::Perplexity))
    })?;
    writer.finish()
}

/// A kept file must be of this text, cut and model.
fn check_kept(file: &LogProbs, windows: &Windows, facts: &BaseFacts) -> Result<(), Error> {
    let other = |field: &str, found: String, expected: String| {
        Err(Error::OtherRun {
            path: file.path().into(),
            field: field.into(),
            found,
            expected,
        })
    };
    let (kept, own) = (file.windows(), windows);
    if kept.n_ctx() != own.n_ctx() {
        return other("n_ctx", kept.n_ctx().to_string(), own.n_ctx().to_string());
    }
    if kept.len() < own.len() {
        return other(
            "number of windows",
            kept.len().to_string(),
            own.len().to_string(),
        );
    }
    if kept.scored() != own.scored() || !kept.tokens().starts_with(own.tokens()) {
        return other("text", "another".into(), "this one".into());
    }
    if let (Some(found), Some(own)) = (file.facts().numeric, facts.numeric)
        && found != own
    {
        let name = |numeric| numeric_name(numeric).to_owned();
        return other("mode", name(found), name(own));
    }
    match &file.facts().fingerprint {
        Some(found) if facts.fingerprint.as_ref() != Some(found) => other(
            "model",
            found.clone(),
            facts.fingerprint.clone().unwrap_or_default(),
        ),
        _ => Ok(()),
    }
}

/// Nats by which a model's own distributions may differ from those that a peer's layout keeps of
/// it. Rounding costs some 1e-6; Q8_0, the type that is nearest to its source, 5e-5 with the
/// smallest models and more with others, and so does the other mode.
const SAME_MODEL: f64 = 2e-5;

/// A peer's file does not say which model it is of, but its first window does.
fn check_model(file: &LogProbs, windows: &Windows, model: &dyn Scorer) -> Result<(), Error> {
    let rows = file.window(0)?;
    let distance = |logits: &[f32]| -> Result<f64, Failure> {
        let mut base = BaseRow::default();
        let mut sum = 0.0;
        let all = logits.chunks_exact(model.vocab());
        for (position, (logits, target)) in all.zip(windows.targets(0)).enumerate() {
            rows.decode(position, &mut base)?;
            let found = distribution::compare(&base, logits, *target);
            sum += found.map_err(|bad| Failure::Logit { position, bad })?.kld;
        }
        Ok(sum / windows.scored().len() as f64)
    };
    let found = Mutex::new(Ok(f64::INFINITY));
    let scored = windows.scored();
    model.windows(&[windows.input(0)], scored.clone(), &|_, logits| {
        *found.lock().unwrap_or_else(PoisonError::into_inner) = distance(logits);
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let distance = found.map_err(|failure| failure.at(model.name(), 0, scored.start))?;
    match distance.abs() <= SAME_MODEL {
        true => Ok(()),
        false => Err(Error::OtherRun {
            path: file.path().into(),
            field: "model".into(),
            found: format!("{distance:.2e} nats away from it"),
            expected: model.name().into(),
        }),
    }
}
