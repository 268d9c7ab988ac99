//! Scale of a sub-block whose values are `scale * LEVELS[q]`: 16 levels, closer to each other where
//! weights are more frequent. Used by IQ4_NL and IQ4_XS; in ggml the search is the inner part of
//! `quantize_row_iq4_nl_impl`.
//!
//! The value of largest magnitude goes to the lowest level; then 15 neighbouring scales are tried,
//! and the one whose levels have the largest weighted projection on the values stays.

use super::{GROUP_MAX_EPS, signed_extreme};

/// The levels, `kvalues_iq4nl` in `ggml-common.h`.
pub(crate) const LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// `LEVELS` as floats.
pub(crate) const LEVELS_F32: [f32; 16] = {
    let mut levels = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        levels[i] = LEVELS[i] as f32;
        i += 1;
    }
    levels
};

/// The middles between neighbouring levels. What lies on one goes up.
pub(crate) const MIDDLES: [f32; 15] = {
    let mut middles = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        middles[i] = (LEVELS_F32[i] + LEVELS_F32[i + 1]) / 2.0;
        i += 1;
    }
    middles
};

/// Neighbouring scales on each side of the one that maps the extreme value to the lowest level.
pub(crate) const TRIALS: i32 = 7;

/// Index of the level nearest to `value`; 15 for NaN.
///
/// The reference compares the distances to both neighbours. Near a middle both differences are
/// exact, so it comes to the same.
#[inline(always)]
pub(crate) fn nearest_level(value: f32) -> u8 {
    let mut index = 0;
    for middle in MIDDLES {
        index += 1 - u8::from(value < middle);
    }
    index
}

/// Finds the scale of `x` under `weights`; 0 if the values are below [`GROUP_MAX_EPS`].
pub(crate) fn fit_levels<const N: usize>(x: &[f32; N], weights: &[f32; N]) -> f32 {
    let (extreme, magnitude) = signed_extreme(x);
    if magnitude < GROUP_MAX_EPS {
        return 0.0;
    }
    let project = |inverse: f32| {
        let (mut sum_qx, mut sum_q2) = (0.0f32, 0.0f32);
        for (&v, &w) in x.iter().zip(weights) {
            let q = LEVELS_F32[usize::from(nearest_level(inverse * v))];
            sum_qx += w * q * v;
            sum_q2 += w * q * q;
        }
        (sum_qx, sum_q2)
    };

    let (sum_qx, sum_q2) = project(1.0 / (-extreme / LEVELS_F32[0]));
    let mut scale = if sum_q2 > 0.0 { sum_qx / sum_q2 } else { 0.0 };
    let mut best = scale * sum_qx;
    for trial in -TRIALS..=TRIALS {
        let (sum_qx, sum_q2) = project((trial as f32 + LEVELS_F32[0]) / extreme);
        if sum_q2 > 0.0 && sum_qx * sum_qx > best * sum_q2 {
            scale = sum_qx / sum_q2;
            best = scale * sum_qx;
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_is_the_one_with_the_smaller_difference() {
        let mut values = vec![f32::NEG_INFINITY, f32::INFINITY, f32::MAX, 0.0, -0.0, 1e-40];
        for center in LEVELS_F32.into_iter().chain(MIDDLES) {
            let (mut up, mut down) = (center, center);
            values.push(center);
            for _ in 0..50 {
                (up, down) = (up.next_up(), down.next_down());
                values.extend([up, down]);
            }
            values.extend((-2000..2000).map(|i| center + i as f32 * 0.003));
        }
        for value in values {
            let index = usize::from(nearest_level(value));
            let difference = |i: usize| (value - LEVELS_F32[i]).abs();
            assert!(
                index == 0 || difference(index) <= difference(index - 1),
                "{value}"
            );
            assert!(
                index == 15 || difference(index) < difference(index + 1) || value.is_infinite(),
                "{value}"
            );
        }
    }
}
