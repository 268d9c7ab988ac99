//! What the IQ2 and IQ3 formats share: signs apart from magnitudes, and scales of sub-blocks.

use super::codebook;
use super::fields::{Fields, SUB_BLOCKS};
use crate::search::nearest_int;

/// Magnitudes, and bits for the negative ones, eight to a byte.
#[inline(always)]
pub(super) fn split<const N: usize>(x: &[f32; N]) -> ([f32; N], [u8; 4]) {
    let (mut magnitudes, mut signs) = (*x, [0u8; 4]);
    for (sign, x) in signs.iter_mut().zip(x.as_chunks::<8>().0) {
        for (i, v) in x.iter().enumerate() {
            *sign |= u8::from(*v < 0.0) << i;
        }
    }
    for v in &mut magnitudes {
        // A zero keeps its sign, as in the reference.
        *v = if *v < 0.0 { -*v } else { *v };
    }
    (magnitudes, signs)
}

/// The same for formats that store seven of eight signs: their number is even. Where it is odd, the
/// element whose wrong sign costs least gets it, and a negative magnitude.
#[inline(always)]
pub(super) fn split_even<const N: usize>(x: &[f32; N], weights: &[f32; N]) -> ([f32; N], [u8; 4]) {
    let (mut magnitudes, mut signs) = split(x);
    for (k, sign) in signs[..N / 8].iter_mut().enumerate() {
        if sign.count_ones() % 2 == 0 {
            continue;
        }
        let cost = |i: usize| weights[i] * x[i] * x[i];
        let mut least = 8 * k;
        for i in 8 * k + 1..8 * k + 8 {
            if cost(i) < cost(least) {
                least = i;
            }
        }
        magnitudes[least] = -magnitudes[least];
        *sign ^= 1 << (least % 8);
    }
    (magnitudes, signs)
}

/// All eight signs of the lower seven.
pub(super) fn complete(signs: u32) -> u8 {
    let lower = (signs & 127) as u8;
    lower | ((lower.count_ones() as u8 & 1) << 7)
}

/// `value` with the sign of bit `i`.
#[inline(always)]
pub(super) fn apply(value: f32, signs: u8, i: usize) -> f32 {
    value * if signs >> i & 1 != 0 { -1.0 } else { 1.0 }
}

/// The largest value, which may be negative. Not `f32::max`: a NaN takes the place of what came before.
pub(super) fn largest(x: &[f32]) -> f32 {
    let mut max = x[0];
    for &v in &x[1..] {
        max = if max > v { max } else { v };
    }
    max
}

/// The same of finite values, in an order that is faster.
#[inline(always)]
pub(super) fn largest_finite<const N: usize>(x: &[f32; N]) -> f32 {
    let mut lanes = [x[0]; 8];
    for x in x.as_chunks::<8>().0 {
        for (max, v) in lanes.iter_mut().zip(x) {
            *max = if *max > *v { *max } else { *v };
        }
    }
    largest(&lanes)
}

/// The scale of a sub-block as an integer `l` that stands for `2l + 1`, up to `highest`.
pub(super) fn quantize_scale(scale: f32, inverse: f32, highest: i32) -> u8 {
    nearest_int(0.5 * (inverse * scale - 1.0)).clamp(0, highest) as u8
}

/// The scales of sub-blocks as nibbles, and the factor that they go with; `None` if all of them vanish.
#[inline(always)]
pub(super) fn nibble_scales<const BYTES: usize>(scales: &[f32]) -> Option<(f32, [u8; BYTES])> {
    let max = largest(scales);
    if max == 0.0 {
        return None;
    }
    let d = max / 31.0;
    let mut bytes = [0; BYTES];
    for (j, scale) in scales.iter().enumerate() {
        bytes[j / 2] |= quantize_scale(*scale, 1.0 / d, 15) << (4 * (j % 2));
    }
    Some((d, bytes))
}

/// Scales of nibbles; those beyond are 1.
pub(super) fn nibbles(bytes: &[u8]) -> [i16; SUB_BLOCKS] {
    let mut scales = [1; SUB_BLOCKS];
    for (j, scale) in scales.iter_mut().take(2 * bytes.len()).enumerate() {
        *scale = i16::from(bytes[j / 2] >> (4 * (j % 2)) & 0x0f);
    }
    scales
}

/// The same back.
pub(super) fn pack_nibbles<const BYTES: usize>(scales: &[i16; SUB_BLOCKS]) -> [u8; BYTES] {
    std::array::from_fn(|k| scales[2 * k] as u8 | ((scales[2 * k + 1] as u8) << 4))
}

/// Scales in the upper four bits of words.
pub(super) fn upper_scales(words: &[u32; 8]) -> [i16; SUB_BLOCKS] {
    let mut scales = [1; SUB_BLOCKS];
    for (scale, word) in scales.iter_mut().zip(words) {
        *scale = (word >> 28) as i16;
    }
    scales
}

/// The word of sub-block `j`: seven of each eight signs, and above them the scale.
pub(super) fn signs_and_scale(fields: &Fields, j: usize) -> u32 {
    let scale = (fields.scales[j] as u32) << 28;
    (0..4).fold(scale, |word, k| {
        let signs = codebook::signs(&fields.codes, 4 * j + k);
        word | (u32::from(signs & 127) << (7 * k))
    })
}
