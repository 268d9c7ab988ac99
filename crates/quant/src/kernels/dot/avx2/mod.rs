//! Kernels for AVX2 with FMA and F16C (Haswell, Zen and later).
//!
//! `vpmaddubsw` multiplies unsigned bytes with signed ones and adds neighbours into 16 bits with
//! saturation. Weights up to 127 are safe (2 * 127 * 127 = 32,258); those of Q8_0 are taken with
//! their sign: |w| times the activation with the sign of w (2 * 128 * 127 = 32,512), which also
//! holds for -128.
#![allow(unsafe_code, reason = "vector loads and stores")]

mod float;
mod matmul;
mod matvec;
mod unpack;

use aeolus_gguf::TensorType;

use super::formats::with_format;
use super::table::Kernels;

pub(super) static KERNELS: Kernels = Kernels {
    name: "avx2",
    dot_rows: |ty| with_format!(ty, F => Some(matvec::dot_rows::<F>), None),
    dot_floats: |ty| match ty {
        TensorType::F32 => Some(float::dot_rows_f32),
        TensorType::F16 => Some(float::dot_rows_f16),
        TensorType::BF16 => Some(float::dot_rows_bf16),
        _ => None,
    },
    pack: |ty| with_format!(ty, F => Some(matmul::pack::<F>), None),
    matmul_quant: matmul::matmul_quant,
    matmul_f32: float::matmul,
    // The features of every `target_feature` in this folder, and no others.
    runs_here: || {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    },
};
