//! The symmetric search (`fit_signed`) with a sub-block in each lane.

use super::{Float, Isa, Job, Mask};
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

/// What the search finds, as [`Symmetric`](crate::search::Symmetric).
pub(crate) struct Fit<S: Isa> {
    pub(crate) scale: S::F,
    pub(crate) inverse: S::F,
}

/// The scale of each lane's sub-block for quants in `-half..half`. The values must be finite.
///
/// No lane is wild: a magnitude of [`GROUP_MAX_EPS`] or more has a finite reciprocal, so no
/// product exceeds `half + 0.9` by more than its rounding.
#[inline(always)]
pub(crate) fn fit_signed<S: Isa, const N: usize>(
    isa: S,
    half: i32,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S> {
    isa.apart(Search {
        isa,
        half: half as f32,
        x,
        weights,
    })
}

struct Search<'a, S: Isa, const N: usize> {
    isa: S,
    half: f32,
    x: &'a [S::F; N],
    weights: &'a [S::F; N],
}

impl<S: Isa, const N: usize> Job for Search<'_, S, N> {
    type Output = Fit<S>;

    #[inline(always)]
    fn run(self) -> Fit<S> {
        fit_inline(self.isa, self.half, self.x, self.weights)
    }
}

#[inline(always)]
fn fit_inline<S: Isa, const N: usize>(
    isa: S,
    half: f32,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S> {
    let zero = isa.splat(0.0);
    let (min, max) = bounds(x);
    let (extreme, magnitude) = signed_extreme(isa, x, (min, max));
    let empty = magnitude.lt(isa.splat(GROUP_MAX_EPS));
    let mut weighted = *x;
    for (weighted, w) in weighted.iter_mut().zip(weights) {
        *weighted = *w * *weighted;
    }
    let values = Values {
        x,
        weights,
        weighted: &weighted,
        lowest: isa.splat(-half),
        highest: isa.splat(half - 1.0),
    };
    let under_limit = isa.splat((half - 0.5).next_down());
    let inverse = isa.splat(-half) / extreme;
    let [(sum_lx, sum_l2)] = values.project::<S, 1, false, true>(isa, [inverse]);
    let scale = zero.or_else(sum_l2.eq(zero), sum_lx / sum_l2);
    let mut best = Best {
        scale,
        inverse,
        merit: scale * sum_lx,
    };
    // Several steps share a pass over the elements; their solutions are compared in order.
    let (steps, _) = STEPS.as_chunks::<TOGETHER>();
    for (i, steps) in steps.iter().enumerate() {
        let mut inverses = [zero; TOGETHER];
        for (inverse, step) in inverses.iter_mut().zip(steps) {
            *inverse = isa.splat(-(half + 0.1 * step)) / extreme;
        }
        // Up to step 4 the extreme value stays above `-half - 0.5`: no lower limit is needed. An upper
        // one is where `half - 0.5` is reached, which takes a value nearly as large as the extreme
        // one and of the other sign: the more so, the earlier the step.
        let widest = inverses[TOGETHER - 1];
        let highest = (widest * min).max(widest * max);
        let high = under_limit.lt(highest).any();
        let sums = match (i < 4, high) {
            (true, false) => values.project::<S, TOGETHER, false, false>(isa, inverses),
            (true, true) => values.project::<S, TOGETHER, false, true>(isa, inverses),
            (false, false) => values.project::<S, TOGETHER, true, false>(isa, inverses),
            (false, true) => values.project::<S, TOGETHER, true, true>(isa, inverses),
        };
        for (sums, inverse) in sums.into_iter().zip(inverses) {
            best.update(isa, inverse, sums);
        }
    }
    Fit {
        scale: zero.or_else(empty, best.scale),
        inverse: zero.or_else(empty, best.inverse),
    }
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
    inverse: F,
    /// Scale times projection, the larger the better.
    merit: F,
}

impl<F: Float> Best<F> {
    /// Takes the solution of another rounding step where it is better.
    #[inline(always)]
    fn update<S: Isa<F = F, M = F::Mask>>(&mut self, isa: S, inverse: F, (sum_lx, sum_l2): (F, F)) {
        let grows = (self.merit * sum_l2).lt(sum_lx * sum_lx);
        let better = isa.splat(0.0).lt(sum_l2).and(grows);
        // No branch: whether any lane is better is as good as chance, and the quotient is ready
        // before the comparison is.
        let scale = sum_lx / sum_l2;
        self.scale = scale.or_else(better, self.scale);
        self.inverse = inverse.or_else(better, self.inverse);
        self.merit = (scale * sum_lx).or_else(better, self.merit);
    }
}

/// A sub-block, its error weights, and the products of both.
struct Values<'a, F, const N: usize> {
    x: &'a [F; N],
    weights: &'a [F; N],
    weighted: &'a [F; N],
    /// The limits of quants.
    lowest: F,
    highest: F,
}

impl<F: Float, const N: usize> Values<'_, F, N> {
    /// For each of `C` rounding steps: the weighted projection of the values on their quants, and
    /// the quants' weighted norm. `LOW` says whether a quant may lie below the range, `HIGH`
    /// whether one may lie above it.
    #[inline(always)]
    fn project<S: Isa<F = F, M = F::Mask>, const C: usize, const LOW: bool, const HIGH: bool>(
        &self,
        isa: S,
        inverses: [F; C],
    ) -> [(F, F); C] {
        let mut sums = [(isa.splat(0.0), isa.splat(0.0)); C];
        for i in 0..N {
            for (sums, inverse) in sums.iter_mut().zip(inverses) {
                let mut l = (inverse * self.x[i]).round();
                if HIGH {
                    l = l.at_most(self.highest);
                }
                if LOW {
                    l = l.max(self.lowest);
                }
                sums.0 = sums.0 + self.weighted[i] * l;
                sums.1 = sums.1 + self.weights[i] * l * l;
            }
        }
        sums
    }
}
