//! Q3_K: super-blocks of 256 in 16 sub-blocks of 16, each with a signed 6-bit scale, 3-bit
//! quants around 4. 3.4375 bits per weight.
//!
//! ```text
//! byte 0    hmask   32 bytes     byte l, bit j: upper bit of element 32j + l
//! byte 32   qs      2 x 32 bytes half h, byte l: lower two bits of elements 128h + l, + 32,
//!                                + 64, + 96 in bits 0-1, 2-3, 4-5, 6-7
//! byte 96   scales  12 bytes     scale j, stored + 32: lower four bits in the lower (j < 8) or
//!                                upper half of byte j % 8, upper two bits in byte 8 + j % 4 at
//!                                bit 2 (j / 4)
//! byte 108  d       f16          factor of the scales
//! ```
//! `x = d * (scale - 32) * (q - 4)`. The search is the iterative one; quants are then rounded
//! again under the quantized scales. As in ggml's `quantize_row_q3_K_ref`. With a guide the search
//! is the symmetric one, for the scales of the super-block too, as in `quantize_row_q3_K_impl`.

use super::fields::{Fielded, Fields, Geometry, Levels};
use super::q2_k::{pack_pairs, unpack_pairs};
use super::{Block, QK_K, round_quotients};
use crate::float16::F16Le;
use crate::search::{
    fit_q3, fit_signed, guided_weights, nearest_int, signed_extreme, sum_of, sum_of_squares,
};
use aeolus_gguf::TensorType;
use std::array;

/// One super-block, 110 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ3K {
    /// Upper bits.
    pub(crate) hmask: [u8; 32],
    /// Lower two bits.
    pub(crate) qs: [u8; 64],
    /// 6-bit scales.
    pub(crate) scales: [u8; 12],
    /// Factor of the scales.
    pub(crate) d: F16Le,
}

/// Packs scales of 0 to 63.
#[inline(always)]
fn pack_scales(scales: &[u8; 16]) -> [u8; 12] {
    let mut packed = [0; 12];
    for j in 0..8 {
        packed[j] = (scales[j] & 0x0f) | (scales[j + 8] << 4);
    }
    for (j, scale) in scales.iter().enumerate() {
        packed[8 + j % 4] |= scale >> 4 << (2 * (j / 4));
    }
    packed
}

/// The scales of packed bytes, -32 to 31.
#[inline(always)]
fn unpack_scales(packed: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|j| {
        let low = packed[j % 8] >> (4 * (j / 8)) & 0x0f;
        let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        (low | (high << 4)) as i8 - 32
    })
}

/// Half of the quants' range.
pub(crate) const HALF: i32 = 4;

/// Half of the range of quantized scales.
pub(crate) const SCALE_HALF: i32 = 32;

impl BlockQ3K {
    /// Scale of a sub-block.
    pub(crate) fn search(x: &[f32; 16]) -> f32 {
        fit_q3(x, &mut [0; 16])
    }

    /// Builds the block from the scale found for each sub-block.
    #[inline(always)]
    pub(crate) fn assemble(x: &[f32; QK_K], found: &[f32; 16]) -> Self {
        let (extreme, _) = signed_extreme(found);
        let (mut scales, mut d) = ([0u8; 12], F16Le::new(0.0));
        if extreme != 0.0 {
            let inverse = -32.0 / extreme;
            // Passing through i8 before the limits is the reference's way.
            let mut stored = [0; 16];
            for (s, f) in stored.iter_mut().zip(found) {
                let l = i32::from(nearest_int(inverse * f) as i8);
                *s = (l.clamp(-32, 31) + 32) as u8;
            }
            scales = pack_scales(&stored);
            d = F16Le::new(1.0 / inverse);
        }
        let (subs, _) = x.as_chunks::<16>();
        Self::round(x, scales, d, |j, q| {
            fit_q3(&subs[j], q);
        })
    }

    /// What errors weigh under a guide.
    fn guided_weights(x: &[f32; QK_K], importance: &[f32; QK_K]) -> [f32; QK_K] {
        guided_weights(x, importance, 2.0 * sum_of_squares(x) / QK_K as f32)
    }

    /// Quantizes the scales found under a guide, where the weights of each sub-block add up to
    /// `sums`: the factor, and scales of 0 to 63.
    pub(crate) fn fit_scales(found: &[f32; 16], sums: &[f32; 16]) -> (f32, [u8; 16]) {
        let factor = fit_signed(SCALE_HALF, found, sums);
        let mut scales = [0; 16];
        factor.quants(SCALE_HALF, found, &mut scales);
        (factor.scale, scales)
    }

