//! A whole comparison: one base, one text, any number of files.
//!
//! Text, tokens and the base's distributions are shared. Windows are read in batches, all of them in one
//! where their number was asked for, else until enough is known ([`Stopped`]): the base runs over a batch
//! first, into a file of log-probabilities; then one model after the other reads the same windows. So only
//! one model at a time competes for memory, however many there are, and all are compared over the same
//! windows.

use crate::base::{Base, Batch, Options, Source, expect};
use crate::divergence::{Divergence, measure, positions, summary};
use crate::logprobs::BaseFacts;
use crate::model::Model;
use crate::pass::Job;
use crate::perplexity::scored_bytes;
use crate::scorer::{Scorer, numeric_name};
use crate::state::State;
use crate::stopping::{Next, Positions, Stopped, Supply};
use crate::windows::{Cut, Windows};
use crate::{Error, fingerprint, state};
use aeolus_job::{Cancel, Event, Identity, Progress};
use std::ops::Range;

/// The most windows that are read unless more are asked for.
pub const MOST_WINDOWS: usize = 64;

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
    /// Why it read no more.
    pub stopped: Stopped,
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
    (1.5e13 / cost).clamp(4.0, MOST_WINDOWS as f64) as usize
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
    let state = open_state(&base, models, options, job)?;
    let mut files = Files::new(job, models, state)?;
    let mut base = Source::new(base, options, job)?;
    let supply = Supply {
        count: windows.len(),
        is_all: windows.len() == windows.available(),
        until_known: options.until_known,
    };
    let mut taken = 0;
    let stopped = loop {
        let end = match supply.next(taken, &files.positions(taken)) {
            Next::Stop(stopped) => break stopped,
            Next::UpTo(end) => end,
        };
        let rest = files.rest(&(taken..end));
        if taken == 0 {
            let total = models.len() * end;
            let (total, known) = (total as u64, (total - rest) as u64);
            progress.event(Event::Started { total, known });
        }
        base = base.make_kept(job, rest)?;
        files.read(taken..end, &base, &supply)?;
        taken = end;
    };
    Ok(Comparison {
        base: name,
        n_ctx: windows.n_ctx(),
        windows: taken,
        available: windows.available(),
        stopped,
        files: files.results(taken),
    })
}

/// The files of a comparison and what is known of them.
struct Files<'a> {
    job: Job<'a>,
    models: &'a [Model<'a>],
    /// Which results are whose.
    keys: Vec<u64>,
    state: State,
    /// What each file failed with, or nothing yet.
    failures: Vec<Option<Error>>,
}

impl<'a> Files<'a> {
    fn new(job: Job<'a>, models: &'a [Model<'a>], mut state: State) -> Result<Self, Error> {
        let keys = models.iter().map(|model| {
            let mark = model.mark(&state, job.progress, job.cancel)?;
            Ok(fingerprint::key(&mark))
        });
        let keys = keys.collect::<Result<Vec<u64>, Error>>()?;
        let windows = job.windows.len();
        let known = keys.iter().map(|key| state.known(*key, windows)).sum();
        state.tell(job.progress, known);
        Ok(Self {
            job,
            models,
            keys,
            state,
            failures: models.iter().map(|_| None).collect(),
        })
    }

    /// The files that did not fail.
    fn sound(&self) -> Vec<usize> {
        let files = 0..self.models.len();
        files.filter(|i| self.failures[*i].is_none()).collect()
    }

    /// Where they stand after so many windows.
    fn positions(&self, taken: usize) -> Vec<Positions> {
        let of = |i: &usize| positions(&self.state, self.keys[*i], taken);
        self.sound().iter().map(of).collect()
    }

    /// Windows of a batch that are still to be computed, those of the base not counted.
    fn rest(&self, batch: &Range<usize>) -> usize {
        let sound = self.sound();
        sound.iter().map(|i| self.rest_of(*i, batch)).sum()
    }

    fn rest_of(&self, i: usize, batch: &Range<usize>) -> usize {
        let unknown = |w: &usize| self.state.get(self.keys[i], *w).is_none();
        batch.clone().filter(unknown).count()
    }

    /// Lets every file read a batch.
    fn read(
        &mut self,
        batch: Range<usize>,
        base: &Source<'_>,
        supply: &Supply,
    ) -> Result<(), Error> {
        let job = self.job;
        let rows = match self.rest(&batch) {
            0 => None,
            rest => Some(base.batch(job, batch.clone(), rest)?),
        };
        let sound = self.sound();
        let mut found = Vec::with_capacity(sound.len());
        for (done, i) in sound.iter().enumerate() {
            let (model, key) = (&self.models[*i], self.keys[*i]);
            let read = measure(
                job,
                batch.clone(),
                rows.as_ref(),
                model,
                key,
                &mut self.state,
            );
            match read {
                // A damaged file does not spoil the others' results.
                Err(error @ Error::NonFinite { .. }) => self.failures[*i] = Some(error),
                Err(error) => return Err(error),
                Ok(()) => found.push(positions(&self.state, key, batch.end)),
            }
            let behind = sound[done + 1..].iter().map(|i| self.rest_of(*i, &batch));
            let behind: usize = behind.sum();
            // Of windows behind this batch nothing is known, as a rule.
            let later = supply.expected(batch.end, &found) - batch.end;
            expect(job, behind + later * sound.len() + base.cost(later));
        }
        rows.map_or(Ok(()), Batch::finish)
    }

    fn results(self, taken: usize) -> Vec<Result<Divergence, Error>> {
        let windows = self.job.windows.clone().first(taken);
        let files = self.models.iter().zip(&self.keys).zip(self.failures);
        let results = files.map(|((model, key), failure)| {
            let bytes = scored_bytes(&windows, |tokens| model.text_bytes(tokens));
            match failure {
                Some(error) => Err(error),
                None => Ok(summary(&self.state, *key, taken, bytes)),
            }
        });
        results.collect()
    }
}

/// Where results are kept, for these models with this base.
fn open_state(
    base: &Base<'_>,
    models: &[Model<'_>],
    options: &Options,
    job: Job<'_>,
) -> Result<State, Error> {
    let Some(path) = &options.state else {
        return Ok(State::in_memory());
    };
    state::check_kind(path)?;
    let base = match base {
        Base::Model(model) => model.fingerprint(job.progress, job.cancel)?.to_owned(),
        Base::File(file) => file.identity(),
    };
    let numeric = match models.first() {
        Some(model) => numeric_name(model.numeric()),
        None => "none",
    };
    State::open(
        path,
        &describe("compare", job.windows, numeric, Some(&base)),
    )
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
