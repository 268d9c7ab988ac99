//! One safetensors file: a strict check of its header, then its tensors by the `safetensors`
//! crate over the map.
//!
//! ```text
//! offset 0      header length n, u64 little-endian
//! offset 8      header: n bytes of JSON, {"name": {"dtype", "shape", "data_offsets"}, ...}
//! offset 8 + n  data: the tensors' bytes; data_offsets count from here
//! ```
//!
//! The crate's own reading is not enough for files from outside: the last of two equal names
//! wins silently, sums of offsets can overflow (a panic in checked builds), and a truncated file
//! is reported without its sizes. So the header is checked here first, entry by entry while it
//! is parsed, and the crate only sees headers that passed.

mod header;

use crate::{Error, Limits};
use ::safetensors::{Dtype, SafeTensors};
use aeolus_source::{Class, Map, refuse_other_kinds};
use std::ops::Range;
use std::path::Path;

/// A tensor of a safetensors file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    /// Row length last.
    pub(crate) shape: Vec<u64>,
    /// Bytes of the file.
    pub(crate) range: Range<usize>,
}

/// Bytes of the length before the header.
const PREFIX_BYTES: usize = 8;

/// The tensors of a file, in the order of their offsets.
///
/// # Errors
/// [`Error::Header`] for a malformed header, [`Error::Size`] for a file that is not as long as
/// its header says, [`Error::Limit`] for a header beyond the limits.
pub(crate) fn read(map: &Map, limits: &Limits) -> Result<Vec<Entry>, Error> {
    entries(map.path(), map.bytes(), limits)
}

/// The same of the bytes of a file.
pub(crate) fn entries(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, Error> {
    refuse_other_kinds(path, bytes, "a safetensors file", &[Class::Safetensors])?;
    let header_bytes = header::check(path, bytes, limits)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| Error::header(path, format!("the safetensors crate says: {error}")))?;
    let data = PREFIX_BYTES + header_bytes;
    let mut entries = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else {
            continue;
        };
        entries.push(Entry {
            dtype: info.dtype,
            shape: info.shape.iter().map(|&dim| dim as u64).collect(),
            range: data + info.data_offsets.0..data + info.data_offsets.1,
            name,
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::file as test_file;
