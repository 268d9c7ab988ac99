//! Q5_0: blocks of 32, one scale, 5-bit quants around 16. 5.5 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   qh  u32           bit i: fifth bit of element i
//! byte 6   qs  16 bytes      byte j: element j in bits 0-3, element j + 16 in bits 4-7
//! ```
//! `x = d * (q - 16)`. The scale maps the value of largest magnitude, sign included, to -16;
//! there is no search. As in ggml's `quantize_row_q5_0_ref`. With a guide there is the symmetric one,
//! as in `quantize_row_q5_0_impl`.

use super::fields::{Fielded, Fields, Geometry, first};
use super::{Block, legacy};
use crate::float16::F16Le;
use crate::search::{Symmetric, fit_signed, guided_weights, signed_extreme, truncate_x86};
use aeolus_gguf::TensorType;

/// One block, 22 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_0 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Fifth bits.
    pub(crate) qh: [u8; 4],
    /// Lower four bits.
    pub(crate) qs: [u8; 16],
}

/// Half of the quants' range.
pub(crate) const HALF: i32 = 16;

impl BlockQ5_0 {
    /// Builds the block from what was found for it under a guide.
    #[inline(always)]
    pub(crate) fn assemble_guided(x: &[f32; 32], found: Symmetric) -> Self {
        let mut q = [0; 32];
        found.quants(HALF, x, &mut q);
        Self {
            d: F16Le::new(found.scale),
            qh: legacy::pack_fifth_bits(&q),
            qs: legacy::pack_nibbles(&q),
        }
    }
}

impl Block<32> for BlockQ5_0 {
    const TYPE: TensorType = TensorType::Q5_0;

    #[inline(always)]
    fn encode(x: &[f32; 32]) -> Self {
        let (extreme, _) = signed_extreme(x);
        let d = extreme / -16.0;
        let inverse = legacy::reciprocal(d);
        let mut q = [0; 32];
        for (q, v) in q.iter_mut().zip(x) {
            *q = (truncate_x86(v * inverse + 16.5) as i8).min(31) as u8;
        }
        Self {
            d: F16Le::new(d),
            qh: legacy::pack_fifth_bits(&q),
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
        let qh = u32::from_le_bytes(self.qh);
        let (low, high) = y.split_at_mut(16);
        for (j, ((low, high), q)) in low.iter_mut().zip(high).zip(self.qs).enumerate() {
            let fifth = [(qh >> j & 1) << 4, (qh >> (j + 16) & 1) << 4];
            let q = [u32::from(q & 0x0f) | fifth[0], u32::from(q >> 4) | fifth[1]];
            *low = (q[0] as i32 - 16) as f32 * d;
            *high = (q[1] as i32 - 16) as f32 * d;
        }
    }
}

impl Fielded<32> for BlockQ5_0 {
    const GEOMETRY: Geometry = legacy::geometry(-16, 15, None);

    fn fields(&self) -> Fields {
        legacy::fields(self.d, &self.qs, self.qh)
    }

    fn of_fields(fields: &Fields) -> Self {
        let codes = first(&fields.codes);
        Self {
            d: F16Le::new(fields.d),
            qh: legacy::pack_fifth_bits(&codes),
            qs: legacy::pack_nibbles(&codes),
        }
    }
}
