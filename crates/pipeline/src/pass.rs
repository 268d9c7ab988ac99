//! The pass over the source: decode a block once, encode it for every target, write it in place.

use crate::blocks::Block;
use crate::output_file::OutputFile;
use crate::tail::{Done, Tail};
use crate::targets::Target;
use crate::tensor_error::{Collected, ErrorSums};
use crate::tile::Tile;
use crate::{Cancel, Error, Event, Progress, TILE_WEIGHTS, Via};
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::Endian;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What all workers share.
pub(crate) struct Pass<'a> {
    pub checkpoint: &'a Checkpoint,
    pub targets: &'a [Vec<Target>],
    pub blocks: &'a [Block],
    pub files: &'a [OutputFile<'a>],
    /// Bytes of each file that an earlier run made.
    pub known: &'a [u64],
    /// Where the errors of each tensor's targets go, if they are measured.
    pub errors: Option<&'a [Vec<Collected>]>,
    pub tail: &'a Tail,
    /// How many blocks before its turn a block's pages are asked for.
    pub ahead: usize,
    pub progress: &'a dyn Progress,
    pub cancel: &'a Cancel,
    pub next: AtomicUsize,
    pub failure: Mutex<Option<Error>>,
}

/// Lets nobody wait for a worker that panics.
struct StopOnPanic<'a>(&'a Tail);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// One worker's buffers, kept from block to block.
#[derive(Default)]
struct Buffers {
    tile: Vec<f32>,
    /// Source bytes of a big-endian tile, swapped.
    scratch: Vec<u8>,
    /// What errors are measured with: the tile as the source has it, and as a target has it.
    exact: Vec<f32>,
    decoded: Vec<f32>,
}

