//! How surprised a model is by a text.
//!
//! Perplexity is `exp` of the mean negative log-likelihood of the scored tokens; bits per byte is
//! their sum in bits over the bytes of text that they stand for. Perplexities compare only
//! between models of one vocabulary, bits per byte between any.

use crate::distribution::nll;
use crate::pass::{Failure, Job, pass};
use crate::scorer::Scorer;
use crate::state::{Record, State};
use crate::stats::{self, Estimate};
use crate::windows::Windows;
use crate::{Error, fingerprint};
use aeolus_job::{Event, Figure};
use serde::Serialize;

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Perplexity {
    /// `exp` of the mean negative log-likelihood.
    pub ppl: Estimate,
    /// Mean negative log-likelihood of a token, in nats.
    pub nll: Estimate,
    /// Negative log-likelihood of the scored text, in bits for each of its bytes; `None` if the
    /// scored tokens stand for no byte.
    pub bits_per_byte: Option<Estimate>,
    /// Tokens scored.
    pub tokens: u64,
    /// Windows.
    pub windows: usize,
}

/// Sums over scored positions.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    nll: f64,
    nll2: f64,
}

impl Sums {
    fn add(&mut self, nll: f64) {
        self.count += 1.0;
        self.nll += nll;
        self.nll2 += nll * nll;
    }

    fn record(&self) -> Record {
        Record {
            sums: vec![self.count, self.nll, self.nll2],
            values: Vec::new(),
        }
    }

    fn add_record(&mut self, record: &Record) {
        if let [count, nll, nll2] = record.sums[..] {
            self.count += count;
            self.nll += nll;
            self.nll2 += nll2;
        }
    }

    fn mean(&self) -> Estimate {
        stats::mean(self.nll, self.nll2, self.count as u64)
    }
}

/// Bits per byte from the mean negative log-likelihood of `tokens` tokens.
pub(crate) fn bits_per_byte(nll: Estimate, tokens: u64, bytes: u64) -> Option<Estimate> {
    let scale = tokens as f64 / bytes as f64 / std::f64::consts::LN_2;
    (bytes > 0).then_some(Estimate {
        value: nll.value * scale,
        error: nll.error * scale,
    })
}

/// Bytes of text that the scored tokens of all windows stand for; `bytes` tells it for some.
pub fn scored_bytes(windows: &Windows, bytes: impl Fn(&[u32]) -> u64) -> u64 {
    (0..windows.len()).map(|w| bytes(windows.targets(w))).sum()
}

/// Computes the perplexity of `model`. Its [`mark`](crate::Model::mark) tells its results in
/// `state` from others. `text_bytes` are those of the scored tokens.
///
/// # Errors
/// [`Error::NonFinite`], [`Error::TokenRange`], [`Error::Model`], [`Error::Cancelled`];
/// [`Error::Source`] if the model's file changed meanwhile; [`Error::Io`] from the state.
pub fn perplexity(
    job: Job<'_>,
    model: &dyn Scorer,
    mark: &str,
    text_bytes: u64,
    state: &mut State,
) -> Result<Perplexity, Error> {
    let key = fingerprint::key(mark);
    let count = job.windows.len();
    let todo: Vec<usize> = (0..count)
        .filter(|w| state.get(key, *w).is_none())
        .collect();
    let known = count - todo.len();
    state.tell(job.progress, known);
    let (name, total, known) = (model.name(), count as u64, known as u64);
    job.progress.event(Event::Started { total, known });
    job.progress.event(Event::Next { name, total, known });
    let mut running = Sums::default();
    for record in (0..count).filter_map(|w| state.get(key, w)) {
        running.add_record(record);
    }
    let windows = job.windows;
    let score = |window: usize, logits: &[f32]| {
        let mut sums = Sums::default();
        let rows = logits.chunks_exact(model.vocab());
        for (position, (row, target)) in rows.zip(windows.targets(window)).enumerate() {
            sums.add(nll(row, *target).map_err(|bad| Failure::Logit { position, bad })?);
        }
        Ok(sums.record())
    };
    pass(job, model, &todo, score, |window, record| {
        running.add_record(&record);
        state.insert(key, window, record)?;
        Ok(stats::exp(running.mean()).figure(Figure::Perplexity))
    })?;

    let mut sums = Sums::default();
    for record in (0..count).filter_map(|w| state.get(key, w)) {
        sums.add_record(record);
    }
    let nll = sums.mean();
    let tokens = sums.count as u64;
    Ok(Perplexity {
        ppl: stats::exp(nll),
        nll,
        bits_per_byte: bits_per_byte(nll, tokens, text_bytes),
        tokens,
        windows: count,
    })
}
