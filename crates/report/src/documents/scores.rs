//! `aeolus.perplexity/1` and `aeolus.tasks/1`: how well one file predicts a text and answers questions.

use super::Estimate;
use serde::{Deserialize, Serialize};

/// What `perplexity` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Perplexity {
    /// Which document it is: `aeolus.perplexity/1`.
    pub schema: String,
    /// The file.
    pub path: String,
    /// The text.
    pub text: String,
    /// How numbers were rounded: `exact`, `precise` or `fast`.
    pub mode: String,
    /// Tokens of a window.
    pub n_ctx: u64,
    /// Windows that were read.
    pub chunks: u64,
    /// Windows that the text has.
    pub chunks_available: u64,
    /// Tokens scored.
    pub tokens: u64,
    /// Perplexity.
    pub ppl: Estimate,
    /// Mean negative log-likelihood of a token, in nats.
    pub nll: Estimate,
    /// Bits for each byte of the text; null if the bytes are not known.
    pub bits_per_byte: Option<Estimate>,
    /// How long it took.
    pub seconds: f64,
}

/// What `tasks` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tasks {
    /// Which document it is: `aeolus.tasks/1`.
    pub schema: String,
    /// The file.
    pub path: String,
    /// How numbers were rounded: `exact`, `precise` or `fast`.
    pub mode: String,
    /// The tasks.
    pub tasks: Vec<TaskScore>,
}

/// What came of a task. Scores are shares, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskScore {
    /// The task.
    pub task: String,
    /// The file of its questions.
    pub file: String,
    /// The score that is quoted: `acc` or `acc_norm`.
    pub metric: String,
    /// That score.
    pub score: Estimate,
    /// Questions asked.
    pub questions: u64,
    /// Answered questions before each.
    pub shots: u64,
    /// Share of questions whose right choice has the highest log-likelihood.
    pub acc: Estimate,
    /// The same with log-likelihoods over the number of characters.
    pub acc_norm: Estimate,
    /// The same with log-likelihoods over the number of tokens.
    pub acc_token: Estimate,
    /// Questions whose prompt lost its beginning.
    pub cut: u64,
}

impl Perplexity {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.perplexity/1";
}

impl Tasks {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.tasks/1";
}
