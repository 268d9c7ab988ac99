//! Q2_0: blocks of 64, one scale, the integers -1 to 2. 2.25 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   qs  16 bytes      byte i: elements 4i to 4i + 3 in bits 0-1, 2-3, 4-5, 6-7
//! ```
//! `x = d * (q - 1)`. The largest magnitude is the scale, so that the encoder never writes a 3; there
//! is no search. As in ggml's `quantize_row_q2_0_ref`.

use super::{Block, legacy, magnitude};
use crate::float16::F16Le;
use crate::search::truncate_x86;
use aeolus_gguf::TensorType;

/// One block, 18 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ2_0 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Quants.
    pub(crate) qs: [u8; 16],
}

impl Block<64> for BlockQ2_0 {
    const TYPE: TensorType = TensorType::Q2_0;

    #[inline(always)]
    fn encode(x: &[f32; 64]) -> Self {
        let d = magnitude(x);
        let inverse = legacy::reciprocal(d);
        let mut qs = [0u8; 16];
        for (q, x) in qs.iter_mut().zip(x.as_chunks::<4>().0) {
            for (j, v) in x.iter().enumerate() {
                let l = truncate_x86((v * inverse).round()).wrapping_add(1);
                *q |= (l.clamp(0, 3) as u8) << (2 * j);
            }
        }
        Self {
            d: F16Le::new(d),
            qs,
        }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 64]) {
        let d = self.d.get();
        for (y, q) in y.as_chunks_mut::<4>().0.iter_mut().zip(self.qs) {
            for (j, y) in y.iter_mut().enumerate() {
                *y = (i32::from(q >> (2 * j) & 3) - 1) as f32 * d;
            }
        }
    }
}
