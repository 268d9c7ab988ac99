//! Q4_K: super-blocks of 256 in 8 sub-blocks of 32, each with a 6-bit scale and minimum, 4-bit
//! quants. 4.5 bits per weight.
//!
//! ```text
//! byte 0    d       f16          factor of the scales
//! byte 2    dmin    f16          factor of the minimums
//! byte 4    scales  12 bytes     8 scales and 8 minimums of 6 bits, see k_scales
//! byte 16   qs      4 x 32 bytes group g, byte l: element 64g + l in bits 0-3,
//!                                element 64g + 32 + l in bits 4-7
//! ```
//! `x = d * scale * q - dmin * min`. The search is the affine one with 21 candidates, weights
//! `rms + |x|` and squared errors; quants are then rounded again under the quantized scales. As
//! in ggml's `quantize_row_q4_K_ref`. With a guide it has 37 candidates, and scales and minimums
//! have a search of their own, as in `quantize_row_q4_K_impl`.

use super::fields::{Fielded, Fields, Geometry, Levels};
use super::k_scales::{self, SuperScales, error_weights, fit_guided, pack_nibbles};
use super::{Block, QK_K};
use crate::float16::F16Le;
use crate::search::{Affine, AffineSearch};
use aeolus_gguf::TensorType;
use std::array;

/// One super-block, 144 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4K {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Factor of the minimums.
    pub(crate) dmin: F16Le,
    /// 6-bit scales and minimums.
    pub(crate) scales: [u8; 12],
    /// Nibbles.
    pub(crate) qs: [u8; 128],
}

/// The search for scale and minimum of a sub-block.
pub(crate) const SEARCH: AffineSearch = AffineSearch {
    q_max: 15,
    first: -1.0,
    delta: 0.1,
    candidates: 21,
    absolute: false,
};

/// The search with a guide.
pub(crate) const GUIDED: AffineSearch = AffineSearch::guided(15);

/// Quantized scales are not limited under a guide; it shows where one was negative.
pub(crate) const SCALE_LIMIT: u8 = u8::MAX;

impl BlockQ4K {
    /// Scale and minimum of a sub-block.
    pub(crate) fn search(x: &[f32; 32]) -> Affine {
        SEARCH.fit(x, &error_weights(x), &mut [0; 32])
    }

    /// Builds the block from the scale and minimum found for each sub-block.
    #[inline(always)]
    pub(crate) fn assemble(x: &[f32; QK_K], found: &[Affine; 8]) -> Self {
        let scales = SuperScales::quantize(found);
        Self::of_codes(&scales.quants(x, &SEARCH), scales)
    }

    /// Builds the block from the scales and minimums found under a guide.
    #[inline(always)]
    pub(crate) fn assemble_guided(
        x: &[f32; QK_K],
        importance: &[f32; QK_K],
        scales: SuperScales,
    ) -> Self {
        Self::of_codes(&scales.guided_quants(x, importance, &GUIDED), scales)
    }

    /// Packs codes of 0 to 15.
    #[inline(always)]
    fn of_codes(q: &[u8; QK_K], scales: SuperScales) -> Self {
        Self {
            d: scales.d,
            dmin: scales.dmin,
            scales: scales.packed(),
            qs: pack_nibbles(q),
        }
    }
}

impl Block<QK_K> for BlockQ4K {
    const TYPE: TensorType = TensorType::Q4_K;

    fn encode(x: &[f32; QK_K]) -> Self {
        let (subs, _) = x.as_chunks::<32>();
        let found = array::from_fn(|j| Self::search(&subs[j]));
        Self::assemble(x, &found)
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let (found, sums) = fit_guided(&GUIDED, x, importance);
        Self::assemble_guided(x, importance, SuperScales::fit(&found, &sums, SCALE_LIMIT))
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let (scales, mins) = k_scales::unpack(&self.scales);
        let (groups, _) = y.as_chunks_mut::<64>();
        let (qs, _) = self.qs.as_chunks::<32>();
        for (g, (y, qs)) in groups.iter_mut().zip(qs).enumerate() {
            let scale = [2 * g, 2 * g + 1].map(|j| d * f32::from(scales[j]));
            let min = [2 * g, 2 * g + 1].map(|j| dmin * f32::from(mins[j]));
            for l in 0..32 {
                y[l] = scale[0] * f32::from(qs[l] & 0x0f) - min[0];
                y[l + 32] = scale[1] * f32::from(qs[l] >> 4) - min[1];
            }
        }
    }
}

impl Fielded<QK_K> for BlockQ4K {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 32,
        levels: Levels::Even {
            lowest: 0,
            highest: 15,
        },
        scales: (0, 63),
        scale_offset: 0.0,
        mins: Some(63),
    };

    fn fields(&self) -> Fields {
        Fields {
            codes: array::from_fn(|i| self.qs[32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2)) & 0x0f),
            ..k_scales::fields(self.d, self.dmin, &self.scales)
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        Self::of_codes(&fields.codes, SuperScales::of_fields(fields))
    }
}
