//! Scale of a sub-block whose values are `scale * q`, `q` signed. Used by Q6_K; in ggml the
//! search is called `make_qx_quants` (with `rmse_type` 1).
//!
//! The value of largest magnitude goes to `-half`; then 18 neighbouring scales are tried, and
//! the one whose quants have the largest projection on the values, weighted by their squares,
//! stays.

use super::{GROUP_MAX_EPS, nearest_int, signed_extreme};

/// Finds the scale of `x` for quants in `-half..half` and writes the quants shifted by `half`
/// into `quants` (all 0, and scale 0, if the values are below [`GROUP_MAX_EPS`]).
pub(crate) fn fit_signed<const N: usize>(half: i32, x: &[f32; N], quants: &mut [u8; N]) -> f32 {
    let (extreme, magnitude) = signed_extreme(x);
    if magnitude < GROUP_MAX_EPS {
        quants.fill(0);
        return 0.0;
    }
    let quantize = |inverse: f32, v: f32| nearest_int(inverse * v).clamp(-half, half - 1);
    let project = |inverse: f32| {
        let (mut sum_lx, mut sum_l2) = (0.0f32, 0.0f32);
        for &v in x {
            let l = quantize(inverse, v) as f32;
            let w = v * v;
            sum_lx += w * v * l;
            sum_l2 += w * l * l;
        }
        (sum_lx, sum_l2)
    };

    let mut best_inverse = -(half as f32) / extreme;
    let (sum_lx, sum_l2) = project(best_inverse);
    let mut scale = if sum_l2 != 0.0 { sum_lx / sum_l2 } else { 0.0 };
    let mut best = scale * sum_lx;
    for step in (-9..=9).filter(|&step| step != 0) {
        let inverse = -(half as f32 + 0.1 * step as f32) / extreme;
        let (sum_lx, sum_l2) = project(inverse);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            best_inverse = inverse;
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    for (q, &v) in quants.iter_mut().zip(x) {
        *q = (quantize(best_inverse, v) + half) as u8;
    }
    scale
}
