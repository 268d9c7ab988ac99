//! How far a file's distributions are from its base's.
//!
//! Both models read the same windows. At every scored position the Kullback-Leibler divergence
//! from the base P to the file Q is summed over the whole vocabulary, in f64; it is 0 where both
//! agree, and unlike perplexity it cannot improve by luck.
//!
//! # Memory
//!
//! The base's log-probabilities come from a mapped file, the file's logits live as long as their
//! window. What grows with the text is one f32 for each scored position, the divergences whose
//! quantiles are reported: 4 bytes, where the distributions of a position take 128 kB.

use crate::base::Batch;
use crate::distribution::{BaseRow, Comparison, compare};
use crate::logprobs::LogProbs;
use crate::pass::{Failure, Job, pass};
use crate::perplexity::bits_per_byte;
use crate::scorer::Scorer;
use crate::state::{Record, State};
use crate::stats::{self, Estimate};
use crate::stopping::Positions;
use crate::windows::Windows;
use crate::{Error, fingerprint};
use aeolus_job::{Event, Figure};
use serde::Serialize;
use std::ops::Range;

/// One file against the base. Divergences are in nats, probabilities from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// Mean divergence of a position.
    #[serde(rename = "kld_mean")]
    pub kld: Estimate,
    /// Quantiles of the divergence, linear between neighbours.
    pub kld_median: f64,
    /// 90 of 100 positions are below.
    pub kld_90: f64,
    /// 99 of 100 positions are below.
    pub kld_99: f64,
    /// 999 of 1,000 positions are below.
    pub kld_999: f64,
    /// The highest.
    pub kld_max: f64,
    /// Share of positions where both have the same most probable token.
    pub same_top: Estimate,
    /// Mean change in the probability of the token that came.
    pub mean_dp: Estimate,
    /// Root mean square of that change.
    pub rms_dp: Estimate,
    /// Perplexity of the file.
    pub ppl: Estimate,
    /// Perplexity of the base.
    pub ppl_base: Estimate,
    /// Perplexity of the file over that of the base. Both read the same text, so the error of
    /// the ratio is far below those of the two.
    pub ppl_ratio: Estimate,
    /// As [`Perplexity::bits_per_byte`](crate::Perplexity::bits_per_byte), of the file.
    pub bits_per_byte: Option<Estimate>,
    /// Tokens scored.
    pub tokens: u64,
    /// Windows.
    pub windows: usize,
}

/// Names of the sums, in the order of a record.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Sum {
    Count,
    Nll,
    Nll2,
    Base,
    Base2,
    NllBase,
    Kld,
    Kld2,
    Dp,
    Dp2,
    Dp4,
    SameTop,
    /// No sum: the highest divergence.
    KldMax,
}

/// Sums over scored positions.
#[derive(Clone, Copy, Debug, Default)]
struct Sums([f64; Sum::KldMax as usize + 1]);

impl Sums {
    fn get(&self, sum: Sum) -> f64 {
        self.0[sum as usize]
    }

    fn count(&self) -> u64 {
        self.get(Sum::Count) as u64
    }

    fn add(&mut self, at: &Comparison) {
        let dp2 = at.dp * at.dp;
        let terms = [
            1.0,
            at.nll,
            at.nll * at.nll,
            at.nll_base,
            at.nll_base * at.nll_base,
            at.nll * at.nll_base,
            at.kld,
            at.kld * at.kld,
            at.dp,
            dp2,
            dp2 * dp2,
            f64::from(u8::from(at.same_top)),
            at.kld,
        ];
        self.merge(&terms);
    }

    fn merge(&mut self, terms: &[f64]) {
        let max = self.get(Sum::KldMax);
        for (sum, term) in self.0.iter_mut().zip(terms) {
            *sum += term;
        }
        let last = Sum::KldMax as usize;
        self.0[last] = max.max(terms.get(last).copied().unwrap_or(max));
    }

    fn mean(&self, sum: Sum, squares: Sum) -> Estimate {
        stats::mean(self.get(sum), self.get(squares), self.count())
    }

    fn divergence(&self, mut klds: Vec<f32>, text_bytes: u64, windows: usize) -> Divergence {
        klds.sort_unstable_by(f32::total_cmp);
        let quantile = |q| stats::quantile(&klds, q);
        let tokens = self.count();
        let nll = self.mean(Sum::Nll, Sum::Nll2);
        let base = self.mean(Sum::Base, Sum::Base2);
        let covariance = stats::covariance_of_means(
            self.get(Sum::Nll),
            self.get(Sum::Base),
            self.get(Sum::NllBase),
            tokens,
        );
        let ratio_variance = nll.error * nll.error + base.error * base.error - 2.0 * covariance;
        let square = self.mean(Sum::Dp2, Sum::Dp4);
        let rms = square.value.sqrt();
        Divergence {
            kld: self.mean(Sum::Kld, Sum::Kld2),
            kld_median: quantile(0.5),
            kld_90: quantile(0.9),
            kld_99: quantile(0.99),
            kld_999: quantile(0.999),
            kld_max: self.get(Sum::KldMax),
            same_top: stats::share(self.get(Sum::SameTop) as u64, tokens),
            mean_dp: self.mean(Sum::Dp, Sum::Dp2),
            rms_dp: Estimate {
                value: rms,
                error: if rms > 0.0 {
                    0.5 / rms * square.error
                } else {
                    0.0
                },
            },
            ppl: stats::exp(nll),
            ppl_base: stats::exp(base),
            ppl_ratio: stats::exp(Estimate {
                value: nll.value - base.value,
                error: ratio_variance.max(0.0).sqrt(),
            }),
            bits_per_byte: bits_per_byte(nll, tokens, text_bytes),
            tokens,
            windows,
        }
    }
}

