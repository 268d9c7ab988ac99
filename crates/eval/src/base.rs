//! Where a comparison has its base's distributions from.
//!
//! A file of them covers the whole text. A model's are computed batch by batch, into a file of the batch
//! that is deleted when every file has read it; with a state it lies beside it, so that an interruption
//! does not cost it. A file that the caller wants to keep is made of all windows first: later comparisons
//! with it may need more of them than this one.

use crate::distribution::BaseRow;
use crate::logprobs::{BaseFacts, Format, LogProbs, Rows, Writer};
use crate::model::Model;
use crate::pass::{Failure, Job, pass};
use crate::scorer::{Scorer, numeric_name};
use crate::windows::Windows;
use crate::{Error, distribution, stats};
use aeolus_job::{Event, Figure, Names};
use std::ops::Range;
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
    /// Whether to read no more windows than it takes to know how far files are from the base, or which is
    /// nearer.
    pub until_known: bool,
    /// Where a base model's log-probabilities are kept, and how; a file that is there already is
    /// used. `None` keeps them for the run only.
    pub keep_base: Option<(PathBuf, Format)>,
    /// Where results are kept, so that an interrupted run can go on.
    pub state: Option<PathBuf>,
}

/// A base, ready to be asked for the distributions of one batch of windows after the other.
pub(crate) enum Source<'r> {
    /// Of all windows.
    File(Box<LogProbs>),
    /// A model that computes them when they are wanted.
    Model { model: Box<Model<'r>>, place: Place },
}

impl<'r> Source<'r> {
    /// The base of a comparison. A model whose log-probabilities outlive the run is read for its
    /// fingerprint.
    ///
    /// # Errors
    /// [`Error::Io`] without a folder for temporary files, [`Error::Cancelled`].
    pub(crate) fn new(base: Base<'r>, options: &Options, job: Job<'_>) -> Result<Self, Error> {
        let model = match base {
            Base::File(file) => return Ok(Self::File(file)),
            Base::Model(model) => model,
        };
        let place = Place::of(options)?;
        if !matches!(place, Place::Scratch { .. }) {
            model.fingerprint(job.progress, job.cancel)?;
        }
        Ok(Self::Model { model, place })
    }

    /// Computes all that a file to be kept holds, whoever has read what.
    ///
    /// # Errors
    /// Those of [`batch`](Self::batch).
    pub(crate) fn make_kept(self, job: Job<'_>, rest: usize) -> Result<Self, Error> {
        match self {
            Self::Model {
                model,
                place: place @ Place::Kept { .. },
            } => {
                let file = rows(job, 0..job.windows.len(), &model, &place, rest)?;
                Ok(Self::File(Box::new(file)))
            }
            other => Ok(other),
        }
    }

    /// Windows that it computes for a batch of so many.
    pub(crate) fn cost(&self, windows: usize) -> usize {
        match self {
            Self::File(_) => 0,
            Self::Model { .. } => windows,
        }
    }

    /// The distributions of a batch. Behind them `rest` windows are to be computed, as it looks.
    ///
    /// # Errors
    /// Those of a [`pass`]; [`Error::OtherRun`] if a kept file is of another run, [`Error::NoSpace`],
    /// [`Error::Job`].
    pub(crate) fn batch(
        &self,
        job: Job<'_>,
        batch: Range<usize>,
        rest: usize,
    ) -> Result<Batch<'_>, Error> {
        let (model, place) = match self {
            Self::File(file) => return Ok(Batch::of_all(file)),
            Self::Model { model, place } => (model, place),
        };
        let first = batch.start;
        let file = rows(job, batch, model, place, rest)?;
        let path = match place {
            Place::Kept { .. } => None,
            Place::WithState { path } => Some(path.clone()),
            Place::Scratch { path, .. } => {
                // Mapped, it needs no name: nothing large stays behind however the program ends.
                let _ = std::fs::remove_file(path);
                None
            }
        };
        Ok(Batch {
            file: File::Made(Box::new(file)),
            first,
            path,
        })
    }
}

