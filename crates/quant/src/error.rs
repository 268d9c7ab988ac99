//! What can be wrong with a call or with the weights.

use crate::kernels::CpuError;
use aeolus_gguf::TensorType;

/// Why rows could not be encoded. The output is unspecified after an error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The type is known to the file format, but this crate has no encoder for it.
    #[error("no encoder for type {ty}")]
    NotEncodable {
        /// The wanted type.
        ty: TensorType,
    },
    /// The type is too coarse to be encoded without a guide.
    #[error("type {ty} cannot be encoded without an importance matrix")]
    NoGuide {
        /// The wanted type.
        ty: TensorType,
    },
    /// The guide has not one importance for each column.
    #[error("{found} importances for rows of {cols} weights")]
    GuideLength {
        /// Importances handed over.
        found: usize,
        /// The row length, in elements.
        cols: usize,
    },
    /// An importance is negative, NaN or infinite.
    #[error("importance of column {column} is {value}, expected a finite number of at least 0")]
    Importance {
        /// The first such column.
        column: usize,
        /// The importance itself.
        value: f32,
    },
    /// The lengths handed over do not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A weight is NaN or infinite.
    #[error("weight {index} is {value}, expected a finite number")]
    NonFinite {
        /// Position of the first such weight in the slice, in elements.
        index: usize,
        /// The weight itself.
        value: f32,
    },
    /// A finite weight is too large for the 16-bit float type it is to be stored in.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// The forced CPU level is not available.
    #[error(transparent)]
    Cpu(#[from] CpuError),
}

/// Why rows could not be decoded. The output is unspecified after an error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The type is known to the file format, but this crate has no decoder for it.
    #[error("no decoder for type {ty}")]
    NotDecodable {
        /// The type of the bytes.
        ty: TensorType,
    },
    /// The lengths handed over do not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The forced CPU level is not available.
    #[error(transparent)]
    Cpu(#[from] CpuError),
}

/// Slice lengths, row length and block size that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The row length is zero or not a whole number of blocks.
    #[error("rows of {cols} weights, expected a positive multiple of {block} for type {ty}")]
    Cols {
        /// The block type.
        ty: TensorType,
        /// The row length, in elements.
        cols: usize,
        /// Elements in a block.
        block: usize,
    },
    /// The weights are not a whole number of rows.
    #[error("{found} weights, expected a multiple of the row length {cols}")]
    Rows {
        /// Elements handed over.
        found: usize,
        /// The row length, in elements.
        cols: usize,
    },
    /// The byte slice has not the size of the encoded rows.
    #[error("{found} bytes for {elems} weights of type {ty}, expected {expected}")]
    Bytes {
        /// The block type.
        ty: TensorType,
        /// Elements of all rows.
        elems: usize,
        /// Bytes these take.
        expected: usize,
        /// Bytes handed over.
        found: usize,
    },
}

/// A finite value that rounds to infinity in a 16-bit float type.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("weight {index} is {value:e}, too large for {ty}")]
pub struct Overflow {
    /// Position of the first such value in the slice, in elements.
    pub index: usize,
    /// The value itself.
    pub value: f32,
    /// The type it does not fit.
    pub ty: TensorType,
}
