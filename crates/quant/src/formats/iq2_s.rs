//! IQ2_S: super-blocks of 256 in 16 sub-blocks of 16, each with a 4-bit scale; groups of eight as
//! points of a codebook of 1024, with all signs. 2.5625 bits per weight.
//!
//! ```text
//! byte 0    d       f16        factor of the scales
//! byte 2    qs      32 bytes   group k: lower eight bits of the point
//! byte 34   signs   32 bytes   group k, bit i: sign of element 8k + i
//! byte 66   qh      8 bytes    byte k / 4, bits 2 (k % 4): upper two bits of the point
//! byte 74   scales  8 bytes    byte j: sub-block 2j in bits 0-3, 2j + 1 in bits 4-7
//! ```
//! `x = ±d * (scale + 1/2) / 4 * VALUES[digit]`. Errors weigh `mean(x²) / 2 + x²`, or with a guide
//! importance times `sqrt(2 mean(x²) + x²)`. As in ggml's `quantize_row_iq2_s_impl`.

use super::codebook::{self, Codebook, Points};
use super::fields::{Fielded, Fields, Geometry, Levels};
use super::grids::IQ2_S;
use super::iq_signs::{apply, largest_finite, nibble_scales, nibbles, pack_nibbles, split};
use super::iq2_xs::SEARCH;
use super::iq2_xxs::VALUES;
use super::{Block, QK_K, Weighted};
use crate::float16::F16Le;
use crate::search::{GridFit, GridTask, guided_weights, sum_of_squares};
use aeolus_gguf::TensorType;

/// One super-block, 82 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ2S {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Lower bits of the points.
    pub(crate) qs: [u8; 32],
    /// Signs.
    pub(crate) signs: [u8; 32],
    /// Upper bits of the points.
    pub(crate) qh: [u8; 8],
    /// Scales.
    pub(crate) scales: [u8; 8],
}

/// Sub-blocks with no magnitude of this count as all zero.
const MAX_EPS: f32 = 1e-8;

impl Weighted for BlockIQ2S {
    #[inline(always)]
    fn weights(x: &[f32; QK_K], importance: Option<&[f32; QK_K]>) -> [f32; QK_K] {
        match importance {
            Some(importance) => {
                let level = 2.0 * sum_of_squares(x) / QK_K as f32;
                guided_weights(x, importance, level)
            }
            None => {
                let level = 0.25 * (2.0 * sum_of_squares(x) / QK_K as f32);
                x.map(|v| level + v * v)
            }
        }
    }
}

impl BlockIQ2S {
    /// Encodes with the weights of errors and a search for sub-blocks.
    #[inline(always)]
    pub(crate) fn encode_weighted(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        fit: impl Fn(&GridTask<'_, 8, 16>) -> GridFit,
    ) -> Self {
        let mut block: Self = bytemuck::Zeroable::zeroed();
        let mut found_scales = [0.0f32; 16];
        let subs = x
            .as_chunks::<16>()
            .0
            .iter()
            .zip(weights.as_chunks::<16>().0);
        for (j, (x, weights)) in subs.enumerate() {
            let (magnitudes, mut signs) = split(x);
            let max = largest_finite(&magnitudes);
            if max < MAX_EPS {
                continue;
            }
            let found = fit(&GridTask {
                search: SEARCH,
                grid: &IQ2_S,
                x: &magnitudes,
                weights,
                largest: max,
                scale: max / 5.0,
            });
            found_scales[j] = found.scale;
            if found.scale < 0.0 {
                found_scales[j] = -found.scale;
                signs = signs.map(|s| !s);
            }
            for (k, (point, sign)) in (2 * j..2 * j + 2).zip(found.points.iter().zip(signs)) {
                block.qs[k] = *point as u8;
                block.qh[k / 4] |= ((point >> 8) as u8) << (2 * (k % 4));
                block.signs[k] = sign;
            }
        }
        if let Some((d, scales)) = nibble_scales(&found_scales) {
            block.d = F16Le::new(d * 0.9875);
            block.scales = scales;
        }
        block
    }
}

impl Block<QK_K> for BlockIQ2S {
    const TYPE: TensorType = TensorType::IQ2_S;

    fn encode(x: &[f32; QK_K]) -> Self {
        Self::encode_weighted(x, &Self::weights(x, None), |task| task.fit())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        Self::encode_weighted(x, &Self::weights(x, Some(importance)), |task| task.fit())
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        for (k, y) in y.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let high = u16::from(self.qh[k / 4] >> (2 * (k % 4)) & 3);
            let digits = IQ2_S.point(u16::from(self.qs[k]) | (high << 8));
            let scale = self.scales[k / 4] >> (4 * (k / 2 % 2)) & 0x0f;
            let scale = self.d.get() * (0.5 + f32::from(scale)) * 0.25;
            for (i, (y, digit)) in y.iter_mut().zip(digits).enumerate() {
                *y = apply(scale * VALUES[usize::from(*digit)], self.signs[k], i);
            }
        }
    }
}

impl Fielded<QK_K> for BlockIQ2S {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 16,
        levels: Levels::Points(Codebook::of_eight(Points::IQ2S, false)),
        scales: (0, 15),
        scale_offset: 0.5,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let point = |k: usize| {
            let high = u16::from(self.qh[k / 4] >> (2 * (k % 4)) & 3);
            u16::from(self.qs[k]) | (high << 8)
        };
        Fields {
            d: self.d.get(),
            scales: nibbles(&self.scales),
            codes: codebook::codes(&IQ2_S, point, |k| self.signs[k]),
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let mut block = Self {
            d: F16Le::new(fields.d),
            qs: [0; 32],
            signs: std::array::from_fn(|k| codebook::signs(&fields.codes, k)),
            qh: [0; 8],
            scales: pack_nibbles(&fields.scales),
        };
        for k in 0..32 {
            let point = codebook::point(&IQ2_S, &fields.codes, k);
            block.qs[k] = point as u8;
            block.qh[k / 4] |= ((point >> 8) as u8) << (2 * (k % 4));
        }
        block
    }
}
