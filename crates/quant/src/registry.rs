//! The registry: one line for each type that this crate encodes and decodes.
//!
//! A line names the block struct and says which code serves it. The tables of every
//! [CPU level](crate::Cpu) come from here, for encoding, decoding and products alike, so a new
//! format is a file in `formats`, a line below and its test vectors (docs/adding-a-format.md).
//!
//! | column | values |
//! |---|---|
//! | encoder | `each`: the scalar encoder, block after block, compiled for the level; `half`: the conversions of F16; otherwise as in `kernels::lanes`: `blocks32`, `codebook`, or a search with the weights of a sub-block and the sub-blocks of a block |
//! | guided | the encoder when there is a guide: `each`, `codebook` or a search in `kernels::lanes`; `ignored` where a guide changes nothing |
//! | decoder | `each`, `half`, or `lanes` for formats with a decoder in vectors |
//! | product | `none`, or the facts of [`Product`](crate::kernels::dot::Product): the weights that share a scale, the offset of their bytes, and the largest byte |

use crate::formats::*;
use crate::kernels::dot::Product;
use crate::kernels::lanes::widths::Widths;
use crate::kernels::lanes::{blocks32, codebook, decode, guided, half, supers};
use crate::search::sum_of_squares;
use bytemuck::{cast_slice, cast_slice_mut};

/// Hands the lines to a macro: `registry!([path of the macro] arguments)`.
macro_rules! registry {
    ([$($apply:tt)*] $($args:tt)*) => {
        $($apply)*! { [$($args)*]
            // type  block       weights  encoder            guided             decoder  product
            F32      F32Le       1        each               ignored            each     none;
            F16      F16Plain    1        half               ignored            half     none;
            BF16     BF16Le      1        each               ignored            each     none;
            Q4_0     BlockQ4_0   32       blocks32           symmetric(32, 1)   lanes    (32, 8.0, 15);
            Q4_1     BlockQ4_1   32       blocks32           affine(32, 1)      lanes    (32, 0.0, 15);
            Q5_0     BlockQ5_0   32       blocks32           symmetric(32, 1)   each     (32, 16.0, 31);
            Q5_1     BlockQ5_1   32       blocks32           affine(32, 1)      each     (32, 0.0, 31);
            Q8_0     BlockQ8_0   32       blocks32           ignored            each     (32, 128.0, 255);
            Q2_K     BlockQ2K    256      affine(16, 16)     affine(16, 16)     lanes    (16, 0.0, 3);
            Q3_K     BlockQ3K    256      iterative(16, 16)  symmetric(16, 16)  each     (16, 4.0, 7);
            Q4_K     BlockQ4K    256      affine(32, 8)      affine(32, 8)      each     (32, 0.0, 15);
            Q5_K     BlockQ5K    256      affine(32, 8)      affine(32, 8)      each     (32, 0.0, 31);
            Q6_K     BlockQ6K    256      symmetric(16, 16)  symmetric(16, 16)  lanes    (16, 32.0, 63);
            IQ4_NL   BlockIQ4NL  32       levels(32, 1)      levels(32, 1)      each     (32, 128.0, 241);
            IQ4_XS   BlockIQ4XS  256      levels(32, 8)      levels(32, 8)      each     (32, 128.0, 241);
            MXFP4    BlockMXFP4  32       each               ignored            each     (32, 12.0, 24);
            IQ1_S    BlockIQ1S   256      codebook           codebook           each     (32, 9.0, 18);
            IQ1_M    BlockIQ1M   256      codebook           codebook           each     (16, 9.0, 18);
            IQ2_XXS  BlockIQ2XXS 256      codebook           codebook           each     (32, 43.0, 86);
            IQ2_XS   BlockIQ2XS  256      codebook           codebook           each     (16, 43.0, 86);
            IQ2_S    BlockIQ2S   256      codebook           codebook           each     (16, 43.0, 86);
            IQ3_XXS  BlockIQ3XXS 256      codebook           codebook           each     (32, 62.0, 124);
            IQ3_S    BlockIQ3S   256      codebook           codebook           each     (32, 15.0, 30);
            TQ1_0    BlockTQ1_0  256      each               ignored            each     (32, 1.0, 2);
            TQ2_0    BlockTQ2_0  256      each               ignored            each     (32, 1.0, 3);
            NVFP4    BlockNVFP4  64       each               ignored            each     (16, 12.0, 24);
            Q1_0     BlockQ1_0   128      each               ignored            each     (32, 1.0, 2);
            Q2_0     BlockQ2_0   64       each               ignored            each     (32, 1.0, 3);
        }
    };
}
pub(crate) use registry;

