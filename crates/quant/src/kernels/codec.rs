//! Encoders and decoders of one instruction set as a table, and its making.
//!
//! All sets give the same bytes. An entry works on whole slices of rows, so the table is looked
//! up once per call and not once per block.

use crate::float16::{f16_to_f32, f32_to_f16};
use crate::formats::Block;
use aeolus_gguf::TensorType;

/// Encodes weights into exactly as many bytes as their blocks take.
pub(crate) type Encode = unsafe fn(&[f32], &mut [u8]);
/// Decodes blocks into exactly as many weights.
pub(crate) type Decode = unsafe fn(&[u8], &mut [f32]);

/// The functions of one instruction set. All they ask for is a CPU on which `runs_here` is true.
#[derive(Debug)]
pub(crate) struct Codec {
    /// The name in `AEOLUS_CPU`.
    pub(crate) name: &'static str,
    pub(crate) encode: fn(TensorType) -> Option<Encode>,
    pub(crate) decode: fn(TensorType) -> Option<Decode>,
    /// Rounds every value to the nearest F16 and widens it again.
    pub(crate) round_through_f16: unsafe fn(&mut [f32]),
    /// Index of the first value that is NaN or of at least this magnitude.
    pub(crate) first_at_least: unsafe fn(&[f32], f32) -> Option<usize>,
    /// Whether this machine has every feature that the functions are compiled for.
    pub(crate) runs_here: fn() -> bool,
}

/// Makes a `static CODEC`: a function for each entry, with the given attribute (which
/// features to compile for) and body.
///
/// What is not given is generic code that the compiler vectorizes as the features allow.
macro_rules! codec {
    (
        name: $name:literal,
        runs_here: $runs_here:expr,
        # $attribute:tt
        let $isa:ident = $make:expr;
        encode($x:ident, $out:ident) { $($encode_ty:ident => $encode:expr,)* }
        decode($bytes:ident, $y:ident) { $($decode_ty:ident => $decode:expr,)* }
        round_through_f16($v:ident) $round:block
    ) => {
        pub(crate) static CODEC: $crate::kernels::codec::Codec = $crate::kernels::codec::Codec {
            name: $name,
            encode: |ty| match ty {
                $(aeolus_gguf::TensorType::$encode_ty => {
                    # $attribute
                    unsafe fn run($x: &[f32], $out: &mut [u8]) {
                        let $isa = $make;
                        let _ = &$isa; // not every entry needs it
                        $encode
                    }
                    Some(run)
                })*
                _ => None,
            },
            decode: |ty| match ty {
                $(aeolus_gguf::TensorType::$decode_ty => {
                    # $attribute
                    unsafe fn run($bytes: &[u8], $y: &mut [f32]) {
                        let $isa = $make;
                        let _ = &$isa;
                        $decode
                    }
                    Some(run)
                })*
                _ => None,
            },
            round_through_f16: {
                # $attribute
                unsafe fn run($v: &mut [f32]) {
                    let $isa = $make;
                    let _ = &$isa;
                    $round
                }
                run
            },
            first_at_least: {
                # $attribute
                unsafe fn run(x: &[f32], limit: f32) -> Option<usize> {
                    $crate::kernels::codec::first_at_least(x, limit)
                }
                run
            },
            runs_here: || $runs_here,
        };
    };
}
pub(crate) use codec;

/// Encodes block after block with the scalar encoder of the format.
#[inline(always)]
pub(crate) fn encode_blocks<B: Block<N>, const N: usize>(x: &[f32], out: &mut [u8]) {
    let () = B::SIZES_AGREE;
    let blocks: &mut [B] = bytemuck::cast_slice_mut(out);
    for (x, block) in x.as_chunks::<N>().0.iter().zip(blocks) {
        *block = B::encode(x);
    }
}

/// Decodes block after block.
#[inline(always)]
pub(crate) fn decode_blocks<B: Block<N>, const N: usize>(bytes: &[u8], out: &mut [f32]) {
    let () = B::SIZES_AGREE;
    let blocks: &[B] = bytemuck::cast_slice(bytes);
    for (block, y) in blocks.iter().zip(out.as_chunks_mut::<N>().0) {
        block.decode(y);
    }
}

/// See [`Codec::round_through_f16`].
#[inline(always)]
pub(crate) fn round_through_f16(x: &mut [f32]) {
    for v in x {
        *v = f16_to_f32(f32_to_f16(*v));
    }
}

/// See [`Codec::first_at_least`]: a pass without branches over pieces of some KiB, then a look
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
