//! IQ3_S: super-blocks of 256 in 8 sub-blocks of 32, each with a 4-bit scale; groups of four as
//! points of a codebook of 512, with all signs. 3.4375 bits per weight.
//!
//! ```text
//! byte 0    d       f16        factor of the scales
//! byte 2    qs      64 bytes   group k: lower eight bits of the point
//! byte 66   qh      8 bytes    byte k / 8, bit k % 8: its ninth bit
//! byte 74   signs   32 bytes   byte i / 8, bit i % 8: sign of element i
//! byte 106  scales  4 bytes    byte j: sub-block 2j in bits 0-3, 2j + 1 in bits 4-7
//! ```
//! `x = ±d * (2 scale + 1) * (2 digit + 1)`. Errors weigh `x²`, or with a guide importance times
//! `sqrt(2 mean(x²) + x²)`. As in ggml's `quantize_row_iq3_s_impl`, down to what it does after a
//! sub-block of zeros: it stays where it is in `qs` and `signs`, so those of the sub-blocks that follow
//! come one place too early, and decode to other weights. Files have these bytes.

use super::codebook::{self, Codebook, Points};
use super::fields::{Fielded, Fields, Geometry, Levels};
use super::grids::IQ3_S;
use super::iq_signs::{apply, largest_finite, nibble_scales, nibbles, pack_nibbles, split};
use super::{Block, QK_K, Weighted};
use crate::float16::F16Le;
use crate::search::{Again, GridFit, GridSearch, GridTask, guided_weights, sum_of_squares};
use aeolus_gguf::TensorType;

/// One super-block, 110 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ3S {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Lower bits of the points.
    pub(crate) qs: [u8; 64],
    /// Ninth bits of the points.
    pub(crate) qh: [u8; 8],
    /// Signs.
    pub(crate) signs: [u8; 32],
    /// Scales.
    pub(crate) scales: [u8; 4],
}

/// The search for the scale of a sub-block.
const SEARCH: GridSearch = GridSearch {
    trials: 9,
    delta: 0.2,
    again: Again::AllIfOffGrid,
};

impl Weighted for BlockIQ3S {
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

impl BlockIQ3S {
    /// Encodes with the weights of errors and a search for sub-blocks.
    #[inline(always)]
    pub(crate) fn encode_weighted(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        fit: impl Fn(&GridTask<'_, 4, 32>) -> GridFit,
    ) -> Self {
        let mut block: Self = bytemuck::Zeroable::zeroed();
        let mut scales = [0.0f32; 8];
        let mut place = 0;
        let subs = x
            .as_chunks::<32>()
            .0
            .iter()
            .zip(weights.as_chunks::<32>().0);
        for (j, (x, weights)) in subs.enumerate() {
            let (magnitudes, mut signs) = split(x);
            let max = largest_finite(&magnitudes);
            if max == 0.0 {
                continue;
            }
            let found = fit(&GridTask {
                search: SEARCH,
                grid: &IQ3_S,
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
            for (k, point) in found.points.into_iter().enumerate() {
                block.qs[8 * place + k] = point as u8;
                block.qh[j] |= ((point >> 8) as u8) << k;
            }
            block.signs[4 * place..][..4].copy_from_slice(&signs);
            place += 1;
        }
        if let Some((d, scales)) = nibble_scales(&scales) {
            block.d = F16Le::new(d * 1.033);
            block.scales = scales;
        }
        block
    }
}

impl Block<QK_K> for BlockIQ3S {
    const TYPE: TensorType = TensorType::IQ3_S;

    fn encode(x: &[f32; QK_K]) -> Self {
        Self::encode_weighted(x, &Self::weights(x, None), |task| task.fit())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        Self::encode_weighted(x, &Self::weights(x, Some(importance)), |task| task.fit())
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        for (k, y) in y.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let high = u16::from(self.qh[k / 8] >> (k % 8) & 1);
            let digits = IQ3_S.point(u16::from(self.qs[k]) | (high << 8));
            let scale = self.scales[k / 16] >> (4 * (k / 8 % 2)) & 0x0f;
            let scale = self.d.get() * f32::from(1 + 2 * scale);
            let signs = self.signs[k / 2] >> (4 * (k % 2));
            for (i, (y, digit)) in y.iter_mut().zip(digits).enumerate() {
                *y = apply(scale * f32::from(2 * digit + 1), signs, i);
            }
        }
    }
}

impl Fielded<QK_K> for BlockIQ3S {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 32,
        levels: Levels::Points(Codebook::of_four(
            Points::IQ3S,
            &[2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0, 30.0],
            false,
        )),
        scales: (0, 15),
        scale_offset: 0.5,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let point = |k: usize| {
            let high = u16::from(self.qh[k / 8] >> (k % 8) & 1);
            u16::from(self.qs[k]) | (high << 8)
        };
        Fields {
            d: self.d.get(),
            scales: nibbles(&self.scales),
            codes: codebook::codes(&IQ3_S, point, |k| self.signs[k]),
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let mut block = Self {
            d: F16Le::new(fields.d),
            qs: [0; 64],
            qh: [0; 8],
            signs: std::array::from_fn(|k| codebook::signs(&fields.codes, k)),
            scales: pack_nibbles(&fields.scales),
        };
        for k in 0..64 {
            let point = codebook::point(&IQ3_S, &fields.codes, k);
            block.qs[k] = point as u8;
            block.qh[k / 8] |= ((point >> 8) as u8) << (k % 8);
        }
        block
    }
}
