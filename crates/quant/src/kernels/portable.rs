//! The lanes as plain arrays, compiled for whatever the whole program is compiled for.
#![allow(unsafe_code, reason = "entries of a table with unsafe functions")]

use super::codec::{codec, decode_blocks, encode_blocks, round_through_f16};
use super::lanes::pair::Pair;
use super::lanes::portable::Portable;
use super::lanes::{blocks32, supers};
use crate::formats::*;
use bytemuck::cast_slice_mut;

codec! {
    name: "portable",
    runs_here: true,
    #[inline(never)]
    let isa = Portable;
    encode(x, out) {
        F32 => encode_blocks::<F32Le, 1>(x, out),
        F16 => encode_blocks::<F16Plain, 1>(x, out),
        BF16 => encode_blocks::<BF16Le, 1>(x, out),
        Q4_0 => blocks32::encode::<_, BlockQ4_0>(isa, x, cast_slice_mut(out)),
        Q4_1 => blocks32::encode::<_, BlockQ4_1>(isa, x, cast_slice_mut(out)),
        Q5_0 => blocks32::encode::<_, BlockQ5_0>(isa, x, cast_slice_mut(out)),
        Q5_1 => blocks32::encode::<_, BlockQ5_1>(isa, x, cast_slice_mut(out)),
        Q8_0 => blocks32::encode::<_, BlockQ8_0>(isa, x, cast_slice_mut(out)),
        Q2_K => supers::encode::<_, BlockQ2K, 16, 16>(isa, x, cast_slice_mut(out)),
        Q3_K => supers::encode::<_, BlockQ3K, 16, 16>(Pair(isa), x, cast_slice_mut(out)),
        Q4_K => supers::encode::<_, BlockQ4K, 32, 8>(isa, x, cast_slice_mut(out)),
        Q5_K => supers::encode::<_, BlockQ5K, 32, 8>(isa, x, cast_slice_mut(out)),
        Q6_K => supers::encode::<_, BlockQ6K, 16, 16>(isa, x, cast_slice_mut(out)),
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
