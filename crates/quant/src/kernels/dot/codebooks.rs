//! Blocks of the IQ1, IQ2 and IQ3 formats to the common form, portably: groups of weights are points
//! of a codebook.
//!
//! The codebooks are here a second time, with the byte of each weight where the format has a digit:
//! eight bytes are one load. A format with signs has bytes of `OFFSET` plus a magnitude, and where a
//! sign is set, `2 OFFSET` minus that. In IQ1 the shift of a group is a part of its bytes.

use super::UNIT;
use super::formats::Product;
use super::unpack::{Unpack, Unpacked};
use crate::float16::F16Le;
use crate::formats::grids::{iq1, iq2_s, iq2_xs, iq2_xxs, iq3_s, iq3_xxs};
use crate::formats::*;

/// A super-block of points: what it takes to unpack it, portably, or with AVX2, which has no faster
/// look-up than a load. All are inlined into those.
pub(super) trait Codebook: Product {
    /// A scale is the factor of the block, times this, times an odd integer.
    const SCALE_UNIT: f32;

    /// The factor of the block.
    fn factor(&self) -> F16Le;

    /// The odd integers, one in each byte; eight in groups of 32, sixteen in groups of 16.
    fn odd_scales(&self) -> [u64; 2];

    /// The bytes of weights `8 k` to `8 k + 7`, without their signs.
    fn eight(&self, k: usize) -> u64;

    /// Whether there are signs.
    const SIGNED: bool = true;

    /// The signs of weights `32 b` to `32 b + 31`.
    #[inline(always)]
    fn signs(&self, b: usize) -> u32 {
        let _ = b;
        0
    }
}

impl<F: Codebook> Unpack for F {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        let factor = self.factor().get() * F::SCALE_UNIT;
        let scales = self.odd_scales().map(u64::to_le_bytes);
        for (scale, odd) in out.scale.iter_mut().zip(scales.as_flattened()) {
            *scale = factor * f32::from(*odd);
        }
        for k in 0..UNIT / 8 {
            let signs = self.signs(k / 4) >> (8 * (k % 4));
            let eight = self.eight(k).to_le_bytes();
            for (i, u) in eight.into_iter().enumerate() {
                out.u[8 * k + i] = match signs >> i & 1 {
                    0 => u,
                    _ => 2 * F::OFFSET as u8 - u,
                };
            }
        }
    }
}

/// Points with a byte for each of eight digits of two bits.
const fn eights<const N: usize>(packed: &[u16; N], bytes: [u8; 3]) -> [u64; N] {
    let mut points = [0; N];
    let mut number = 0;
    while number < N {
        let mut i = 0;
        while i < 8 {
            let digit = packed[number] >> (2 * i) & 3;
            points[number] |= (bytes[digit as usize] as u64) << (8 * i);
            i += 1;
        }
        number += 1;
    }
    points
}

/// Points with a byte for each of four digits of three bits.
const fn fours<const N: usize>(packed: &[u16; N], bytes: [u8; 8]) -> [u32; N] {
    let mut points = [0; N];
    let mut number = 0;
    while number < N {
        let mut i = 0;
        while i < 4 {
            let digit = packed[number] >> (3 * i) & 7;
            points[number] |= (bytes[digit as usize] as u32) << (8 * i);
            i += 1;
        }
        number += 1;
    }
    points
}

/// 43 and the magnitudes of IQ2: 8, 25, 43.
const IQ2_BYTES: [u8; 3] = [51, 68, 86];

/// Of eight times `digit - 1 ± 1/8`, plus 9. Those for shifts up are [`UP`] larger.
pub(super) static IQ1_EIGHTS: [u64; 2048] = eights(&iq1::POINTS, [0, 8, 16]);
pub(super) static IQ2_XXS_EIGHTS: [u64; 256] = eights(&iq2_xxs::POINTS, IQ2_BYTES);
pub(super) static IQ2_XS_EIGHTS: [u64; 512] = eights(&iq2_xs::POINTS, IQ2_BYTES);
pub(super) static IQ2_S_EIGHTS: [u64; 1024] = eights(&iq2_s::POINTS, IQ2_BYTES);
/// 62 and the magnitudes of IQ3_XXS: 4 to 62.
pub(super) static IQ3_XXS_FOURS: [u32; 256] =
    fours(&iq3_xxs::POINTS, [66, 74, 82, 90, 98, 106, 114, 124]);
/// 15 and the magnitudes of IQ3_S: 1 to 15.
pub(super) static IQ3_S_FOURS: [u32; 512] = fours(&iq3_s::POINTS, [16, 18, 20, 22, 24, 26, 28, 30]);

/// What a shift up adds to the bytes of a group of IQ1.
pub(super) const UP: u64 = 0x0202_0202_0202_0202;

/// Eight nibbles as bytes.
#[inline(always)]
fn nibbles_to_bytes(nibbles: u32) -> u64 {
    let x = u64::from(nibbles);
    let x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
    let x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
    (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f
}

/// `2 l + 1` in each byte of at most 127.
#[inline(always)]
fn odd(bytes: u64) -> u64 {
    (bytes << 1) | 0x0101_0101_0101_0101
}

/// Of two words with four times seven bits each: sevens as bytes.
#[inline(always)]
pub(super) fn sevens_of_words(words: u64) -> u64 {
    let of = |shift: u32| (words << shift) & (0x0000_007f_0000_007f << (8 * shift));
    of(0) | of(1) | of(2) | of(3)
}

/// Of seven signs in each byte all eight: their number is even.
#[inline(always)]
pub(super) fn complete(sevens: u64) -> u64 {
    let parity = sevens ^ (sevens >> 4);
    let parity = parity ^ (parity >> 2);
    let parity = parity ^ (parity >> 1);
    sevens | ((parity & 0x0101_0101_0101_0101) << 7)
}

impl Codebook for BlockIQ1S {
    const SCALE_UNIT: f32 = 0.125;
    const SIGNED: bool = false;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        self.d
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        let scale = |qh: [u8; 2]| qh[1] >> 4 & 7;
        [odd(u64::from_le_bytes(self.qh.map(scale))), 0]
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        let qh = u16::from_le_bytes(self.qh[k / 4]);
        let high = usize::from(qh >> (3 * (k % 4)) & 7);
        let up = if qh & 0x8000 == 0 { UP } else { 0 };
        IQ1_EIGHTS[usize::from(self.qs[k]) | (high << 8)] + up
    }
}

