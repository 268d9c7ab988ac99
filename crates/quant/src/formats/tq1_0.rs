//! TQ1_0: super-blocks of 256, one scale, the integers -1, 0 and 1, five of them in a byte.
//! 1.6875 bits per weight.
//!
//! ```text
//! byte 0    qs  48 bytes     byte l (0..32): elements l, l + 32, ... l + 128; byte 32 + l (0..16):
//!                            elements 160 + l, l + 16, ... l + 64
//! byte 48   qh  4 bytes      byte l: elements 240 + l, l + 4, l + 8, l + 12
//! byte 52   d   f16          scale
//! ```
//! `x = d * (q - 1)`. A byte is the fraction `0.q0 q1 q2 q3 q4` in base 3, times 256 and rounded up:
//! multiplied by 3, its carry is the first digit. The largest magnitude is the scale; there is no
//! search. As in ggml's `quantize_row_tq1_0_ref`; for the ternary weights of BitNet and TriLM.

use super::{Block, QK_K, legacy, magnitude};
use crate::float16::F16Le;
use aeolus_gguf::TensorType;

/// One super-block, 54 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockTQ1_0 {
    /// Five quants in a byte.
    pub(crate) qs: [u8; 48],
    /// Four quants in a byte.
    pub(crate) qh: [u8; 4],
    /// Scale.
    pub(crate) d: F16Le,
}

/// The nearest of -1, 0 and 1, halves away from zero, plus 1; for what is not finite it is 1, as
/// x86's conversions give it. Shared with TQ2_0.
#[inline(always)]
pub(super) fn trit(value: f32) -> u8 {
    // No value exceeds 1 by more than its rounding, but for those that are not finite.
    let up = u8::from((0.5..2.0).contains(&value));
    let down = u8::from((0.5..2.0).contains(&-value));
    1 + up - down
}

/// Packs digits, the first one uppermost; `step` elements apart, and zeros where they end.
#[inline(always)]
fn pack<const DIGITS: usize>(trits: &[u8], step: usize, bytes: &mut [u8]) {
    for (l, byte) in bytes.iter_mut().enumerate() {
        let mut q = 0u32;
        for digit in 0..5 {
            q *= 3;
            if digit < DIGITS {
                q += u32::from(trits[l + digit * step]);
            }
        }
        // 243 is 3^5.
        *byte = (q * 256).div_ceil(243) as u8;
    }
}

/// Writes the values of the digits.
#[inline(always)]
fn unpack<const DIGITS: usize>(bytes: &[u8], step: usize, d: f32, y: &mut [f32]) {
    for (l, byte) in bytes.iter().enumerate() {
        let mut fraction = *byte;
        for digit in 0..DIGITS {
            let q = (u32::from(fraction) * 3) >> 8;
            y[l + digit * step] = (q as i32 - 1) as f32 * d;
            fraction = fraction.wrapping_mul(3);
        }
    }
}

impl Block<QK_K> for BlockTQ1_0 {
    const TYPE: TensorType = TensorType::TQ1_0;

    #[inline(always)]
    fn encode(x: &[f32; QK_K]) -> Self {
        let d = magnitude(x);
        let inverse = legacy::reciprocal(d);
        let mut trits = [0; QK_K];
        for (t, v) in trits.iter_mut().zip(x) {
            *t = trit(v * inverse);
        }
        let (mut qs, mut qh) = ([0; 48], [0; 4]);
        pack::<5>(&trits[..160], 32, &mut qs[..32]);
        pack::<5>(&trits[160..240], 16, &mut qs[32..]);
        pack::<4>(&trits[240..], 4, &mut qh);
        Self {
            qs,
            qh,
            d: F16Le::new(d),
        }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let d = self.d.get();
        unpack::<5>(&self.qs[..32], 32, d, &mut y[..160]);
        unpack::<5>(&self.qs[32..], 16, d, &mut y[160..240]);
        unpack::<4>(&self.qh, 4, d, &mut y[240..]);
    }
}
