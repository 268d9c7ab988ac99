//! The kernels of one CPU level as a table, and its making.
//!
//! All levels encode and decode to the same bytes and values. An entry works on whole slices of
//! rows, so the table is looked up once per call and not once per block.

use super::dot::Kernels;
use aeolus_gguf::TensorType;

/// Encodes rows of weights, with the importance of each column if there is a guide, into exactly
/// as many bytes as their blocks take.
pub(crate) type Encode = unsafe fn(&[f32], Option<&[f32]>, &mut [u8]);
/// Decodes blocks into exactly as many weights.
pub(crate) type Decode = unsafe fn(&[u8], &mut [f32]);

/// The functions of one level. All they ask for is a CPU on which `runs_here` is true.
#[derive(Debug)]
pub(crate) struct Level {
    /// The name in `AEOLUS_CPU`.
    pub(crate) name: &'static str,
    /// Whether this machine has every feature of the level.
    pub(crate) runs_here: fn() -> bool,
    pub(crate) encode: fn(TensorType) -> Option<Encode>,
    pub(crate) decode: fn(TensorType) -> Option<Decode>,
    /// Rounds every value to the nearest F16 and widens it again.
    pub(crate) round_through_f16: unsafe fn(&mut [f32]),
    /// Index of the first value that is NaN or of at least this magnitude.
    pub(crate) first_at_least: unsafe fn(&[f32], f32) -> Option<usize>,
    /// The products.
    pub(crate) kernels: Kernels,
}

/// Whether this machine has a feature.
#[cfg(target_arch = "x86_64")]
macro_rules! detected {
    ($feature:tt) => {
        std::arch::is_x86_feature_detected!($feature)
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! detected {
    ($feature:tt) => {
        std::arch::is_aarch64_feature_detected!($feature)
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use detected;

/// Makes a `static LEVEL` from the lanes of an instruction set. The features are those that
/// `runs_here` asks for and every function of the level is compiled for.
macro_rules! level {
    (
        name: $name:literal,
        $(features: [$($feature:tt),+],)?
        isa: $isa:expr,
        kernels: $kernels:expr,
    ) => {
        pub(crate) static LEVEL: $crate::kernels::level::Level = {
            use $crate::registry::{Format, with_format};

            $(#[target_feature($(enable = $feature),+)])?
            unsafe fn encode<F: Format>(x: &[f32], guide: Option<&[f32]>, out: &mut [u8]) {
                F::encode_in_lanes($isa, x, guide, out);
            }

            $(#[target_feature($(enable = $feature),+)])?
            unsafe fn decode<F: Format>(bytes: &[u8], y: &mut [f32]) {
                F::decode_in_lanes($isa, bytes, y);
            }

            $(#[target_feature($(enable = $feature),+)])?
            unsafe fn round_through_f16(x: &mut [f32]) {
                $crate::kernels::lanes::half::round_through($isa, x);
            }

            $(#[target_feature($(enable = $feature),+)])?
            unsafe fn first_at_least(x: &[f32], limit: f32) -> Option<usize> {
                $crate::kernels::level::first_at_least(x, limit)
            }

            $crate::kernels::level::Level {
                name: $name,
                runs_here: || true $($(&& $crate::kernels::level::detected!($feature))+)?,
                encode: |ty| with_format!(ty, F => Some(encode::<F>), None),
                decode: |ty| with_format!(ty, F => Some(decode::<F>), None),
                round_through_f16,
                first_at_least,
                kernels: $kernels,
            }
        };
    };
}
pub(crate) use level;

/// See [`Level::first_at_least`]: a pass without branches over pieces of some KiB, then a look
/// into the piece that has it.
#[inline(always)]
pub(crate) fn first_at_least(x: &[f32], limit: f32) -> Option<usize> {
    const PIECE: usize = 2048;
    // Magnitudes compare as integers; NaN lies above infinity.
    let limit = limit.to_bits();
    let magnitude = |v: &f32| v.to_bits() & 0x7fff_ffff;
    for (piece, x) in x.chunks(PIECE).enumerate() {
        let largest = x.iter().map(magnitude).fold(0, u32::max);
        if largest >= limit {
            let index = x.iter().position(|v| magnitude(v) >= limit);
            return index.map(|i| piece * PIECE + i);
        }
    }
    None
}
