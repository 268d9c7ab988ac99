//! The two 16-bit float types, one value at a time: bits to `f32` and back.
//!
//! ```text
//! F16   s eeeee mmmmmmmmmm          bias 15, subnormals below 2^-14, largest 65504
//! BF16  s eeeeeeee mmmmmmm          the upper half of an f32
//! ```
//!
//! Rounding is to nearest, ties to even. The bits equal those of ggml's portable conversions, so
//! a NaN narrows to the quiet NaN `0x7e00` in F16 and keeps its upper payload in BF16. Everything
//! here is a short chain of integer operations and selects that vectorizes when it is inlined in
//! a loop.

/// The value of an F16 bit pattern. Exact; a signalling NaN becomes quiet.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    // Exponent and mantissa moved to the places of an f32, the exponent still with bias 15.
    let moved = magnitude << 13;
    let normal = moved + ((127 - 15) << 23);
    let special = moved | 0x7f80_0000 | (u32::from(magnitude > 0x7c00) << 22);
    // A subnormal is mantissa * 2^-24: an exact product.
    let subnormal = (magnitude as f32 * (1.0 / 16_777_216.0)).to_bits();
    let value = if magnitude >= 0x7c00 {
        special
    } else if magnitude < 0x0400 {
        subnormal
    } else {
        normal
    };
    f32::from_bits(sign | value)
}

/// The nearest F16 bit pattern; above 65504 that may be infinity.
#[inline(always)]
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    // Normal results: rebias, then round away the 13 lower mantissa bits. A carry out of the
    // mantissa rightly raises the exponent, up to infinity.
    let rebias = magnitude.wrapping_sub((127 - 15) << 23);
    let normal = rebias.wrapping_add(0x0fff + ((magnitude >> 13) & 1)) >> 13;
    // Subnormal results: adding 0.5, whose last place is 2^-24, lets the f32 adder round.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits();
    let value = if magnitude > 0x7f80_0000 {
        0x7e00
    } else if magnitude >= 0x4780_0000 {
        0x7c00 // 2^16 and above
    } else if magnitude < 0x3880_0000 {
        subnormal // below 2^-14
    } else {
        normal
    };
    sign | value as u16
}

/// The value of a BF16 bit pattern. Exact.
#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest BF16 bit pattern; a value close to the largest f32 may become infinity.
#[inline(always)]
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// An F16 inside a block: two little-endian bytes.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct F16Le([u8; 2]);

impl F16Le {
    #[inline(always)]
    pub(crate) fn new(value: f32) -> Self {
        Self::from_bits(f32_to_f16(value))
    }

    #[inline(always)]
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits.to_le_bytes())
    }

    #[inline(always)]
    pub(crate) fn get(self) -> f32 {
        f16_to_f32(u16::from_le_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_pattern_widens_exactly_and_narrows_back() {
        for bits in 0..=u16::MAX {
            let wide = f16_to_f32(bits);
            let oracle = half::f16::from_bits(bits).to_f32_const();
            assert_eq!(wide.to_bits(), oracle.to_bits(), "{bits:#06x}");
            if wide.is_nan() {
                assert_eq!(f32_to_f16(wide), bits & 0x8000 | 0x7e00);
            } else {
                assert_eq!(f32_to_f16(wide), bits);
            }
        }
    }

    /// Each pair of neighbouring F16 values: below, at and above the midpoint.
    #[test]
    fn narrowing_to_f16_rounds_to_nearest_even() {
        for low in 0..0x7c00u16 {
            let (a, b) = (f16_to_f32(low), f16_to_f32(low + 1));
            let b = if b.is_infinite() { 65536.0 } else { b };
            let middle = ((f64::from(a) + f64::from(b)) / 2.0) as f32;
            let even = low + (low & 1);
            for sign in [0, 0x8000u16] {
                let signed = |v: f32| if sign == 0 { v } else { -v };
                assert_eq!(f32_to_f16(signed(middle.next_down())), low | sign);
                assert_eq!(f32_to_f16(signed(middle)), even | sign);
                assert_eq!(f32_to_f16(signed(middle.next_up())), (low + 1) | sign);
            }
        }
    }

    #[test]
    fn narrowing_agrees_with_an_oracle_over_the_whole_f32_range() {
        // A stride coprime to 2^32 visits all exponents and mantissa ends.
        let mut bits = 0u32;
        for _ in 0..4_000_000 {
            bits = bits.wrapping_add(0x9e37_79b1);
            let value = f32::from_bits(bits);
            if value.is_nan() {
                assert_eq!(f32_to_f16(value), (bits >> 16) as u16 & 0x8000 | 0x7e00);
            } else {
                assert_eq!(
                    f32_to_f16(value),
                    half::f16::from_f32_const(value).to_bits(),
                    "{bits:#010x}"
                );
            }
            assert_eq!(
                f32_to_bf16(value),
                half::bf16::from_f32_const(value).to_bits(),
                "{bits:#010x}"
            );
        }
        for edge in [
            0,
            1,
            0x007f_ffff,
            0x7f7f_ffff,
            0x7f80_0000,
            0x7f80_0001,
            0x7fff_ffff,
        ] {
            for bits in [edge, edge | 0x8000_0000] {
                let value = f32::from_bits(bits);
                assert_eq!(
                    f32_to_bf16(value),
                    half::bf16::from_f32_const(value).to_bits()
                );
            }
        }
    }

    #[test]
    fn bf16_widens_by_a_shift() {
        for bits in 0..=u16::MAX {
            let value = bf16_to_f32(bits);
            assert_eq!(value.to_bits(), u32::from(bits) << 16);
            if !value.is_nan() {
                assert_eq!(f32_to_bf16(value), bits);
            }
        }
    }
}
