//! Decoders of some formats, written as vectors.
//!
//! Decoding is simple enough to leave to the compiler, and most formats are (the same source as
//! the scalar code, compiled for more features, gives 5 to 12 G weights/s on one core of a
//! Zen 4). For the formats here it takes whole blocks as lanes and collects their bytes one at a
//! time: 1 to 2 G weights/s.

use super::widths::Conversions;
use super::{Float, Int};
use crate::formats::{Block, BlockQ2K, BlockQ4_0, BlockQ4_1, BlockQ6K, QK_K};

/// A format with a decoder for vectors of at most 16 lanes.
pub(crate) trait LaneDecode<const N: usize>: Block<N> {
    /// As [`Block::decode`].
    fn decode_lanes<S: Conversions>(&self, isa: S, y: &mut [f32; N]);
}

/// Decodes block after block.
#[inline(always)]
pub(crate) fn decode<S: Conversions, B: LaneDecode<N>, const N: usize>(
    isa: S,
    bytes: &[u8],
    y: &mut [f32],
) {
    let () = B::SIZES_AGREE;
    let blocks: &[B] = bytemuck::cast_slice(bytes);
    for (block, y) in blocks.iter().zip(y.as_chunks_mut::<N>().0) {
        block.decode_lanes(isa, y);
    }
}

/// The integers 0 to 15 in the lower and upper halves of 16 bytes, as floats.
#[inline(always)]
fn nibbles<S: Conversions>(isa: S, bytes: &[u8], center: i32) -> (S::F, S::F) {
    let (q, center) = (isa.load_bytes(bytes), isa.splat_int(center));
    let low = q.and(isa.splat_int(15));
    (
        low.sub(center).to_float(),
        S::shr(q, 4).sub(center).to_float(),
    )
}

impl LaneDecode<32> for BlockQ4_0 {
    #[inline(always)]
    fn decode_lanes<S: Conversions>(&self, isa: S, y: &mut [f32; 32]) {
        let d = isa.splat(self.d.get());
        let (low, high) = y.split_at_mut(16);
        for (i, qs) in self.qs.chunks_exact(S::LANES).enumerate() {
            let at = i * S::LANES;
            let q = nibbles(isa, qs, 8);
            (q.0 * d).store(&mut low[at..][..S::LANES]);
            (q.1 * d).store(&mut high[at..][..S::LANES]);
        }
    }
}

impl LaneDecode<32> for BlockQ4_1 {
    #[inline(always)]
    fn decode_lanes<S: Conversions>(&self, isa: S, y: &mut [f32; 32]) {
        let (d, m) = (isa.splat(self.d.get()), isa.splat(self.m.get()));
        let (low, high) = y.split_at_mut(16);
        for (i, qs) in self.qs.chunks_exact(S::LANES).enumerate() {
            let at = i * S::LANES;
            let q = nibbles(isa, qs, 0);
            (q.0 * d + m).store(&mut low[at..][..S::LANES]);
            (q.1 * d + m).store(&mut high[at..][..S::LANES]);
        }
    }
}

impl LaneDecode<QK_K> for BlockQ2K {
    #[inline(always)]
    fn decode_lanes<S: Conversions>(&self, isa: S, y: &mut [f32; QK_K]) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let three = isa.splat_int(3);
        // 16 bytes hold one side of four planes: every other one of eight sub-blocks.
        for (part, qs) in self.qs.as_chunks::<16>().0.iter().enumerate() {
            let (half, side) = (part / 2, part % 2);
            for (i, qs) in qs.chunks_exact(S::LANES).enumerate() {
                let q = isa.load_bytes(qs);
                for plane in 0..4 {
                    let j = 8 * half + 2 * plane + side;
                    let scale = isa.splat(d * f32::from(self.scales[j] & 0x0f));
                    let min = isa.splat(dmin * f32::from(self.scales[j] >> 4));
                    let q = S::shr(q, 2 * plane as u32).and(three).to_float();
                    (scale * q - min).store(&mut y[16 * j + i * S::LANES..][..S::LANES]);
                }
            }
        }
    }
}

impl LaneDecode<QK_K> for BlockQ6K {
    #[inline(always)]
    fn decode_lanes<S: Conversions>(&self, isa: S, y: &mut [f32; QK_K]) {
        let d = self.d.get();
        let (three, fifteen) = (isa.splat_int(3), isa.splat_int(15));
        let center = isa.splat_int(32);
        for at in (0..64).step_by(S::LANES) {
            let (half, l) = (at / 32, at % 32);
            let high = isa.load_bytes(&self.qh[at..][..S::LANES]);
            for plane in 0..4 {
                // Planes 0 and 2 share the first 32 bytes of the half, 1 and 3 the others.
                let low = &self.ql[64 * half + 32 * (plane % 2) + l..][..S::LANES];
                let low = S::shr(isa.load_bytes(low), 4 * (plane as u32 / 2)).and(fifteen);
                let high = S::shr(high, 2 * plane as u32).and(three).shl4();
                let scale = self.scales[8 * half + 2 * plane + l / 16];
                let scale = isa.splat(d * f32::from(scale));
                let q = low.or(high).sub(center).to_float();
                (scale * q).store(&mut y[128 * half + 32 * plane + l..][..S::LANES]);
            }
        }
    }
}
