//! What tells one model file from another.

use crate::Error;
use aeolus_gguf::GgufFile;
use aeolus_infer::Runtime;
use aeolus_job::{Cancel, checksum};
use aeolus_source::hex;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Bytes that a thread hashes at once; an interrupt ends between them.
const PIECE: usize = 4 << 20;

/// Bytes between two calls that tell of them: pieces for 64 threads, more than a disk keeps busy.
const BLOCK: usize = 64 * PIECE;

/// SHA-256, as hex, of the lengths of a model's files and of the SHA-256 of each piece of them.
///
/// All bytes are read, on the threads of `runtime`: results that are kept for hours of work are only
/// those of a file if no byte of it differs. `read` is told how many bytes were.
///
/// # Errors
/// [`Error::Cancelled`].
pub fn fingerprint(
    file: &GgufFile,
    runtime: &Runtime,
    cancel: &Cancel,
    mut read: impl FnMut(u64),
) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let digest = |piece: &[u8]| (!cancel.is_set()).then(|| Sha256::digest(piece));
    for map in file.maps() {
        hash.update((map.len() as u64).to_le_bytes());
        for block in map.bytes().chunks(BLOCK) {
            let digests = || block.par_chunks(PIECE).map(digest).collect();
            let digests: Option<Vec<_>> = runtime.install(digests);
            let digests = digests.ok_or(Error::Cancelled)?;
            digests.iter().for_each(|digest| hash.update(digest));
            read(block.len() as u64);
        }
    }
    Ok(hex(&hash.finalize()))
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

/// A short key of a fingerprint, for records.
pub(crate) fn key(fingerprint: &str) -> u64 {
    u64::from_str_radix(fingerprint.get(..16).unwrap_or(""), 16)
        .unwrap_or_else(|_| checksum(fingerprint.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_gguf::{Endian, HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType};
    use std::path::{Path, PathBuf};

    /// Writes one of two shards.
    fn shard(folder: &Path, number: u16) -> PathBuf {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", "llama");
        metadata.insert("split.no", number);
        metadata.insert("split.count", 2_u16);
        metadata.insert("split.tensors.count", 2_i32);
        let layout = Layout::new(HeaderSpec {
            version: 3,
            endian: Endian::Little,
            metadata,
            tensors: vec![TensorSpec {
                name: format!("t{number}"),
                shape: Shape::from_gguf(&[32, 3]).unwrap(),
                ty: TensorType::Q8_0,
            }],
        })
        .unwrap();
        let mut bytes = layout.encode_header();
        bytes.resize(usize::try_from(layout.file_bytes()).unwrap(), 0);
        let path = folder.join(format!("m-{:05}-of-00002.gguf", number + 1));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn every_byte_of_every_shard_counts() {
        let dir = tempfile::tempdir().unwrap();
        let shards = [shard(dir.path(), 0), shard(dir.path(), 1)];
        let runtime = crate::runtime(2, crate::Numeric::Exact).unwrap();
        let found = || {
            let mut bytes = 0;
            let file = GgufFile::open(&shards[0]).unwrap();
            let found = fingerprint(&file, &runtime, &Cancel::new(), |more| bytes += more);
            let all = shards.iter().map(|path| path.metadata().unwrap().len());
            assert_eq!(bytes, all.sum::<u64>());
            found.unwrap()
        };
        let first = found();
        for path in &shards {
            let whole = std::fs::read(path).unwrap();
            // The architecture's last letter, which no tensor has, and the last byte of data.
            let name = whole.windows(5).position(|five| five == b"llama").unwrap();
            for place in [name + 4, whole.len() - 1] {
                let mut other = whole.clone();
                other[place] ^= 1;
                std::fs::write(path, other).unwrap();
                assert_ne!(found(), first, "byte {place} of {}", path.display());
            }
            std::fs::write(path, whole).unwrap();
        }
        assert_eq!(found(), first);
    }

    #[test]
    fn an_interrupt_ends_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let shards = [shard(dir.path(), 0), shard(dir.path(), 1)];
        let runtime = crate::runtime(1, crate::Numeric::Exact).unwrap();
        let cancel = Cancel::new();
        cancel.set();
        let file = GgufFile::open(&shards[0]).unwrap();
        let found = fingerprint(&file, &runtime, &cancel, |_| panic!("nothing was read"));
        assert!(matches!(found, Err(Error::Cancelled)), "{found:?}");
    }
}
