//! Blocks to the common form, portably: bytes, scales and minima of one unit of 256 weights.
//!
//! The layouts are drawn in `formats/` of this crate. What is different here is the order of
//! business: all bytes of a unit in the order of the weights, then one scale and one minimum for
//! each group.

use super::UNIT;
use super::formats::Product;
use crate::float16::F16Le;
use crate::formats::*;
use crate::search::LEVELS;

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

/// What the weights of a panel have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Weights that share a scale: 16 or 32.
    pub(super) group: usize,
    /// Weights that share a minimum, 16 or 32; 0 if there is an offset instead.
    pub(super) min_group: usize,
    /// What is to be taken off every byte.
    pub(super) offset: i32,
    /// The largest byte; above 127 only if the offset is 128.
    pub(super) largest: u8,
}

impl Form {
    pub(super) const NONE: Self = Self {
        group: 0,
        min_group: 0,
        offset: 0,
        largest: 0,
    };

    /// Bytes as the format stores them.
    pub(super) const fn stored<F: Unpack>() -> Self {
        Self {
            group: F::GROUP,
            min_group: if F::OFFSET == 0.0 { F::GROUP } else { 0 },
            offset: F::OFFSET as i32,
            largest: F::LARGEST,
        }
    }
}

/// A format that can be unpacked without vector instructions.
pub(super) trait Unpack: Product {
    /// Unpacks as block number `index` of a unit.
    fn unpack_block(&self, index: usize, out: &mut Unpacked);

    /// The form of bytes into which the scale of each group is multiplied, for formats in which the
    /// products fit a byte: many tokens then have half as many scales to apply.
    const FOLDED: Option<Form> = None;

    /// Multiplies the scales of an unpacked super-block into its bytes. What is left are eight
    /// scales for groups of 32; minima stay as they are.
    #[inline(always)]
    fn fold(&self, _: &mut Unpacked) {}

    /// Unpacks a unit, or as many blocks of 32 as there are; the rest becomes zero.
    fn unpack(unit: &[Self], out: &mut Unpacked) {
        if unit.len() < Self::BLOCKS {
            *out = Unpacked::ZERO;
        }
        for (index, block) in unit.iter().enumerate() {
            block.unpack_block(index, out);
        }
        if Self::OFFSET != 0.0 {
            out.min = out.scale.map(|scale| scale * Self::OFFSET);
        }
    }
}

#[inline(always)]
fn word_at(packed: &[u8; 12], at: usize) -> u32 {
    u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]])
}

/// The eight scales and eight minima of Q4_K and Q5_K: 6 bits each in 12 bytes. Byte `g` of a
/// result belongs to group `g`.
#[inline(always)]
pub(super) fn scales_and_mins_of_8(packed: &[u8; 12]) -> (u64, u64) {
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
pub(super) fn scales_of_16(packed: &[u8; 12]) -> [u8; 16] {
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

impl Unpack for BlockQ4_0 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = self.d.get();
        nibbles(&self.qs, &mut out.u[32 * index..][..32]);
    }
}

impl Unpack for BlockQ4_1 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = self.d.get();
        out.min[index] = -self.m.get();
        nibbles(&self.qs, &mut out.u[32 * index..][..32]);
    }
}

impl Unpack for BlockQ5_0 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = self.d.get();
        let u = &mut out.u[32 * index..][..32];
        nibbles(&self.qs, u);
        fifth_bits(u32::from_le_bytes(self.qh), u);
    }
}

impl Unpack for BlockQ5_1 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = self.d.get();
        out.min[index] = -self.m.get();
        let u = &mut out.u[32 * index..][..32];
        nibbles(&self.qs, u);
        fifth_bits(u32::from_le_bytes(self.qh), u);
    }
}

impl Unpack for BlockQ8_0 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = self.d.get();
        for (u, q) in out.u[32 * index..].iter_mut().zip(self.qs) {
            *u = q as u8 ^ 0x80;
        }
    }
}

