//! The formats with blocks of 32. They have no search whose order matters: each block's smallest
//! and largest value are found across its vectors, the scales of many blocks are computed
//! together, and each block is rounded and packed with its own.

use super::{Float, Int, Isa, Mask};
use crate::float16::F16Le;
use crate::formats::{Block, BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};

/// Elements in a block.
const QK: usize = 32;

/// Blocks whose scales are computed together: their weights stay in the first-level cache.
const BATCH: usize = 64;

/// A format of this family.
pub(crate) trait LaneBlock: Block<QK> {
    /// Scales and minimums of the blocks with these smallest and largest values, a block in each
    /// lane. Zeros among the extents may have either sign.
    fn extents_to_scales<S: Isa>(isa: S, min: S::F, max: S::F) -> Scales<S>;

    /// Rounds and packs a block. No quotient exceeds the range of the quants by more than its
    /// rounding.
    fn pack<S: Isa>(isa: S, x: &[f32; QK], scale: Scale, out: &mut Self);
}

/// See [`LaneBlock::extents_to_scales`].
pub(crate) struct Scales<S: Isa> {
    d: S::F,
    /// 0 for formats without a minimum.
    min: S::F,
    /// Blocks whose extents do not tell all: which of two values comes first decides.
    tied: S::M,
}

/// What [`LaneBlock::pack`] needs to know of a block.
pub(crate) struct Scale {
    d: F16Le,
    m: F16Le,
    min: f32,
    /// 1 / d, or 0 for a block without extent.
    inverse: f32,
}

/// Encodes all blocks of `x` into `out`.
#[inline(always)]
pub(crate) fn encode<S: Isa, B: LaneBlock>(isa: S, x: &[f32], out: &mut [B]) {
    let zero = isa.splat(0.0);
    let infinity = isa.splat(f32::INFINITY);
    let (mut mins, mut maxes, mut d, mut inverse) =
        ([0.0; BATCH], [0.0; BATCH], [0.0; BATCH], [0.0; BATCH]);
    let (mut d16, mut m16) = ([F16Le::default(); BATCH], [F16Le::default(); BATCH]);
    let blocks = x.as_chunks::<QK>().0;
    for (blocks, out) in blocks.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
        for ((x, min), max) in blocks.iter().zip(&mut mins).zip(&mut maxes) {
            (*min, *max) = extent(isa, x);
        }

        let mut wild = 0;
        for first in (0..BATCH).step_by(S::LANES) {
            let lanes = first..first + S::LANES;
            let (min, max) = (
                isa.load(&mins[lanes.clone()]),
                isa.load(&maxes[lanes.clone()]),
            );
            let scales = B::extents_to_scales(isa, min, max);
            let flat = scales.d.eq(zero);
            let reciprocal = zero.or_else(flat, isa.splat(1.0) / scales.d);
            let tame = scales
                .d
                .abs()
                .lt(infinity)
                .and(reciprocal.abs().lt(infinity));
            wild |= (zero.eq(zero).and_not(tame).or(scales.tied)).bits() << first;
            scales.d.store(&mut d[lanes.clone()]);
            scales.min.store(&mut mins[lanes.clone()]);
            reciprocal.store(&mut inverse[lanes]);
        }
        for i in 0..BATCH {
            d16[i] = F16Le::new(d[i]);
        }
        for i in 0..BATCH {
            m16[i] = F16Le::new(mins[i]);
        }

        for (i, (x, out)) in blocks.iter().zip(out).enumerate() {
            if wild >> i & 1 != 0 {
                *out = B::encode(x);
                continue;
            }
            let scale = Scale {
                d: d16[i],
                m: m16[i],
                min: mins[i],
                inverse: inverse[i],
            };
            B::pack(isa, x, scale, out);
        }
    }
}

/// Smallest and largest value.
#[inline(always)]
fn extent<S: Isa>(isa: S, x: &[f32; QK]) -> (f32, f32) {
    let mut min = isa.load(&x[..S::LANES]);
    let mut max = min;
    for x in x[S::LANES..].chunks_exact(S::LANES) {
        let v = isa.load(x);
        min = min.min(v);
        max = max.max(v);
    }
    (min.reduce_min(), max.reduce_max())
}

/// The scales of a format without minimum whose value of largest magnitude, sign included, goes
/// to `lowest`.
#[inline(always)]
fn scales_of_extreme<S: Isa>(isa: S, min: S::F, max: S::F, lowest: f32) -> Scales<S> {
    let zero = isa.splat(0.0);
    let opposite = zero - min;
    // The sum turns -0 into +0, where the scalar code starts from.
    let extreme = max.or_else(opposite.lt(max), min) + zero;
    Scales {
        d: extreme / isa.splat(lowest),
        min: zero,
        tied: max.eq(opposite).and_not(max.eq(zero)),
    }
}

/// The scales of a format that cuts the range of a block in `steps`.
#[inline(always)]
fn scales_of_range<S: Isa>(isa: S, min: S::F, max: S::F, steps: f32) -> Scales<S> {
    let zero = isa.splat(0.0);
    Scales {
        // Zeros of different sign must not give -0.
        d: (max - min + zero) / isa.splat(steps),
        min,
        // The sign of the first zero is stored.
        tied: min.eq(zero),
    }
}

/// How the formats of four and five bits round.
struct Rounding {
    /// Added before the fraction is cut off.
    offset: f32,
    /// Largest quant.
    limit: i32,
}

