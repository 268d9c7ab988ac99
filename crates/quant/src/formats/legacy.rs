//! What the formats with blocks of 32 share: ranges, reciprocals and the bit order.

use super::fields::{Fields, Geometry, Levels};
use crate::float16::F16Le;

/// Elements in a block.
pub(super) const QK: usize = 32;

/// `1 / d`, or 0 for a block without extent.
#[inline(always)]
pub(super) fn reciprocal(d: f32) -> f32 {
    if d != 0.0 { 1.0 / d } else { 0.0 }
}

/// Smallest and largest value.
#[inline(always)]
pub(super) fn range(x: &[f32; QK]) -> (f32, f32) {
    let (mut min, mut max) = (f32::MAX, -f32::MAX);
    for &v in x {
        if v < min {
            min = v;
        }
        if v > max {
            max = v;
        }
    }
    (min, max)
}

/// The lower nibbles: byte `j` holds element `j` in its lower half, element `j + 16` above.
#[inline(always)]
pub(super) fn pack_nibbles(q: &[u8; QK]) -> [u8; QK / 2] {
    let mut qs = [0; QK / 2];
    for j in 0..QK / 2 {
        qs[j] = (q[j] & 0x0f) | (q[j + QK / 2] << 4);
    }
    qs
}

/// The fifth bits: bit `i` of the little-endian word belongs to element `i`.
#[inline(always)]
pub(super) fn pack_fifth_bits(q: &[u8; QK]) -> [u8; 4] {
    let word = (0..QK).fold(0u32, |word, i| word | (u32::from(q[i] >> 4 & 1) << i));
    word.to_le_bytes()
}

/// The codes of [`pack_nibbles`], and of [`pack_fifth_bits`] if there are any, as those of a block with
/// one scale.
pub(super) fn fields(d: F16Le, nibbles: &[u8; QK / 2], fifth_bits: [u8; 4]) -> Fields {
    let mut fields = Fields {
        d: d.get(),
        ..Fields::default()
    };
    let high = u32::from_le_bytes(fifth_bits);
    for (i, code) in fields.codes.iter_mut().take(QK).enumerate() {
        let low = nibbles[i % (QK / 2)] >> (4 * (i / (QK / 2))) & 0x0f;
        *code = low | (((high >> i & 1) as u8) << 4);
    }
    fields
}

/// What a block of 32 with one scale can hold.
pub(super) const fn geometry(lowest: i16, highest: i16, mins: Option<i16>) -> Geometry {
    Geometry {
        block: QK,
        sub_block: QK,
        levels: Levels::Even { lowest, highest },
        scales: (1, 1),
        scale_offset: 0.0,
        mins,
    }
}
