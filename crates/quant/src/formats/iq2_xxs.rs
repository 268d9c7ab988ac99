//! IQ2_XXS: super-blocks of 256 in 8 sub-blocks of 32, each with a 4-bit scale; groups of eight as
//! points of a codebook of 256, with an even number of signs. 2.0625 bits per weight.
//!
//! ```text
//! byte 0    d   f16          factor of the scales
//! byte 2    qs  8 x 8 bytes  sub-block j: four points, then a u32 with seven signs for each group
//!                            in bits 7k to 7k + 6, and the scale in bits 28-31
//! ```
//! `x = ±d * (scale + 1/2) / 4 * VALUES[digit]`; the eighth sign makes their number even. The search
//! starts from a common factor (`fit_positive`), with weights of importance times
//! `sqrt(mean(x²) + x²)`. It needs a guide. As in ggml's `quantize_row_iq2_xxs_impl`.

use super::codebook::{self, Codebook, Points};
use super::fields::{Fielded, Fields, Geometry, Levels};
use super::grids::IQ2_XXS;
use super::iq_signs::{
    apply, complete, largest, quantize_scale, signs_and_scale, split_even, upper_scales,
};
use super::{Block, QK_K, Weighted};
use crate::float16::F16Le;
use crate::search::{
    Again, GridFit, GridSearch, GridTask, fit_positive, guided_weights, sum_of_squares,
};
use aeolus_gguf::TensorType;

/// One super-block, 66 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ2XXS {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Points, signs and scales.
    pub(crate) qs: [u8; 64],
}

/// The magnitudes of digits. Shared with IQ2_XS and IQ2_S.
pub(super) const VALUES: [f32; 3] = [8.0, 25.0, 43.0];

/// The search for the scale of a sub-block.
const SEARCH: GridSearch = GridSearch {
    trials: 6,
    delta: 0.1,
    again: Again::All,
};

/// The magnitudes of a sub-block are integers up to this times a common factor, before there are points.
pub(crate) const START: i32 = 4;

/// The common factors of the magnitudes of sub-blocks.
#[inline(always)]
fn starts(x: &[[f32; 32]; 8], weights: &[[f32; 32]; 8]) -> [f32; 8] {
    let mut starts = [0.0; 8];
    for ((start, x), weights) in starts.iter_mut().zip(x).zip(weights) {
        *start = fit_positive(START, x, weights, &mut [0; 32]);
    }
    starts
}

impl Weighted for BlockIQ2XXS {
    #[inline(always)]
    fn weights(x: &[f32; QK_K], importance: Option<&[f32; QK_K]>) -> [f32; QK_K] {
        let level = sum_of_squares(x) / QK_K as f32;
        guided_weights(x, importance.unwrap_or(&[1.0; QK_K]), level)
    }
}

impl BlockIQ2XXS {
    /// Encodes with the weights of errors, and searches for the common factors of sub-blocks and for
    /// their points.
    #[inline(always)]
    pub(crate) fn encode_weighted(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        starts: impl Fn(&[[f32; 32]; 8], &[[f32; 32]; 8]) -> [f32; 8],
        fit: impl Fn(&GridTask<'_, 8, 32>) -> GridFit,
    ) -> Self {
        let (mut qs, mut scales) = ([0; 64], [0.0f32; 8]);
        let weights: &[[f32; 32]; 8] = bytemuck::must_cast_ref(weights);
        let (mut magnitudes, mut all_signs) = ([[0.0; 32]; 8], [[0; 4]; 8]);
        for (j, x) in x.as_chunks::<32>().0.iter().enumerate() {
            (magnitudes[j], all_signs[j]) = split_even(x, &weights[j]);
        }
        let starts = starts(&magnitudes, weights);
        for (j, qs) in qs.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let reach = starts[j] * 3.0;
            if reach <= 0.0 {
                continue;
            }
            let found = fit(&GridTask {
                search: SEARCH,
                grid: &IQ2_XXS,
                x: &magnitudes[j],
                weights: &weights[j],
                largest: reach,
                scale: starts[j],
            });
            let (scale, mut signs) = (&mut scales[j], all_signs[j]);
            *scale = found.scale;
            if found.scale == 0.0 {
                continue;
            }
            if found.scale < 0.0 {
                *scale = -found.scale;
                signs = signs.map(|s| !s);
            }
            let mut word = 0;
            for (k, (point, sign)) in found.points.iter().zip(signs).enumerate() {
                qs[k] = *point as u8;
                word |= u32::from(sign & 127) << (7 * k);
            }
            qs[4..].copy_from_slice(&word.to_le_bytes());
        }
        let max = largest(&scales);
        if max == 0.0 {
            return bytemuck::Zeroable::zeroed();
        }
        let d = max / 31.0;
        for (qs, scale) in qs.as_chunks_mut::<8>().0.iter_mut().zip(scales) {
            qs[7] |= quantize_scale(scale, 1.0 / d, 15) << 4;
        }
        Self {
            d: F16Le::new(d),
            qs,
        }
    }
}

impl Block<QK_K> for BlockIQ2XXS {
    const TYPE: TensorType = TensorType::IQ2_XXS;
    const NEEDS_GUIDE: bool = true;

    fn encode(x: &[f32; QK_K]) -> Self {
        Self::encode_weighted(x, &Self::weights(x, None), starts, |task| task.fit())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        Self::encode_weighted(x, &Self::weights(x, Some(importance)), starts, |task| {
            task.fit()
        })
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        let (subs, _) = y.as_chunks_mut::<32>();
        for (y, qs) in subs.iter_mut().zip(self.qs.as_chunks::<8>().0) {
            let word = u32::from_le_bytes([qs[4], qs[5], qs[6], qs[7]]);
            let scale = self.d.get() * (0.5 + (word >> 28) as f32) * 0.25;
            for (k, y) in y.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let signs = complete(word >> (7 * k));
                let digits = IQ2_XXS.point(u16::from(qs[k]));
                for (i, (y, digit)) in y.iter_mut().zip(digits).enumerate() {
                    *y = apply(scale * VALUES[usize::from(*digit)], signs, i);
                }
            }
        }
    }
}

impl Fielded<QK_K> for BlockIQ2XXS {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 32,
        levels: Levels::Points(Codebook::of_eight(Points::IQ2XXS, true)),
        scales: (0, 15),
        scale_offset: 0.5,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let words: [u32; 8] =
            std::array::from_fn(|j| u32::from_le_bytes(self.qs.as_chunks::<4>().0[2 * j + 1]));
        let point = |k: usize| u16::from(self.qs[k / 4 * 8 + k % 4]);
        Fields {
            d: self.d.get(),
            scales: upper_scales(&words),
            codes: codebook::codes(&IQ2_XXS, point, |k| complete(words[k / 4] >> (7 * (k % 4)))),
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let mut qs = [0; 64];
        for (j, qs) in qs.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            for (k, q) in qs[..4].iter_mut().enumerate() {
                *q = codebook::point(&IQ2_XXS, &fields.codes, 4 * j + k) as u8;
            }
            qs[4..].copy_from_slice(&signs_and_scale(fields, j).to_le_bytes());
        }
        Self {
            d: F16Le::new(fields.d),
            qs,
        }
    }
}
