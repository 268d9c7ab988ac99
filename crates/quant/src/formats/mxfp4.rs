//! MXFP4: blocks of 32, one power of two, 4-bit floats (E2M1). 4.25 bits per weight.
//!
//! ```text
//! byte 0   e   u8            exponent of the scale, an E8M0: 2^(e - 127)
//! byte 1   qs  16 bytes      byte j: element j in bits 0-3, element j + 16 in bits 4-7
//! ```
//! `x = 2^(e - 128) * VALUES[q]`: the floats are doubled in the table, the scale halved.
//! Format: OCP Microscaling Formats (MX) 1.0. The largest magnitude goes to the uppermost binade of
//! the floats (8 to 12, doubled), which cuts what lies beyond 12; there is no search. As in ggml's
//! `quantize_row_mxfp4_ref`.

use super::{Block, fp4, legacy, magnitude};
use aeolus_gguf::TensorType;

/// One block, 17 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockMXFP4 {
    /// Exponent.
    pub(crate) e: u8,
    /// Nibbles.
    pub(crate) qs: [u8; 16],
}

/// The scale for doubled floats.
#[inline(always)]
pub(crate) fn half_scale(e: u8) -> f32 {
    match e {
        0 | 1 => f32::from_bits(0x0020_0000 << e),
        _ => f32::from_bits((u32::from(e) - 1) << 23),
    }
}

/// The logarithm of a positive float, rounded to f32 as `log2f` does, then down to an integer.
///
/// It is the exponent, but for values just below a power of two: their logarithm is so close to
/// the next integer that it rounds to it.
#[inline(always)]
fn floor_log2(value: f32) -> i32 {
    // A subnormal is made normal first.
    let (bits, moved) = match value.to_bits() {
        bits if bits < 0x0080_0000 => ((value * 16_777_216.0).to_bits(), 24),
        bits => (bits, 0),
    };
    let exponent = (bits >> 23) as i32 - 127 - moved;
    let next = exponent + 1;
    // In 2^-24 of the next power of two. The logarithm is short of `next` by this, times 1.44, in
    // 2^-24; it rounds to it up to half the distance of floats there, which is 2^(b - 24) if the
    // logarithm lies in 2^b to 2^(b + 1).
    let short = 0x0080_0000 - (bits & 0x007f_ffff);
    let magnitude = if next > 0 { next - 1 } else { -next } as u32;
    // ln(2) 2^b, rounded down, where b is 7 at most.
    let rounds_up = 88 >> (magnitude.leading_zeros() - 24).min(8);
    exponent + i32::from(short <= rounds_up)
}

impl Block<32> for BlockMXFP4 {
    const TYPE: TensorType = TensorType::MXFP4;

    #[inline(always)]
    fn encode(x: &[f32; 32]) -> Self {
        let largest = magnitude(x);
        // What is out of the range of a byte wraps around: blocks of subnormals get there.
        let e = match largest > 0.0 {
            true => (floor_log2(largest) - 2 + 127) as u8,
            false => 0,
        };
        let q = fp4::codes(x, half_scale(e));
        Self {
            e,
            qs: legacy::pack_nibbles(&q),
        }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 32]) {
        let d = half_scale(self.e);
        let (low, high) = y.split_at_mut(16);
        for ((low, high), q) in low.iter_mut().zip(high).zip(self.qs) {
            *low = f32::from(fp4::VALUES[usize::from(q & 0x0f)]) * d;
            *high = f32::from(fp4::VALUES[usize::from(q >> 4)]) * d;
        }
    }
}
