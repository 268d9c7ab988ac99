//! Q2_K: super-blocks of 256 in 16 sub-blocks of 16, each with a 4-bit scale and minimum, 2-bit
//! quants. 2.625 bits per weight (old model cards say 2.5625).
//!
//! ```text
//! byte 0    scales  16 bytes     sub-block j: scale in bits 0-3, minimum in bits 4-7
//! byte 16   qs      2 x 32 bytes half h, byte l: elements 128h + l, + 32, + 64, + 96 in bits
//!                                0-1, 2-3, 4-5, 6-7
//! byte 80   d       f16          factor of the scales
//! byte 82   dmin    f16          factor of the minimums
//! ```
//! `x = d * scale * q - dmin * min`. The search is the affine one with 16 candidates, weights
//! `|x|` and absolute errors; quants are then rounded again under the quantized scales. As in
//! ggml's `quantize_row_q2_K_ref`. With a guide it has 37 candidates and squared errors, and scales
//! and minimums have a search of their own, as in `quantize_row_q2_K_impl`.

use super::fields::{Fielded, Fields, Geometry, Levels};
use super::{Block, QK_K, round_affine};
use crate::float16::F16Le;
use crate::search::{
    Affine, AffineSearch, fit_positive, guided_weights, nearest_int, sum_of, sum_of_squares,
};
use aeolus_gguf::TensorType;
use std::array;

/// One super-block, 84 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ2K {
    /// 4-bit scales and minimums.
    pub(crate) scales: [u8; 16],
    /// Four quants in a byte.
    pub(crate) qs: [u8; 64],
    /// Factor of the scales.
    pub(crate) d: F16Le,
    /// Factor of the minimums.
    pub(crate) dmin: F16Le,
}

/// The search for scale and minimum of a sub-block.
pub(crate) const SEARCH: AffineSearch = AffineSearch {
    q_max: 3,
    first: -0.5,
    delta: 0.1,
    candidates: 16,
    absolute: true,
};

/// The search with a guide.
pub(crate) const GUIDED: AffineSearch = AffineSearch::guided(3);

/// Largest scale and minimum.
pub(crate) const LARGEST: i32 = 15;

/// Scales and minimums of a super-block, quantized to 4 bits under two f16 factors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SuperScales {
    d: F16Le,
    dmin: F16Le,
    scales: [u8; 16],
}

impl SuperScales {
    /// Quantizes what the search found: the largest scale and minimum go to 15.
    #[inline(always)]
    fn quantize(found: &[Affine; 16]) -> Self {
        let (mut max_scale, mut max_min) = (0.0f32, 0.0f32);
        for f in found {
            if f.scale > max_scale {
                max_scale = f.scale;
            }
            if f.min > max_min {
                max_min = f.min;
            }
        }
        let mut scales = [0u8; 16];
        let (mut d, mut dmin) = (F16Le::new(0.0), F16Le::new(0.0));
        if max_scale > 0.0 {
            let inverse = 15.0 / max_scale;
            for (s, f) in scales.iter_mut().zip(found) {
                *s = nearest_int(inverse * f.scale) as u8;
            }
            d = F16Le::new(max_scale / 15.0);
        }
        if max_min > 0.0 {
            let inverse = 15.0 / max_min;
            for (s, f) in scales.iter_mut().zip(found) {
                *s |= (nearest_int(inverse * f.min) << 4) as u8;
            }
            dmin = F16Le::new(max_min / 15.0);
        }
        Self { d, dmin, scales }
    }

    /// Quantizes what the search found under a guide, where the weights of each sub-block add up
    /// to `sums`.
    pub(crate) fn fit(found: &[Affine; 16], sums: &[f32; 16]) -> Self {
        let (mut scales, mut mins) = ([0; 16], [0; 16]);
        let d = fit_positive(LARGEST, &found.map(|f| f.scale), sums, &mut scales);
        let dmin = fit_positive(LARGEST, &found.map(|f| f.min), sums, &mut mins);
        Self::of_bytes(d, dmin, scales, mins)
    }

    /// Puts together factors and the bytes for scales and minimums. Bytes above 15 disturb their
    /// neighbour as in the reference.
    #[inline(always)]
    pub(crate) fn of_bytes(d: f32, dmin: f32, mut scales: [u8; 16], mins: [u8; 16]) -> Self {
        for (s, m) in scales.iter_mut().zip(mins) {
            *s |= m << 4;
        }
        Self {
            d: F16Le::new(d),
            dmin: F16Le::new(dmin),
            scales,
        }
    }
}

/// Four planes of 32 quants, the lower two bits of each, in 32 bytes, for both halves. Shared with Q3_K.
#[inline(always)]
pub(crate) fn pack_pairs(q: &[u8; QK_K]) -> [u8; 64] {
    let mut qs = [0; 64];
    for (half, q) in q.as_chunks::<128>().0.iter().enumerate() {
        for l in 0..32 {
            let [q0, q1, q2] = [q[l] & 3, q[l + 32] & 3, q[l + 64] & 3];
            qs[32 * half + l] = q0 | (q1 << 2) | (q2 << 4) | (q[l + 96] << 6);
        }
    }
    qs
}

