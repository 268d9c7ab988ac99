//! The 12 bytes in which Q4_K and Q5_K pack eight 6-bit scales and eight 6-bit minimums.
//!
//! ```text
//! byte j      (0..4)   bits 0-5 scale j     bits 6-7 upper bits of scale j + 4
//! byte j + 4  (0..4)   bits 0-5 min j       bits 6-7 upper bits of min j + 4
//! byte j + 8  (0..4)   bits 0-3 scale j + 4 (lower bits)   bits 4-7 min j + 4 (lower bits)
//! ```

use super::QK_K;
use crate::float16::F16Le;
use crate::search::{Affine, fit_positive, nearest_int};

/// Sub-blocks in a super-block of Q4_K and Q5_K.
pub(super) const SUB_BLOCKS: usize = QK_K / 32;

/// Packs 6-bit scales and minimums.
#[inline(always)]
pub(super) fn pack(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    let mut packed = [0; 12];
    for j in 0..4 {
        packed[j] = scales[j] | (scales[j + 4] >> 4 << 6);
        packed[j + 4] = mins[j] | (mins[j + 4] >> 4 << 6);
        packed[j + 8] = (scales[j + 4] & 0x0f) | (mins[j + 4] << 4);
    }
    packed
}

/// The scales and minimums of packed bytes.
#[inline(always)]
pub(super) fn unpack(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for j in 0..4 {
        scales[j] = packed[j] & 63;
        mins[j] = packed[j + 4] & 63;
        scales[j + 4] = (packed[j + 8] & 0x0f) | (packed[j] >> 6 << 4);
        mins[j + 4] = (packed[j + 8] >> 4) | (packed[j + 4] >> 6 << 4);
    }
    (scales, mins)
}

/// Scales and minimums of a super-block, quantized to 6 bits under two f16 factors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SuperScales {
    pub(super) d: F16Le,
    pub(super) dmin: F16Le,
    scales: [u8; SUB_BLOCKS],
    mins: [u8; SUB_BLOCKS],
}

/// Largest 6-bit scale.
pub(crate) const LARGEST: i32 = 63;

impl SuperScales {
    /// Quantizes what the search found: the largest scale and minimum go to 63.
    #[inline(always)]
    pub(super) fn quantize(found: &[Affine; SUB_BLOCKS]) -> Self {
        let (mut max_scale, mut max_min) = (0.0f32, 0.0f32);
        for f in found {
            if f.scale > max_scale {
                max_scale = f.scale;
            }
            if f.min > max_min {
                max_min = f.min;
            }
        }
        let inverse = |max: f32| if max > 0.0 { 63.0 / max } else { 0.0 };
        let (inverse_scale, inverse_min) = (inverse(max_scale), inverse(max_min));
        let (mut scales, mut mins) = ([0; SUB_BLOCKS], [0; SUB_BLOCKS]);
        for (j, f) in found.iter().enumerate() {
            // The reference stores the integer in a byte before it limits it.
            scales[j] = (nearest_int(inverse_scale * f.scale) as u8).min(63);
            mins[j] = (nearest_int(inverse_min * f.min) as u8).min(63);
        }
        Self {
            d: F16Le::new(max_scale / 63.0),
            dmin: F16Le::new(max_min / 63.0),
            scales,
            mins,
        }
    }

    /// Quantizes what the search found under a guide, where the weights of each sub-block add up
    /// to `sums`. Bytes are limited to `limit`.
    pub(crate) fn fit(found: &[Affine; SUB_BLOCKS], sums: &[f32; SUB_BLOCKS], limit: u8) -> Self {
        let (mut scales, mut mins) = ([0; SUB_BLOCKS], [0; SUB_BLOCKS]);
        let d = fit_positive(LARGEST, &found.map(|f| f.scale), sums, &mut scales);
        let dmin = fit_positive(LARGEST, &found.map(|f| f.min), sums, &mut mins);
        let limited = |bytes: [u8; SUB_BLOCKS]| bytes.map(|b| b.min(limit));
        Self::of_bytes(d, dmin, limited(scales), limited(mins))
    }

    /// Puts together factors and the bytes for scales and minimums.
    ///
    /// Bytes above 63 lose their upper bits or disturb their neighbours in the same way as in
    /// [`pack`].
    #[inline(always)]
    pub(crate) fn of_bytes(d: f32, dmin: f32, scales: [u8; 8], mins: [u8; 8]) -> Self {
        let (scales, mins) = unpack(&pack(&scales, &mins));
        Self {
            d: F16Le::new(d),
            dmin: F16Le::new(dmin),
            scales,
            mins,
        }
    }

    /// The 12 bytes.
    #[inline(always)]
    pub(super) fn packed(&self) -> [u8; 12] {
        pack(&self.scales, &self.mins)
    }

    /// Scale and minimum of each sub-block as a decoder will see them.
    #[inline(always)]
    pub(super) fn effective(&self) -> [Affine; SUB_BLOCKS] {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let mut effective = [Affine::default(); SUB_BLOCKS];
        for (j, e) in effective.iter_mut().enumerate() {
            e.scale = d * f32::from(self.scales[j]);
            e.min = dmin * f32::from(self.mins[j]);
        }
        effective
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_six_bit_value_in_every_place() {
        for value in 0..64u8 {
            for place in 0..8 {
                let mut scales = [21; 8];
                let mut mins = [42; 8];
                scales[place] = value;
                mins[7 - place] = value;
                assert_eq!(unpack(&pack(&scales, &mins)), (scales, mins));
            }
        }
    }
}
