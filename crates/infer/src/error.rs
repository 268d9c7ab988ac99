//! What can go wrong between a GGUF file and a generated token.

use std::borrow::Cow;

use aeolus_gguf::TensorType;

/// A failure of loading or running a model.
///
/// Four origins are kept apart: the file could not be read ([`Error::Gguf`]), the file is not a
/// model this crate can run (keys, tensors, tokenizer, template), the caller asked for something
/// impossible (ids, context, options), or a limit was exceeded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not a well-formed GGUF file.
    #[error(transparent)]
    Gguf(#[from] aeolus_gguf::Error),

    /// A metadata key holds another type than the format says.
    #[error(transparent)]
    Metadata(#[from] aeolus_gguf::MetadataError),

    /// A block of a tensor could not be decoded.
    #[error("tensor {tensor}: {source}")]
    Decode {
        /// Name of the tensor.
        tensor: String,
        /// What the decoder said.
        source: aeolus_quant::DecodeError,
    },

    /// A metadata key that the model needs is absent.
    #[error("metadata key {key} is missing: {needed_for} cannot be known without it")]
    MissingKey {
        /// The key.
        key: String,
        /// What is read from it.
        needed_for: &'static str,
    },

    /// A metadata key holds a value that no model can have.
    #[error("metadata key {key} is {found}, expected {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// What the file holds.
        found: String,
        /// What it may hold.
        expected: String,
    },

    /// A metadata key does not fit the model.
    #[error("metadata key {key}: {problem}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A family that is converted and quantized, and not run.
    #[error(
        "models of architecture {architecture} are converted and quantized, but not run: how they \
         compute is not known here"
    )]
    NoGraph {
        /// GGUF's name of the architecture.
        architecture: &'static str,
    },

    /// A tensor that the architecture's forward pass does not use.
    #[error("tensor {name} is not supported: models of architecture {architecture} have none")]
    UnusedTensor {
        /// Its name.
        name: String,
        /// GGUF's name of the architecture.
        architecture: &'static str,
    },

    /// The file asks for something that this crate does not run.
    #[error("{what} {found} is not supported (supported: {supported})")]
    Unsupported {
        /// The kind of thing.
        what: &'static str,
        /// What the file asks for.
        found: String,
        /// What would do.
        supported: Cow<'static, str>,
    },

    /// A big-endian file cannot be run where it lies.
    #[error("the file is big-endian and cannot be run as it is: convert it to little-endian first")]
    BigEndian,

    /// A tensor that the architecture needs is absent.
    #[error("tensor {name} is missing: expected shape {expected:?} (row length first)")]
    MissingTensor {
        /// Name of the tensor.
        name: String,
        /// The shape it should have, row length first.
        expected: Vec<u64>,
    },

    /// A tensor has another shape than the hyperparameters say.
    #[error("tensor {name} has shape {found:?}, expected {expected:?} (row length first)")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// The shape in the file.
        found: Vec<u64>,
        /// The shape by the hyperparameters.
        expected: Vec<u64>,
    },

    /// A tensor is stored in a type that cannot be run.
    #[error("tensor {name} is stored as {found}, expected {expected}")]
    TensorType {
        /// Name of the tensor.
        name: String,
        /// The type in the file.
        found: TensorType,
        /// The types that would do.
        expected: &'static str,
    },

    /// The vocabulary contradicts itself or exceeds a limit.
    #[error("vocabulary: {0}")]
    Vocabulary(String),

    /// The chat template could not be parsed or rendered.
    #[error("chat template: {0}")]
    Template(String),

    /// A token id is not in the vocabulary.
    #[error("token id {id} is out of range: the vocabulary has {vocab} tokens")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// Number of tokens.
        vocab: usize,
    },

    /// More tokens than the context holds.
    #[error(
        "context is full: {used} of {context} positions are taken and {wanted} more were asked for; \
         use a larger context or a shorter prompt"
    )]
    ContextFull {
        /// Positions taken.
        used: usize,
        /// Positions asked for.
        wanted: usize,
        /// Positions there are.
        context: usize,
    },

    /// An argument that makes no sense.
    #[error("{what} is {found}, expected {expected}")]
    Argument {
        /// Name of the argument.
        what: &'static str,
        /// What was given.
        found: String,
        /// What may be given.
        expected: &'static str,
    },

    /// No token has a score that is a number.
    #[error("no token has a finite score: the weights of the model are broken")]
    NoFiniteScore,

    /// A token's score is NaN or infinite, though others are numbers.
    #[error("the score of token {token} is {value}: the weights of the model are broken")]
    NonFiniteScore {
        /// The token.
        token: usize,
        /// Its score.
        value: f32,
    },

    /// The environment asks for kernels that this machine cannot run.
    #[error(transparent)]
    Cpu(#[from] aeolus_quant::CpuError),

    /// The thread pool could not be started.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        source: rayon::ThreadPoolBuildError,
    },
}

impl Error {
    pub(crate) fn missing_key(key: &str, needed_for: &'static str) -> Self {
        Self::MissingKey {
            key: key.to_owned(),
            needed_for,
        }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
