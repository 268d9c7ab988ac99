//! The search for the scale of uneven levels (`fit_levels`) with a sub-block in each lane.
//!
//! Its trials lie so close to each other that the product of a value passes at most one middle
//! between levels from the first trial to the last. So each value has two levels to choose from;
//! they are looked up once, and what each adds to the sums is computed once.

use super::symmetric::{bounds, signed_extreme};
use super::{Float, Isa, Job, Mask};
use crate::search::{GROUP_MAX_EPS, LEVELS_F32, MIDDLES, TRIALS};

/// A middle between two levels of one sign is this much farther from zero than the next one, and
/// the last trial less than that farther than the first.
const _: () = {
    let mut i = 0;
    while i < 14 {
        let (a, b) = (MIDDLES[i], MIDDLES[i + 1]);
        let farther = if b < 0.0 { a / b } else { b / a };
        let trials = TRIALS as f32;
        let reach = (trials - LEVELS_F32[0]) / (-trials - LEVELS_F32[0]);
        assert!(a * b < 0.0 || farther > 1.01 * reach);
        i += 1;
    }
};

/// The levels by buckets of values, for instruction sets that look up 32 floats at once: bucket `b`,
/// modulo 32, holds the values that are nearest to `b * BUCKET`. It has at most one middle.
pub(crate) struct Buckets {
    pub(crate) middle: [f32; 32],
    /// The level of values below the middle.
    pub(crate) below: [f32; 32],
    /// The level of the others.
    pub(crate) above: [f32; 32],
}

/// Values of a bucket: the largest ones of the search, 134 and somewhat, are in bucket 15.
pub(crate) const BUCKET: f32 = 8.75;

pub(crate) const BUCKETS: Buckets = {
    let mut buckets = Buckets {
        middle: [0.0; 32],
        below: [0.0; 32],
        above: [0.0; 32],
    };
    let mut b = -16;
    while b < 16 {
        // Values near the edge may come into either bucket.
        let (low, high) = ((b as f32 - 0.501) * BUCKET, (b as f32 + 0.501) * BUCKET);
        let (mut below, mut inside) = (0, 0);
        let mut i = 0;
        while i < 15 {
            if MIDDLES[i] < low {
                below += 1;
            } else if MIDDLES[i] < high {
                inside += 1;
            }
            i += 1;
        }
        assert!(inside < 2);
        let place = (b & 31) as usize;
        if inside == 1 {
            buckets.middle[place] = MIDDLES[below];
        }
        buckets.below[place] = LEVELS_F32[below];
        buckets.above[place] = LEVELS_F32[below + inside];
        b += 1;
    }
    buckets
};

/// Trials per pass over the elements.
const TOGETHER: usize = 3;

/// `fit_levels` of the sub-blocks in the lanes of `x`, which are finite.
///
/// No lane is wild: a magnitude of [`GROUP_MAX_EPS`] or more has a finite reciprocal, and levels
/// are found by comparisons.
#[inline(always)]
pub(crate) fn fit_levels<S: Isa, const N: usize>(
    isa: S,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> S::F {
    isa.apart(Search { isa, x, weights })
}

struct Search<'a, S: Isa, const N: usize> {
    isa: S,
    x: &'a [S::F; N],
    weights: &'a [S::F; N],
}

impl<S: Isa, const N: usize> Job for Search<'_, S, N> {
    type Output = S::F;

    #[inline(always)]
    fn run(self) -> S::F {
        fit_inline(self.isa, self.x, self.weights)
    }
}

#[inline(always)]
fn fit_inline<S: Isa, const N: usize>(isa: S, x: &[S::F; N], weights: &[S::F; N]) -> S::F {
    let zero = isa.splat(0.0);
    let (extreme, magnitude) = signed_extreme(isa, x, bounds(x));
    let empty = magnitude.lt(isa.splat(GROUP_MAX_EPS));
    let lowest = isa.splat(LEVELS_F32[0]);

    let inverse = isa.splat(1.0) / ((zero - extreme) / lowest);
    let (mut sum_qx, mut sum_q2) = (zero, zero);
    let trial = |trial: i32| isa.splat(trial as f32 + LEVELS_F32[0]) / extreme;
    let (first, last) = (trial(-TRIALS), trial(TRIALS));
    let mut choices = [Choice::<S>::new(isa); N];
    for i in 0..N {
        let (v, w) = (x[i], weights[i]);
        let q = isa.nearest_level(inverse * v);
        let wq = w * q;
        sum_qx = sum_qx + wq * v;
        sum_q2 = sum_q2 + wq * q;

        let a = isa.nearest_level(first * v);
        let b = isa.nearest_level(last * v);
        let (low, high) = (a.min(b), a.max(b));
        let (w_low, w_high) = (w * low, w * high);
        choices[i] = Choice {
            middle: (low + high) * isa.splat(0.5),
            low_qx: w_low * v,
            high_qx: w_high * v,
            low_q2: w_low * low,
            high_q2: w_high * high,
        };
    }
    let mut scale = (sum_qx / sum_q2).or_else(zero.lt(sum_q2), zero);
    let mut best = scale * sum_qx;
    for first in (-TRIALS..=TRIALS).step_by(TOGETHER) {
        let mut inverses = [zero; TOGETHER];
        for (i, inverse) in inverses.iter_mut().enumerate() {
            *inverse = trial(first + i as i32);
        }
        let mut sums = [(zero, zero); TOGETHER];
        for (&v, choice) in x.iter().zip(&choices) {
            for (sums, inverse) in sums.iter_mut().zip(inverses) {
                let is_low = (inverse * v).lt(choice.middle);
                sums.0 = sums.0 + choice.low_qx.or_else(is_low, choice.high_qx);
                sums.1 = sums.1 + choice.low_q2.or_else(is_low, choice.high_q2);
            }
        }
        for (sum_qx, sum_q2) in sums {
            let grows = (best * sum_q2).lt(sum_qx * sum_qx);
            let better = zero.lt(sum_q2).and(grows);
            let other = sum_qx / sum_q2;
            scale = other.or_else(better, scale);
            best = (other * sum_qx).or_else(better, best);
        }
    }
    zero.or_else(empty, scale)
}

/// The two levels that a value may have, `low` below `middle` and `high` from there on, by what
/// they add to the sums.
#[derive(Clone, Copy)]
struct Choice<S: Isa> {
    middle: S::F,
    low_qx: S::F,
    high_qx: S::F,
    low_q2: S::F,
    high_q2: S::F,
}

impl<S: Isa> Choice<S> {
    #[inline(always)]
    fn new(isa: S) -> Self {
        let zero = isa.splat(0.0);
        Self {
            middle: zero,
            low_qx: zero,
            high_qx: zero,
            low_q2: zero,
            high_q2: zero,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{nearest_int, nearest_level};

    #[test]
    fn buckets_hold_the_nearest_levels() {
        for i in -135 * 256..=135 * 256 {
            let v = i as f32 / 256.0;
            let bucket = (nearest_int(v * (1.0 / BUCKET)) & 31) as usize;
            let level = match v < BUCKETS.middle[bucket] {
                true => BUCKETS.below[bucket],
                false => BUCKETS.above[bucket],
            };
            assert_eq!(level, LEVELS_F32[usize::from(nearest_level(v))], "{v}");
        }
    }
}