impl BlockQ2K {
    /// Scale and minimum of a sub-block.
    pub(crate) fn search(x: &[f32; 16]) -> Affine {
        SEARCH.fit(x, &x.map(f32::abs), &mut [0; 16])
    }

    /// Builds the block from the scale and minimum found for each sub-block.
    #[inline(always)]
    pub(crate) fn assemble(x: &[f32; QK_K], found: &[Affine; 16]) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        Self::round(x, SuperScales::quantize(found), |j, q| {
            SEARCH.fit(&subs[j], &subs[j].map(f32::abs), q);
        })
    }

    /// What errors weigh under a guide.
    fn guided_weights(x: &[f32; QK_K], importance: &[f32; QK_K]) -> [f32; QK_K] {
        guided_weights(x, importance, sum_of_squares(x) / QK_K as f32)
    }

    /// Builds the block from the scales and minimums found under a guide.
    #[inline(always)]
    pub(crate) fn assemble_guided(
        x: &[f32; QK_K],
        importance: &[f32; QK_K],
        scales: SuperScales,
    ) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        Self::round(x, scales, |j, q| {
            let weights = Self::guided_weights(x, importance);
            GUIDED.fit(&subs[j], &weights.as_chunks().0[j], q);
        })
    }

    /// Rounds the weights under quantized scales. Where the scale vanished in 4 bits or f16, the
    /// reference leaves the search's quants: `searched` writes those of a sub-block.
    #[inline(always)]
    fn round(
        x: &[f32; QK_K],
        scales: SuperScales,
        searched: impl Fn(usize, &mut [u8; 16]),
    ) -> Self {
        let SuperScales { d, dmin, scales } = scales;
        let mut q = [0u8; QK_K];
        let (subs, _) = x.as_chunks::<16>();
        let (q_subs, _) = q.as_chunks_mut::<16>();
        for (j, ((x, q), s)) in subs.iter().zip(q_subs).zip(scales).enumerate() {
            let effective = Affine {
                scale: d.get() * f32::from(s & 0x0f),
                min: dmin.get() * f32::from(s >> 4),
            };
            if effective.scale == 0.0 {
                searched(j, q);
            } else {
                round_affine(x, effective, 3, q);
            }
        }
        Self {
            scales,
            qs: pack_pairs(&q),
            d,
            dmin,
        }
    }
}

impl Block<QK_K> for BlockQ2K {
    const TYPE: TensorType = TensorType::Q2_K;

    fn encode(x: &[f32; QK_K]) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        let found = array::from_fn(|j| Self::search(&subs[j]));
        Self::assemble(x, &found)
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let weights = Self::guided_weights(x, importance);
        let (subs, weights) = (x.as_chunks::<16>().0, weights.as_chunks::<16>().0);
        let found = array::from_fn(|j| GUIDED.fit(&subs[j], &weights[j], &mut [0; 16]));
        let sums = array::from_fn(|j| sum_of(&weights[j]));
        Self::assemble_guided(x, importance, SuperScales::fit(&found, &sums))
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let (subs, _) = y.as_chunks_mut::<16>();
        for (j, y) in subs.iter_mut().enumerate() {
            // Sub-blocks alternate between the lower and upper 16 bytes of their half.
            let bytes = &self.qs[32 * (j / 8) + 16 * (j % 2)..][..16];
            let shift = 2 * (j % 8 / 2);
            let scale = d * f32::from(self.scales[j] & 0x0f);
            let min = dmin * f32::from(self.scales[j] >> 4);
            for (y, byte) in y.iter_mut().zip(bytes) {
                *y = scale * (i32::from(*byte) >> shift & 3) as f32 - min;
            }
        }
    }
}

/// The codes of [`pack_pairs`], the lower two bits of each. Shared with Q3_K.
pub(crate) fn unpack_pairs(qs: &[u8; 64]) -> [u8; QK_K] {
    array::from_fn(|i| qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3)
}

impl Fielded<QK_K> for BlockQ2K {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 16,
        levels: Levels::Even {
            lowest: 0,
            highest: 3,
        },
        scales: (0, 15),
        scale_offset: 0.0,
        mins: Some(15),
    };

    fn fields(&self) -> Fields {
        Fields {
            d: self.d.get(),
            dmin: self.dmin.get(),
            scales: self.scales.map(|s| i16::from(s & 0x0f)),
            mins: self.scales.map(|s| i16::from(s >> 4)),
            codes: unpack_pairs(&self.qs),
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        Self {
            scales: array::from_fn(|j| fields.scales[j] as u8 | ((fields.mins[j] as u8) << 4)),
            qs: pack_pairs(&fields.codes),
            d: F16Le::new(fields.d),
            dmin: F16Le::new(fields.dmin),
        }
    }
}
