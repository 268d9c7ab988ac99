//! IQ1_M: super-blocks of 256 in 16 sub-blocks of 16, each with a 3-bit scale, and a shift for each
//! half; groups of eight of -1, 0 and 1 as points of IQ1_S's codebook. 1.75 bits per weight.
//!
//! ```text
//! byte 0    qs      32 bytes   group k: lower eight bits of the point
//! byte 32   qh      16 bytes   sub-block j: of its two groups the upper three bits of the points in
//!                              bits 0-2 and 4-6; bits 3 and 7 set for shifts down
//! byte 48   scales  4 x u16    scale of sub-block j in word j / 4, bits 3 (j % 4) to + 2; bits 12-15
//!                              of the words are the f16 factor of the scales, lower bits first
//! ```
//! `x = d * (2 scale + 1) * (digit - 1 ± 1/8)`. The search sorts the sub-block and tries all ways to cut
//! it in three under all shifts. Errors weigh `x²`, or with a guide importance times
//! `sqrt(2 mean(x²) + x²)`. As in ggml's `quantize_row_iq1_m_impl` since September 2026, which sums
//! in another order than before.

use super::grids::IQ1;
use super::iq_signs::{largest, quantize_scale};
use super::iq1_s::{Group, ascending, cut, values};
use super::{Block, QK_K, Weighted, magnitude};
use crate::float16::{f16_to_f32, f32_to_f16};
use crate::search::{guided_weights, sum_of_squares};
use aeolus_gguf::TensorType;

/// One super-block, 56 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ1M {
    /// Lower bits of the points.
    pub(crate) qs: [u8; 32],
    /// Upper bits of the points, and shifts.
    pub(crate) qh: [u8; 16],
    /// Scales and their factor, little-endian.
    pub(crate) scales: [[u8; 2]; 4],
}

/// Sub-blocks with no magnitude of this count as all zero.
const MAX_EPS: f32 = 1e-7;

/// Whether the shifts of the two groups of a sub-block are down, as tried one after the other.
pub(crate) const SHIFTS: [[bool; 2]; 4] =
    [[false, false], [false, true], [true, false], [true, true]];

/// The bits in `qh` for them.
const SHIFT_BITS: [u8; 4] = [0x00, 0x80, 0x08, 0x88];

/// A way to cut a sub-block in three.
pub(crate) struct Split {
    scale: f32,
    digits: [u8; 16],
    /// Index of [`SHIFTS`].
    shifts: usize,
}

impl Split {
    /// The sorted elements cut at two places. Under a negative scale, digits and shifts change sides.
    #[inline(always)]
    pub(crate) fn new(
        order: &[usize; 16],
        scale: f32,
        places: (usize, usize),
        shifts: usize,
    ) -> Self {
        let digits = cut(order, places);
        match scale < 0.0 {
            false => Self {
                scale,
                digits,
                shifts,
            },
            true => Self {
                scale: -scale,
                digits: digits.map(|digit| 2 - digit),
                shifts: 3 - shifts,
            },
        }
    }
}

/// The best way to cut a sub-block; none if no sum of weights is positive.
fn split(x: &[f32; 16], weights: &[f32; 16]) -> Option<Split> {
    let order = ascending(x);
    // Sums over the sorted elements, of each group by itself.
    let (mut sum_x, mut sum_w) = ([[0.0f32; 17]; 2], [[0.0f32; 17]; 2]);
    for (j, &i) in order.iter().enumerate() {
        for group in 0..2 {
            sum_x[group][j + 1] = sum_x[group][j];
            sum_w[group][j + 1] = sum_w[group][j];
        }
        let group = i / 8;
        sum_x[group][j + 1] = sum_x[group][j] + weights[i] * x[i];
        sum_w[group][j + 1] = sum_w[group][j] + weights[i];
    }
    // Neighbouring digits differ by 1, so a sum over three parts comes down to two places of cut.
    let project = |group: usize, down: bool, (first, second): (usize, usize)| {
        let [a, b, c] = *values(down);
        let (x, w) = (&sum_x[group], &sum_w[group]);
        let sum_qx = x[16] * c - (x[first] + x[second]);
        let sum_q2 = w[16] * c * c + w[first] * (a * a - b * b) + w[second] * (b * b - c * c);
        (sum_qx, sum_q2)
    };
    let (mut best_score, mut best) = (-f32::MAX, None);
    for first in 0..=16 {
        for second in first..=16 {
            for (shifts, [a, b]) in SHIFTS.into_iter().enumerate() {
                let a = project(0, a, (first, second));
                let b = project(1, b, (first, second));
                let (sum_qx, sum_q2) = (a.0 + b.0, a.1 + b.1);
                if sum_q2 > 0.0 && sum_qx * sum_qx > best_score * sum_q2 {
                    let scale = sum_qx / sum_q2;
                    best_score = scale * sum_qx;
                    best = Some((scale, (first, second), shifts));
                }
            }
        }
    }
    let (scale, places, shifts) = best?;
    Some(Split::new(&order, scale, places, shifts))
}

