//! The block formats, one file each: layout, formula, scalar encoder and decoder.
//!
//! Every block struct consists of bytes, so that blocks can be viewed in place at any address;
//! multi-byte fields are little-endian. `x` are the weights, `q` the stored integers. All
//! arithmetic is `f32`, in the order written.

mod k_scales;
mod legacy;
mod plain;
pub(crate) mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
pub(crate) mod q4_k;
mod q5_0;
mod q5_1;
pub(crate) mod q5_k;
mod q6_k;
mod q8_0;

pub(crate) use plain::{BF16Le, F16Plain, F32Le};
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

use crate::search::{Affine, nearest_int};
use aeolus_gguf::TensorType;

/// Elements in a super-block of the K formats.
pub(crate) const QK_K: usize = 256;

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
    for (q, v) in q.iter_mut().zip(x) {
        *q = (nearest_int(v / scale).clamp(low, high) - low) as u8;
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
    for (q, v) in q.iter_mut().zip(x) {
        *q = nearest_int((v + found.min) / found.scale).clamp(0, high) as u8;
    }
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

    /// Encodes finite weights.
    fn encode(x: &[f32; N]) -> Self;

    /// Writes the weights; every bit pattern of the block is valid.
    fn decode(&self, y: &mut [f32; N]);
}
