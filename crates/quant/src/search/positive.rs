//! A common factor for values that are `factor * q`, `q` unsigned: with a guide, the K formats
//! with minimums quantize the scales and the minimums of a super-block this way. In ggml the
//! search is called `make_qp_quants`.
//!
//! The largest value goes to `q_max`; then eight neighbouring factors are tried, and the one with
//! the smallest weighted error stays. From its quants on, up to five times, walk over the
//! elements: take one out of the sums, see which quant suits the factor of the others, and keep
//! it if the weighted projection grows.

use super::{GROUP_MAX_EPS, nearest_int};

/// Rounds over the elements.
pub(crate) const POSITIVE_ROUNDS: usize = 5;

/// Finds the factor of `x` under `weights` and writes the quants of 0 to `q_max` (all 0, and
/// factor 0, if no value reaches [`GROUP_MAX_EPS`]).
///
/// A quant of a negative value wraps around, as in the reference.
pub(crate) fn fit_positive<const N: usize>(
    q_max: i32,
    x: &[f32; N],
    weights: &[f32; N],
    quants: &mut [u8; N],
) -> f32 {
    let mut max = 0.0f32;
    for &v in x {
        // Not `f32::max`: a NaN takes the place of what came before.
        max = if max > v { max } else { v };
    }
    if max < GROUP_MAX_EPS {
        quants.fill(0);
        return 0.0;
    }

    let mut inverse = q_max as f32 / max;
    let scale = 1.0 / inverse;
    let mut best_error = 0.0f32;
    for (&v, &w) in x.iter().zip(weights) {
        // Without an upper limit, but wrapped, in this first trial only.
        let diff = v - scale * f32::from(nearest_int(inverse * v) as u8);
        best_error += w * diff * diff;
    }
    for step in (-4..=4).filter(|&step| step != 0) {
        let other = (0.1 * step as f32 + q_max as f32) / max;
        let scale = 1.0 / other;
        let mut error = 0.0f32;
        for (&v, &w) in x.iter().zip(weights) {
            let diff = v - scale * nearest_int(other * v).min(q_max) as f32;
            error += w * diff * diff;
        }
        if error < best_error {
            best_error = error;
            inverse = other;
        }
    }

    let (mut sum_lx, mut sum_l2) = (0.0f32, 0.0f32);
    for ((q, &v), &w) in quants.iter_mut().zip(x).zip(weights) {
        let l = nearest_int(inverse * v).min(q_max);
        *q = l as u8;
        sum_lx += w * v * l as f32;
        sum_l2 += w * l as f32 * l as f32;
    }
    for _ in 0..POSITIVE_ROUNDS {
        let mut changed = false;
        for ((q, &v), &w) in quants.iter_mut().zip(x).zip(weights) {
            let l = f32::from(*q);
            let mut rest_lx = sum_lx - w * v * l;
            let mut rest_l2 = sum_l2 - w * l * l;
            if rest_lx > 0.0 && rest_l2 > 0.0 {
                let new = nearest_int(v * rest_l2 / rest_lx).min(q_max);
                if new != i32::from(*q) {
                    let l = new as f32;
                    rest_lx += w * v * l;
                    rest_l2 += w * l * l;
                    if rest_lx * rest_lx * sum_l2 > sum_lx * sum_lx * rest_l2 {
                        *q = new as u8;
                        sum_lx = rest_lx;
                        sum_l2 = rest_l2;
                        changed = true;
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 }
}