/// The distributions of a batch of windows.
pub(crate) struct Batch<'a> {
    file: File<'a>,
    /// The text's window that is the first of the file.
    first: usize,
    /// What is to be deleted when the batch has been read.
    path: Option<PathBuf>,
}

enum File<'a> {
    OfAll(&'a LogProbs),
    Made(Box<LogProbs>),
}

impl<'a> Batch<'a> {
    /// All windows of a file.
    pub(crate) fn of_all(file: &'a LogProbs) -> Self {
        Self {
            file: File::OfAll(file),
            first: 0,
            path: None,
        }
    }

    pub(crate) fn file(&self) -> &LogProbs {
        match &self.file {
            File::OfAll(file) => file,
            File::Made(file) => file,
        }
    }

    /// The rows of the text's window of this number.
    ///
    /// # Errors
    /// [`Error::Format`] for a damaged one.
    pub(crate) fn window(&self, window: usize) -> Result<Rows<'_>, Error> {
        self.file().window(window - self.first)
    }

    /// Every model has read it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Self { file, path, .. } = self;
        drop(file);
        match path {
            Some(path) => std::fs::remove_file(&path).map_err(Error::io("remove", &path)),
            None => Ok(()),
        }
    }
}

/// Where a base model's log-probabilities go.
pub(crate) enum Place {
    /// Where the caller wants them.
    Kept { path: PathBuf, format: Format },
    /// Beside the state file until the batch is through, so that it need not be computed twice.
    WithState { path: PathBuf },
    /// In a folder of the run's own.
    Scratch {
        path: PathBuf,
        _folder: tempfile::TempDir,
    },
}

impl Place {
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

/// Runs the base over a batch of windows, or takes its file where it is there already. Behind them `rest`
/// windows are to be computed.
fn rows(
    job: Job<'_>,
    batch: Range<usize>,
    model: &Model<'_>,
    place: &Place,
    rest: usize,
) -> Result<LogProbs, Error> {
    let windows = &job.windows.part(batch.clone());
    let mut facts = model.facts();
    if !matches!(place, Place::Scratch { .. }) {
        facts.fingerprint = Some(model.fingerprint(job.progress, job.cancel)?.to_owned());
    }
    let (path, format) = place.file();
    if path.exists() {
        let file = LogProbs::open(path, model.bos())?;
        match (check_kept(&file, windows, &facts), place) {
            // Ours alone, as the state beside it: begun again like that.
            (
                Err(Error::OtherRun {
                    field,
                    found,
                    expected,
                    ..
                }),
                Place::WithState { .. },
            ) => {
                let why = format!("its {field} was {found}, now it is {expected}");
                let why = why.as_str();
                job.progress.event(Event::StartedOver { path, why });
                drop(file);
                std::fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
            // What somebody asked to be kept is not thrown away.
            (Err(error), _) => return Err(error),
            (Ok(()), _) => {
                if file.facts().fingerprint.is_none() {
                    check_model(&file, windows, model)?;
                }
                // Left by a run that was killed right after it gave the file its name.
                let names = Names::of(path);
                if names.is_named_and_logged() {
                    names.forget();
                }
                expect(job, rest);
                return Ok(file);
            }
        }
    }
    let mut writer = Writer::create(path, format, windows, &facts)?;
    if let Some((path, why)) = writer.started_over() {
        job.progress.event(Event::StartedOver { path, why });
    }
    let complete = writer.complete();
    expect(job, rest + windows.len() - complete);
    job.progress.event(Event::Next {
        name: model.name(),
        total: windows.len() as u64,
        known: complete as u64,
    });
    let todo: Vec<usize> = (batch.start + complete..batch.end).collect();
    let windows = job.windows;
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

/// Says how many windows are still to be computed.
pub(crate) fn expect(job: Job<'_>, rest: usize) {
    let rest = rest as u64;
    job.progress.event(Event::Expected { rest });
}

/// A kept file must be of this text, cut, model and version of the program.
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
        // Compared last: if this differs, nothing else does.
        _ => match file.other_program() {
            Some(found) => other(
                "program",
                found.escape_debug().to_string(),
                env!("CARGO_PKG_VERSION").into(),
            ),
            None => Ok(()),
        },
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
