//! IQ1_S: super-blocks of 256 in 8 sub-blocks of 32, each with a 3-bit scale and a shift; groups of
//! eight of -1, 0 and 1 as points of a codebook of 2048. 1.5625 bits per weight.
//!
//! ```text
//! byte 0    d   f16          factor of the scales
//! byte 2    qs  32 bytes     group k: lower eight bits of the point
//! byte 34   qh  8 x u16      sub-block j: upper three bits of its points in bits 3k to 3k + 2, the
//!                            scale in bits 12-14, bit 15 set for a shift down
//! ```
//! `x = d * (2 scale + 1) * (digit - 1 ± 1/8)`. The search sorts the sub-block and tries all ways to cut
//! it in three. Errors weigh importance times `sqrt(2 mean(x²) + x²)`. It needs a guide. As in ggml's
//! `quantize_row_iq1_s_impl`.

use super::grids::IQ1;
use super::iq_signs::{largest, quantize_scale};
use super::{Block, QK_K, Weighted, magnitude};
use crate::float16::F16Le;
use crate::search::{guided_weights, sum_of_squares};
use aeolus_gguf::TensorType;

/// One super-block, 50 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ1S {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Lower bits of the points.
    pub(crate) qs: [u8; 32],
    /// Upper bits of the points, scales and shifts, little-endian.
    pub(crate) qh: [[u8; 2]; 8],
}

/// The values of digits with the shift up. Shared with IQ1_M.
pub(crate) const UP: [f32; 3] = [-0.875, 0.125, 1.125];

/// The values of digits with the shift down. Shared with IQ1_M.
pub(crate) const DOWN: [f32; 3] = [-1.125, -0.125, 0.875];

/// The values of digits. Shared with IQ1_M.
#[inline(always)]
pub(super) fn values(down: bool) -> &'static [f32; 3] {
    if down { &DOWN } else { &UP }
}

/// Sub-blocks with no magnitude of this count as all zero.
const MAX_EPS: f32 = 1e-12;

/// The elements in ascending order; equal ones stay as they were. Shared with IQ1_M.
pub(super) fn ascending<const N: usize>(x: &[f32; N]) -> [usize; N] {
    let mut order = std::array::from_fn(|i| i);
    order.sort_by(|&a: &usize, &b| x[a].partial_cmp(&x[b]).unwrap_or(std::cmp::Ordering::Equal));
    order
}

/// Digits for sorted elements cut at two places. Shared with IQ1_M.
pub(super) fn cut<const N: usize>(order: &[usize; N], (first, second): (usize, usize)) -> [u8; N] {
    let mut digits = [0; N];
    for (place, &i) in order.iter().enumerate() {
        digits[i] = u8::from(place >= first) + u8::from(place >= second);
    }
    digits
}

/// A group of eight with its digits. Shared with IQ1_M.
pub(crate) struct Group<'a> {
    pub(crate) digits: &'a [u8; 8],
    pub(crate) x: &'a [f32; 8],
    pub(crate) weights: &'a [f32; 8],
    pub(crate) scale: f32,
    /// Whether the shift is down.
    pub(crate) down: bool,
}

impl Group<'_> {
    /// The point for the digits, and whether they lie on the grid. Off it, the point with the smallest
    /// error.
    pub(super) fn point(&self) -> (u16, bool) {
        match IQ1.at_or_near(self.digits) {
            [point] if IQ1.point(*point) == self.digits => (*point, true),
            near => {
                let values = values(self.down);
                let error = |point: &[u8; 8]| {
                    let mut error = 0.0f32;
                    for ((v, w), digit) in self.x.iter().zip(self.weights).zip(point) {
                        let diff = self.scale * values[usize::from(*digit)] - v;
                        error += w * diff * diff;
                    }
                    error
                };
                (IQ1.best(near, error), false)
            }
        }
    }
}

/// A way to cut a sub-block in three.
pub(crate) struct Split {
    scale: f32,
    digits: [u8; 32],
    down: bool,
}

impl Split {
    /// The sorted elements cut at two places. Under a negative scale, digits and shift change sides.
    #[inline(always)]
    pub(crate) fn new(order: &[usize; 32], scale: f32, places: (usize, usize), down: bool) -> Self {
        let digits = cut(order, places);
        match scale < 0.0 {
            false => Self {
                scale,
                digits,
                down,
            },
            true => Self {
                scale: -scale,
                digits: digits.map(|digit| 2 - digit),
                down: !down,
            },
        }
    }
}

