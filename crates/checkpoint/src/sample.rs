//! What tells one model's weights from another's without reading all of them.

use crate::{Checkpoint, Tensor};
use aeolus_source::hex;
use sha2::{Digest, Sha256};

/// Bytes of a piece.
const PIECE: usize = 4096;

/// Pieces of a tensor; one with no more bytes than these is taken whole.
const PIECES: usize = 8;

impl Checkpoint {
    /// SHA-256, in hex, of the names, types and shapes of all tensors and of a sample of their bytes: up to
    /// 8 pieces of 4 KiB of each, from its first byte to its last. Another training, however short, changes
    /// nearly all weights, and so this; a single changed weight need not. The order of tensors, and in
    /// which files they are, does not matter.
    pub fn weights_sample(&self) -> String {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        let number = |hash: &mut Sha256, n: usize| hash.update((n as u64).to_le_bytes());
        for tensor in tensors {
            number(&mut hash, tensor.name.len());
            hash.update(&tensor.name);
            hash.update(tensor.ty.name());
            let len = tensor.size_bytes() as usize;
            for &dim in tensor.shape.dims() {
                hash.update(dim.to_le_bytes());
            }
            number(&mut hash, len);
            match len <= PIECE * PIECES {
                true => hash.update(tensor.to_bytes()),
                false => {
                    let last = len - PIECE;
                    for piece in 0..PIECES {
                        let start = last / (PIECES - 1) * piece;
                        hash.update(bytes_from(tensor, start));
                    }
                    hash.update(bytes_from(tensor, last));
                }
            }
        }
        hex(&hash.finalize())
    }
}

/// A piece of the bytes of a tensor, from `start` on.
fn bytes_from(tensor: &Tensor, start: usize) -> Vec<u8> {
    let row = tensor.row_bytes();
    let first = start / row;
    let rows = tensor.rows(first..(start + PIECE).div_ceil(row));
    let bytes = rows.flat_map(|row| row.into_owned());
    bytes.skip(start - first * row).take(PIECE).collect()
}

#[cfg(test)]
mod tests {
    use crate::OpenOptions;
    use std::path::Path;

    #[test]
    fn other_weights_and_only_those_have_another_sample() {
        let dir = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/notus-mini");
        for entry in std::fs::read_dir(&fixture).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        let sample = |folder: &Path| {
            let checkpoint = crate::open(folder, &OpenOptions::default()).unwrap();
            checkpoint.weights_sample()
        };
        let of_fixture = sample(&fixture);
        assert_eq!(
            sample(dir.path()),
            of_fixture,
            "the folder's name does not matter"
        );
        let shard = dir.path().join("model-00002-of-00002.safetensors");
        let mut bytes = std::fs::read(&shard).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&shard, bytes).unwrap();
        assert_ne!(sample(dir.path()), of_fixture);
    }
}