impl Rounding {
    /// Stores the lower four bits of the quants `(x - min) * inverse + offset`, elements `j` and
    /// `j + 16` in byte `j`. Gives the fifth bits, that of element `i` in bit `i`.
    #[inline(always)]
    fn pack<S: Isa>(&self, isa: S, x: &[f32; QK], scale: Scale, qs: &mut [u8; QK / 2]) -> u32 {
        let (limit, low) = (isa.splat_int(self.limit), isa.splat_int(15));
        let (first, second) = x.split_at(QK / 2);
        let mut below = 0;
        for (i, qs) in qs.chunks_exact_mut(S::LANES).enumerate() {
            let a = self.quant(isa, isa.load(&first[i * S::LANES..][..S::LANES]), &scale);
            let b = self.quant(isa, isa.load(&second[i * S::LANES..][..S::LANES]), &scale);
            let (mut q_a, mut q_b) = (a.truncate().min(limit), b.truncate().min(limit));
            if self.limit > 15 {
                let sixteen = isa.splat(16.0);
                let bits = a.lt(sixteen).bits() | (b.lt(sixteen).bits() << (QK / 2));
                below |= (bits as u32) << (i * S::LANES);
                (q_a, q_b) = (q_a.and(low), q_b.and(low));
            }
            q_a.or(q_b.shl4()).store_bytes(qs);
        }
        !below
    }

    #[inline(always)]
    fn quant<S: Isa>(&self, isa: S, x: S::F, scale: &Scale) -> S::F {
        (x - isa.splat(scale.min)) * isa.splat(scale.inverse) + isa.splat(self.offset)
    }
}

impl LaneBlock for BlockQ4_0 {
    #[inline(always)]
    fn extents_to_scales<S: Isa>(isa: S, min: S::F, max: S::F) -> Scales<S> {
        scales_of_extreme(isa, min, max, -8.0)
    }

    #[inline(always)]
    fn pack<S: Isa>(isa: S, x: &[f32; QK], scale: Scale, out: &mut Self) {
        out.d = scale.d;
        let rounding = Rounding {
            offset: 8.5,
            limit: 15,
        };
        rounding.pack(isa, x, scale, &mut out.qs);
    }
}

impl LaneBlock for BlockQ4_1 {
    #[inline(always)]
    fn extents_to_scales<S: Isa>(isa: S, min: S::F, max: S::F) -> Scales<S> {
        scales_of_range(isa, min, max, 15.0)
    }

    #[inline(always)]
    fn pack<S: Isa>(isa: S, x: &[f32; QK], scale: Scale, out: &mut Self) {
        (out.d, out.m) = (scale.d, scale.m);
        let rounding = Rounding {
            offset: 0.5,
            limit: 15,
        };
        rounding.pack(isa, x, scale, &mut out.qs);
    }
}

impl LaneBlock for BlockQ5_0 {
    #[inline(always)]
    fn extents_to_scales<S: Isa>(isa: S, min: S::F, max: S::F) -> Scales<S> {
        scales_of_extreme(isa, min, max, -16.0)
    }

    #[inline(always)]
    fn pack<S: Isa>(isa: S, x: &[f32; QK], scale: Scale, out: &mut Self) {
        out.d = scale.d;
        let rounding = Rounding {
            offset: 16.5,
            limit: 31,
        };
        out.qh = rounding.pack(isa, x, scale, &mut out.qs).to_le_bytes();
    }
}

impl LaneBlock for BlockQ5_1 {
    #[inline(always)]
    fn extents_to_scales<S: Isa>(isa: S, min: S::F, max: S::F) -> Scales<S> {
        scales_of_range(isa, min, max, 31.0)
    }

    #[inline(always)]
    fn pack<S: Isa>(isa: S, x: &[f32; QK], scale: Scale, out: &mut Self) {
        (out.d, out.m) = (scale.d, scale.m);
        let rounding = Rounding {
            offset: 0.5,
            limit: 31,
        };
        out.qh = rounding.pack(isa, x, scale, &mut out.qs).to_le_bytes();
    }
}

impl LaneBlock for BlockQ8_0 {
    #[inline(always)]
    fn extents_to_scales<S: Isa>(isa: S, min: S::F, max: S::F) -> Scales<S> {
        let zero = isa.splat(0.0);
        let magnitude = max.max(zero - min).abs();
        Scales {
            d: magnitude / isa.splat(127.0),
            min: zero,
            tied: zero.lt(zero),
        }
    }

    #[inline(always)]
    fn pack<S: Isa>(isa: S, x: &[f32; QK], scale: Scale, out: &mut Self) {
        out.d = scale.d;
        let inverse = isa.splat(scale.inverse);
        // Half away from zero: the float below 0.5 with the sign of the value, then cut off.
        let sign = isa.splat_int(i32::MIN);
        let half = isa.splat_int(0.5f32.next_down().to_bits() as i32);
        let qs: &mut [u8; QK] = bytemuck::must_cast_mut(&mut out.qs);
        for (x, qs) in x.chunks_exact(S::LANES).zip(qs.chunks_exact_mut(S::LANES)) {
            let v = isa.load(x) * inverse;
            let half = v.to_bits().and(sign).or(half).as_float();
            (v + half).truncate().store_bytes(qs);
        }
    }
}