impl Unpack for BlockQ2K {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        for (g, packed) in self.scales.into_iter().enumerate() {
            out.scale[g] = d * f32::from(packed & 15);
            out.min[g] = dmin * f32::from(packed >> 4);
        }
        for (i, u) in out.u.iter_mut().enumerate() {
            *u = two_bits(&self.qs, i);
        }
    }

    /// `scale * q`, at most 15 * 3.
    const FOLDED: Option<Form> = Some(Form {
        group: 32,
        min_group: 16,
        offset: 0,
        largest: 45,
    });

    #[inline(always)]
    fn fold(&self, out: &mut Unpacked) {
        let groups = out.u.as_chunks_mut::<16>().0.iter_mut();
        for (u, packed) in groups.zip(self.scales) {
            for u in u {
                *u *= packed & 15;
            }
        }
        out.scale = [self.d.get(); 16];
    }
}

impl Unpack for BlockQ3K {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        let d = self.d.get();
        for (scale, packed) in out.scale.iter_mut().zip(scales_of_16(&self.scales)) {
            *scale = d * (f32::from(packed) - 32.0);
        }
        for (i, u) in out.u.iter_mut().enumerate() {
            let high = (self.hmask[i % 32] >> (i / 32)) & 1;
            *u = two_bits(&self.qs, i) | (high << 2);
        }
    }

    /// The scale, -32 to 31, times the quant, -4 to 3, is -124 to 128. Its opposite is a signed
    /// byte.
    const FOLDED: Option<Form> = Some(Form {
        group: 32,
        min_group: 0,
        offset: 128,
        largest: 252,
    });

    #[inline(always)]
    fn fold(&self, out: &mut Unpacked) {
        let groups = out.u.as_chunks_mut::<16>().0.iter_mut();
        for (u, packed) in groups.zip(scales_of_16(&self.scales)) {
            // Modulo 256: 128 - scale * (u - 4).
            let scale = packed.wrapping_sub(32);
            let zero = scale.wrapping_mul(4).wrapping_add(128);
            for u in u {
                *u = zero.wrapping_sub(scale.wrapping_mul(*u));
            }
        }
        out.scale = [-self.d.get(); 16];
    }
}

/// Weight `i` of Q2_K and Q3_K: four weights, 32 apart, share a byte.
fn two_bits(packed: &[u8; 64], i: usize) -> u8 {
    let byte = packed[i / 128 * 32 + i % 32];
    (byte >> (i / 32 % 4 * 2)) & 3
}

impl Unpack for BlockQ4K {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        scale_by_two(self.d, self.dmin, &self.scales, out);
        for (i, u) in out.u.iter_mut().enumerate() {
            *u = nibble_of_64(&self.qs, i);
        }
    }
}

impl Unpack for BlockQ5K {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        scale_by_two(self.d, self.dmin, &self.scales, out);
        for (i, u) in out.u.iter_mut().enumerate() {
            let high = (self.qh[i % 32] >> (i / 32)) & 1;
            *u = nibble_of_64(&self.qs, i) | (high << 4);
        }
    }
}

/// Scales and minima of Q4_K and Q5_K.
fn scale_by_two(d: F16Le, dmin: F16Le, packed: &[u8; 12], out: &mut Unpacked) {
    let (d, dmin) = (d.get(), dmin.get());
    let (scales, mins) = scales_and_mins_of_8(packed);
    let pairs = scales.to_le_bytes().into_iter().zip(mins.to_le_bytes());
    for (g, (scale, min)) in pairs.enumerate() {
        out.scale[g] = d * f32::from(scale);
        out.min[g] = dmin * f32::from(min);
    }
}

/// Weight `i` of Q4_K and Q5_K: two weights, 32 apart, share a byte.
fn nibble_of_64(packed: &[u8; 128], i: usize) -> u8 {
    let byte = packed[i / 64 * 32 + i % 32];
    (byte >> (i / 32 % 2 * 4)) & 15
}

impl Unpack for BlockQ6K {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        let d = self.d.get();
        for (scale, packed) in out.scale.iter_mut().zip(self.scales) {
            *scale = d * f32::from(packed);
        }
        for (i, u) in out.u.iter_mut().enumerate() {
            // Within 128 weights: 64 bytes of low nibbles, used twice, and 32 of high pairs.
            let (half, in_half) = (i / 128, i % 128);
            let low = self.ql[64 * half + in_half % 64] >> (in_half / 64 * 4);
            let high = self.qh[32 * half + in_half % 32] >> (in_half / 32 * 2);
            *u = (low & 15) | ((high & 3) << 4);
        }
    }
}

