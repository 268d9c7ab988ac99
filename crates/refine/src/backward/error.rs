//! What can go wrong in a backward pass.

/// A failure of the backward pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model computes something that has no derivative here.
    #[error(
        "there is no backward pass for {what} ({architecture}): use an effort that needs forward passes only"
    )]
    NotDifferentiable {
        /// The GGUF architecture.
        architecture: &'static str,
        /// What the model has.
        what: String,
    },
    /// The model could not be read or run.
    #[error(transparent)]
    Model(#[from] aeolus_infer::Error),
    /// A tensor could not be decoded.
    #[error("tensor {tensor}: {source}")]
    Decode {
        /// Its name.
        tensor: String,
        /// What the decoder said.
        source: aeolus_quant::DecodeError,
    },
    /// The temporary file.
    #[error("what lies between the layers could not be kept in {folder}: {source}")]
    Store {
        /// Where it was to be.
        folder: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A score that is not finite.
    #[error("a score is not finite: some weight is damaged")]
    NotFinite,
    /// A file and a source that are not of one model, or texts without windows.
    #[error("the file and its source do not fit together, or a text is empty: {found}")]
    OtherModel {
        /// What was given.
        found: String,
    },
    /// The caller ended it.
    #[error("cancelled")]
    Cancelled,
    /// A tensor is missing or has another shape.
    #[error("tensor {tensor} is missing or has another shape than the model's")]
    Tensor {
        /// Its name.
        tensor: String,
    },
}

/// What the backward pass gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