/// A line of the registry: rows of one type, by scalar code and in lanes.
///
/// Lengths fit together: whole rows, exactly the bytes of their blocks. A guide is the importance
/// of each column of a row.
pub(crate) trait Format: bytemuck::Pod {
    /// Whether a guide changes the bytes.
    const GUIDED: bool;

    /// Whether there must be one.
    const NEEDS_GUIDE: bool;

    /// The scalar encoder, block after block: what all others must equal.
    fn encode_rows(x: &[f32], guide: Option<&[f32]>, out: &mut [u8]);

    /// The same bytes with the vectors of an instruction set.
    fn encode_in_lanes<S: Widths>(isa: S, x: &[f32], guide: Option<&[f32]>, out: &mut [u8]);

    /// The scalar decoder, block after block.
    fn decode_rows(bytes: &[u8], y: &mut [f32]);

    /// The same values with the vectors of an instruction set.
    fn decode_in_lanes<S: Widths>(isa: S, bytes: &[u8], y: &mut [f32]);
}

/// Encodes block after block with the scalar encoder of the format.
#[inline(always)]
fn encode_each<B: Block<N>, const N: usize>(x: &[f32], out: &mut [u8]) {
    let () = B::SIZES_AGREE;
    let blocks: &mut [B] = cast_slice_mut(out);
    for (x, block) in x.as_chunks::<N>().0.iter().zip(blocks) {
        *block = B::encode(x);
    }
}

/// Encodes rows block after block with the scalar guided encoder of the format.
#[inline(always)]
fn encode_each_guided<B: Block<N>, const N: usize>(x: &[f32], guide: &[f32], out: &mut [u8]) {
    let () = B::SIZES_AGREE;
    let blocks: &mut [B] = cast_slice_mut(out);
    let guides = guide.as_chunks::<N>().0;
    let rows = x.chunks_exact(guide.len());
    for (row, blocks) in rows.zip(blocks.chunks_exact_mut(guides.len())) {
        let mean_square = sum_of_squares(row) / row.len() as f32;
        let x = row.as_chunks::<N>().0;
        for ((x, importance), block) in x.iter().zip(guides).zip(blocks) {
            *block = B::encode_guided(x, importance, mean_square);
        }
    }
}

/// Decodes block after block.
#[inline(always)]
fn decode_each<B: Block<N>, const N: usize>(bytes: &[u8], y: &mut [f32]) {
    let () = B::SIZES_AGREE;
    let blocks: &[B] = cast_slice(bytes);
    for (block, y) in blocks.iter().zip(y.as_chunks_mut::<N>().0) {
        block.decode(y);
    }
}

/// Encodes as the column `encoder` says.
macro_rules! encode {
    (each $n:literal: $isa:ident $x:ident $out:ident) => {
        encode_each::<Self, $n>($x, $out)
    };
    (half $n:literal: $isa:ident $x:ident $out:ident) => {
        half::encode($isa, $x, $out)
    };
    (blocks32 $n:literal: $isa:ident $x:ident $out:ident) => {
        blocks32::encode::<_, Self>($isa, $x, cast_slice_mut($out))
    };
    (codebook $n:literal: $isa:ident $x:ident $out:ident) => {
        codebook::encode::<_, Self>($isa, $x, None, cast_slice_mut($out))
    };
    ($search:ident($sub:literal, $subs:literal) $n:literal: $isa:ident $x:ident $out:ident) => {
        supers::encode::<_, Self, $n, $sub, $subs>($isa.$search(), $x, cast_slice_mut($out))
    };
}

/// If there is a guide, encodes as the column `guided` says, and returns.
macro_rules! encode_if_guided {
    (ignored $n:literal: $isa:ident $x:ident $guide:ident $out:ident) => {
        let _ = $guide;
    };
    (each $n:literal: $isa:ident $x:ident $guide:ident $out:ident) => {
        if let Some(guide) = $guide {
            return encode_each_guided::<Self, $n>($x, guide, $out);
        }
    };
    (codebook $n:literal: $isa:ident $x:ident $guide:ident $out:ident) => {
        if let Some(_) = $guide {
            return codebook::encode::<_, Self>($isa, $x, $guide, cast_slice_mut($out));
        }
    };
    ($search:ident($sub:literal, $subs:literal) $n:literal: $isa:ident $x:ident $guide:ident $out:ident) => {
        if let Some(guide) = $guide {
            let out = cast_slice_mut($out);
            return guided::encode::<_, Self, $n, $sub, $subs>($isa.$search(), $x, guide, out);
        }
    };
}

