//! NVFP4: blocks of 64 in 4 sub-blocks of 16, each with an 8-bit float (UE4M3) as its scale, 4-bit
//! floats (E2M1). 4.5 bits per weight.
//!
//! ```text
//! byte 0   d   4 bytes       scale of sub-block j: no sign, four bits of exponent, three of mantissa
//! byte 4   qs  4 x 8 bytes   sub-block j, byte l: element 16j + l in bits 0-3, 16j + 8 + l in
//!                            bits 4-7
//! ```
//! `x = d / 2 * VALUES[q]`: the floats are stored doubled in the table. The largest magnitude goes to
//! the largest float; there is no search. As in ggml's `quantize_row_nvfp4_ref`. The factor of the
//! whole tensor that NVIDIA's format has is not a part of the block.

use super::{Block, fp4, magnitude};
use aeolus_gguf::TensorType;

/// One block, 36 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockNVFP4 {
    /// Scales.
    pub(crate) d: [u8; 4],
    /// Nibbles.
    pub(crate) qs: [u8; 32],
}

/// Half of the value of a scale. The patterns 0 and 0x7f are zero.
#[inline(always)]
pub(crate) fn half_scale(bits: u8) -> f32 {
    let (exponent, mantissa) = (u32::from(bits >> 3 & 0x0f), u32::from(bits & 7));
    match (bits, exponent) {
        (0x7f, _) => 0.0,
        // mantissa * 2^-9, halved.
        (_, 0) => mantissa as f32 * (1.0 / 1024.0),
        // The exponent's bias is 7; halved, one less.
        _ => f32::from_bits(((exponent + 127 - 8) << 23) | (mantissa << 20)),
    }
}

/// A scale as bits, halves rounded up; at most 448.
#[inline(always)]
fn scale_bits(scale: f32) -> u8 {
    let bits = scale.min(448.0).to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 7;
    if exponent <= 0 {
        return ((scale * 512.0 + 0.5) as i32).min(7) as u8;
    }
    // A carry out of the mantissa raises the exponent. From 256 on it is 448.
    let rounded = ((exponent as u32) << 3) + (bits >> 20 & 7) + (bits >> 19 & 1);
    if rounded >= 0x78 { 0x7e } else { rounded as u8 }
}

impl Block<64> for BlockNVFP4 {
    const TYPE: TensorType = TensorType::NVFP4;

    #[inline(always)]
    fn encode(x: &[f32; 64]) -> Self {
        let (mut d, mut qs) = ([0; 4], [0; 32]);
        let (subs, _) = x.as_chunks::<16>();
        let (q_subs, _) = qs.as_chunks_mut::<8>();
        for ((x, d), qs) in subs.iter().zip(&mut d).zip(q_subs) {
            *d = scale_bits(magnitude(x) / 6.0);
            let codes = fp4::codes(x, half_scale(*d));
            for (l, q) in qs.iter_mut().enumerate() {
                *q = codes[l] | (codes[l + 8] << 4);
            }
        }
        Self { d, qs }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 64]) {
        let (subs, _) = y.as_chunks_mut::<16>();
        for ((y, d), qs) in subs.iter_mut().zip(self.d).zip(self.qs.as_chunks::<8>().0) {
            let d = half_scale(d);
            let (low, high) = y.split_at_mut(8);
            for ((low, high), q) in low.iter_mut().zip(high).zip(qs) {
                *low = f32::from(fp4::VALUES[usize::from(q & 0x0f)]) * d;
                *high = f32::from(fp4::VALUES[usize::from(q >> 4)]) * d;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_below_256_come_back_and_larger_ones_are_the_largest() {
        for bits in 0..0x78 {
            assert_eq!(scale_bits(2.0 * half_scale(bits)), bits);
        }
        for large in [248.0, 256.0, 257.0, 448.0, 449.0, 1e9] {
            assert_eq!(scale_bits(large), 0x7e, "{large}");
        }
        assert_eq!(half_scale(0x7f), 0.0);
        assert_eq!(half_scale(0x7e), 224.0);
    }
}
