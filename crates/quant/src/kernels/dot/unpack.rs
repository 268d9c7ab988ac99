//! Blocks to the common form, portably: bytes, scales and minima of one unit of 256 weights.
//!
//! The layouts are drawn in `formats/` of this crate. What is different here is the order of
//! business: all bytes of a unit in the order of the weights, then one scale and one minimum for
//! each group.

use super::UNIT;
use super::formats::{Format, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use crate::f16_to_f32;

/// 256 weights as `scale[g] * u[i] - min[g]`, with `g = i / GROUP`.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub(super) struct Unpacked {
    pub(super) u: [u8; UNIT],
    /// The first `256 / GROUP` are used.
    pub(super) scale: [f32; 16],
    pub(super) min: [f32; 16],
}

impl Unpacked {
    pub(super) const ZERO: Self = Self {
        u: [0; UNIT],
        scale: [0.0; 16],
        min: [0.0; 16],
    };
}

/// A format that can be unpacked without vector instructions.
pub(super) trait Unpack: Format {
    /// Unpacks block number `index` of a unit. `block` has [`Format::BYTES`] bytes.
    fn unpack_block(block: &[u8], index: usize, out: &mut Unpacked);

    /// Unpacks a unit, or as many blocks of 32 as there are; the rest becomes zero.
    fn unpack(unit: &[u8], out: &mut Unpacked) {
        if unit.len() < Self::UNIT_BYTES {
            *out = Unpacked::ZERO;
        }
        for (index, block) in unit.chunks_exact(Self::BYTES).enumerate() {
            Self::unpack_block(block, index, out);
        }
        if Self::OFFSET != 0.0 {
            out.min = out.scale.map(|scale| scale * Self::OFFSET);
        }
    }
}

/// A half float at a byte offset.
#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

#[inline(always)]
fn word_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The eight scales and eight minima of Q4_K and Q5_K: 6 bits each in 12 bytes. Byte `g` of a
/// result belongs to group `g`.
#[inline(always)]
pub(super) fn scales_and_mins_of_8(packed: &[u8]) -> (u64, u64) {
    let (a, b, c) = (word_at(packed, 0), word_at(packed, 4), word_at(packed, 8));
    let low_scales = a & 0x3f3f_3f3f;
    let low_mins = b & 0x3f3f_3f3f;
    let high_scales = (c & 0x0f0f_0f0f) | ((a >> 2) & 0x3030_3030);
    let high_mins = ((c >> 4) & 0x0f0f_0f0f) | ((b >> 2) & 0x3030_3030);
    let join = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    (join(low_scales, high_scales), join(low_mins, high_mins))
}

/// The sixteen 6-bit scales of Q3_K in 12 bytes, still 32 too large.
#[inline(always)]
pub(super) fn scales_of_16(packed: &[u8]) -> [u8; 16] {
    let (a, b, c) = (word_at(packed, 0), word_at(packed, 4), word_at(packed, 8));
    let words = [
        (a & 0x0f0f_0f0f) | ((c << 4) & 0x3030_3030),
        (b & 0x0f0f_0f0f) | ((c << 2) & 0x3030_3030),
        ((a >> 4) & 0x0f0f_0f0f) | (c & 0x3030_3030),
        ((b >> 4) & 0x0f0f_0f0f) | ((c >> 2) & 0x3030_3030),
    ];
    let mut out = [0; 16];
    for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}

/// 16 bytes of nibbles: the low ones are the first 16 weights.
fn nibbles(packed: &[u8], u: &mut [u8]) {
    for (l, &byte) in packed.iter().enumerate() {
        u[l] = byte & 15;
        u[l + 16] = byte >> 4;
    }
}

/// Adds 16 where a bit is set; bit `i` belongs to weight `i`.
fn fifth_bits(bits: u32, u: &mut [u8]) {
    for (i, u) in u.iter_mut().enumerate() {
        *u |= (((bits >> i) & 1) << 4) as u8;
    }
}

impl Unpack for Q4_0 {
    fn unpack_block(block: &[u8], index: usize, out: &mut Unpacked) {
        out.scale[index] = half_at(block, 0);
        nibbles(&block[2..18], &mut out.u[32 * index..32 * index + 32]);
    }
}

impl Unpack for Q4_1 {
    fn unpack_block(block: &[u8], index: usize, out: &mut Unpacked) {
        out.scale[index] = half_at(block, 0);
        out.min[index] = -half_at(block, 2);
        nibbles(&block[4..20], &mut out.u[32 * index..32 * index + 32]);
    }
}