impl Pass<'_> {
    /// Takes blocks in order until none is left or someone failed.
    pub fn work(&self) {
        let _stop = StopOnPanic(self.tail);
        let mut buffers = Buffers::default();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = self.blocks.get(index) else {
                return;
            };
            if index == 0 {
                self.blocks[..self.ahead.min(self.blocks.len())]
                    .iter()
                    .for_each(|b| self.ask_for(b));
            }
            if let Some(coming) = self.blocks.get(index + self.ahead) {
                self.ask_for(coming);
            }
            let Some(encoded) = self.tail.admit(index) else {
                return;
            };
            match self.forge(block, &mut buffers, encoded) {
                Ok(done) => self.tail.push(index, done),
                Err(error) => return self.fail(error),
            }
        }
    }

    /// Ends the run. The first failure is the cause; later ones may follow from it.
    pub fn fail(&self, error: Error) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.tail.stop();
    }

    fn ask_for(&self, block: &Block) {
        let tensor = &self.checkpoint.tensors[block.tensor];
        for (map, range) in tensor.spans(rows_of(block)) {
            map.will_need(range);
        }
    }

    /// Decodes, encodes and writes one block.
    fn forge(
        &self,
        block: &Block,
        buffers: &mut Buffers,
        mut encoded: Vec<Vec<u8>>,
    ) -> Result<Done, Error> {
        let tensor = &self.checkpoint.tensors[block.tensor];
        let targets = &self.targets[block.tensor];
        let rows = (block.rows.end - block.rows.start) as usize;
        let cols = tensor.shape.cols() as usize;
        let row_bytes: Vec<usize> = targets
            .iter()
            .map(|t| t.ty.row_bytes(cols as u64).unwrap_or(0) as usize)
            .collect();
        // Never shrunk: a norm between two matrices must not cost their buffers.
        if encoded.len() < targets.len() {
            encoded.resize_with(targets.len(), Vec::new);
        }
        for (encoded, bytes) in encoded.iter_mut().zip(&row_bytes) {
            encoded.resize(rows * bytes, 0);
        }
        let wanted: Vec<bool> = targets
            .iter()
            .zip(&row_bytes)
            .map(|(target, bytes)| is_wanted(target, block, *bytes as u64, self.known))
            .collect();

        let decode_needed = targets
            .iter()
            .zip(&wanted)
            .any(|(t, wanted)| *wanted && (!t.copy || self.errors.is_some()));
        let mut errors: Vec<Vec<ErrorSums>> = vec![Vec::new(); targets.len()];
        let tile_rows = (TILE_WEIGHTS / cols.max(1)).max(1);
        for first in (0..rows).step_by(tile_rows) {
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let count = tile_rows.min(rows - first);
            let tile = Tile {
                tensor,
                endian: self.checkpoint.endian,
                first_row: block.rows.start as usize + first,
                rows: count,
                cols,
            };
            if decode_needed {
                tile.decode(&mut buffers.tile, &mut buffers.scratch)?;
            }
            if self.errors.is_some() {
                buffers.exact.clone_from(&buffers.tile);
            }
            let mut rounded = false;
            let unrounded = |t: &Target| t.ty.is_quantized() && !t.copy && t.via == Via::Source;
            let huge = targets.iter().any(unrounded) && tile.is_huge(&buffers.tile);
            for (i, target) in targets.iter().enumerate() {
                if !wanted[i] {
                    continue;
                }
                let bytes = row_bytes[i];
                let out = &mut encoded[i][first * bytes..(first + count) * bytes];
                if target.copy {
                    tile.copy(out)?;
                } else {
                    if target.via == Via::F16 && !rounded {
                        tile.round_through_f16(&mut buffers.tile)?;
                        rounded = true;
                    }
                    tile.encode(target, &buffers.tile, out)?;
                    if huge && unrounded(target) {
                        tile.check_scales(target.ty, &buffers.tile, out)?;
                    }
                }
                if self.errors.is_some() {
                    tile.decode_encoded(target.ty, out, &mut buffers.decoded)?;
                    let pairs = buffers
                        .exact
                        .chunks(cols.max(1))
                        .zip(buffers.decoded.chunks(cols.max(1)));
                    errors[i].extend(pairs.map(|(x, y)| ErrorSums::of(x, y)));
                }
            }
        }
        if let Some(collected) = self.errors {
            for (collected, sums) in collected[block.tensor].iter().zip(&errors) {
                collected.add(block.rows.start as usize, sums);
            }
        }

        let mut pieces = vec![(0, 0); self.files.len()];
        for (i, target) in targets.iter().enumerate() {
            let encoded = &mut encoded[i];
            if target.endian == Endian::Big && wanted[i] {
                aeolus_gguf::swap_rows(target.ty, encoded)
                    .map_err(|e| Error::codec(tensor, e.to_string()))?;
            }
            for (file, offset) in &target.places {
                let offset = offset + block.rows.start * row_bytes[i] as u64;
                pieces[*file] = (i, offset);
                if offset + encoded.len() as u64 > self.known[*file] {
                    self.files[*file].write_at(encoded, offset)?;
                }
            }
        }
        for (map, range) in tensor.spans(rows_of(block)) {
            map.drop_pages(range);
        }
        self.progress.event(Event::Advanced {
            name: &tensor.name,
            count: source_bytes(tensor, block),
            figure: None,
        });
        Ok(Done { encoded, pieces })
    }
}

/// Whether a file lacks bytes of a block in a target's type of `row_bytes` a row. `known` is what
/// each file has.
fn is_wanted(target: &Target, block: &Block, row_bytes: u64, known: &[u64]) -> bool {
    let lacks = |(file, offset): &(usize, u64)| offset + block.rows.end * row_bytes > known[*file];
    target.places.iter().any(lacks)
}

/// Whether any file lacks bytes of a block.
pub(crate) fn is_left(block: &Block, tensor: &Tensor, targets: &[Target], known: &[u64]) -> bool {
    targets.iter().any(|target| {
        let row_bytes = target.ty.row_bytes(tensor.shape.cols()).unwrap_or(0);
        is_wanted(target, block, row_bytes, known)
    })
}

/// Bytes of the source that a block holds.
pub(crate) fn source_bytes(tensor: &Tensor, block: &Block) -> u64 {
    tensor.row_bytes() as u64 * (block.rows.end - block.rows.start)
}

fn rows_of(block: &Block) -> Range<usize> {
    block.rows.start as usize..block.rows.end as usize
}
