//! The scalar encoders of the formats, one block after the other: what all others must equal.
#![allow(unsafe_code, reason = "entries of a table with unsafe functions")]

use super::codec::{codec, decode_blocks, encode_blocks, round_through_f16};
use crate::formats::*;

codec! {
    name: "scalar",
    runs_here: true,
    #[inline(never)]
    let isa = ();
    encode(x, out) {
        F32 => encode_blocks::<F32Le, 1>(x, out),
        F16 => encode_blocks::<F16Plain, 1>(x, out),
        BF16 => encode_blocks::<BF16Le, 1>(x, out),
        Q4_0 => encode_blocks::<BlockQ4_0, 32>(x, out),
        Q4_1 => encode_blocks::<BlockQ4_1, 32>(x, out),
        Q5_0 => encode_blocks::<BlockQ5_0, 32>(x, out),
        Q5_1 => encode_blocks::<BlockQ5_1, 32>(x, out),
        Q8_0 => encode_blocks::<BlockQ8_0, 32>(x, out),
        Q2_K => encode_blocks::<BlockQ2K, QK_K>(x, out),
        Q3_K => encode_blocks::<BlockQ3K, QK_K>(x, out),
        Q4_K => encode_blocks::<BlockQ4K, QK_K>(x, out),
        Q5_K => encode_blocks::<BlockQ5K, QK_K>(x, out),
        Q6_K => encode_blocks::<BlockQ6K, QK_K>(x, out),
    }
    decode(bytes, y) {
        F32 => decode_blocks::<F32Le, 1>(bytes, y),
        F16 => decode_blocks::<F16Plain, 1>(bytes, y),
        BF16 => decode_blocks::<BF16Le, 1>(bytes, y),
        Q4_0 => decode_blocks::<BlockQ4_0, 32>(bytes, y),
        Q4_1 => decode_blocks::<BlockQ4_1, 32>(bytes, y),
        Q5_0 => decode_blocks::<BlockQ5_0, 32>(bytes, y),
        Q5_1 => decode_blocks::<BlockQ5_1, 32>(bytes, y),
        Q8_0 => decode_blocks::<BlockQ8_0, 32>(bytes, y),
        Q2_K => decode_blocks::<BlockQ2K, QK_K>(bytes, y),
        Q3_K => decode_blocks::<BlockQ3K, QK_K>(bytes, y),
        Q4_K => decode_blocks::<BlockQ4K, QK_K>(bytes, y),
        Q5_K => decode_blocks::<BlockQ5K, QK_K>(bytes, y),
        Q6_K => decode_blocks::<BlockQ6K, QK_K>(bytes, y),
    }
    round_through_f16(x) { round_through_f16(x) }
}