impl Unpack for Q5_0 {
    fn unpack_block(block: &[u8], index: usize, out: &mut Unpacked) {
        out.scale[index] = half_at(block, 0);
        let u = &mut out.u[32 * index..32 * index + 32];
        nibbles(&block[6..22], u);
        fifth_bits(word_at(block, 2), u);
    }
}

impl Unpack for Q5_1 {
    fn unpack_block(block: &[u8], index: usize, out: &mut Unpacked) {
        out.scale[index] = half_at(block, 0);
        out.min[index] = -half_at(block, 2);
        let u = &mut out.u[32 * index..32 * index + 32];
        nibbles(&block[8..24], u);
        fifth_bits(word_at(block, 4), u);
    }
}

impl Unpack for Q8_0 {
    fn unpack_block(block: &[u8], index: usize, out: &mut Unpacked) {
        out.scale[index] = half_at(block, 0);
        for (u, &byte) in out.u[32 * index..].iter_mut().zip(&block[2..34]) {
            *u = byte ^ 0x80;
        }
    }
}

impl Unpack for Q2K {
    fn unpack_block(block: &[u8], _: usize, out: &mut Unpacked) {
        let (d, dmin) = (half_at(block, 80), half_at(block, 82));
        for (g, &packed) in block[..16].iter().enumerate() {
            out.scale[g] = d * f32::from(packed & 15);
            out.min[g] = dmin * f32::from(packed >> 4);
        }
        for (i, u) in out.u.iter_mut().enumerate() {
            *u = two_bits(&block[16..80], i);
        }
    }
}

impl Unpack for Q3K {
    fn unpack_block(block: &[u8], _: usize, out: &mut Unpacked) {
        let d = half_at(block, 108);
        for (scale, packed) in out.scale.iter_mut().zip(scales_of_16(&block[96..108])) {
            *scale = d * (f32::from(packed) - 32.0);
        }
        for (i, u) in out.u.iter_mut().enumerate() {
            let high = (block[i % 32] >> (i / 32)) & 1;
            *u = two_bits(&block[32..96], i) | (high << 2);
        }
    }
}

/// Weight `i` of Q2_K and Q3_K: four weights, 32 apart, share a byte.
fn two_bits(packed: &[u8], i: usize) -> u8 {
    let byte = packed[i / 128 * 32 + i % 32];
    (byte >> (i / 32 % 4 * 2)) & 3
}

impl Unpack for Q4K {
    fn unpack_block(block: &[u8], _: usize, out: &mut Unpacked) {
        scale_by_two(block, out);
        for (i, u) in out.u.iter_mut().enumerate() {
            *u = nibble_of_64(&block[16..144], i);
        }
    }
}

impl Unpack for Q5K {
    fn unpack_block(block: &[u8], _: usize, out: &mut Unpacked) {
        scale_by_two(block, out);
        for (i, u) in out.u.iter_mut().enumerate() {
            let high = (block[16 + i % 32] >> (i / 32)) & 1;
            *u = nibble_of_64(&block[48..176], i) | (high << 4);
        }
    }
}

/// Scales and minima at the head of Q4_K and Q5_K.
fn scale_by_two(block: &[u8], out: &mut Unpacked) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, mins) = scales_and_mins_of_8(&block[4..16]);
    for (g, (scale, min)) in scales
        .to_le_bytes()
        .into_iter()
        .zip(mins.to_le_bytes())
        .enumerate()
    {
        out.scale[g] = d * f32::from(scale);
        out.min[g] = dmin * f32::from(min);
    }
}

/// Weight `i` of Q4_K and Q5_K: two weights, 32 apart, share a byte.
fn nibble_of_64(packed: &[u8], i: usize) -> u8 {
    let byte = packed[i / 64 * 32 + i % 32];
    (byte >> (i / 32 % 2 * 4)) & 15
}

impl Unpack for Q6K {
    fn unpack_block(block: &[u8], _: usize, out: &mut Unpacked) {
        let d = half_at(block, 208);
        for (scale, &packed) in out.scale.iter_mut().zip(&block[192..208]) {
            *scale = d * f32::from(packed as i8);
        }
        for (i, u) in out.u.iter_mut().enumerate() {
            // Within 128 weights: 64 bytes of low nibbles, used twice, and 32 of high pairs.
            let (half, in_half) = (i / 128, i % 128);
            let low = block[64 * half + in_half % 64] >> (in_half / 64 * 4);
            let high = block[128 + 32 * half + in_half % 32] >> (in_half / 32 * 2);
            *u = (low & 15) | ((high & 3) << 4);
        }
    }
}
