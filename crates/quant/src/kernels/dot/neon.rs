//! Kernels for aarch64: NEON with the dot products of ARMv8.2 (`sdot`: Cortex-A75, Neoverse N1, Apple A11 and
//! later), and where there is one with the matrix product of ARMv8.6 (`smmla`: Neoverse V1 and N2, Apple M2
//! and later).
//!
//! Both multiply signed bytes with signed ones and add to 32 bits, so nothing saturates. Bytes of weights
//! up to 127 are what they are; larger ones are signed ones plus 128 ([`Product::WIDE`](super::Product::WIDE)),
//! and a flipped highest bit makes them that again, which takes off their offset.
//!
//! With many tokens a vector of a panel has four columns of four rows. `sdot` multiplies it with four bytes
//! of a token, a lane for each row. `smmla` multiplies eight columns of two rows with those of two tokens;
//! two vectors of a panel, zipped, are the eight columns of four rows. Unpacking is the portable code, whose
//! loops the compiler turns into vectors: NEON needs no leave to be used.
//!
//! The two instructions are written as assembly, since their intrinsics are not stable.
#![allow(unsafe_code, reason = "vector loads and stores, two instructions")]

mod float;
mod matmul;
mod matvec;

use super::elementwise::elementwise;
use super::table::Kernels;
use crate::registry::with_product;
use aeolus_gguf::TensorType;
use std::arch::aarch64::int8x16_t;
use std::arch::aarch64::int32x4_t;
use std::arch::asm;

pub(crate) const KERNELS: Kernels = Kernels {
    name: "neon",
    dot_rows: |ty| with_product!(ty, F => Some(matvec::dot_rows::<F>), None),
    dot_floats: |ty| match ty {
        TensorType::F32 => Some(float::dot_rows_f32),
        TensorType::F16 => Some(float::dot_rows_f16),
        TensorType::BF16 => Some(float::dot_rows_bf16),
        _ => None,
    },
    pack: |ty| with_product!(ty, F => Some(matmul::pack::<F>), None),
    multiply: matmul::multiply,
    matmul_f32: float::matmul,
    elementwise: elementwise!(),
};

pub(crate) const I8MM_KERNELS: Kernels = Kernels {
    name: "i8mm",
    multiply: matmul::multiply_i8mm,
    ..KERNELS
};

/// Adds to each lane the products of its four bytes of `w` and `q`.
///
/// # Safety
/// The caller enables `dotprod`.
#[inline(always)]
unsafe fn sdot(mut sums: int32x4_t, w: int8x16_t, q: int8x16_t) -> int32x4_t {
    // SAFETY: the CPU has the instruction, which touches nothing but its operands.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {w:v}.16b, {q:v}.16b",
            sums = inout(vreg) sums, w = in(vreg) w, q = in(vreg) q,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Adds to each lane the products of its four bytes of `w` and the four bytes of number `LANE` of `q`.
///
/// # Safety
/// The caller enables `dotprod`.
#[inline(always)]
unsafe fn sdot_lane<const LANE: usize>(
    mut sums: int32x4_t,
    w: int8x16_t,
    q: int8x16_t,
) -> int32x4_t {
    // SAFETY: as for `sdot`; a vector has four times four bytes.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {w:v}.16b, {q:v}.4b[{lane}]",
            sums = inout(vreg) sums, w = in(vreg) w, q = in(vreg) q, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Adds to lane `2 i + j` the products of eight bytes number `i` of `w` and number `j` of `q`.
///
/// # Safety
/// The caller enables `i8mm`.
#[inline(always)]
unsafe fn smmla(mut sums: int32x4_t, w: int8x16_t, q: int8x16_t) -> int32x4_t {
    // SAFETY: as for `sdot`.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {w:v}.16b, {q:v}.16b",
            sums = inout(vreg) sums, w = in(vreg) w, q = in(vreg) q,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