/// The best way to cut a sub-block; none if no sum of weights is positive.
fn split(x: &[f32; 32], weights: &[f32; 32]) -> Option<Split> {
    let order = ascending(x);
    let (mut sum_x, mut sum_w) = ([0.0f32; 33], [0.0f32; 33]);
    for (j, &i) in order.iter().enumerate() {
        sum_x[j + 1] = sum_x[j] + weights[i] * x[i];
        sum_w[j + 1] = sum_w[j] + weights[i];
    }
    let (mut best_score, mut best) = (-f32::MAX, None);
    for first in 0..=32 {
        for second in first..=32 {
            let parts_x = [
                sum_x[first],
                sum_x[second] - sum_x[first],
                sum_x[32] - sum_x[second],
            ];
            let parts_w = [
                sum_w[first],
                sum_w[second] - sum_w[first],
                sum_w[32] - sum_w[second],
            ];
            for (down, [a, b, c]) in [(false, UP), (true, DOWN)] {
                let sum_qx = parts_x[0] * a + parts_x[1] * b + parts_x[2] * c;
                let sum_q2 = parts_w[0] * a * a + parts_w[1] * b * b + parts_w[2] * c * c;
                if sum_q2 > 0.0 && sum_qx * sum_qx > best_score * sum_q2 {
                    let scale = sum_qx / sum_q2;
                    best_score = scale * sum_qx;
                    best = Some((scale, (first, second), down));
                }
            }
        }
    }
    let (scale, places, down) = best?;
    Some(Split::new(&order, scale, places, down))
}

/// [`split`] of the sub-blocks that do not count as all zero.
fn splits(x: &[f32; QK_K], weights: &[f32; QK_K]) -> [Option<Split>; 8] {
    let (x, weights) = (x.as_chunks::<32>().0, weights.as_chunks::<32>().0);
    std::array::from_fn(|j| match is_empty(&x[j]) {
        true => None,
        false => split(&x[j], &weights[j]),
    })
}

/// Whether a sub-block counts as all zero.
#[inline(always)]
pub(crate) fn is_empty(x: &[f32; 32]) -> bool {
    magnitude(x) < MAX_EPS
}

impl Weighted for BlockIQ1S {
    #[inline(always)]
    fn weights(x: &[f32; QK_K], importance: Option<&[f32; QK_K]>) -> [f32; QK_K] {
        let level = 2.0 * sum_of_squares(x) / QK_K as f32;
        guided_weights(x, importance.unwrap_or(&[1.0; QK_K]), level)
    }
}

impl BlockIQ1S {
    /// Encodes sub-blocks that are cut in three; `point_of` finds points.
    #[inline(always)]
    pub(crate) fn encode_cut(
        x: &[f32; QK_K],
        weights: &[f32; QK_K],
        splits: &[Option<Split>; 8],
        point_of: impl Fn(&Group<'_>) -> (u16, bool),
    ) -> Self {
        let mut block: Self = bytemuck::Zeroable::zeroed();
        let (mut scales, mut high, mut down) = ([0.0f32; 8], [0u16; 8], [false; 8]);
        let subs = x
            .as_chunks::<32>()
            .0
            .iter()
            .zip(weights.as_chunks::<32>().0);
        for (j, (x, weights)) in subs.enumerate() {
            let Some(split) = &splits[j] else {
                continue;
            };
            let values = values(split.down);
            let (mut scale, mut all_on_grid) = (split.scale, true);
            let (mut sum_qx, mut sum_q2) = (0.0f32, 0.0f32);
            let groups = x.as_chunks::<8>().0.iter().zip(weights.as_chunks::<8>().0);
            for (k, (x, weights)) in groups.enumerate() {
                let (point, on_grid) = point_of(&Group {
                    digits: &split.digits.as_chunks::<8>().0[k],
                    x,
                    weights,
                    scale,
                    down: split.down,
                });
                all_on_grid &= on_grid;
                block.qs[4 * j + k] = point as u8;
                high[j] |= (point >> 8) << (3 * k);
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
            down[j] = split.down;
        }
        let max = largest(&scales);
        let d = max / 15.0;
        if max != 0.0 {
            block.d = F16Le::new(d * 1.125);
        }
        for (j, qh) in block.qh.iter_mut().enumerate() {
            if max != 0.0 {
                high[j] |= u16::from(quantize_scale(scales[j], 1.0 / d, 7)) << 12;
                high[j] |= u16::from(down[j]) << 15;
            }
            *qh = high[j].to_le_bytes();
        }
        block
    }
}

impl Block<QK_K> for BlockIQ1S {
    const TYPE: TensorType = TensorType::IQ1_S;
    const NEEDS_GUIDE: bool = true;

    fn encode(x: &[f32; QK_K]) -> Self {
        let weights = Self::weights(x, None);
        Self::encode_cut(x, &weights, &splits(x, &weights), |group| group.point())
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let weights = Self::weights(x, Some(importance));
        Self::encode_cut(x, &weights, &splits(x, &weights), |group| group.point())
    }

    fn decode(&self, y: &mut [f32; QK_K]) {
        let (subs, _) = y.as_chunks_mut::<32>();
        for (j, (y, qh)) in subs.iter_mut().zip(self.qh).enumerate() {
            let qh = u16::from_le_bytes(qh);
            let scale = self.d.get() * f32::from(2 * (qh >> 12 & 7) + 1);
            let values = values(qh & 0x8000 != 0);
            for (k, y) in y.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let point = u16::from(self.qs[4 * j + k]) | ((qh >> (3 * k) & 7) << 8);
                for (y, digit) in y.iter_mut().zip(IQ1.point(point)) {
                    *y = scale * values[usize::from(*digit)];
                }
            }
        }
    }
}
