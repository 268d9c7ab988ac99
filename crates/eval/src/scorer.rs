//! What evaluation wants of a model, and nothing more.

use crate::Error;
pub use aeolus_infer::Numeric;
use std::ops::Range;

/// A model that scores tokens.
///
/// Evaluation is written against this trait, so that its arithmetic can be tested with models
/// whose answers are known; [`Model`](crate::Model) is the one that runs.
pub trait Scorer: Sync {
    /// What it is called in tables and messages.
    fn name(&self) -> &str;

    /// Number of tokens: logits of a position.
    fn vocab(&self) -> usize;

    /// Windows that are computed at the same time.
    fn width(&self) -> usize;

    /// Longest sequence it was made for, in tokens.
    fn context(&self) -> usize;

    /// Checks that what it computes with is what it was opened with. Asked after computing, before
    /// a result is kept.
    ///
    /// # Errors
    /// [`Error::Source`] for the first file that changed.
    fn verify_unchanged(&self) -> Result<(), Error>;

    /// Logits of independent windows at the positions `outputs` of each: `visit` gets the number
    /// of a window and its logits `[outputs, vocab]`, from any thread and in any order.
    ///
    /// # Errors
    /// [`Error::Model`] for the first window that fails.
    fn windows(
        &self,
        windows: &[Vec<u32>],
        outputs: Range<usize>,
        visit: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<(), Error>;

    /// Log-likelihoods, in nats, of the ends of sequences: of the tokens from `starts[i]` (at
    /// least 1) to the end of `sequences[i]`, one number for each token.
    ///
    /// # Errors
    /// [`Error::Model`], [`Error::NonFinite`].
    fn endings(&self, sequences: &[Vec<u32>], starts: &[usize]) -> Result<Vec<Vec<f64>>, Error>;
}

/// `exact`, `precise` or `fast`.
pub fn numeric_name(numeric: Numeric) -> &'static str {
    match numeric {
        Numeric::Exact => "exact",
        Numeric::Precise => "precise",
        Numeric::Fast => "fast",
    }
}

pub(crate) fn numeric_from_name(name: &str) -> Option<Numeric> {
    [Numeric::Exact, Numeric::Precise, Numeric::Fast]
        .into_iter()
        .find(|n| numeric_name(*n) == name)
}
