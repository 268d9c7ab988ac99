//! Importance matrices: how much each column of a weight matrix matters.
//!
//! A weight matters as much as the activation it is multiplied with is large. An importance matrix
//! (imatrix) holds the mean square of every matrix's input, column by column, over a calibration
//! text. Encoders that are given it spend their error where it hurts least.
//!
//! - [`Imatrix`]: the entries of a file by tensor name, and what the file says about the text.
//! - [`Entry`]: the sums of one tensor, a row of them for each of its matrices (experts).
//! - [`TensorStatistics`]: what the importance of a tensor looks like.
//! - [`Error`], [`Problem`]: why a file is refused.
//!
//! # Files
//!
//! Two formats are read and written, and merged with each other. Both are llama.cpp's (`tools/imatrix`, `common/imatrix-loader.cpp`), and
//! the first bytes tell them apart:
//!
//! - **GGUF**: two F32 tensors for each weight, `NAME.in_sum2` (sums of squares, a row for each
//!   matrix) and `NAME.counts` (how many activations each sum is of).
//! - **`.dat`**, the older one: entries one after the other, with one count for each.
//!
//! Files come from strangers: every count is compared with the bytes that are left before anything
//! is allocated for it, and what is not a sum of squares (negative, NaN, infinite) is an error.
//! Memory is that of the file's numbers.
//!
//! This crate knows no models and no encoders. Which tensor an entry is for, and whether it fits,
//! is known where both are at hand: in `aeolus-pipeline`.
//!
//! ```
//! // One entry in the older format: a matrix of two columns, seen in one chunk of text.
//! let mut file = Vec::new();
//! file.extend(1i32.to_le_bytes()); // entries
//! file.extend(13i32.to_le_bytes()); // bytes of the name
//! file.extend(b"output.weight");
//! file.extend(1i32.to_le_bytes()); // count
//! file.extend(2i32.to_le_bytes()); // values
//! file.extend([0.5f32, 4.0].iter().flat_map(|x| x.to_le_bytes()));
//!
//! let imatrix = aeolus_imatrix::Imatrix::parse(&file)?;
//! let entry = imatrix.get("output.weight").unwrap();
//! assert_eq!(entry.importance(0..2), [0.5, 4.0]);
//! # Ok::<(), aeolus_imatrix::Problem>(())
//! ```
#![forbid(unsafe_code)]

mod dat;
mod entry;
mod error;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gguf;
mod imatrix;
mod read;
mod statistics;
#[cfg(test)]
mod tests;
mod write;

pub use entry::Entry;
pub use error::{Error, Problem};
pub use imatrix::{CHUNK_TOKENS, Format, Imatrix};
pub use statistics::{Document, LayerStatistics, TensorStatistics, layer_statistics};
