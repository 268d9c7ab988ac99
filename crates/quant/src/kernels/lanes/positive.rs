//! The common factor of unsigned quants (`fit_positive`) with a super-block in each lane.

use super::{Float, Int, Isa, Job, Mask, TAME};
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
    isa.apart(Search::<S, N, false> {
        isa,
        q_max,
        x,
        weights,
    })
}

/// The same where values may be negative.
#[inline(always)]
pub(crate) fn fit_signed<S: Isa, const N: usize>(
    isa: S,
    q_max: i32,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S, N> {
    isa.apart(Search::<S, N, true> {
        isa,
        q_max,
        x,
        weights,
    })
}

/// A search; `SIGNED` says that negative values are no reason to call a lane wild.
struct Search<'a, S: Isa, const N: usize, const SIGNED: bool> {
    isa: S,
    q_max: i32,
    x: &'a [S::F; N],
    weights: &'a [S::F; N],
}

impl<S: Isa, const N: usize, const SIGNED: bool> Job for Search<'_, S, N, SIGNED> {
    type Output = Fit<S, N>;

    #[inline(always)]
    fn run(self) -> Fit<S, N> {
        fit_inline::<S, N, SIGNED>(self.isa, self.q_max, self.x, self.weights)
    }
}

#[inline(always)]
fn fit_inline<S: Isa, const N: usize, const SIGNED: bool>(
    isa: S,
    q_max: i32,
    x: &[S::F; N],
    weights: &[S::F; N],
) -> Fit<S, N> {
    let zero = isa.splat(0.0);
    let (one, tame) = (isa.splat(1.0), isa.splat(TAME));
    let q_max = q_max as f32;
    let all = zero.eq(zero);
    let (mut max, mut farthest, mut positive) = (zero, zero, all);
    for &v in x {
        max = max.max(v);
        farthest = farthest.max(v.abs());
        positive = positive.and(zero.lt(v).or(zero.eq(v)));
    }
    let empty = max.lt(isa.splat(GROUP_MAX_EPS));
    let mut inverse = isa.splat(q_max) / max;
    let mut wild = match SIGNED {
        true => all.and_not((inverse * farthest).lt(tame)),
        false => all.and_not(positive.and((inverse * max).lt(tame))),
    };

    // No trial needs a limit: the largest quotient is below `q_max + 0.5`.
    let mut best_error = error_of::<S, N, SIGNED>(isa, x, weights, inverse, one / inverse);
    for step in [-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0] {
        let other = isa.splat(0.1 * step + q_max) / max;
        let error = error_of::<S, N, false>(isa, x, weights, other, one / other);
        let better = error.lt(best_error);
        best_error = error.or_else(better, best_error);
        inverse = other.or_else(better, inverse);
    }

    let mut quants = [zero; N];
    let mut weighted = [zero; N];
    let (mut lx, mut l2) = (zero, zero);
    for i in 0..N {
        let l = (inverse * x[i]).round();
        quants[i] = if SIGNED { wrap(isa, l) } else { l };
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
            let is_tame = match SIGNED {
                true => quotient.abs().lt(tame),
                false => quotient.lt(tame),
            };
            wild = wild.or(has_rest.and_not(is_tame));
            // The limit is an integer, so it may come first.
            let new = quotient.min(limit).round();
            let new_lx = rest_lx + weighted[i] * new;
            let new_l2 = rest_l2 + weights[i] * new * new;
            let larger = (lx * lx * new_l2).lt(new_lx * new_lx * l2);
            let better = has_rest.and_not(new.eq(l)).and(larger);
            let new = if SIGNED { wrap(isa, new) } else { new };
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

/// An integer as a byte has it.
#[inline(always)]
fn wrap<S: Isa>(isa: S, l: S::F) -> S::F {
    l.truncate().and(isa.splat_int(255)).to_float()
}

/// The weighted error of the values times `inverse`, rounded, times `scale`. `WRAP` says that the
/// integers go through bytes.
#[inline(always)]
fn error_of<S: Isa, const N: usize, const WRAP: bool>(
    isa: S,
    x: &[S::F; N],
    weights: &[S::F; N],
    inverse: S::F,
    scale: S::F,
) -> S::F {
    let mut error = isa.splat(0.0);
    for i in 0..N {
        let l = (inverse * x[i]).round();
        let diff = x[i] - scale * if WRAP { wrap(isa, l) } else { l };
        error = error + weights[i] * diff * diff;
    }
    error
}
