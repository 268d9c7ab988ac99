//! Q4_1: blocks of 32, scale and minimum, 4-bit quants. 5 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   m   f16           minimum
//! byte 4   qs  16 bytes      byte j: element j in bits 0-3, element j + 16 in bits 4-7
//! ```
//! `x = d * q + m`. The range of the block is cut in 15 steps; there is no search. As in ggml's
//! `quantize_row_q4_1_ref`. With a guide there is the affine one, as in `quantize_row_q4_1_impl`.

use super::fields::{Fielded, Fields, Geometry, first};
use super::{Block, legacy};
use crate::float16::F16Le;
use crate::search::{Affine, AffineSearch, guided_weights, truncate_x86};
use aeolus_gguf::TensorType;

/// One block, 20 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_1 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Minimum.
    pub(crate) m: F16Le,
    /// Nibbles.
    pub(crate) qs: [u8; 16],
}

/// The search with a guide.
pub(crate) const GUIDED: AffineSearch = AffineSearch::guided(15);

impl BlockQ4_1 {
    /// Builds the block from what was found for it under a guide.
    #[inline(always)]
    pub(crate) fn of_quants(found: Affine, q: &[u8; 32]) -> Self {
        Self {
            d: F16Le::new(found.scale),
            m: F16Le::new(-found.min),
            qs: legacy::pack_nibbles(q),
        }
    }
}

impl Block<32> for BlockQ4_1 {
    const TYPE: TensorType = TensorType::Q4_1;

    #[inline(always)]
    fn encode(x: &[f32; 32]) -> Self {
        let (min, max) = legacy::range(x);
        let d = (max - min) / 15.0;
        let inverse = legacy::reciprocal(d);
        let mut q = [0; 32];
        for (q, v) in q.iter_mut().zip(x) {
            *q = (truncate_x86((v - min) * inverse + 0.5) as i8).min(15) as u8;
        }
        Self {
            d: F16Le::new(d),
            m: F16Le::new(min),
            qs: legacy::pack_nibbles(&q),
        }
    }

    fn encode_guided(x: &[f32; 32], importance: &[f32; 32], row_mean_square: f32) -> Self {
        let weights = guided_weights(x, importance, row_mean_square);
        let mut q = [0; 32];
        Self::of_quants(GUIDED.fit(x, &weights, &mut q), &q)
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 32]) {
        let (d, m) = (self.d.get(), self.m.get());
        let (low, high) = y.split_at_mut(16);
        for ((low, high), q) in low.iter_mut().zip(high).zip(self.qs) {
            *low = i32::from(q & 0x0f) as f32 * d + m;
            *high = i32::from(q >> 4) as f32 * d + m;
        }
    }
}

impl Fielded<32> for BlockQ4_1 {
    const GEOMETRY: Geometry = legacy::geometry(0, 15, Some(1));

    fn fields(&self) -> Fields {
        Fields {
            dmin: -self.m.get(),
            mins: [1; 16],
            ..legacy::fields(self.d, &self.qs, [0; 4])
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        Self {
            d: F16Le::new(fields.d),
            m: F16Le::new(-fields.dmin),
            qs: legacy::pack_nibbles(&first(&fields.codes)),
        }
    }
}
