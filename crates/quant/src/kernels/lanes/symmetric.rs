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
    let (before, after) = STEPS.split_at(STEPS.len() / 2);
    let values = |last: f32| Values {
        x: within_limits(isa, half, half + 0.1 * last, extreme, x),
        weights,
        weighted: &weighted,
    };
    let (before, after) = (
        (values(before[before.len() - 1]), before),
        (values(after[after.len() - 1]), after),
    );
    let inverse = isa.splat(-half) / extreme;
    let [(sum_lx, sum_l2)] = after.0.project::<S, 1>(isa, [inverse]);
    let scale = zero.or_else(sum_l2.eq(zero), sum_lx / sum_l2);
    let mut best = Best {
        scale,
        inverse,
        merit: scale * sum_lx,
    };
    for (values, steps) in [before, after] {
        // Several steps share a pass over the elements; their solutions are compared in order.
        for steps in steps.as_chunks::<TOGETHER>().0 {
            let mut inverses = [zero; TOGETHER];
            for (inverse, step) in inverses.iter_mut().zip(steps) {
                *inverse = isa.splat(-(half + 0.1 * step)) / extreme;
            }
            let sums = values.project::<S, TOGETHER>(isa, inverses);
            for (sums, inverse) in sums.into_iter().zip(inverses) {
                best.update(isa, inverse, sums);
            }
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

/// The values as far as quants reach: in place of those whose quants would lie beyond the limits, if
/// `-widest / extreme` is the inverse scale, values that round to the limits.
///
/// They do for smaller inverses, too: down to `widest - 1`, what is `half - 0.5` times a scale under the
/// widest inverse is more than `half - 1.5` times one, and so on the other side. One limit for many steps
/// takes the place of one for each quant. A limit is a millionth short of the place where rounding goes
/// on to the next quant, more than the errors of the products.
#[inline(always)]
fn within_limits<S: Isa, const N: usize>(
    isa: S,
    half: f32,
    widest: f32,
    extreme: S::F,
    x: &[S::F; N],
) -> [S::F; N] {
    const SHORT: f32 = 1.0 - 1e-6;
    let low = extreme * isa.splat((half + 0.5) * SHORT / widest);
    let high = extreme * isa.splat(-(half - 0.5) * SHORT / widest);
    let (low, high) = (low.min(high), low.max(high));
    let mut within = *x;
    for v in &mut within {
        *v = v.max(low).min(high);
    }
    within
}

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

/// A sub-block within the limits of its quants, its error weights, and the products of both.
struct Values<'a, F, const N: usize> {
    x: [F; N],
    weights: &'a [F; N],
    weighted: &'a [F; N],
}

impl<F: Float, const N: usize> Values<'_, F, N> {
    /// For each of `C` rounding steps: the weighted projection of the values on their quants, and
    /// the quants' weighted norm.
    #[inline(always)]
    fn project<S: Isa<F = F, M = F::Mask>, const C: usize>(
        &self,
        isa: S,
        inverses: [F; C],
    ) -> [(F, F); C] {
        let mut sums = [(isa.splat(0.0), isa.splat(0.0)); C];
        for i in 0..N {
            for (sums, inverse) in sums.iter_mut().zip(inverses) {
                let l = (inverse * self.x[i]).round();
                sums.0 = sums.0 + self.weighted[i] * l;
                sums.1 = sums.1 + self.weights[i] * l * l;
            }
        }
        sums
    }
}
