//! The block formats, one file each: layout, formula, scalar encoder and decoder.
//!
//! Every block struct consists of bytes, so that blocks can be viewed in place at any address;
//! multi-byte fields are little-endian. `x` are the weights, `q` the stored integers. All
//! arithmetic is `f32`, in the order written.

mod codebook;
pub mod fields;
pub(crate) mod fp4;
pub(crate) mod grids;
pub(crate) mod iq1_m;
pub(crate) mod iq1_s;
mod iq2_s;
mod iq2_xs;
pub(crate) mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod iq_signs;
pub(crate) mod k_scales;
mod legacy;
pub(crate) mod mxfp4;
pub(crate) mod nvfp4;
mod plain;
mod q1_0;
mod q2_0;
pub(crate) mod q2_k;
pub(crate) mod q3_k;
pub(crate) mod q4_0;
pub(crate) mod q4_1;
pub(crate) mod q4_k;
pub(crate) mod q5_0;
pub(crate) mod q5_1;
pub(crate) mod q5_k;
mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;

pub(crate) use iq1_m::BlockIQ1M;
pub(crate) use iq1_s::BlockIQ1S;
pub(crate) use iq2_s::BlockIQ2S;
pub(crate) use iq2_xs::BlockIQ2XS;
pub(crate) use iq2_xxs::BlockIQ2XXS;
pub(crate) use iq3_s::BlockIQ3S;
pub(crate) use iq3_xxs::BlockIQ3XXS;
pub(crate) use iq4_nl::BlockIQ4NL;
pub(crate) use iq4_xs::BlockIQ4XS;
pub(crate) use mxfp4::BlockMXFP4;
pub(crate) use nvfp4::BlockNVFP4;
pub(crate) use plain::{BF16Le, F16Plain, F32Le};
pub(crate) use q1_0::BlockQ1_0;
pub(crate) use q2_0::BlockQ2_0;
pub(crate) use q2_k::BlockQ2K;
pub(crate) use q3_k::BlockQ3K;
pub(crate) use q4_0::BlockQ4_0;
pub(crate) use q4_1::BlockQ4_1;
pub(crate) use q4_k::BlockQ4K;
pub(crate) use q5_0::BlockQ5_0;
pub(crate) use q5_1::BlockQ5_1;
pub(crate) use q5_k::BlockQ5K;
pub(crate) use q6_k::{BlockQ6K, HALF as Q6_K_HALF};
pub(crate) use q8_0::BlockQ8_0;
pub(crate) use tq1_0::BlockTQ1_0;
pub(crate) use tq2_0::BlockTQ2_0;

use crate::search::{Affine, nearest_int};
use aeolus_gguf::TensorType;

/// Elements in a super-block of the K formats.
pub(crate) const QK_K: usize = 256;

/// The largest magnitude of finite values. Magnitudes compare as integers, which takes no order of
/// the elements.
#[inline(always)]
pub(crate) fn magnitude(x: &[f32]) -> f32 {
    let magnitudes = x.iter().map(|v| v.to_bits() & 0x7fff_ffff);
    f32::from_bits(magnitudes.fold(0, u32::max))
}

/// Rounds `x / scale` to integers of `low` to `high` and stores them counted from `low`.
///
/// A plain loop and no `map`: it has to be inlined into functions compiled for wide vectors.
#[inline(always)]
pub(crate) fn round_quotients<const N: usize>(
    x: &[f32; N],
    scale: f32,
    (low, high): (i32, i32),
    q: &mut [u8; N],
) {
    // A product with the reciprocal is off by less than 2^-22 of itself, so up to 256 (limits are
    // lower) it rounds to the same integer as the quotient unless it lies that close to where two
    // integers meet. Divisions take several times as long as all else here.
    const FAR: f32 = 0.5 - 256.0 / 4_194_304.0;
    let inverse = 1.0 / scale;
    let mut is_near = false;
    for (q, v) in q.iter_mut().zip(x) {
        let product = v * inverse;
        let rounded = nearest_int(product);
        let is_far = (product - rounded as f32).abs() < FAR;
        is_near |= !is_far;
        *q = (rounded.clamp(low, high) - low) as u8;
    }
    if is_near {
        for (q, v) in q.iter_mut().zip(x) {
            *q = (nearest_int(v / scale).clamp(low, high) - low) as u8;
        }
    }
}

/// Rounds `(x + min) / scale` to integers of 0 to `high`.
#[inline(always)]
pub(crate) fn round_affine<const N: usize>(
    x: &[f32; N],
    found: Affine,
    high: i32,
    q: &mut [u8; N],
) {
    let mut above = *x;
    for v in &mut above {
        *v += found.min;
    }
    round_quotients(&above, found.scale, (0, high), q);
}

/// A block format: the struct is one block of `N` weights as it lies in the file.
pub(crate) trait Block<const N: usize>: bytemuck::Pod {
    /// The type's entry in the table of `gguf`.
    const TYPE: TensorType;

    /// Fails to compile if the struct or `N` contradict the table of types.
    const SIZES_AGREE: () = assert!(
        Self::TYPE.block_elems() == N && Self::TYPE.block_bytes() == size_of::<Self>(),
        "block struct and type table differ"
    );

    /// Whether the format is encoded with a guide only.
    const NEEDS_GUIDE: bool = false;

    /// Encodes finite weights; for a format that needs a guide, as if all columns were of the same
    /// importance.
    fn encode(x: &[f32; N]) -> Self;

    /// Encodes finite weights so that errors count by the importance of their columns, finite and
    /// not negative. `row_mean_square` is the mean of the squares of the whole row.
    #[inline(always)]
    fn encode_guided(x: &[f32; N], importance: &[f32; N], row_mean_square: f32) -> Self {
        let _ = (importance, row_mean_square);
        Self::encode(x)
    }

    /// Writes the weights; every bit pattern of the block is valid.
    fn decode(&self, y: &mut [f32; N]);
}

/// A format of super-blocks whose errors weigh something with a guide and without one.
pub(crate) trait Weighted: Block<QK_K> {
    /// What errors weigh. A format that needs a guide takes columns without one to be of the same
    /// importance.
    fn weights(x: &[f32; QK_K], importance: Option<&[f32; QK_K]>) -> [f32; QK_K];
}
