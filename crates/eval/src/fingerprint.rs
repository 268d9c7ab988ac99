//! What tells one model file from another, without reading gigabytes.

use aeolus_gguf::GgufFile;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Bytes taken from each tensor.
const SAMPLE_BYTES: usize = 4096;

/// SHA-256, as hex, of a model's headers, lengths, and 4 KiB out of the middle of each tensor.
///
/// Two files that differ in metadata, types, shapes or length, or that were quantized
/// differently, differ in it. A file that was changed by hand in some other place need not: it
/// tells which results belong to which file, it does not prove a file's integrity.
pub fn fingerprint(file: &GgufFile) -> String {
    let mut hash = Sha256::new();
    for map in file.maps() {
        hash.update((map.len() as u64).to_le_bytes());
    }
    // The headers lie before the data; one digest of the first file's covers names and metadata.
    if let Some(first) = file.maps().first() {
        let header = usize::try_from(file.header().data_offset).unwrap_or(usize::MAX);
        hash.update(&first.bytes()[..header.min(first.len())]);
    }
    for tensor in file.tensors() {
        hash.update(tensor.name.as_bytes());
        let bytes = file.tensor_bytes(tensor);
        let start = bytes.len().saturating_sub(SAMPLE_BYTES) / 2;
        hash.update(&bytes[start..bytes.len().min(start + SAMPLE_BYTES)]);
    }
    hex(&hash.finalize())
}

/// SHA-256, as hex, of a vocabulary: its pieces in the order of their ids.
pub(crate) fn vocabulary_digest(pieces: &[String]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update((piece.len() as u64).to_le_bytes());
        hash.update(piece.as_bytes());
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A short key of a fingerprint, for records.
pub(crate) fn key(fingerprint: &str) -> u64 {
    u64::from_str_radix(fingerprint.get(..16).unwrap_or(""), 16)
        .unwrap_or_else(|_| crate::checksum::checksum(fingerprint.as_bytes()))
}
