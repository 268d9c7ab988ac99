//! What can go wrong between a text and a verdict.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to score.
    #[error("the text is empty: there is nothing to score")]
    EmptyText,
    /// Less than one window.
    #[error(
        "the text has {tokens} {}, one window needs {needed}; give a longer text or a \
         smaller window",
        if *tokens == 1 { "token" } else { "tokens" }
    )]
    ShortText {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        needed: usize,
    },
    /// A window, stride or count that makes no sense.
    #[error("cannot cut the text: {problem}")]
    Cut {
        /// What is wrong.
        problem: String,
    },
    /// The text asks for a token that the model does not have.
    #[error(
        "{model}: token {token} of the text is out of range: the vocabulary has {vocab} tokens"
    )]
    TokenRange {
        /// Which model.
        model: String,
        /// The token's id.
        token: u32,
        /// Number of tokens.
        vocab: usize,
    },
    /// A model computed something that is no number.
    #[error(
        "{model}: window {window}, position {position}: the logit of token {token} is {value}, a \
         finite number was expected; the file's weights are damaged or it overflows"
    )]
    NonFinite {
        /// Which model.
        model: String,
        /// Window, from 0.
        window: usize,
        /// Position in the window, from 0.
        position: usize,
        /// Token id.
        token: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The input of a product is no number.
    #[error(
        "{model}: window {window}: an input of {tensor}, in column {column}, is not a number whose \
         square is finite; the file's weights are damaged or it overflows"
    )]
    Overflow {
        /// Which model.
        model: String,
        /// Window, from 0.
        window: usize,
        /// The matrix.
        tensor: String,
        /// The column, from 0.
        column: usize,
    },
    /// Importance is to be collected for an output that is not there.
    #[error(
        "{}: has no output.weight: its embedding serves as output, and nothing is collected for it",
        path.display()
    )]
    NoOutput {
        /// The model's file.
        path: PathBuf,
    },
    /// An importance matrix of another model.
    #[error(
        "the importance matrix has {found} values for {tensor}, {model} has {needed} columns there: it \
         is of another model"
    )]
    OtherModel {
        /// Which model.
        model: String,
        /// The weight.
        tensor: String,
        /// Values.
        found: usize,
        /// Columns of all matrices of the weight.
        needed: u64,
    },
    /// An importance matrix that cannot be written.
    #[error("the importance matrix cannot be written: {0}")]
    Imatrix(#[source] aeolus_imatrix::Problem),
    /// Two files whose distributions cannot be compared.
    #[error(
        "{other}: its vocabulary has {other_tokens} tokens, that of the base {base} has \
         {base_tokens}: their distributions cannot be compared"
    )]
    VocabularySize {
        /// The base.
        base: String,
        /// Its tokens.
        base_tokens: usize,
        /// The other file.
        other: String,
        /// Its tokens.
        other_tokens: usize,
    },
    /// The same number of tokens, but not the same ones.
    #[error(
        "{other}: its vocabulary is not that of the base {base}: {difference}; their \
         distributions cannot be compared"
    )]
    Vocabulary {
        /// The base.
        base: String,
        /// The other file.
        other: String,
        /// Where they differ.
        difference: String,
    },
    /// A model could not be loaded or run.
    #[error("{}: {error}", path.display())]
    Model {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        error: aeolus_infer::Error,
    },
    /// Threads or kernels that this machine does not have.
    #[error(transparent)]
    Start(aeolus_infer::Error),
    /// The base's log-probabilities do not fit on the disk.
    #[error(
        "{}: the base's log-probabilities need {needed} bytes ({:.2} GB), {available} ({:.2} GB) \
         are free; score fewer windows, or give another place",
        folder.display(),
        *needed as f64 / 1e9,
        *available as f64 / 1e9
    )]
    NoSpace {
        /// Where they would go.
        folder: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes free there.
        available: u64,
    },
    /// The system refused.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// A file of ours, or of a peer, that is not well-formed.
    #[error("{}: is not a {what}: {problem}", path.display())]
    Format {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Two files that are to stand in one row of a table.
    #[error(
        "{} and {} are both {file_type}; name one of them",
        first.display(),
        second.display()
    )]
    SameType {
        /// A file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
        /// The type of both.
        file_type: aeolus_recipe::FileType,
    },
    /// Nothing to check.
    #[error("no file of the wanted types is there")]
    NoSubject,
    /// Saved results of another run.
    #[error(
        "{}: holds results of another run: its {field} is {found}, this run's is {expected}; give \
         another file, or delete it",
        path.display()
    )]
    OtherRun {
        /// The state file.
        path: PathBuf,
        /// What differs.
        field: String,
        /// In the file.
        found: String,
        /// In this run.
        expected: String,
    },
    /// A file that is being written: the system refuses, another run has it, or something else
    /// is in its place.
    #[error(transparent)]
    Job(#[from] aeolus_job::Error),
    /// A question of a task file.
    #[error("{}: line {line}: {problem}", path.display())]
    Question {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A task file or its settings.
    #[error("{}: {problem}", path.display())]
    Task {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Too few questions for the examples that were asked for.
    #[error("cannot show examples: {problem}")]
    Shots {
        /// What is missing.
        problem: String,
    },
    /// A tensor of one file that has no fellow in the other.
    #[error("{}: tensor {tensor}: {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that an importance matrix guided, and none to make it again with.
    #[error(
        "{}: was made with an importance matrix, which it calls {file:?}; give it with --imatrix",
        path.display()
    )]
    Guided {
        /// The file.
        path: PathBuf,
        /// What it says of the matrix.
        file: String,
    },
    /// A file could not be mapped.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// A model file.
    #[error(transparent)]
    Gguf(#[from] aeolus_gguf::Error),
    /// The source.
    #[error(transparent)]
    Checkpoint(#[from] aeolus_checkpoint::Error),
    /// Planning or writing a file.
    #[error(transparent)]
    Pipeline(aeolus_pipeline::Error),
    /// [`Cancel`](aeolus_job::Cancel) was set.
    #[error("interrupted")]
    Cancelled,
}

impl From<aeolus_pipeline::Error> for Error {
    fn from(error: aeolus_pipeline::Error) -> Self {
        match error {
            aeolus_pipeline::Error::Cancelled => Self::Cancelled,
            error => Self::Pipeline(error),
        }
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io {
            action,
            path: path.into(),
            error,
        }
    }
}
