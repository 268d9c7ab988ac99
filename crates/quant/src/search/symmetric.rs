//! Scale of a sub-block whose values are `scale * q`, `q` signed. Used by Q6_K, and with a guide by
//! Q3_K (for sub-blocks and for their scales), Q4_0 and Q5_0; in ggml the search is called
//! `make_qx_quants` (with `rmse_type` 1).
//!
//! The value of largest magnitude goes to `-half`; then 18 neighbouring scales are tried, and
//! the one whose quants have the largest weighted projection on the values stays.

use super::{GROUP_MAX_EPS, nearest_int, signed_extreme};

/// What the search finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Symmetric {
    /// The scale; 0 if the values are below [`GROUP_MAX_EPS`].
    pub(crate) scale: f32,
    /// What the values were multiplied with before they were rounded to the best quants. It is
    /// near the reciprocal of the scale, and 0 if the values are below [`GROUP_MAX_EPS`].
    pub(crate) inverse: f32,
}

impl Symmetric {
    /// Writes the quants shifted by `half`; all 0 if the values are below [`GROUP_MAX_EPS`].
    #[inline(always)]
    pub(crate) fn quants<const N: usize>(&self, half: i32, x: &[f32; N], quants: &mut [u8; N]) {
        if self.inverse == 0.0 {
            quants.fill(0);
            return;
        }
        for (q, v) in quants.iter_mut().zip(x) {
            *q = (nearest_int(self.inverse * v).clamp(-half, half - 1) + half) as u8;
        }
    }
}

/// Finds the scale of `x` for quants in `-half..half`, with errors that count by `weights`.
pub(crate) fn fit_signed<const N: usize>(half: i32, x: &[f32; N], weights: &[f32; N]) -> Symmetric {
    let (extreme, magnitude) = signed_extreme(x);
    if magnitude < GROUP_MAX_EPS {
        return Symmetric::default();
    }
    let project = |inverse: f32| {
        let (mut sum_lx, mut sum_l2) = (0.0f32, 0.0f32);
        for (&v, &w) in x.iter().zip(weights) {
            let l = nearest_int(inverse * v).clamp(-half, half - 1) as f32;
            sum_lx += w * v * l;
            sum_l2 += w * l * l;
        }
        (sum_lx, sum_l2)
    };

    let mut inverse = -(half as f32) / extreme;
    let (sum_lx, sum_l2) = project(inverse);
    let mut scale = if sum_l2 != 0.0 { sum_lx / sum_l2 } else { 0.0 };
    let mut best = scale * sum_lx;
    for step in (-9..=9).filter(|&step| step != 0) {
        let other = -(half as f32 + 0.1 * step as f32) / extreme;
        let (sum_lx, sum_l2) = project(other);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            inverse = other;
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    Symmetric { scale, inverse }
}
