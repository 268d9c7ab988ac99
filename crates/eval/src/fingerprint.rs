//! What tells one model file from another.

use aeolus_gguf::{GgufFile, TensorInfo};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// SHA-256, as hex, of a model's headers, lengths, and of the SHA-256 of each tensor.
///
/// All weights are read, on the threads of the calling pool: results that are kept for hours of
/// work are only those of a file if no byte of it differs.
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
    let digest = |tensor: &TensorInfo| Sha256::digest(file.tensor_bytes(tensor));
    let digests: Vec<_> = file.tensors().par_iter().map(digest).collect();
    for (tensor, digest) in file.tensors().iter().zip(digests) {
        hash.update(tensor.name.as_bytes());
        hash.update(digest);
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
