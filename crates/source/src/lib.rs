//! Bytes from outside, the ground floor.
//!
//! Weights are read through memory maps, so that nobody copies them and the kernel decides
//! what stays in memory; outputs are written at known offsets by any thread. This crate is the
//! safe face over those calls and the only one, besides the kernels of `aeolus-quant`, that may
//! use `unsafe`.
//!
//! - [`Map`]: a whole file, read-only, with advice to the kernel about what comes next.
//! - [`write_at`], [`read_at`], [`available_bytes`]: positioned writes, the space left on a disk.
//! - [`read_small`]: a file that is read whole, within a bound; [`read_pieces`]: one that is read from
//!   its beginning to its end. [`hex`]: a digest of it as text.
//! - [`count_json_values`]: what a JSON text would take, before it is read; [`standard_json`]: the
//!   same text without what only Python takes for JSON.
//! - [`what_is`]: what a file is that is not what its name promises.
//! - [`FileId`]: whether two paths or handles are one file.
//!
//! # What happens when a mapped file changes
//!
//! A map shows the file as it is, not as it was. If another program shortens the file, touching
//! a page past the new end raises `SIGBUS`, which ends the process: without a word, or after
//! `report_lost_pages` with one that names the file. If it rewrites bytes, they change under the
//! reader. [`Map::verify_unchanged`] compares size and modification time with
//! those at opening, so that a long job can tell that its source changed before it trusts the
//! result.
//!
//! ```
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("weights.bin");
//! std::fs::write(&path, [1, 2, 3])?;
//! let map = aeolus_source::Map::open(&path)?;
//! assert_eq!(map.bytes(), [1, 2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod disk;
mod error;
mod json;
mod kind;
mod lost;
mod map;
mod small;

pub use disk::{FileId, available_bytes, read_at, write_at};
pub use error::Error;
pub use json::{PYTHON_NUMBERS, count_json_values, standard_json};
pub use kind::{Class, Kind, refuse_other_kinds, what_is};
#[cfg(unix)]
pub use lost::report_lost_pages;
pub use map::Map;
pub use small::{hex, read_pieces, read_small};
