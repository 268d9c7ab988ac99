//! Sixteen rows of a matrix side by side: what is done with one number is done with sixteen.
//!
//! Rows do not depend on each other within a group, so each lane is one row, its sums run in the order of
//! the columns, and the compiler makes vectors of the loops over lanes.

use aeolus_quant::{Float, Isa};

/// Rows in a group.
pub(crate) const LANES: usize = 16;

/// A number for each row of a group.
pub(crate) type Lane = [f32; LANES];

/// Adds what an error makes of the columns behind it: `carried_j += error factor_j`.
#[inline(always)]
pub(crate) fn carry_on<S: Isa>(isa: S, error: S::F, factor: &[f32], carried: &mut [S::F]) {
    for (carried, r) in carried.iter_mut().zip(factor) {
        *carried = *carried + error * isa.splat(*r);
    }
}

/// What is in lanes of `other` where the mask is set, else what was there.
#[inline(always)]
pub(crate) fn take<F: Float>(mask: F::Mask, lanes: &mut F, other: F) {
    *lanes = other.or_else(mask, *lanes);
}

/// The columns of up to sixteen rows, `[rows, cols]`, as lanes; rows that are missing are zeros.
pub(crate) fn transpose(x: &[f32], cols: usize) -> Vec<Lane> {
    let mut lanes = vec![[0.0; LANES]; cols];
    for (row, x) in x.chunks_exact(cols).enumerate() {
        for (lane, x) in lanes.iter_mut().zip(x) {
            lane[row] = *x;
        }
    }
    lanes
}
