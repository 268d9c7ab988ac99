//! The search for scale and minimum ([`AffineSearch`]) with a sub-block in each lane.

use super::{Float, Isa, Job, Mask, TAME};
use crate::search::AffineSearch;

/// What the search finds.
pub(crate) struct Fit<S: Isa> {
    pub(crate) scale: S::F,
    /// The minimum, with its own sign.
    pub(crate) min: S::F,
    /// The smallest value. If it is zero, `min` may have the sign of another zero.
    pub(crate) smallest: S::F,
    /// The quants that belong to them are `(x - base) * inverse`, rounded. 0 where all are 0.
    pub(crate) inverse: S::F,
    /// See `inverse`.
    pub(crate) base: S::F,
    /// Lanes that hold nothing of use: a value might have left the range of [`Float::round`].
    pub(crate) wild: S::M,
}

/// [`fit`] in a [function of its own](Isa::apart), for the many formats that have the search with a
/// guide. It is about 4% slower, since it does not know the constants of the search.
#[inline(always)]
pub(crate) fn fit_apart<S: Isa, const N: usize>(
    isa: S,
    search: &AffineSearch,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S> {
    isa.apart(Search {
        isa,
        search,
        x,
        weights,
    })
}

struct Search<'a, S: Isa, const N: usize> {
    isa: S,
    search: &'a AffineSearch,
    x: &'a [S::F; N],
    weights: &'a [S::F; N],
}

impl<S: Isa, const N: usize> Job for Search<'_, S, N> {
    type Output = Fit<S>;

    #[inline(always)]
    fn run(self) -> Fit<S> {
        fit(self.isa, self.search, self.x, self.weights)
    }
}

/// [`AffineSearch::fit`] of the sub-blocks in the lanes of `x`, without the quants.
#[inline(always)]
pub(crate) fn fit<S: Isa, const N: usize>(
    isa: S,
    search: &AffineSearch,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S> {
    let zero = isa.splat(0.0);
    let tame = isa.splat(TAME);
    let q_max = isa.splat(f32::from(search.q_max));
    let rounds_to_0 = isa.splat(-0.5);
    // The largest value that still rounds to `q_max`, which is odd.
    let rounds_to_q_max = isa.splat((f32::from(search.q_max) + 0.5).next_down());

    let (mut min, mut max) = (x[0], x[0]);
    let mut sum_w = weights[0];
    let mut sum_x = sum_w * x[0];
    for i in 1..N {
        min = x[i].min(min);
        max = x[i].max(max);
        sum_w = sum_w + weights[i];
        sum_x = sum_x + weights[i] * x[i];
    }
    let smallest = min;
    min = min.min(zero);
    let flat = max.eq(min);
    let flat_min = min;
    let live = zero.eq(zero).and_not(flat);
    let mut wild = live.and_not(live);

    let inverse = q_max / (max - min);
    wild = wild.or(live.and_not((inverse * (max - min)).lt(tame)));
    let mut scale = isa.splat(1.0) / inverse;
    let mut l = [zero; N];
    for i in 0..N {
        l[i] = (inverse * (x[i] - min))
            .round()
            .at_least_zero(zero)
            .at_most(q_max);
    }
    let mut best_error = error_of(isa, search, x, weights, &l, scale, min);
    let (mut best_inverse, mut base) = (inverse, min);

    for candidate in 0..search.candidates {
        let inverse = isa.splat(search.steps(candidate)) / (max - min);
        // The products to round lie between these two, since rounding keeps the order.
        let (bottom, top) = (inverse * (smallest - min), inverse * (max - min));
        let extent = bottom.abs().max(top.abs());
        wild = wild.or(live.and_not(extent.lt(tame)));
        let outside = rounds_to_q_max
            .lt(top.max(bottom))
            .or(top.min(bottom).lt(rounds_to_0));

        let (mut sum_l, mut sum_l2, mut sum_xl) = (zero, zero, zero);
        // With most candidates no quant leaves its range in any lane: they go without limits.
        if live.and(outside).any() {
            for i in 0..N {
                l[i] = (inverse * (x[i] - min))
                    .round()
                    .at_least_zero(zero)
                    .at_most(q_max);
                let wl = weights[i] * l[i];
                sum_l = sum_l + wl;
                sum_l2 = sum_l2 + wl * l[i];
                sum_xl = sum_xl + wl * x[i];
            }
        } else {
            for i in 0..N {
                l[i] = (inverse * (x[i] - min)).round();
                let wl = weights[i] * l[i];
                sum_l = sum_l + wl;
                sum_l2 = sum_l2 + wl * l[i];
                sum_xl = sum_xl + wl * x[i];
            }
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        let solvable = zero.lt(determinant);
        let mut this_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        let mut this_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        let positive = zero.lt(this_min);
        if positive.any() {
            this_min = zero.or_else(positive, this_min);
            this_scale = (sum_xl / sum_l2).or_else(positive, this_scale);
        }
        let error = error_of(isa, search, x, weights, &l, this_scale, this_min);
        let better = solvable.and(error.lt(best_error));
        best_error = error.or_else(better, best_error);
        best_inverse = inverse.or_else(better, best_inverse);
        base = min.or_else(better, base);
        scale = this_scale.or_else(better, scale);
        min = this_min.or_else(better, min);
    }
    Fit {
        scale: zero.or_else(flat, scale),
        min: flat_min.or_else(flat, min),
        smallest,
        inverse: zero.or_else(flat, best_inverse),
        base,
        wild,
    }
}

/// The weighted error of a solution.
#[inline(always)]
fn error_of<S: Isa, const N: usize>(
    isa: S,
    search: &AffineSearch,
    x: &[S::F; N],
    weights: &[S::F; N],
    l: &[S::F; N],
    scale: S::F,
    min: S::F,
) -> S::F {
    let mut error = isa.splat(0.0);
    // A loop for each kind: in one, both deviations would be computed for every element.
    if search.absolute {
        for i in 0..N {
            let diff = scale * l[i] + min - x[i];
            error = error + weights[i] * diff.abs();
        }
    } else {
        for i in 0..N {
            let diff = scale * l[i] + min - x[i];
            error = error + weights[i] * (diff * diff);
        }
    }
    error
}
