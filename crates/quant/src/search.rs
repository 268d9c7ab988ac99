//! The searches for scales, shared by the formats: one sub-block at a time, in scalar code.
//!
//! They define the bytes: sums run in the order of the elements, in `f32`, and no product is
//! fused with a sum. The lanes of `kernels` do the same operations in the same order.

mod affine;
mod grid;
mod iterative;
mod levels;
mod positive;
mod symmetric;

pub(crate) use affine::{Affine, AffineSearch};
pub(crate) use grid::{Again, Grid, GridFit, GridSearch, GridTask, Near, project};
pub(crate) use iterative::{Q3_ROUNDS, fit_q3};
pub(crate) use levels::{LEVELS, LEVELS_F32, MIDDLES, TRIALS, fit_levels, nearest_level};
pub(crate) use positive::{POSITIVE_ROUNDS, fit_positive};
pub(crate) use symmetric::{Symmetric, fit_signed};

/// Sub-blocks whose largest magnitude is below this count as all zero.
pub(crate) const GROUP_MAX_EPS: f32 = 1e-15;

/// 1.5 * 2^23: adding it to a value below 2^22 leaves the nearest integer, ties to even, in the
/// lower mantissa bits.
pub(crate) const ROUND_MAGIC: f32 = 12_582_912.0;

/// The nearest integer, ties to even, for `|value| < 2^22`.
///
/// Beyond that, and for NaN, it gives what the reference gives: the lower mantissa bits of the
/// sum, whatever they mean. Blocks of subnormals get there, so the bits matter.
#[inline(always)]
pub(crate) fn nearest_int(value: f32) -> i32 {
    let bits = (value + ROUND_MAGIC).to_bits();
    (bits & 0x007f_ffff) as i32 - 0x0040_0000
}

/// Truncation as x86 does it: what does not fit an `i32` (and NaN) becomes `i32::MIN`.
///
/// The reference bytes come from x86, while `as` saturates and other CPUs differ again.
#[inline(always)]
pub(crate) fn truncate_x86(value: f32) -> i32 {
    if (-2_147_483_648.0..2_147_483_648.0).contains(&value) {
        value as i32
    } else {
        i32::MIN
    }
}

/// The signed value of largest magnitude and that magnitude; the first one wins a tie.
#[inline(always)]
pub(crate) fn signed_extreme(x: &[f32]) -> (f32, f32) {
    let (mut extreme, mut magnitude) = (0.0f32, 0.0f32);
    for &v in x {
        if v.abs() > magnitude {
            magnitude = v.abs();
            extreme = v;
        }
    }
    (extreme, magnitude)
}

/// The sum of the squares, in the order of the elements.
#[inline(always)]
pub(crate) fn sum_of_squares(x: &[f32]) -> f32 {
    let mut sum = 0.0f32;
    for v in x {
        sum += v * v;
    }
    sum
}

/// The sum in the order of the elements.
#[inline(always)]
pub(crate) fn sum_of(x: &[f32]) -> f32 {
    let mut sum = 0.0f32;
    for v in x {
        sum += v;
    }
    sum
}

/// What an error at each element weighs under a guide: its importance, times a magnitude that
/// `level` (a mean of squares) keeps from vanishing for small values.
#[inline(always)]
pub(crate) fn guided_weights<const N: usize>(
    x: &[f32; N],
    importance: &[f32; N],
    level: f32,
) -> [f32; N] {
    let mut weights = *importance;
    for (w, v) in weights.iter_mut().zip(x) {
        *w *= (level + v * v).sqrt();
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_int_rounds_ties_to_even() {
        let cases = [
            (0.0, 0),
            (0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (-2.500_001, -3),
            (4_194_303.0, 4_194_303),
            (-4_194_303.0, -4_194_303),
        ];
        for (value, expected) in cases {
            assert_eq!(nearest_int(value), expected, "{value}");
        }
        // Out of its range: the bits of the reference.
        assert_eq!(nearest_int(f32::INFINITY), -0x0040_0000);
        assert_eq!(nearest_int(f32::NAN), 0);
    }

    #[test]
    fn truncation_out_of_range_is_int_min() {
        assert_eq!(truncate_x86(2.9), 2);
        assert_eq!(truncate_x86(-2.9), -2);
        assert_eq!(truncate_x86(-2_147_483_648.0), i32::MIN);
        for value in [2_147_483_648.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert_eq!(truncate_x86(value), i32::MIN);
        }
    }
}
