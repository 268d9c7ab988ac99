//! Kernels for AVX2 with FMA and F16C (Haswell, Zen and later).
//!
//! `vpmaddubsw` multiplies unsigned bytes with signed ones and adds neighbours into 16 bits with
//! saturation. Weights up to 127 are safe (2 * 127 * 127 = 32,258); larger ones are taken with
//! their sign: |w| times the activation with the sign of w (2 * 128 * 127 = 32,512), which also
//! holds for -128.
#![allow(unsafe_code, reason = "vector loads and stores")]

mod codebooks;
mod float;
mod matmul;
mod matvec;
mod ternary;
mod unpack;

pub(super) use unpack::Unpack256;

use aeolus_gguf::TensorType;

use super::elementwise::elementwise;
use super::table::Kernels;
use crate::registry::with_product;

pub(crate) const KERNELS: Kernels = Kernels {
    name: "avx2",
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
    elementwise: elementwise!("avx2,fma,f16c"),
};
