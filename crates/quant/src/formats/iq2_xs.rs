//! IQ2_XS: super-blocks of 256 in 16 sub-blocks of 16, each with a 4-bit scale; groups of eight as
//! points of a codebook of 512, with an even number of signs. 2.3125 bits per weight.
//!
//! ```text
//! byte 0    d       f16        factor of the scales
//! byte 2    qs      32 x u16   group k: point in bits 0-8, seven signs in bits 9-15
//! byte 66   scales  8 bytes    byte j: sub-block 2j in bits 0-3, 2j + 1 in bits 4-7
//! ```
//! `x = ±d * (scale + 1/2) / 4 * VALUES[digit]`; the eighth sign makes their number even. Errors weigh
//! importance times `sqrt(mean(x²) + x²)`. It needs a guide. As in ggml's `quantize_row_iq2_xs_impl`.

use super::codebook::{self, Codebook, Points};
use super::fields::{Fielded, Fields, Geometry, Levels};
use super::grids::IQ2_XS;
use super::iq_signs::{
    apply, complete, largest_finite, nibble_scales, nibbles, pack_nibbles, split_even,
};
use super::iq2_xxs::VALUES;
use super::{Block, QK_K, Weighted};
use crate::float16::F16Le;
use crate::search::{
    Again, GROUP_MAX_EPS, GridFit, GridSearch, GridTask, guided_weights, sum_of_squares,
};
use aeolus_gguf::TensorType;

/// One super-block, 74 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ2XS {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Points and signs, little-endian.
    pub(crate) qs: [[u8; 2]; 32],
    /// Scales.
    pub(crate) scales: [u8; 8],
}

/// The search for the scale of a sub-block. Shared with IQ2_S.
pub(super) const SEARCH: GridSearch = GridSearch {
    trials: 9,
    delta: 0.1,
    again: Again::OffGrid,
};

impl Weighted for BlockIQ2XS {
    #[inline(always)]
    fn weights(x: &[f32; QK_K], importance: Option<&[f32; QK_K]>) -> [f32; QK_K] {
        let level = sum_of_squares(x) / QK_K as f32;
        guided_weights(x, importance.unwrap_or(&[1.0; QK_K]), level)
    }
}

impl BlockIQ2XS {
    /// Encodes with the weights of errors and a search for sub-blocks.
    #[inline(always)]
    pub(crate) fn encode_weighted(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        fit: impl Fn(&GridTask<'_, 8, 16>) -> GridFit,
    ) -> Self {
        let (mut qs, mut found_scales) = ([[0; 2]; 32], [0.0f32; 16]);
        let subs = x
            .as_chunks::<16>()
            .0
            .iter()
            .zip(weights.as_chunks::<16>().0);
        let places = qs.as_chunks_mut::<2>().0.iter_mut().zip(&mut found_scales);
        for ((x, weights), (qs, scale)) in subs.zip(places) {
            let (magnitudes, mut signs) = split_even(x, weights);
            let max = largest_finite(&magnitudes);
            let found = match max < GROUP_MAX_EPS {
                true => GridFit::default(),
                false => fit(&GridTask {
                    search: SEARCH,
                    grid: &IQ2_XS,
                    x: &magnitudes,
                    weights,
                    largest: max,
                    scale: max / 5.0,
                }),
            };
            *scale = found.scale;
            if max < GROUP_MAX_EPS {
                continue;
            }
            if found.scale < 0.0 {
                *scale = -found.scale;
                signs = signs.map(|s| !s);
            }
            for ((q, point), sign) in qs.iter_mut().zip(found.points).zip(signs) {
                *q = (point | (u16::from(sign & 127) << 9)).to_le_bytes();
            }
        }
        match nibble_scales(&found_scales) {
            None => bytemuck::Zeroable::zeroed(),
            Some((d, scales)) => Self {
                d: F16Le::new(d),
                qs,
                scales,
            },
        }
    }
}

impl Block<QK_K> for BlockIQ2XS {
    const TYPE: TensorType = TensorType::IQ2_XS;
    const NEEDS_GUIDE: bool = true;

    fn encode(x: &[f32; QK_K]) -> Self {
        Self::encode_weighted(x, &Self::weights(x, None), |task| task.fit())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        Self::encode_weighted(x, &Self::weights(x, Some(importance)), |task| task.fit())
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        let groups = y.as_chunks_mut::<8>().0.iter_mut().zip(self.qs);
        for (k, (y, q)) in groups.enumerate() {
            let q = u16::from_le_bytes(q);
            let scale = self.scales[k / 4] >> (4 * (k / 2 % 2)) & 0x0f;
            let scale = self.d.get() * (0.5 + f32::from(scale)) * 0.25;
            let signs = complete(u32::from(q >> 9));
            for (i, (y, digit)) in y.iter_mut().zip(IQ2_XS.point(q & 511)).enumerate() {
                *y = apply(scale * VALUES[usize::from(*digit)], signs, i);
            }
        }
    }
}

impl Fielded<QK_K> for BlockIQ2XS {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 16,
        levels: Levels::Points(Codebook::of_eight(Points::IQ2XS, true)),
        scales: (0, 15),
        scale_offset: 0.5,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let word = |k: usize| u16::from_le_bytes(self.qs[k]);
        let signs = |k: usize| complete(u32::from(word(k) >> 9));
        Fields {
            d: self.d.get(),
            scales: nibbles(&self.scales),
            codes: codebook::codes(&IQ2_XS, |k| word(k) & 511, signs),
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let word = |k: usize| {
            let signs = u16::from(codebook::signs(&fields.codes, k) & 127);
            codebook::point(&IQ2_XS, &fields.codes, k) | (signs << 9)
        };
        Self {
            d: F16Le::new(fields.d),
            qs: std::array::from_fn(|k| word(k).to_le_bytes()),
            scales: pack_nibbles(&fields.scales),
        }
    }
}
