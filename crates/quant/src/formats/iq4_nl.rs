//! IQ4_NL: blocks of 32, one scale, 4-bit quants that are indices of 16 uneven levels. 4.5 bits per
//! weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   qs  16 bytes      byte j: element j in bits 0-3, element j + 16 in bits 4-7
//! ```
//! `x = d * LEVELS[q]`. The search is that of levels, with weights `x²`, or with a guide importance
//! times `sqrt(2 mean(x²) + x²)`, the mean over the block. As in ggml's `quantize_iq4_nl`, not as in
//! its `quantize_row_iq4_nl_ref`, which has no search and is not what quantizes files.

use super::fields::{Fielded, Fields, Geometry, Levels, first};
use super::{Block, legacy};
use crate::float16::F16Le;
use crate::search::{
    LEVELS, LEVELS_F32, fit_levels, guided_weights, nearest_level, sum_of_squares,
};
use aeolus_gguf::TensorType;

/// One block, 18 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ4NL {
    /// Scale.
    pub(crate) d: F16Le,
    /// Nibbles.
    pub(crate) qs: [u8; 16],
}

/// Indices of the levels nearest to the values of 32 elements times `inverse`, as nibbles. Shared
/// with IQ4_XS.
#[inline(always)]
pub(super) fn pack_levels(x: &[f32; 32], inverse: f32) -> [u8; 16] {
    let mut q = [0; 32];
    for (q, v) in q.iter_mut().zip(x) {
        *q = nearest_level(inverse * v);
    }
    legacy::pack_nibbles(&q)
}

/// The values of nibbles. Shared with IQ4_XS.
#[inline(always)]
pub(super) fn unpack_levels(qs: &[u8; 16], scale: f32, y: &mut [f32; 32]) {
    let (low, high) = y.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(qs) {
        *low = scale * f32::from(LEVELS[usize::from(q & 0x0f)]);
        *high = scale * f32::from(LEVELS[usize::from(q >> 4)]);
    }
}

impl BlockIQ4NL {
    /// The factor that makes a sum of squares the level of [`guided_weights`].
    pub(crate) const LEVEL: f32 = 2.0 / 32.0;

    /// Builds the block from the scale found.
    #[inline(always)]
    pub(crate) fn assemble(x: &[f32; 32], &[scale]: &[f32; 1]) -> Self {
        Self {
            d: F16Le::new(scale),
            qs: pack_levels(x, legacy::reciprocal(scale)),
        }
    }
}

impl Block<32> for BlockIQ4NL {
    const TYPE: TensorType = TensorType::IQ4_NL;

    fn encode(x: &[f32; 32]) -> Self {
        Self::assemble(x, &[fit_levels(x, &x.map(|v| v * v))])
    }

    fn encode_guided(x: &[f32; 32], importance: &[f32; 32], _: f32) -> Self {
        let weights = guided_weights(x, importance, sum_of_squares(x) * Self::LEVEL);
        Self::assemble(x, &[fit_levels(x, &weights)])
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 32]) {
        unpack_levels(&self.qs, self.d.get(), y);
    }
}

impl Fielded<32> for BlockIQ4NL {
    const GEOMETRY: Geometry = Geometry {
        levels: Levels::Uneven(&LEVELS_F32),
        ..legacy::geometry(0, 0, None)
    };

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