impl Codebook for BlockIQ1M {
    const SCALE_UNIT: f32 = 0.125;
    const SIGNED: bool = false;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        let nibble = |i: usize| u16::from(self.scales[i][1] >> 4) << (4 * i);
        F16Le::from_bits(nibble(0) | nibble(1) | nibble(2) | nibble(3))
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        // Of two words, four times three bits as bytes.
        let spread = |i: usize| {
            let [a, b] = [self.scales[i], self.scales[i + 1]];
            let words = u64::from(u16::from_le_bytes(a)) | (u64::from(u16::from_le_bytes(b)) << 32);
            let of = |shift: u32| (words << (5 * shift)) & (0x0000_0007_0000_0007 << (8 * shift));
            odd(of(0) | of(1) | of(2) | of(3))
        };
        [spread(0), spread(2)]
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        let qh = self.qh[k / 2] >> (4 * (k % 2));
        let up = if qh & 8 == 0 { UP } else { 0 };
        IQ1_EIGHTS[usize::from(self.qs[k]) | (usize::from(qh & 7) << 8)] + up
    }
}

impl Codebook for BlockIQ2XXS {
    const SCALE_UNIT: f32 = 0.125;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        self.d
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        let mut scales = [0; 8];
        for (scale, qs) in scales.iter_mut().zip(self.qs.as_chunks::<8>().0) {
            *scale = qs[7] >> 4;
        }
        [odd(u64::from_le_bytes(scales)), 0]
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        IQ2_XXS_EIGHTS[usize::from(self.qs[k / 4 * 8 + k % 4])]
    }

    #[inline(always)]
    fn signs(&self, b: usize) -> u32 {
        let qs = &self.qs.as_chunks::<8>().0[b];
        let word = u32::from_le_bytes([qs[4], qs[5], qs[6], qs[7]]);
        complete(sevens_of_words(u64::from(word))) as u32
    }
}

impl Codebook for BlockIQ2XS {
    const SCALE_UNIT: f32 = 0.125;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        self.d
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        scales_of_16(&self.scales)
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        IQ2_XS_EIGHTS[usize::from(u16::from_le_bytes(self.qs[k]) & 511)]
    }

    #[inline(always)]
    fn signs(&self, b: usize) -> u32 {
        let seven = |k: usize| self.qs[4 * b + k][1] >> 1;
        let sevens = u32::from_le_bytes([seven(0), seven(1), seven(2), seven(3)]);
        complete(u64::from(sevens)) as u32
    }
}

/// The scales of IQ2_XS and IQ2_S: sixteen nibbles.
#[inline(always)]
fn scales_of_16(packed: &[u8; 8]) -> [u64; 2] {
    let nibbles = u64::from_le_bytes(*packed);
    [nibbles as u32, (nibbles >> 32) as u32].map(|half| odd(nibbles_to_bytes(half)))
}

impl Codebook for BlockIQ2S {
    const SCALE_UNIT: f32 = 0.125;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        self.d
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        scales_of_16(&self.scales)
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        let high = usize::from(self.qh[k / 4] >> (2 * (k % 4)) & 3);
        IQ2_S_EIGHTS[usize::from(self.qs[k]) | (high << 8)]
    }

    #[inline(always)]
    fn signs(&self, b: usize) -> u32 {
        u32::from_le_bytes(self.signs.as_chunks().0[b])
    }
}

/// Two groups of four, the first in the lower half.
#[inline(always)]
fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

impl Codebook for BlockIQ3XXS {
    const SCALE_UNIT: f32 = 0.25;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        self.d
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        [
            odd(u64::from_le_bytes(self.words.map(|word| word[3] >> 4))),
            0,
        ]
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        let four = |point: u8| IQ3_XXS_FOURS[usize::from(point)];
        join(four(self.qs[2 * k]), four(self.qs[2 * k + 1]))
    }

    #[inline(always)]
    fn signs(&self, b: usize) -> u32 {
        let word = u32::from_le_bytes(self.words[b]);
        complete(sevens_of_words(u64::from(word))) as u32
    }
}

impl Codebook for BlockIQ3S {
    const SCALE_UNIT: f32 = 1.0;

    #[inline(always)]
    fn factor(&self) -> F16Le {
        self.d
    }

    #[inline(always)]
    fn odd_scales(&self) -> [u64; 2] {
        [odd(nibbles_to_bytes(u32::from_le_bytes(self.scales))), 0]
    }

    #[inline(always)]
    fn eight(&self, k: usize) -> u64 {
        let high = usize::from(self.qh[k / 4]) >> (2 * (k % 4));
        let low = usize::from(self.qs[2 * k]) | ((high & 1) << 8);
        let next = usize::from(self.qs[2 * k + 1]) | ((high & 2) << 7);
        join(IQ3_S_FOURS[low], IQ3_S_FOURS[next])
    }

    #[inline(always)]
    fn signs(&self, b: usize) -> u32 {
        u32::from_le_bytes(self.signs.as_chunks().0[b])
    }
}