    /// Builds the block from the scales found under a guide.
    #[inline(always)]
    pub(crate) fn assemble_guided(
        x: &[f32; QK_K],
        importance: &[f32; QK_K],
        (d, scales): (f32, [u8; 16]),
    ) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        Self::round(x, pack_scales(&scales), F16Le::new(d), |j, q| {
            let weights = Self::guided_weights(x, importance);
            fit_signed(HALF, &subs[j], &weights.as_chunks().0[j]).quants(HALF, &subs[j], q);
        })
    }

    /// Rounds the weights under quantized scales. Where the scale vanished in 6 bits or f16, the
    /// reference leaves the search's quants: `searched` writes those of a sub-block.
    #[inline(always)]
    fn round(
        x: &[f32; QK_K],
        scales: [u8; 12],
        d: F16Le,
        searched: impl Fn(usize, &mut [u8; 16]),
    ) -> Self {
        let mut q = [0u8; QK_K];
        let (subs, _) = x.as_chunks::<16>();
        let (q_subs, _) = q.as_chunks_mut::<16>();
        let effective = unpack_scales(&scales);
        for (j, ((x, q), s)) in subs.iter().zip(q_subs).zip(effective).enumerate() {
            let scale = d.get() * f32::from(s);
            if scale == 0.0 {
                searched(j, q);
            } else {
                round_quotients(x, scale, (-HALF, HALF - 1), q);
            }
        }
        Self::of_codes(&q, scales, d)
    }

    /// Packs codes of 0 to 7.
    #[inline(always)]
    fn of_codes(q: &[u8; QK_K], scales: [u8; 12], d: F16Le) -> Self {
        let mut hmask = [0; 32];
        for (j, q) in q.as_chunks::<32>().0.iter().enumerate() {
            for l in 0..32 {
                hmask[l] |= q[l] >> 2 << j;
            }
        }
        Self {
            hmask,
            qs: pack_pairs(q),
            scales,
            d,
        }
    }
}

impl Block<QK_K> for BlockQ3K {
    const TYPE: TensorType = TensorType::Q3_K;

    fn encode(x: &[f32; QK_K]) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        let found = array::from_fn(|j| Self::search(&subs[j]));
        Self::assemble(x, &found)
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let weights = Self::guided_weights(x, importance);
        let (subs, weights) = (x.as_chunks::<16>().0, weights.as_chunks::<16>().0);
        let found = array::from_fn(|j| fit_signed(HALF, &subs[j], &weights[j]).scale);
        let sums = array::from_fn(|j| sum_of(&weights[j]));
        Self::assemble_guided(x, importance, Self::fit_scales(&found, &sums))
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let d = self.d.get();
        let scales = unpack_scales(&self.scales);
        let (subs, _) = y.as_chunks_mut::<16>();
        for (j, y) in subs.iter_mut().enumerate() {
            let side = 16 * (j % 2);
            let low = &self.qs[32 * (j / 8) + side..][..16];
            let high = &self.hmask[side..][..16];
            let shift = 2 * (j % 8 / 2);
            let scale = d * f32::from(scales[j]);
            for ((y, low), high) in y.iter_mut().zip(low).zip(high) {
                let q = (i32::from(*low) >> shift & 3) | ((i32::from(*high) >> (j / 2) & 1) << 2);
                *y = scale * (q - 4) as f32;
            }
        }
    }
}

impl Fielded<QK_K> for BlockQ3K {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 16,
        levels: Levels::Even {
            lowest: -4,
            highest: 3,
        },
        scales: (-32, 31),
        scale_offset: 0.0,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let mut codes = unpack_pairs(&self.qs);
        for (i, code) in codes.iter_mut().enumerate() {
            *code |= (self.hmask[i % 32] >> (i / 32) & 1) << 2;
        }
        Fields {
            d: self.d.get(),
            scales: unpack_scales(&self.scales).map(i16::from),
            codes,
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let stored = fields.scales.map(|s| (s + 32) as u8);
        Self::of_codes(&fields.codes, pack_scales(&stored), F16Le::new(fields.d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_scale_in_every_place() {
        for value in 0..64u8 {
            for place in 0..16 {
                let mut scales = [42; 16];
                scales[place] = value;
                let expected = scales.map(|s| s as i8 - 32);
                assert_eq!(unpack_scales(&pack_scales(&scales)), expected);
            }
        }
    }
}
