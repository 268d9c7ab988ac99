//! MXFP4 weights of a checkpoint, four bits each in blocks of 32 with a scale, as GGUF's MXFP4: the same
//! codes and scales in another order, so that nothing is lost.
//!
//! A checkpoint has two tensors. One holds 16 bytes for each block, weight `2 i` in the low half of byte
//! `i` and weight `2 i + 1` in the high half; the other holds the blocks' scales, a byte each. GGUF's
//! block is the scale and then 16 bytes, weight `i` in the low half and weight `i + 16` in the high half.

use crate::view::View;
use std::borrow::Cow;
use std::ops::Range;

/// Weights of a block.
pub(crate) const WEIGHTS: usize = 32;

/// Bytes of a block's codes.
pub(crate) const CODES: usize = 16;

/// The two tensors of one.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) codes: View,
    pub(crate) scales: View,
}

impl Packed {
    /// Bytes of a row in GGUF.
    pub(crate) fn row_bytes(&self) -> usize {
        self.codes.row_bytes() + self.scales.row_bytes()
    }

    /// Some rows as GGUF has them, one by one.
    pub(crate) fn rows(&self, rows: Range<usize>) -> impl Iterator<Item = Cow<'_, [u8]>> {
        rows.map(|row| {
            let codes = self
                .codes
                .rows(row..row + 1)
                .flat_map(|run| run.into_owned());
            let scales = self
                .scales
                .rows(row..row + 1)
                .flat_map(|run| run.into_owned());
            let (codes, scales): (Vec<u8>, Vec<u8>) = (codes.collect(), scales.collect());
            let blocks = codes.chunks_exact(CODES).zip(scales);
            Cow::Owned(
                blocks
                    .flat_map(|(codes, scale)| block(codes, scale))
                    .collect(),
            )
        })
    }
}

/// A block as GGUF has it.
fn block(codes: &[u8], scale: u8) -> [u8; 1 + CODES] {
    let code = |weight: usize| codes[weight / 2] >> (4 * (weight % 2)) & 0xf;
    std::array::from_fn(|byte| match byte {
        0 => scale,
        byte => code(byte - 1) | (code(byte - 1 + WEIGHTS / 2) << 4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_block_change_places() {
        // Weight i has code i % 16.
        let codes: Vec<u8> = (0..16)
            .map(|i| ((2 * i) % 16) | (((2 * i + 1) % 16) << 4))
            .collect();
        let block = block(&codes, 127);
        assert_eq!(block[0], 127);
        for i in 0..16 {
            assert_eq!(block[1 + i], (i as u8) | ((i as u8) << 4), "{i}");
        }
    }
}