/// Decodes as the column `decoder` says.
macro_rules! decode {
    (each $n:literal: $isa:ident $bytes:ident $y:ident) => {
        decode_each::<Self, $n>($bytes, $y)
    };
    (half $n:literal: $isa:ident $bytes:ident $y:ident) => {
        half::decode($isa, $bytes, $y)
    };
    (lanes $n:literal: $isa:ident $bytes:ident $y:ident) => {
        decode::decode::<_, Self, $n>($isa, $bytes, $y)
    };
}

/// Whether the column `guided` names an encoder.
macro_rules! is_guided {
    (ignored) => {
        false
    };
    ($search:ident) => {
        true
    };
}

/// Implements [`Product`] as the column `product` says.
macro_rules! implement_product {
    (none $name:ident $block:ident) => {};
    (($group:literal, $offset:literal, $largest:literal) $name:ident $block:ident) => {
        impl Product for $block {
            const TYPE: aeolus_gguf::TensorType = aeolus_gguf::TensorType::$name;
            const GROUP: usize = $group;
            const OFFSET: f32 = $offset;
            const LARGEST: u8 = $largest;
        }
    };
}

macro_rules! implement {
    ([] $(
        $name:ident $block:ident $n:literal
        $encoder:ident $(($($shape:literal),*))?
        $guided:ident $(($($guided_shape:literal),*))? $decoder:ident $product:tt;
    )*) => {$(
        impl Format for $block {
            const GUIDED: bool = is_guided!($guided);
            const NEEDS_GUIDE: bool = <Self as Block<$n>>::NEEDS_GUIDE;

            #[inline(always)]
            fn encode_rows(x: &[f32], guide: Option<&[f32]>, out: &mut [u8]) {
                match guide {
                    Some(guide) if Self::GUIDED => encode_each_guided::<Self, $n>(x, guide, out),
                    _ => encode_each::<Self, $n>(x, out),
                }
            }

            #[inline(always)]
            fn encode_in_lanes<S: Widths>(isa: S, x: &[f32], guide: Option<&[f32]>, out: &mut [u8]) {
                let _ = &isa; // not every encoder needs it
                encode_if_guided!($guided $(($($guided_shape),*))? $n: isa x guide out);
                encode!($encoder $(($($shape),*))? $n: isa x out)
            }

            #[inline(always)]
            fn decode_rows(bytes: &[u8], y: &mut [f32]) {
                decode_each::<Self, $n>(bytes, y);
            }

            #[inline(always)]
            fn decode_in_lanes<S: Widths>(isa: S, bytes: &[u8], y: &mut [f32]) {
                let _ = &isa;
                decode!($decoder $n: isa bytes y)
            }
        }

        implement_product!($product $name $block);
    )*};
}
registry!([implement]);

/// Evaluates an expression with `F` as the [`Format`] of a tensor type, or another one if the type
/// has no line: `with_format!(ty, F => expression, otherwise)`.
macro_rules! with_format {
    ($ty:expr, $F:ident => $body:expr, $otherwise:expr) => {
        $crate::registry::registry!([$crate::registry::match_format] $ty, $F, $body, $otherwise)
    };
}
pub(crate) use with_format;

macro_rules! match_format {
    ([$ty:expr, $F:ident, $body:expr, $otherwise:expr] $(
        $name:ident $block:ident $n:literal
        $encoder:ident $(($($shape:literal),*))?
        $guided:ident $(($($guided_shape:literal),*))? $decoder:ident $product:tt;
    )*) => {
        match $ty {
            $(aeolus_gguf::TensorType::$name => {
                type $F = $crate::formats::$block;
                $body
            })*
            _ => $otherwise,
        }
    };
}
pub(crate) use match_format;

/// As [`with_format!`], with `F` as the [`Product`] of a type that has one.
macro_rules! with_product {
    ($ty:expr, $F:ident => $body:expr, $otherwise:expr) => {
        $crate::registry::registry!([$crate::registry::match_product] $ty, $F, $body, $otherwise)
    };
}
pub(crate) use with_product;

macro_rules! match_product {
    ([$ty:expr, $F:ident, $body:expr, $otherwise:expr] $(
        $name:ident $block:ident $n:literal
        $encoder:ident $(($($shape:literal),*))?
        $guided:ident $(($($guided_shape:literal),*))? $decoder:ident $product:tt;
    )*) => {
        match $ty {
            $(aeolus_gguf::TensorType::$name => {
                $crate::registry::product_of_line!($product $block $F $body, $otherwise)
            })*
            _ => $otherwise,
        }
    };
}
pub(crate) use match_product;

macro_rules! product_of_line {
    (none $block:ident $F:ident $body:expr, $otherwise:expr) => {
        $otherwise
    };
    (($($facts:literal),*) $block:ident $F:ident $body:expr, $otherwise:expr) => {{
        type $F = $crate::formats::$block;
        $body
    }};
}
pub(crate) use product_of_line;
