//! The search of Q6_K (`fit_signed`) with a sub-block in each lane.

use super::{Float, Isa, Mask};
use crate::search::GROUP_MAX_EPS;

/// The smallest and the largest value in each lane.
#[inline(always)]
pub(super) fn bounds<F: Float, const N: usize>(x: &[F; N]) -> (F, F) {
    let (mut min, mut max) = (x[0], x[0]);
    for &v in &x[1..] {
        min = min.min(v);
        max = max.max(v);
    }
    (min, max)
}

/// The signed value of largest magnitude and that magnitude, in each lane.
#[inline(always)]
pub(super) fn signed_extreme<S: Isa, const N: usize>(
    isa: S,
    x: &[S::F; N],
    (min, max): (S::F, S::F),
) -> (S::F, S::F) {
    let opposite = isa.splat(0.0) - min;
    // Of two values with one magnitude the first one counts, and of zeros none.
    if opposite.eq(max).any() {
        return first_extreme(isa, x);
    }
    let is_low = max.lt(opposite);
    (min.or_else(is_low, max), opposite.or_else(is_low, max))
}

/// [`signed_extreme`] value after value, as the scalar code finds it.
#[inline(always)]
fn first_extreme<S: Isa, const N: usize>(isa: S, x: &[S::F; N]) -> (S::F, S::F) {
    let (mut extreme, mut magnitude) = (isa.splat(0.0), isa.splat(0.0));
    for &v in x {
        let larger = magnitude.lt(v.abs());
        extreme = v.or_else(larger, extreme);
        magnitude = v.abs().or_else(larger, magnitude);
    }
    (extreme, magnitude)
}

/// The scale of each lane's sub-block for quants in `-HALF..HALF`.
///
/// No lane is wild: a magnitude of [`GROUP_MAX_EPS`] or more has a finite reciprocal, so no
/// product exceeds `HALF + 0.9` by more than its rounding.
#[inline(always)]
pub(crate) fn fit_signed<S: Isa, const N: usize, const HALF: i32>(isa: S, x: &[S::F; N]) -> S::F {
    let zero = isa.splat(0.0);
    let (min, max) = bounds(x);
    let (extreme, magnitude) = signed_extreme(isa, x, (min, max));
    let empty = magnitude.lt(isa.splat(GROUP_MAX_EPS));
    let (mut weights, mut weighted) = ([zero; N], [zero; N]);
    for i in 0..N {
        weights[i] = x[i] * x[i];
        weighted[i] = weights[i] * x[i];
    }
    let values = Values {
        x,
        weights: &weights,
        weighted: &weighted,
    };
    let half = HALF as f32;
    let under_limit = isa.splat((half - 0.5).next_down());
    let [(sum_lx, sum_l2)] =
        values.project::<S, HALF, 1, false, true>(isa, [isa.splat(-half) / extreme]);
    let scale = zero.or_else(sum_l2.eq(zero), sum_lx / sum_l2);
    let mut best = Best {
        scale,
        merit: scale * sum_lx,
    };
    // Several steps share a pass over the elements; their solutions are compared in order.
    let (steps, _) = STEPS.as_chunks::<TOGETHER>();
    for (i, steps) in steps.iter().enumerate() {
        let mut inverses = [zero; TOGETHER];
        for (inverse, step) in inverses.iter_mut().zip(steps) {
            *inverse = isa.splat(-(half + 0.1 * step)) / extreme;
        }
        // Up to step 4 the extreme value stays above `-HALF - 0.5`: no lower limit is needed. An upper
        // one is where `HALF - 0.5` is reached, which takes a value nearly as large as the extreme
        // one and of the other sign: the more so, the earlier the step.
        let widest = inverses[TOGETHER - 1];
        let highest = (widest * min).max(widest * max);
        let high = under_limit.lt(highest).any();
        let sums = match (i < 4, high) {
            (true, false) => values.project::<S, HALF, TOGETHER, false, false>(isa, inverses),
            (true, true) => values.project::<S, HALF, TOGETHER, false, true>(isa, inverses),
            (false, false) => values.project::<S, HALF, TOGETHER, true, false>(isa, inverses),
            (false, true) => values.project::<S, HALF, TOGETHER, true, true>(isa, inverses),
        };
        for sums in sums {
            best.update(isa, sums);
        }
    }
    zero.or_else(empty, best.scale)
}

/// Rounding steps of the search around the first one.
const STEPS: [f32; 18] = [
    -9.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0,
    9.0,
];

/// Rounding steps per pass over the elements.
const TOGETHER: usize = 3;

/// The best scale so far.
struct Best<F> {
    scale: F,
    /// Scale times projection, the larger the better.
    merit: F,
}

impl<F: Float> Best<F> {
    /// Takes the solution of another rounding step where it is better.
    #[inline(always)]
    fn update<S: Isa<F = F, M = F::Mask>>(&mut self, isa: S, (sum_lx, sum_l2): (F, F)) {
        let grows = (self.merit * sum_l2).lt(sum_lx * sum_lx);
        let better = isa.splat(0.0).lt(sum_l2).and(grows);
        // No branch: whether any lane is better is as good as chance, and the quotient is ready
        // before the comparison is.
        let scale = sum_lx / sum_l2;
        self.scale = scale.or_else(better, self.scale);
        self.merit = (scale * sum_lx).or_else(better, self.merit);
    }
}

/// A sub-block, its error weights, and the products of both.
struct Values<'a, F, const N: usize> {
    x: &'a [F; N],
    weights: &'a [F; N],
    weighted: &'a [F; N],
}

impl<F: Float, const N: usize> Values<'_, F, N> {
    /// For each of `C` rounding steps: the weighted projection of the values on their quants, and
    /// the quants' weighted norm. `LOW` says whether a quant may lie below `-HALF`, `HIGH`
    /// whether one may lie above `HALF - 1`.
    #[inline(always)]
    fn project<
        S: Isa<F = F, M = F::Mask>,
        const HALF: i32,
        const C: usize,
        const LOW: bool,
        const HIGH: bool,
    >(
        &self,
        isa: S,
        inverses: [F; C],
    ) -> [(F, F); C] {
        let (lowest, highest) = (isa.splat(-HALF as f32), isa.splat((HALF - 1) as f32));
        let mut sums = [(isa.splat(0.0), isa.splat(0.0)); C];
        for i in 0..N {
            for (sums, inverse) in sums.iter_mut().zip(inverses) {
                let mut l = (inverse * self.x[i]).round();
                if HIGH {
                    l = l.at_most(highest);
                }
                if LOW {
                    l = l.max(lowest);
                }
                sums.0 = sums.0 + self.weighted[i] * l;
                sums.1 = sums.1 + self.weights[i] * l * l;
            }
        }
        sums
    }
}
