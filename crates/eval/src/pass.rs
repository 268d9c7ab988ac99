//! A pass of one model over the windows that are not known yet.

use crate::Error;
use crate::distribution::NonFinite;
use crate::scorer::Scorer;
use crate::windows::Windows;
use aeolus_job::Cancel;
use aeolus_job::{Event, Figure, Progress};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What every pass of a run shares.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The text.
    pub windows: &'a Windows,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Ends the run between windows; what is done is kept.
    pub cancel: &'a Cancel,
}

/// A round of windows should not take longer: Ctrl-C and the running figure wait for it.
pub(crate) const ROUND: Duration = Duration::from_millis(500);

/// Runs `model` over `todo` (window numbers, rising). `score` turns a window's logits
/// `[scored, vocab]` into a result, on any thread; `keep` takes the results in order, on this
/// one, and gives the figure so far.
pub(crate) fn pass<T: Send>(
    job: Job<'_>,
    model: &dyn Scorer,
    todo: &[usize],
    score: impl Fn(usize, &[f32]) -> Result<T, Failure> + Sync,
    mut keep: impl FnMut(usize, T) -> Result<Figure, Error>,
) -> Result<(), Error> {
    let scored = job.windows.scored();
    check_tokens(job.windows, model)?;
    let mut round = model.width().max(1);
    let mut rest = todo;
    while !rest.is_empty() {
        if job.cancel.is_set() {
            return Err(Error::Cancelled);
        }
        let started = Instant::now();
        let (now, later) = rest.split_at(round.min(rest.len()));
        let inputs: Vec<Vec<u32>> = now.iter().map(|w| job.windows.input(*w)).collect();
        let results: Vec<Mutex<Option<Result<T, Failure>>>> =
            now.iter().map(|_| Mutex::new(None)).collect();
        model.windows(&inputs, scored.clone(), &|i, logits| {
            let result = score(now[i], logits);
            *results[i].lock().unwrap_or_else(|e| e.into_inner()) = Some(result);
        })?;
        model.verify_unchanged()?;
        let mut figure = None;
        for (window, result) in now.iter().zip(results) {
            let result = result.into_inner().unwrap_or_else(|e| e.into_inner());
            match result {
                Some(Ok(result)) => figure = Some(keep(*window, result)?),
                Some(Err(failure)) => return Err(failure.at(model.name(), *window, scored.start)),
                None => unreachable!("every window is visited"),
            }
        }
        job.progress.event(Event::Advanced {
            name: model.name(),
            count: now.len() as u64,
            figure,
        });
        rest = later;
        if started.elapsed() < ROUND / 2 {
            round *= 2;
        }
    }
    Ok(())
}

/// Why a window has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A logit at a scored position, counted from the first one.
    Logit { position: usize, bad: NonFinite },
    /// Something else.
    Other(Error),
}

impl Failure {
    pub(crate) fn at(self, model: &str, window: usize, first: usize) -> Error {
        match self {
            Self::Logit { position, bad } => Error::NonFinite {
                model: model.into(),
                window,
                position: first + position,
                token: bad.token,
                value: bad.value,
            },
            Self::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

pub(crate) fn check_tokens(windows: &Windows, model: &dyn Scorer) -> Result<(), Error> {
    let vocab = model.vocab();
    let bos = windows.layout().bos;
    match windows
        .tokens()
        .iter()
        .chain(&bos)
        .find(|t| **t as usize >= vocab)
    {
        Some(token) => Err(Error::TokenRange {
            model: model.name().into(),
            token: *token,
            vocab,
        }),
        None => Ok(()),
    }
}
