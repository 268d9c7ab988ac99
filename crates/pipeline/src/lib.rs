//! Checkpoint and recipes to GGUF files: the forge.
//!
//! A run has two halves, and the first needs no weight:
//!
//! 1. [`Output::plan`] turns shapes, a recipe and a container format into everything that can be
//!    known beforehand: the type, bytes and offset of each tensor, the header, the file's exact
//!    length. A forecast stops here.
//! 2. [`run`] walks the source once, in blocks of rows. A block is decoded to f32 in a buffer
//!    that stays in the cache, encoded once for each *distinct* block type and [guide](Guide), however
//!    many outputs want it, and written to its known offsets. A whole table costs as much as its
//!    distinct types, not as its files.
//!
//! # Memory
//!
//! The source is mapped, never copied. Anonymous memory is one tile of f32 weights
//! ([`TILE_WEIGHTS`] or one row) per thread, plus the encoded work blocks that are being made or
//! wait to be hashed, at most 160 MiB for all threads together, plus the outputs' headers and the
//! numbers of an importance matrix. It does not grow with the model.
//!
//! # What is promised
//!
//! - An output has its name only when it is complete and synced; before that it is
//!   `NAME.partial`, with a [log](aeolus_job::Log) of what is finished, from which the same command
//!   continues.
//! - Digests of the outputs are in their folder's `SHA256SUMS`, taken as they were written.
//! - Bytes depend on the source's values, the plan and the guide alone: not on the number of threads,
//!   the size of blocks, the processor, or on what else is written in the same run.
//! - A source that changes during the run is noticed, and nothing gets its name.

#![forbid(unsafe_code)]

mod blocks;
mod codes;
mod error;
mod forge;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guide;
mod output;
mod output_file;
mod pass;
mod prefix;
mod preflight;
mod recorder;
mod sums;
mod tail;
mod targets;
mod tensor_error;
#[cfg(test)]
mod tests;
mod tile;

pub use aeolus_job::{Cancel, Event, Progress};
pub use codes::{
    Codes, REFINE_CALIBRATION_KEY, REFINE_EFFORT_KEY, REFINE_KEYS, REFINE_MARKS_KEY,
    REFINE_NORMS_KEY,
};
pub use error::Error;
pub use forge::{Options, TILE_WEIGHTS, Via, Written, run};
pub use guide::{Blind, Coverage, Guide, IMATRIX_FILE_KEY, TensorGuide};
pub use output::{Format, Output};
pub use sums::{Listed, SUMS, Sum, Sums, check_lists, sha256};
pub use tensor_error::{ErrorSums, TensorError, worst_first};
