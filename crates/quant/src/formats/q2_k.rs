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
//! ggml's `quantize_row_q2_K_ref`.

use super::{Block, QK_K, round_affine};
use crate::float16::F16Le;
use crate::search::{Affine, AffineSearch, nearest_int};
use aeolus_gguf::TensorType;

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

        let mut q = [0u8; QK_K];
        let (subs, _) = x.as_chunks::<16>();
        let (q_subs, _) = q.as_chunks_mut::<16>();
        for ((x, q), s) in subs.iter().zip(q_subs).zip(scales) {
            let effective = Affine {
                scale: d.get() * f32::from(s & 0x0f),
                min: dmin.get() * f32::from(s >> 4),
            };
            if effective.scale == 0.0 {
                // The scale vanished in 4 bits or f16: the reference leaves the search's quants.
                SEARCH.fit(x, &x.map(f32::abs), q);
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
        let found = std::array::from_fn(|j| Self::search(&subs[j]));
        Self::assemble(x, &found)
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