/// Signed values of a table as bytes counted from `-offset`.
pub(super) const fn bytes_of(values: [i8; 16], offset: i32) -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut i = 0;
    while i < 16 {
        bytes[i] = (values[i] as i32 + offset) as u8;
        i += 1;
    }
    bytes
}

/// The bytes of IQ4_NL and IQ4_XS.
pub(super) const LEVEL_BYTES: [u8; 16] = bytes_of(LEVELS, 128);

/// The bytes of MXFP4 and NVFP4.
pub(super) const FP4_BYTES: [u8; 16] = bytes_of(fp4::VALUES, 12);

/// Turns the scale of an NVFP4 block, with its exponent and mantissa where a float has them, into
/// half of its value.
pub(super) const NVFP4_BIAS: f32 = f32::from_bits((127 + 119) << 23);

/// 16 bytes of nibbles that are indices of a table.
fn entries(table: &[u8; 16], packed: &[u8; 16], u: &mut [u8]) {
    nibbles(packed, u);
    for u in u {
        *u = table[usize::from(*u)];
    }
}

impl Unpack for BlockIQ4NL {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = self.d.get();
        entries(&LEVEL_BYTES, &self.qs, &mut out.u[32 * index..][..32]);
    }
}

impl Unpack for BlockIQ4XS {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        let d = self.d.get();
        let subs = out.u.as_chunks_mut::<32>().0.iter_mut();
        for (j, (u, qs)) in subs.zip(self.qs.as_chunks().0).enumerate() {
            out.scale[j] = d * self.scale(j) as f32;
            entries(&LEVEL_BYTES, qs, u);
        }
    }
}

impl Unpack for BlockMXFP4 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[index] = mxfp4::half_scale(self.e);
        entries(&FP4_BYTES, &self.qs, &mut out.u[32 * index..][..32]);
    }
}

impl Unpack for BlockNVFP4 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        let subs = out.u[64 * index..].as_chunks_mut::<16>().0.iter_mut();
        for (j, (u, qs)) in subs.zip(self.qs.as_chunks::<8>().0).enumerate() {
            out.scale[4 * index + j] = nvfp4::half_scale(self.d[j]);
            for (l, q) in qs.iter().enumerate() {
                u[l] = FP4_BYTES[usize::from(q & 15)];
                u[l + 8] = FP4_BYTES[usize::from(q >> 4)];
            }
        }
    }
}

impl Unpack for BlockTQ1_0 {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        out.scale = [self.d.get(); 16];
        let (first, rest) = out.u.split_at_mut(160);
        let (second, last) = rest.split_at_mut(80);
        ternary(&self.qs[..32], first);
        ternary(&self.qs[32..], second);
        ternary(&self.qh, last);
    }
}

/// Bytes of fractions in base 3: first the first digits of all, then the second ones, and so on.
fn ternary(fractions: &[u8], u: &mut [u8]) {
    let mut power = 1u8;
    for u in u.chunks_exact_mut(fractions.len()) {
        for (u, fraction) in u.iter_mut().zip(fractions) {
            *u = ((u16::from(fraction.wrapping_mul(power)) * 3) >> 8) as u8;
        }
        power = power.wrapping_mul(3);
    }
}

impl Unpack for BlockTQ2_0 {
    fn unpack_block(&self, _: usize, out: &mut Unpacked) {
        out.scale = [self.d.get(); 16];
        for (i, u) in out.u.iter_mut().enumerate() {
            *u = two_bits(&self.qs, i);
        }
    }
}

impl Unpack for BlockQ1_0 {
    /// Signs are 0 and 2, with an offset of 1.
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[4 * index..][..4].fill(self.d.get());
        for (i, u) in out.u[128 * index..][..128].iter_mut().enumerate() {
            *u = (self.qs[i / 8] >> (i % 8) & 1) << 1;
        }
    }
}

impl Unpack for BlockQ2_0 {
    fn unpack_block(&self, index: usize, out: &mut Unpacked) {
        out.scale[2 * index..][..2].fill(self.d.get());
        for (i, u) in out.u[64 * index..][..64].iter_mut().enumerate() {
            *u = self.qs[i / 4] >> (2 * (i % 4)) & 3;
        }
    }
}