/// Compares `model` with the base over all windows. Its [`fingerprint`](crate::fingerprint()) marks its
/// results in `state`; in one that is not kept, anything does that no other model has. `text_bytes` are
/// those of the scored tokens.
///
/// `job.windows` must be the base's, or its first ones. `base` may be `None` if `state` holds a
/// result for every window.
///
/// # Errors
/// [`Error::VocabularySize`], [`Error::NonFinite`], [`Error::TokenRange`], [`Error::Model`],
/// [`Error::Cancelled`]; [`Error::Source`] if the model's file changed; [`Error::Format`] for a
/// damaged base; [`Error::Io`] from the state.
///
/// # Panics
/// If `base` is `None` and windows are missing.
pub fn divergence(
    job: Job<'_>,
    base: Option<&LogProbs>,
    model: &dyn Scorer,
    mark: &str,
    text_bytes: u64,
    state: &mut State,
) -> Result<Divergence, Error> {
    let (key, count) = (fingerprint::key(mark), job.windows.len());
    let base = base.map(Batch::of_all);
    measure(job, 0..count, base.as_ref(), model, key, state)?;
    Ok(summary(state, key, count, text_bytes))
}

/// Runs `model` over those of some windows of which `state` has no result yet. Errors and panics are
/// those of [`divergence`].
pub(crate) fn measure(
    job: Job<'_>,
    batch: Range<usize>,
    base: Option<&Batch<'_>>,
    model: &dyn Scorer,
    key: u64,
    state: &mut State,
) -> Result<(), Error> {
    if let Some(base) = base
        .map(Batch::file)
        .filter(|base| base.facts().vocab != model.vocab())
    {
        return Err(Error::VocabularySize {
            base: base.path().display().to_string(),
            base_tokens: base.facts().vocab,
            other: model.name().into(),
            other_tokens: model.vocab(),
        });
    }
    let total = batch.len() as u64;
    let mut running = sums(state, key, batch.end);
    let todo: Vec<usize> = batch.filter(|w| state.get(key, *w).is_none()).collect();
    job.progress.event(Event::Next {
        name: model.name(),
        total,
        known: total - todo.len() as u64,
    });
    if todo.is_empty() {
        return Ok(());
    }
    let base = base.unwrap_or_else(|| panic!("a base for {} windows", todo.len()));
    let windows = job.windows;
    let score = |window: usize, logits: &[f32]| score_window(windows, base, window, logits);
    pass(job, model, &todo, score, |window, record| {
        running.merge(&record.sums);
        state.insert(key, window, record)?;
        Ok(running.mean(Sum::Kld, Sum::Kld2).figure(Figure::Divergence))
    })
}

/// The sums over the first windows, as far as they are known.
fn sums(state: &State, key: u64, windows: usize) -> Sums {
    let mut sums = Sums::default();
    for record in (0..windows).filter_map(|w| state.get(key, w)) {
        sums.merge(&record.sums);
    }
    sums
}

/// The divergence at every position of the first windows.
fn values(state: &State, key: u64, windows: usize) -> Vec<f32> {
    let records = (0..windows).filter_map(|w| state.get(key, w));
    records.flat_map(|record| &record.values).copied().collect()
}

/// What the first windows, all of them measured, say of a file. `text_bytes` are those of the tokens that
/// were scored.
pub(crate) fn summary(state: &State, key: u64, windows: usize, text_bytes: u64) -> Divergence {
    sums(state, key, windows).divergence(values(state, key, windows), text_bytes, windows)
}

/// What the first windows, all of them measured, say of a file's rank.
pub(crate) fn positions(state: &State, key: u64, windows: usize) -> Positions {
    Positions {
        mean: sums(state, key, windows).mean(Sum::Kld, Sum::Kld2),
        klds: values(state, key, windows),
    }
}

fn score_window(
    windows: &Windows,
    base: &Batch<'_>,
    window: usize,
    logits: &[f32],
) -> Result<Record, Failure> {
    let rows = base.window(window)?;
    let mut base_row = BaseRow::default();
    let mut sums = Sums::default();
    let mut values = Vec::new();
    let own = logits.chunks_exact(base.file().facts().vocab);
    for (position, (row, target)) in own.zip(windows.targets(window)).enumerate() {
        rows.decode(position, &mut base_row)?;
        let at =
            compare(&base_row, row, *target).map_err(|bad| Failure::Logit { position, bad })?;
        sums.add(&at);
        values.push(at.kld as f32);
    }
    Ok(Record {
        sums: sums.0.to_vec(),
        values,
    })
}
