//! Q4_0: blocks of 32, one scale, 4-bit quants around 8. 4.5 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   qs  16 bytes      byte j: element j in bits 0-3, element j + 16 in bits 4-7
//! ```
//! `x = d * (q - 8)`. The scale maps the value of largest magnitude, sign included, to -8; there
//! is no search. As in ggml's `quantize_row_q4_0_ref`. With a guide there is the symmetric one, as in
//! `quantize_row_q4_0_impl`.

use super::fields::{Fielded, Fields, Geometry, first};
use super::{Block, legacy};
use crate::float16::F16Le;
use crate::search::{Symmetric, fit_signed, guided_weights, signed_extreme, truncate_x86};
use aeolus_gguf::TensorType;

/// One block, 18 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_0 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Nibbles.
    pub(crate) qs: [u8; 16],
}

/// Half of the quants' range.
pub(crate) const HALF: i32 = 8;

impl BlockQ4_0 {
    /// Builds the block from what was found for it under a guide.
    #[inline(always)]
    pub(crate) fn assemble_guided(x: &[f32; 32], found: Symmetric) -> Self {
        let mut q = [0; 32];
        found.quants(HALF, x, &mut q);
        Self {
            d: F16Le::new(found.scale),
            qs: legacy::pack_nibbles(&q),
        }
    }
}

impl Block<32> for BlockQ4_0 {
    const TYPE: TensorType = TensorType::Q4_0;

    #[inline(always)]
    fn encode(x: &[f32; 32]) -> Self {
        let (extreme, _) = signed_extreme(x);
        let d = extreme / -8.0;
        let inverse = legacy::reciprocal(d);
        // Passing through i8 before the limit is the reference's way: it shows for 1/d = inf.
        let mut q = [0; 32];
        for (q, v) in q.iter_mut().zip(x) {
            *q = (truncate_x86(v * inverse + 8.5) as i8).min(15) as u8;
        }
        Self {
            d: F16Le::new(d),
            qs: legacy::pack_nibbles(&q),
        }
    }

    fn encode_guided(x: &[f32; 32], importance: &[f32; 32], row_mean_square: f32) -> Self {
        let weights = guided_weights(x, importance, row_mean_square);
        Self::assemble_guided(x, fit_signed(HALF, x, &weights))
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 32]) {
        let d = self.d.get();
        let (low, high) = y.split_at_mut(16);
        for ((low, high), q) in low.iter_mut().zip(high).zip(self.qs) {
            *low = (i32::from(q & 0x0f) - 8) as f32 * d;
            *high = (i32::from(q >> 4) - 8) as f32 * d;
        }
    }
}

impl Fielded<32> for BlockQ4_0 {
    const GEOMETRY: Geometry = legacy::geometry(-8, 7, None);

    fn fields(&self) -> Fields {
        legacy::fields(self.d, &self.qs, [0; 4])
    }

    fn of_fields(fields: &Fields) -> Self {
        Self {
            d: F16Le::new(fields.d),
            qs: legacy::pack_nibbles(&first(&fields.codes)),
        }
    }
}
