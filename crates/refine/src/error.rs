//! What can go wrong.

use aeolus_gguf::TensorType;

/// Why a tensor or a model cannot be refined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A type whose codes are not chosen here.
    #[error("codes of type {ty} cannot be refined")]
    NotRefinable {
        /// The type.
        ty: TensorType,
    },
    /// Weights that the plain encoder refuses, or that feedback moves out of range.
    #[error(transparent)]
    Encode(#[from] aeolus_quant::EncodeError),
    /// Codes that cannot be read back; those of types with an encoder do not cause it.
    #[error(transparent)]
    Decode(#[from] aeolus_quant::DecodeError),
    /// The file of chosen codes.
    #[error(transparent)]
    Job(#[from] aeolus_job::Error),
    /// Too few windows.
    #[error(
        "{windows} windows, of which {held_out} judge the codes; expected at least one of each kind"
    )]
    Windows {
        /// All.
        windows: usize,
        /// Those that judge.
        held_out: usize,
    },
    /// The backward pass, or the same products on the way forward.
    #[error(transparent)]
    Backward(crate::backward::Error),
    /// The model does not run.
    #[error(transparent)]
    Model(#[from] aeolus_infer::Error),
    /// The run was told to end.
    #[error("cancelled")]
    Cancelled,
    /// Moments that have no factor.
    #[error(transparent)]
    NotPositive(#[from] crate::NotPositive),
}

impl From<crate::backward::Error> for Error {
    fn from(error: crate::backward::Error) -> Self {
        match error {
            crate::backward::Error::Cancelled => Self::Cancelled,
            other => Self::Backward(other),
        }
    }
}