/// [`split`] of the sub-blocks that do not count as all zero.
fn splits(x: &[f32; QK_K], weights: &[f32; QK_K]) -> [Option<Split>; 16] {
    let (x, weights) = (x.as_chunks::<16>().0, weights.as_chunks::<16>().0);
    std::array::from_fn(|j| match is_empty(&x[j]) {
        true => None,
        false => split(&x[j], &weights[j]),
    })
}

/// Whether a sub-block counts as all zero.
#[inline(always)]
pub(crate) fn is_empty(x: &[f32; 16]) -> bool {
    magnitude(x) < MAX_EPS
}

impl Weighted for BlockIQ1M {
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

impl BlockIQ1M {
    /// Encodes sub-blocks that are cut in three; `point_of` finds points.
    #[inline(always)]
    pub(crate) fn encode_cut(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        splits: &[Option<Split>; 16],
        point_of: impl Fn(&Group<'_>) -> (u16, bool),
    ) -> Self {
        let mut block: Self = bytemuck::Zeroable::zeroed();
        let (mut scales, mut shifts, mut points) = ([0.0f32; 16], [0; 16], [[0u16; 2]; 16]);
        let subs = || {
            x.as_chunks::<16>()
                .0
                .iter()
                .zip(weights.as_chunks::<16>().0)
        };
        for (j, (x, weights)) in subs().enumerate() {
            let Some(split) = &splits[j] else {
                continue;
            };
            let (mut scale, mut all_on_grid) = (split.scale, true);
            let (mut sum_qx, mut sum_q2) = (0.0f32, 0.0f32);
            let groups = x.as_chunks::<8>().0.iter().zip(weights.as_chunks::<8>().0);
            for (k, (x, weights)) in groups.enumerate() {
                let down = SHIFTS[split.shifts][k];
                let values = values(down);
                let (point, on_grid) = point_of(&Group {
                    digits: &split.digits.as_chunks::<8>().0[k],
                    x,
                    weights,
                    scale,
                    down,
                });
                all_on_grid &= on_grid;
                points[j][k] = point;
                for ((&v, &w), digit) in x.iter().zip(weights).zip(IQ1.point(point)) {
                    let q = values[usize::from(*digit)];
                    sum_qx += w * q * v;
                    sum_q2 += w * q * q;
                }
            }
            if !all_on_grid && sum_qx > 0.0 && sum_q2 > 0.0 {
                scale = sum_qx / sum_q2;
            }
            scales[j] = scale;
            shifts[j] = split.shifts;
            let [a, b] = points[j];
            block.qs[2 * j..][..2].copy_from_slice(&[a as u8, b as u8]);
            block.qh[j] = (a >> 8) as u8 | (((b >> 8) as u8) << 4);
        }
        let max = largest(&scales);
        if max == 0.0 {
            return block;
        }

        let mut d = max / 15.0;
        let inverse = 1.0 / d;
        let mut words = [0u16; 4];
        // The factor is found again under the quantized scales.
        let (mut sum_qx, mut sum_q2) = (0.0f32, 0.0f32);
        for (j, (x, weights)) in subs().enumerate() {
            let l = quantize_scale(scales[j], inverse, 7);
            words[j / 4] |= u16::from(l) << (3 * (j % 4));
            block.qh[j] |= SHIFT_BITS[shifts[j]];
            let groups = x.as_chunks::<8>().0.iter().zip(weights.as_chunks::<8>().0);
            for (k, (x, weights)) in groups.enumerate() {
                let values = values(SHIFTS[shifts[j]][k]);
                for ((&v, &w), digit) in x.iter().zip(weights).zip(IQ1.point(points[j][k])) {
                    let q = values[usize::from(*digit)] * f32::from(2 * l + 1);
                    sum_qx += w * q * v;
                    sum_q2 += w * q * q;
                }
            }
        }
        if sum_q2 > 0.0 {
            d = sum_qx / sum_q2;
        }
        let d = f32_to_f16(d * 1.1125);
        for (i, (bytes, word)) in block.scales.iter_mut().zip(words).enumerate() {
            *bytes = (word | ((d >> (4 * i) & 0x0f) << 12)).to_le_bytes();
        }
        block
    }
}

impl Block<QK_K> for BlockIQ1M {
    const TYPE: TensorType = TensorType::IQ1_M;

    fn encode(x: &[f32; QK_K]) -> Self {
        let weights = Self::weights(x, None);
        Self::encode_cut(x, &weights, &splits(x, &weights), |group| group.point())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let weights = Self::weights(x, Some(importance));
        Self::encode_cut(x, &weights, &splits(x, &weights), |group| group.point())
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        let words = self.scales.map(u16::from_le_bytes);
        let d = (0..)
            .zip(words)
            .fold(0, |d, (i, word)| d | (word >> 12 << (4 * i)));
        let d = f16_to_f32(d);
        for (k, y) in y.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let j = k / 2;
            let qh = self.qh[j] >> (4 * (k % 2));
            let scale = d * f32::from(2 * (words[j / 4] >> (3 * (j % 4)) & 7) + 1);
            let values = values(qh & 8 != 0);
            let point = u16::from(self.qs[k]) | (u16::from(qh & 7) << 8);
            for (y, digit) in y.iter_mut().zip(IQ1.point(point)) {
                *y = scale * values[usize::from(*digit)];
            }
        }
    }
}
