//! Block formats of quantized tensors: encode and decode.
//!
//! The room between the file format below (`aeolus-gguf`, which owns the table of types and block
//! sizes) and everything that handles weights above. It knows rows of numbers and bytes, no
//! tensors and no files.
//!
//! * [`encode_rows`] and [`decode_rows`] work on whole rows of one type; [`is_encodable`] and
//!   [`is_decodable`] say which types have them, [`is_guided`] which encoders take the importance
//!   of columns into account, [`needs_guide`] which do not work without it.
//! * [`round_through_f16`] rounds weights the way a detour over an F16 file does.
//! * [`first_nonfinite`] finds what no format can hold, [`first_beyond_f16`] what F16 cannot.
//! * [`Cpu`] is a level of instruction sets, for encoding, decoding and products alike, chosen
//!   once per process or forced by the environment variable `AEOLUS_CPU`; programs call
//!   [`Cpu::select`] at their start to report a wrong value.
//! * [`fields`] takes blocks apart and puts them together, for codes that others choose.
//! * [`dot`] multiplies encoded weights with activations.
//! * [`LaneWork`] is code on vectors of sixteen lanes ([`Isa`]), which [`Cpu::run_lanes`] runs with the
//!   instructions of a level and the same bits.
//!
//! The bytes of an encoder depend on the weights, the type and the guide only, never on the CPU or
//! on how rows are grouped; they equal those of ggml's C reference. `formats` holds one file for
//! each format with its scalar code, `registry` one line for each, `search` the scale searches
//! that several of them share, `kernels` the same for vectors.
//!
//! ```
//! use aeolus_gguf::TensorType;
//!
//! let x: Vec<f32> = (0..512).map(|i| (i as f32 * 0.1).sin()).collect();
//! let mut bytes = vec![0; 2 * 144]; // one super-block of 256 weights in each row
//! aeolus_quant::encode_rows(TensorType::Q4_K, &x, 256, None, &mut bytes)?;
//! let mut y = vec![0.0; 512];
//! aeolus_quant::decode_rows(TensorType::Q4_K, &bytes, 256, &mut y)?;
//! assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 0.1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]

mod codec;
mod error;
mod float16;
mod formats;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "tables and helpers of kernels for x86-64")
)]
mod kernels;
mod registry;
mod search;

pub use codec::{
    decode_rows, encode_rows, first_beyond_f16, first_nonfinite, is_decodable, is_encodable,
    is_guided, needs_guide, round_through_f16,
};
pub use error::{DecodeError, EncodeError, Overflow, ShapeError};
pub use float16::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
pub use formats::fields;
pub use kernels::{Cpu, CpuError, Float, Int, Isa, Job, LaneWork, Mask, dot};
