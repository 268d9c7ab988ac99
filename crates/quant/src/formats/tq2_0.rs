//! TQ2_0: super-blocks of 256, one scale, the integers -1, 0 and 1 in two bits. 2.0625 bits per
//! weight.
//!
//! ```text
//! byte 0    qs  2 x 32 bytes half h, byte l: elements 128h + l, + 32, + 64, + 96 in bits 0-1, 2-3,
//!                            4-5, 6-7
//! byte 64   d   f16          scale
//! ```
//! `x = d * (q - 1)`. The largest magnitude is the scale; there is no search. As in ggml's
//! `quantize_row_tq2_0_ref`; for the ternary weights of BitNet and TriLM.

use super::q2_k::pack_pairs;
use super::tq1_0::trit;
use super::{Block, QK_K, legacy, magnitude};
use crate::float16::F16Le;
use aeolus_gguf::TensorType;

/// One super-block, 66 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockTQ2_0 {
    /// Four quants in a byte.
    pub(crate) qs: [u8; 64],
    /// Scale.
    pub(crate) d: F16Le,
}

impl Block<QK_K> for BlockTQ2_0 {
    const TYPE: TensorType = TensorType::TQ2_0;

    #[inline(always)]
    fn encode(x: &[f32; QK_K]) -> Self {
        let d = magnitude(x);
        let inverse = legacy::reciprocal(d);
        let mut trits = [0; QK_K];
        for (t, v) in trits.iter_mut().zip(x) {
            *t = trit(v * inverse);
        }
        Self {
            qs: pack_pairs(&trits),
            d: F16Le::new(d),
        }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let d = self.d.get();
        let (halves, _) = y.as_chunks_mut::<128>();
        for (y, qs) in halves.iter_mut().zip(self.qs.as_chunks::<32>().0) {
            for (l, q) in qs.iter().enumerate() {
                for plane in 0..4 {
                    y[l + 32 * plane] = (i32::from(q >> (2 * plane) & 3) - 1) as f32 * d;
                }
            }
        }
    }
}
