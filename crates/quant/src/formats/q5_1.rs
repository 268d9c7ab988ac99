//! Q5_1: blocks of 32, scale and minimum, 5-bit quants. 6 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   m   f16           minimum
//! byte 4   qh  u32           bit i: fifth bit of element i
//! byte 8   qs  16 bytes      byte j: element j in bits 0-3, element j + 16 in bits 4-7
//! ```
//! `x = d * q + m`. The range of the block is cut in 31 steps; there is no search. As in ggml's
//! `quantize_row_q5_1_ref`. With a guide there is the affine one, as in `quantize_row_q5_1_impl`.

use super::fields::{Fielded, Fields, Geometry, first};
use super::{Block, legacy};
use crate::float16::F16Le;
use crate::search::{Affine, AffineSearch, guided_weights, truncate_x86};
use aeolus_gguf::TensorType;

/// One block, 24 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_1 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Minimum.
    pub(crate) m: F16Le,
    /// Fifth bits.
    pub(crate) qh: [u8; 4],
    /// Lower four bits.
    pub(crate) qs: [u8; 16],
}

/// The search with a guide.
pub(crate) const GUIDED: AffineSearch = AffineSearch::guided(31);

impl BlockQ5_1 {
    /// Builds the block from what was found for it under a guide.
    #[inline(always)]
    pub(crate) fn of_quants(found: Affine, q: &[u8; 32]) -> Self {
        Self {
            d: F16Le::new(found.scale),
            m: F16Le::new(-found.min),
            qh: legacy::pack_fifth_bits(q),
            qs: legacy::pack_nibbles(q),
        }
    }
}

impl Block<32> for BlockQ5_1 {
    const TYPE: TensorType = TensorType::Q5_1;

    #[inline(always)]
    fn encode(x: &[f32; 32]) -> Self {
        let (min, max) = legacy::range(x);
        let d = (max - min) / 31.0;
        let inverse = legacy::reciprocal(d);
        // No upper limit in the reference: 31 is never exceeded, and wild values wrap.
        let mut q = [0; 32];
        for (q, v) in q.iter_mut().zip(x) {
            *q = truncate_x86((v - min) * inverse + 0.5) as u8;
        }
        Self {
            d: F16Le::new(d),
            m: F16Le::new(min),
            qh: legacy::pack_fifth_bits(&q),
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
        let qh = u32::from_le_bytes(self.qh);
        let (low, high) = y.split_at_mut(16);
        for (j, ((low, high), q)) in low.iter_mut().zip(high).zip(self.qs).enumerate() {
            let fifth = [(qh >> j & 1) << 4, (qh >> (j + 16) & 1) << 4];
            let q = [u32::from(q & 0x0f) | fifth[0], u32::from(q >> 4) | fifth[1]];
            *low = q[0] as i32 as f32 * d + m;
            *high = q[1] as i32 as f32 * d + m;
        }
    }
}

impl Fielded<32> for BlockQ5_1 {
    const GEOMETRY: Geometry = legacy::geometry(0, 31, Some(1));

    fn fields(&self) -> Fields {
        Fields {
            dmin: -self.m.get(),
            mins: [1; 16],
            ..legacy::fields(self.d, &self.qs, self.qh)
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let codes = first(&fields.codes);
        Self {
            d: F16Le::new(fields.d),
            m: F16Le::new(-fields.dmin),
            qh: legacy::pack_fifth_bits(&codes),
            qs: legacy::pack_nibbles(&codes),
        }
    }
}
