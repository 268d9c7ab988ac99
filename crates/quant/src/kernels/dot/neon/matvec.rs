//! One token with rows of blocks.

use std::arch::aarch64::*;

use super::sdot;
use crate::kernels::dot::activations::{ActivationUnit, Token};
use crate::kernels::dot::unpack::{Unpack, Unpacked};

/// Dot products of rows of blocks with one token. A unit of a row is unpacked into the first cache and
/// multiplied from there.
///
/// # Safety
/// The CPU has `dotprod`; `rows` is `y.len()` rows of `row_bytes`, each a whole number of blocks, and `token`
/// has a unit for every 256 weights of a row.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn dot_rows<F: Unpack>(
    rows: &[u8],
    row_bytes: usize,
    token: Token<'_>,
    y: &mut [f32],
) {
    let mut unpacked = Unpacked::ZERO;
    for (row, y) in rows.chunks_exact(row_bytes).zip(y) {
        let mut sums = [vdupq_n_f32(0.0); 4];
        let units = bytemuck::cast_slice::<_, F>(row).chunks(F::BLOCKS);
        for (unit, activations) in units.zip(token.units()) {
            F::unpack(unit, &mut unpacked);
            // SAFETY: this function has the features.
            unsafe { add_unit::<F>(&unpacked, activations, &mut sums) };
        }
        let sums = [vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])];
        *y = vaddvq_f32(vaddq_f32(sums[0], sums[1]));
    }
}

/// Adds the products of one unit.
///
/// # Safety
/// The caller enables `dotprod`.
#[inline(always)]
unsafe fn add_unit<F: Unpack>(w: &Unpacked, x: &ActivationUnit, sums: &mut [float32x4_t; 4]) {
    // SAFETY: arrays have 256 bytes, or 8 or 16 floats.
    unsafe {
        let flip = vdupq_n_u8(if F::WIDE { 0x80 } else { 0 });
        let sixteen = |products: int32x4_t, at: usize| {
            let u = veorq_u8(vld1q_u8(w.u.as_ptr().add(at)), flip);
            sdot(
                products,
                vreinterpretq_s8_u8(u),
                vld1q_s8(x.q.as_ptr().add(at)),
            )
        };
        let zero = vdupq_n_s32(0);
        for b in 0..8 {
            if F::GROUP == 32 {
                let products = sixteen(sixteen(zero, 32 * b), 32 * b + 16);
                let scale = w.scale[b] * x.d[b];
                sums[b % 4] = vfmaq_n_f32(sums[b % 4], vcvtq_f32_s32(products), scale);
            } else {
                for g in [2 * b, 2 * b + 1] {
                    let products = sixteen(zero, 16 * g);
                    let scale = w.scale[g] * x.d[b];
                    sums[g % 4] = vfmaq_n_f32(sums[g % 4], vcvtq_f32_s32(products), scale);
                }
            }
        }
        // The offset of wide bytes is taken off already.
        if !F::WIDE {
            let (minus_sum, groups) = match F::GROUP {
                32 => (x.minus_sum32.as_ptr(), 8),
                _ => (x.minus_sum16.as_ptr(), 16),
            };
            for (part, g) in (0..groups).step_by(4).enumerate() {
                let min = vld1q_f32(w.min.as_ptr().add(g));
                sums[part] = vfmaq_f32(sums[part], min, vld1q_f32(minus_sum.add(g)));
            }
        }
    }
}
