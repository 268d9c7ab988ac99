//! Scale of a sub-block of Q3_K, values `scale * q` with `q` in -4..4; in ggml the search is
//! called `make_q3_quants` (with `do_rmse`).
//!
//! Start from the value of largest magnitude at -4. Then, up to five times, walk over the
//! elements: take one out of the sums, see which quant suits the scale of the others, and keep it
//! if the weighted projection grows.

use super::{GROUP_MAX_EPS, nearest_int, signed_extreme};

/// Rounds over the elements.
pub(crate) const Q3_ROUNDS: usize = 5;

/// Finds the scale of `x` and writes its quants shifted by 4 (0 to 7) into `quants`
/// (all 0, and scale 0, if the values are below [`GROUP_MAX_EPS`]).
pub(crate) fn fit_q3<const N: usize>(x: &[f32; N], quants: &mut [u8; N]) -> f32 {
    let (extreme, magnitude) = signed_extreme(x);
    if magnitude < GROUP_MAX_EPS {
        quants.fill(0);
        return 0.0;
    }
    let inverse = -4.0 / extreme;
    let mut levels = [0i32; N];
    let (mut sum_lx, mut sum_l2) = (0.0f32, 0.0f32);
    for (level, &v) in levels.iter_mut().zip(x) {
        *level = nearest_int(inverse * v).clamp(-4, 3);
        let l = *level as f32;
        let w = v * v;
        sum_lx += w * v * l;
        sum_l2 += w * l * l;
    }
    for _ in 0..Q3_ROUNDS {
        let mut changed = false;
        for (level, &v) in levels.iter_mut().zip(x) {
            let l = *level as f32;
            let w = v * v;
            let mut rest_lx = sum_lx - w * v * l;
            if rest_lx > 0.0 {
                let mut rest_l2 = sum_l2 - w * l * l;
                let new = nearest_int(v * rest_l2 / rest_lx).clamp(-4, 3);
                if new != *level {
                    let l = new as f32;
                    rest_lx += w * v * l;
                    rest_l2 += w * l * l;
                    if rest_l2 > 0.0 && rest_lx * rest_lx * sum_l2 > sum_lx * sum_lx * rest_l2 {
                        *level = new;
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
    for (q, level) in quants.iter_mut().zip(levels) {
        *q = (level + 4) as u8;
    }
    if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 }
}
