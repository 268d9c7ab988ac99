//! The scalar code of the formats, one block after the other: what all others must equal.

use super::dot;
use super::level::{Level, first_at_least};
use crate::float16::{f16_to_f32, f32_to_f16};
use crate::registry::{Format, with_format};

pub(crate) static LEVEL: Level = Level {
    name: "scalar",
    runs_here: || true,
    encode: |ty| with_format!(ty, F => Some(F::encode_rows), None),
    decode: |ty| with_format!(ty, F => Some(F::decode_rows), None),
    round_through_f16: |x| {
        for v in x {
            *v = f16_to_f32(f32_to_f16(*v));
        }
    },
    first_at_least,
    kernels: dot::scalar_kernels("scalar"),
};
