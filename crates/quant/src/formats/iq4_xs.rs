//! IQ4_XS: super-blocks of 256 in 8 sub-blocks of 32, each with a signed 6-bit scale, 4-bit quants
//! that are indices of 16 uneven levels. 4.25 bits per weight.
//!
//! ```text
//! byte 0    d         f16          factor of the scales
//! byte 2    scales_h  u16          bits 2j, 2j + 1: upper two bits of scale j, stored + 32
//! byte 4    scales_l  4 bytes      byte j / 2: lower four bits of scale j, even j in bits 0-3
//! byte 8    qs        8 x 16 bytes sub-block j, byte l: element 32j + l in bits 0-3,
//!                                  element 32j + 16 + l in bits 4-7
//! ```
//! `x = d * (scale - 32) * LEVELS[q]`. The search is that of levels, with weights `x²`, or with a
//! guide importance times `sqrt(2 mean(x²) + x²)`, the mean over the super-block; quants are then
//! chosen again under the quantized scales, but before `d` is rounded to f16. As in ggml's
//! `quantize_iq4_xs`.

use super::fields::{Fielded, Fields, Geometry, Levels, first};
use super::iq4_nl::{pack_levels, unpack_levels};
use super::{Block, QK_K, legacy};
use crate::float16::F16Le;
use crate::search::{
    LEVELS_F32, fit_levels, guided_weights, nearest_int, signed_extreme, sum_of_squares,
};
use aeolus_gguf::TensorType;
use std::array;

/// One super-block, 136 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ4XS {
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Upper bits of the scales, little-endian.
    pub(crate) scales_h: [u8; 2],
    /// Lower bits of the scales.
    pub(crate) scales_l: [u8; 4],
    /// Nibbles.
    pub(crate) qs: [u8; 128],
}

impl BlockIQ4XS {
    /// The factor that makes a sum of squares the level of [`guided_weights`].
    pub(crate) const LEVEL: f32 = 2.0 / QK_K as f32;

    /// Builds the block from the scale found for each sub-block.
    #[inline(always)]
    pub(crate) fn assemble(x: &[f32; QK_K], found: &[f32; 8]) -> Self {
        let (extreme, _) = signed_extreme(found);
        let d = -extreme / 32.0;
        let inverse = legacy::reciprocal(d);
        let (mut scales_h, mut scales_l) = (0, [0; 4]);
        let mut qs = [0; 128];
        let (subs, _) = x.as_chunks::<32>();
        let (q_subs, _) = qs.as_chunks_mut::<16>();
        for (j, ((x, qs), f)) in subs.iter().zip(q_subs).zip(found).enumerate() {
            let l = nearest_int(inverse * f).clamp(-32, 31);
            *qs = pack_levels(x, legacy::reciprocal(d * l as f32));
            let stored = (l + 32) as u16;
            scales_l[j / 2] |= (stored as u8 & 0x0f) << (4 * (j % 2));
            scales_h |= stored >> 4 << (2 * j);
        }
        Self {
            d: F16Le::new(d),
            scales_h: scales_h.to_le_bytes(),
            scales_l,
            qs,
        }
    }

    /// The scale of sub-block `j`, -32 to 31.
    #[inline(always)]
    pub(crate) fn scale(&self, j: usize) -> i32 {
        let low = self.scales_l[j / 2] >> (4 * (j % 2)) & 0x0f;
        let high = u16::from_le_bytes(self.scales_h) >> (2 * j) & 3;
        i32::from(low) + (i32::from(high) << 4) - 32
    }
}

impl Block<QK_K> for BlockIQ4XS {
    const TYPE: TensorType = TensorType::IQ4_XS;

    fn encode(x: &[f32; QK_K]) -> Self {
        let (subs, _) = x.as_chunks::<32>();
        let found = array::from_fn(|j| fit_levels(&subs[j], &subs[j].map(|v| v * v)));
        Self::assemble(x, &found)
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let weights = guided_weights(x, importance, sum_of_squares(x) * Self::LEVEL);
        let (subs, weights) = (x.as_chunks::<32>().0, weights.as_chunks::<32>().0);
        let found = array::from_fn(|j| fit_levels(&subs[j], &weights[j]));
        Self::assemble(x, &found)
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let d = self.d.get();
        let (subs, _) = y.as_chunks_mut::<32>();
        for (j, (y, qs)) in subs.iter_mut().zip(self.qs.as_chunks().0).enumerate() {
            unpack_levels(qs, d * self.scale(j) as f32, y);
        }
    }
}

impl Fielded<QK_K> for BlockIQ4XS {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 32,
        levels: Levels::Uneven(&LEVELS_F32),
        scales: (-32, 31),
        scale_offset: 0.0,
        mins: None,
    };

    fn fields(&self) -> Fields {
        let mut fields = Fields {
            d: self.d.get(),
            ..Fields::default()
        };
        for (i, code) in fields.codes.iter_mut().enumerate() {
            *code = self.qs[16 * (i / 32) + i % 16] >> (4 * (i / 16 % 2)) & 0x0f;
        }
        for (j, scale) in fields.scales.iter_mut().take(8).enumerate() {
            *scale = self.scale(j) as i16;
        }
        fields
    }

    fn of_fields(fields: &Fields) -> Self {
        let (mut scales_h, mut scales_l) = (0u16, [0; 4]);
        for (j, scale) in fields.scales.iter().take(8).enumerate() {
            let stored = (scale + 32) as u16;
            scales_l[j / 2] |= (stored as u8 & 0x0f) << (4 * (j % 2));
            scales_h |= stored >> 4 << (2 * j);
        }
        let mut qs = [0; 128];
        let subs = fields.codes.as_chunks::<32>().0;
        for (qs, codes) in qs.as_chunks_mut::<16>().0.iter_mut().zip(subs) {
            *qs = legacy::pack_nibbles(&first(codes));
        }
        Self {
            d: F16Le::new(fields.d),
            scales_h: scales_h.to_le_bytes(),
            scales_l,
            qs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_comes_back_from_every_place() {
        for place in 0..8 {
            for scale in -32..32 {
                // The scale of largest magnitude goes to -32.
                let mut found = [5.0; 8];
                found[(place + 1) % 8] = -32.0;
                found[place] = scale as f32;
                let block = BlockIQ4XS::assemble(&[0.0; QK_K], &found);
                let back = array::from_fn(|j| block.scale(j) as f32);
                assert_eq!(back, found, "place {place}");
            }
        }
    }
}
