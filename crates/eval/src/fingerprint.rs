//! What tells one model file from another.

use aeolus_gguf::GgufFile;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Bytes that are hashed at once: enough pieces of them for any number of threads.
const PIECE: usize = 4 << 20;

/// SHA-256, as hex, of the lengths of a model's files and of the SHA-256 of each piece of them.
///
/// All bytes are read, on the threads of the calling pool: results that are kept for hours of work
/// are only those of a file if no byte of it differs.
pub fn fingerprint(file: &GgufFile) -> String {
    let mut hash = Sha256::new();
    for map in file.maps() {
        let pieces = map.bytes().par_chunks(PIECE);
        let digests: Vec<_> = pieces.map(Sha256::digest).collect();
        hash.update((map.len() as u64).to_le_bytes());
        digests.iter().for_each(|digest| hash.update(digest));
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
