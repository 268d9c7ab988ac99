//! The common factor of unsigned quants (`fit_positive`) with a super-block in each lane.

use super::{Float, Isa, Job, Mask, TAME};
use crate::search::{GROUP_MAX_EPS, POSITIVE_ROUNDS};

/// What the search finds.
pub(crate) struct Fit<S: Isa, const N: usize> {
    pub(crate) factor: S::F,
    pub(crate) quants: [S::F; N],
    /// Lanes that hold nothing of use: a value is negative or not finite, or a quotient might have
    /// left the range of [`Float::round`].
    pub(crate) wild: S::M,
}

/// `fit_positive` of the values in the lanes of `x`.
#[inline(always)]
pub(crate) fn fit_positive<S: Isa, const N: usize>(
    isa: S,
    q_max: i32,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S, N> {
    isa.apart(Search {
        isa,
        q_max,
        x,
        weights,
    })
}

struct Search<'a, S: Isa, const N: usize> {
    isa: S,
    q_max: i32,
    x: &'a [S::F; N],
    weights: &'a [S::F; N],
}

impl<S: Isa, const N: usize> Job for Search<'_, S, N> {
    type Output = Fit<S, N>;

    #[inline(always)]
    fn run(self) -> Fit<S, N> {
        fit_inline(self.isa, self.q_max, self.x, self.weights)
    }
}

#[inline(always)]
fn fit_inline<S: Isa, const N: usize>(
    isa: S,
    q_max: i32,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S, N> {
    let zero = isa.splat(0.0);
    let (one, tame) = (isa.splat(1.0), isa.splat(TAME));
    let q_max = q_max as f32;
    let all = zero.eq(zero);
    let (mut max, mut positive) = (zero, all);
    for &v in x {
        max = max.max(v);
        positive = positive.and(zero.lt(v).or(zero.eq(v)));
    }
    let empty = max.lt(isa.splat(GROUP_MAX_EPS));
    let mut inverse = isa.splat(q_max) / max;
    let mut wild = all.and_not(positive.and((inverse * max).lt(tame)));

    // No trial needs a limit: the largest quotient is below `q_max + 0.5`.
    let mut best_error = error_of(isa, x, weights, inverse, one / inverse);
    for step in [-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0] {
        let other = isa.splat(0.1 * step + q_max) / max;
        let error = error_of(isa, x, weights, other, one / other);
        let better = error.lt(best_error);
        best_error = error.or_else(better, best_error);
        inverse = other.or_else(better, inverse);
    }

    let mut quants = [zero; N];
    let mut weighted = [zero; N];
    let (mut lx, mut l2) = (zero, zero);
    for i in 0..N {
        let l = (inverse * x[i]).round();
        quants[i] = l;
        weighted[i] = weights[i] * x[i];
        lx = lx + weighted[i] * l;
        l2 = l2 + weights[i] * l * l;
    }
    let limit = isa.splat(q_max);
    for _ in 0..POSITIVE_ROUNDS {
        let mut changed = zero.lt(zero);
        for i in 0..N {
            let l = quants[i];
            let rest_lx = lx - weighted[i] * l;
            let rest_l2 = l2 - weights[i] * l * l;
            let has_rest = zero.lt(rest_lx).and(zero.lt(rest_l2));
            let quotient = x[i] * rest_l2 / rest_lx;
            wild = wild.or(has_rest.and_not(quotient.lt(tame)));
            // The limit is an integer, so it may come first.
            let new = quotient.min(limit).round();
            let new_lx = rest_lx + weighted[i] * new;
            let new_l2 = rest_l2 + weights[i] * new * new;
            let larger = (lx * lx * new_l2).lt(new_lx * new_lx * l2);
            let better = has_rest.and_not(new.eq(l)).and(larger);
            quants[i] = new.or_else(better, l);
            lx = new_lx.or_else(better, lx);
            l2 = new_l2.or_else(better, l2);
            changed = changed.or(better);
        }
        if !changed.and_not(empty).any() {
            break;
        }
    }
    for q in &mut quants {
        *q = zero.or_else(empty, *q);
    }
    let factor = (lx / l2).or_else(zero.lt(l2), zero);
    Fit {
        factor: zero.or_else(empty, factor),
        quants,
        wild: wild.and_not(empty),
    }
}

/// The weighted error of the values times `inverse`, rounded, times `scale`.
#[inline(always)]
fn error_of<S: Isa, const N: usize>(
    isa: S,
    x: &[S::F; N],
    weights: &[S::F; N],
    inverse: S::F,
    scale: S::F,
) -> S::F {
    let mut error = isa.splat(0.0);
    for i in 0..N {
        let diff = x[i] - scale * (inverse * x[i]).round();
        error = error + weights[i] * diff * diff;
    }
    error
}
