//! Kernels for AVX-512 with VNNI (Ice Lake, Zen 4 and later).
//!
//! The unit of work is 64 weights: one vector of bytes. `vpdpbusd` multiplies unsigned bytes
//! (weights) with signed ones (activations) and adds four neighbours into each 32-bit lane; it
//! does not saturate, and 4 * 255 * 127 per step stays far from 2^31 within a group.
#![allow(unsafe_code, reason = "vector loads and stores")]

mod codebooks;
mod float;
mod matmul;
mod matvec;
mod ternary;
mod unpack;

use aeolus_gguf::TensorType;

use super::elementwise::elementwise;
use super::table::Kernels;
use crate::registry::with_product;

pub(crate) const KERNELS: Kernels = Kernels {
    name: "avx512",
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
    elementwise: elementwise!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"),
};
