//! IQ3_XXS: super-blocks of 256 in 8 sub-blocks of 32, each with a 4-bit scale; groups of four as
//! points of a codebook of 256, with an even number of signs in eight. 3.0625 bits per weight.
//!
//! ```text
//! byte 0    d      f16         factor of the scales
//! byte 2    qs     64 bytes    group k: point
//! byte 66   words  8 x u32     sub-block j: seven signs for each eight elements in bits 7k to
//!                              7k + 6, the scale in bits 28-31
//! ```
//! `x = ±d * (scale + 1/2) / 2 * VALUES[digit]`; the eighth sign makes their number even. Errors weigh
//! `x²`, or with a guide importance times `sqrt(2 mean(x²) + x²)`. As in ggml's
//! `quantize_row_iq3_xxs_impl`.

use super::codebook::{self, Codebook, Points};
use super::fields::{Fielded, Fields, Geometry, Levels};
use super::grids::IQ3_XXS;
use super::iq_signs::{
    apply, complete, largest, largest_finite, quantize_scale, signs_and_scale, split_even,
    upper_scales,
};
use super::{Block, QK_K, Weighted};
use crate::float16::F16Le;
use crate::search::{Again, GridFit, GridSearch, GridTask, guided_weights, sum_of_squares};
use aeolus_gguf::TensorType;

/// One super-block, 98 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ3XXS {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Points.
    pub(crate) qs: [u8; 64],
    /// Signs and scales, little-endian.
    pub(crate) words: [[u8; 4]; 8],
}

/// The magnitudes of digits.
const VALUES: [f32; 8] = [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0];

/// Sub-blocks with no magnitude of this count as all zero.
const MAX_EPS: f32 = 1e-8;

/// The search for the scale of a sub-block.
const SEARCH: GridSearch = GridSearch {
    trials: 15,
    delta: 0.2,
    again: Again::OffGrid,
};

impl Weighted for BlockIQ3XXS {
    #[inline(always)]
    fn weights(x: &[f32; QK_K], importance: Option<&[f32; QK_K]>) -> [f32; QK_K] {
        match importance {
            Some(importance) => {
                let level = 2.0 * sum_of_squares(x) / QK_K as f32;
                guided_weights(x, importance, level)
            }
            None => x.map(|v| v * v),
        }
    }
}

impl BlockIQ3XXS {
    /// Encodes with the weights of errors and a search for sub-blocks.
    #[inline(always)]
    pub(crate) fn encode_weighted(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        fit: impl Fn(&GridTask<'_, 4, 32>) -> GridFit,
    ) -> Self {
        let mut block: Self = bytemuck::Zeroable::zeroed();
        let mut scales = [0.0f32; 8];
        let mut words = [0u32; 8];
        let subs = x
            .as_chunks::<32>()
            .0
            .iter()
            .zip(weights.as_chunks::<32>().0);
        for (j, (x, weights)) in subs.enumerate() {
            let (magnitudes, mut signs) = split_even(x, weights);
            let max = largest_finite(&magnitudes);
            if max < MAX_EPS {
                continue;
            }
            let found = fit(&GridTask {
                search: SEARCH,
                grid: &IQ3_XXS,
                x: &magnitudes,
                weights,
                largest: max,
                scale: max / 15.0,
            });
            scales[j] = found.scale;
            if found.scale < 0.0 {
                scales[j] = -found.scale;
                signs = signs.map(|s| !s);
            }
            for (q, point) in block.qs[8 * j..][..8].iter_mut().zip(found.points) {
                *q = point as u8;
            }
            for (k, sign) in signs.into_iter().enumerate() {
                words[j] |= u32::from(sign & 127) << (7 * k);
            }
        }
        let max = largest(&scales);
        if max == 0.0 {
            return bytemuck::Zeroable::zeroed();
        }
        let d = max / 31.0;
        block.d = F16Le::new(d * 1.0125);
        for ((bytes, word), scale) in block.words.iter_mut().zip(words).zip(scales) {
            let scale = u32::from(quantize_scale(scale, 1.0 / d, 15));
            *bytes = (word | (scale << 28)).to_le_bytes();
        }
        block
    }
}

impl Block<QK_K> for BlockIQ3XXS {
    const TYPE: TensorType = TensorType::IQ3_XXS;

    fn encode(x: &[f32; QK_K]) -> Self {
        Self::encode_weighted(x, &Self::weights(x, None), |task| task.fit())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        Self::encode_weighted(x, &Self::weights(x, Some(importance)), |task| task.fit())
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        for (k, y) in y.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let word = u32::from_le_bytes(self.words[k / 4]);
            let scale = self.d.get() * (0.5 + (word >> 28) as f32) * 0.5;
            let signs = complete(word >> (7 * (k % 4)));
            let points = [self.qs[2 * k], self.qs[2 * k + 1]];
            let digits = points.map(|point| *IQ3_XXS.point(u16::from(point)));
            for (i, (y, digit)) in y.iter_mut().zip(digits.as_flattened()).enumerate() {
                *y = apply(scale * VALUES[usize::from(*digit)], signs, i);
            }
        }
    }
}

impl Fielded<QK_K> for BlockIQ3XXS {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 32,
        levels: Levels::Points(Codebook::of_four(
            Points::IQ3XXS,
            &[2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0, 31.0],
            true,
        )),
        scales: (0, 15),
        scale_offset: 0.5,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let words = self.words.map(u32::from_le_bytes);
        let signs = |k: usize| complete(words[k / 4] >> (7 * (k % 4)));
        Fields {
            d: self.d.get(),
            scales: upper_scales(&words),
            codes: codebook::codes(&IQ3_XXS, |k| u16::from(self.qs[k]), signs),
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let point = |k| codebook::point(&IQ3_XXS, &fields.codes, k) as u8;
        Self {
            d: F16Le::new(fields.d),
            qs: std::array::from_fn(point),
            words: std::array::from_fn(|j| signs_and_scale(fields, j).to_le_bytes()),
        }
    }
}
