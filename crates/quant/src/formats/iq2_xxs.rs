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

use super::grids::IQ2_XXS;
use super::iq_signs::{apply, complete, largest, quantize_scale, split_even};
use super::{Block, QK_K};
use crate::float16::F16Le;
use crate::search::{
    Again, GROUP_MAX_EPS, GridFit, GridSearch, fit_positive, guided_weights, sum_of_squares,
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

/// The search of a sub-block of magnitudes; a scale of 0 if they vanish.
fn search(x: &[f32; 32], weights: &[f32; 32]) -> GridFit {
    if largest(x) < GROUP_MAX_EPS {
        return GridFit::default();
    }
    let scale = fit_positive(4, x, weights, &mut [0; 32]);
    let reach = scale * 3.0;
    if reach <= 0.0 {
        return GridFit::default();
    }
    SEARCH.fit(&IQ2_XXS, x, weights, reach, scale)
}

impl Block<QK_K> for BlockIQ2XXS {
    const TYPE: TensorType = TensorType::IQ2_XXS;
    const NEEDS_GUIDE: bool = true;

    fn encode(x: &[f32; QK_K]) -> Self {
        Self::encode_guided(x, &[1.0; QK_K], 0.0)
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let weights = guided_weights(x, importance, sum_of_squares(x) / QK_K as f32);
        let (mut qs, mut scales) = ([0; 64], [0.0f32; 8]);
        let subs = x
            .as_chunks::<32>()
            .0
            .iter()
            .zip(weights.as_chunks::<32>().0);
        for (((x, weights), qs), scale) in subs.zip(qs.as_chunks_mut::<8>().0).zip(&mut scales) {
            let (magnitudes, mut signs) = split_even(x, weights);
            let found = search(&magnitudes, weights);
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
