//! Vectors of x86-64 and the codecs compiled for them.

pub(crate) mod avx2;
pub(crate) mod avx512;
mod decode;
mod half;

use super::lanes::Isa;

/// What decoders and F16 rows need beyond [`Isa`]. Lengths must match the lanes.
trait Conversions: Isa {
    /// Bytes, each widened without a sign.
    fn load_bytes(self, x: &[u8]) -> Self::I;

    /// Shifted to the right by `count` bits, below 32; zeros come in.
    fn shr(v: Self::I, count: u32) -> Self::I;

    /// Little-endian F16 values, widened.
    fn load_f16(self, bytes: &[u8]) -> Self::F;

    /// Writes the nearest F16 of each lane, little-endian; of NaN, some NaN.
    fn store_f16(v: Self::F, out: &mut [u8]);
}
