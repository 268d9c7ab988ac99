//! Words on block types: what each is made of.

use aeolus_gguf::TensorType;

/// How a type stores weights, in a sentence without its bits per weight.
pub(crate) fn description(ty: TensorType) -> &'static str {
    match ty {
        TensorType::F32 => "32-bit floats; norms stay in it.",
        TensorType::F16 => "16-bit floats.",
        TensorType::BF16 => "16-bit floats with the exponent range of 32-bit ones.",
        TensorType::Q4_0 => "Blocks of 32 weights, each 4 bits, with one 16-bit scale.",
        TensorType::Q4_1 => "Blocks of 32 weights, each 4 bits, with a 16-bit scale and minimum.",
        TensorType::Q5_0 => "Blocks of 32 weights, each 5 bits, with one 16-bit scale.",
        TensorType::Q5_1 => "Blocks of 32 weights, each 5 bits, with a 16-bit scale and minimum.",
        TensorType::Q8_0 => "Blocks of 32 weights, each 8 bits, with one 16-bit scale.",
        TensorType::Q2_K => {
            "Super-blocks of 16 blocks of 16 weights, each 2 bits; scales and minimums of blocks in 4 bits."
        }
        TensorType::Q3_K => {
            "Super-blocks of 16 blocks of 16 weights, each 3 bits; scales of blocks in 6 bits."
        }
        TensorType::Q4_K => {
            "Super-blocks of 8 blocks of 32 weights, each 4 bits; scales and minimums of blocks in 6 bits."
        }
        TensorType::Q5_K => {
            "Super-blocks of 8 blocks of 32 weights, each 5 bits; scales and minimums of blocks in 6 bits."
        }
        TensorType::Q6_K => {
            "Super-blocks of 16 blocks of 16 weights, each 6 bits; scales of blocks in 8 bits."
        }
        ty if ty.is_foreign() => "A format that ggml does not have.",
        ty if ty.is_quantized() => "Weights in blocks that share their scales.",
        _ => "Plain numbers.",
    }
}
