//! Q6_K: super-blocks of 256 in 16 sub-blocks of 16, each with a signed 8-bit scale, 6-bit
//! quants around 32. 6.5625 bits per weight.
//!
//! ```text
//! byte 0    ql      2 x 64 bytes half h, byte l (0..32): lower four bits of element 128h + l in
//!                                bits 0-3, of 128h + 64 + l in bits 4-7; byte 32 + l: the same
//!                                for 128h + 32 + l and 128h + 96 + l
//! byte 128  qh      2 x 32 bytes half h, byte l: upper two bits of elements 128h + l, + 32,
//!                                + 64, + 96 in bits 0-1, 2-3, 4-5, 6-7
//! byte 192  scales  16 x i8      scale of sub-block j
//! byte 208  d       f16          factor of the scales
//! ```
//! `x = d * scale * (q - 32)`. The search is the symmetric one; quants are then rounded again
//! under the quantized scales. As in ggml's `quantize_row_q6_K_ref`. Errors weigh the square of the
//! value, or with a guide its importance, as in `quantize_row_q6_K_impl`.

use super::fields::{Fielded, Fields, Geometry, Levels};
use super::{Block, QK_K, round_quotients};
use crate::float16::F16Le;
use crate::search::{GROUP_MAX_EPS, fit_signed, nearest_int, signed_extreme};
use aeolus_gguf::TensorType;

/// One super-block, 210 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ6K {
    /// Lower four bits.
    pub(crate) ql: [u8; 128],
    /// Upper two bits.
    pub(crate) qh: [u8; 64],
    /// Scales.
    pub(crate) scales: [i8; 16],
    /// Factor of the scales.
    pub(crate) d: F16Le,
}

/// Half of the quants' range.
pub(crate) const HALF: i32 = 32;

impl BlockQ6K {
    /// Scale of a sub-block.
    pub(crate) fn search(x: &[f32; 16]) -> f32 {
        fit_signed(HALF, x, &x.map(|v| v * v)).scale
    }

    /// Builds the block from the scale found for each sub-block.
    #[inline(always)]
    pub(crate) fn assemble(x: &[f32; QK_K], found: &[f32; 16]) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        Self::round(x, found, |j, q| {
            fit_signed(HALF, &subs[j], &subs[j].map(|v| v * v)).quants(HALF, &subs[j], q);
        })
    }

    /// Builds the block from the scale found for each sub-block under a guide.
    #[inline(always)]
    pub(crate) fn assemble_guided(
        x: &[f32; QK_K],
        importance: &[f32; QK_K],
        found: &[f32; 16],
    ) -> Self {
        let (subs, weights) = (x.as_chunks::<16>().0, importance.as_chunks::<16>().0);
        Self::round(x, found, |j, q| {
            fit_signed(HALF, &subs[j], &weights[j]).quants(HALF, &subs[j], q);
        })
    }

    /// Quantizes the scales and rounds the weights under them. Where a scale vanished in 8 bits or
    /// f16, the reference leaves the search's quants: `searched` writes those of a sub-block.
    #[inline(always)]
    fn round(x: &[f32; QK_K], found: &[f32; 16], searched: impl Fn(usize, &mut [u8; 16])) -> Self {
        let (extreme, magnitude) = signed_extreme(found);
        if magnitude < GROUP_MAX_EPS {
            return bytemuck::Zeroable::zeroed();
        }
        let inverse = -128.0 / extreme;
        let d = F16Le::new(1.0 / inverse);
        let mut scales = [0; 16];
        for (s, f) in scales.iter_mut().zip(found) {
            *s = nearest_int(inverse * f).min(127) as i8;
        }

        let mut q = [0u8; QK_K];
        let (subs, _) = x.as_chunks::<16>();
        let (q_subs, _) = q.as_chunks_mut::<16>();
        for (j, ((x, q), s)) in subs.iter().zip(q_subs).zip(scales).enumerate() {
            let scale = d.get() * f32::from(s);
            if scale == 0.0 {
                searched(j, q);
            } else {
                round_quotients(x, scale, (-HALF, HALF - 1), q);
            }
        }
        Self::of_codes(&q, scales, d)
    }

    /// Packs codes of 0 to 63.
    #[inline(always)]
    fn of_codes(q: &[u8; QK_K], scales: [i8; 16], d: F16Le) -> Self {
        let (mut ql, mut qh) = ([0; 128], [0; 64]);
        for (half, q) in q.as_chunks::<128>().0.iter().enumerate() {
            for l in 0..32 {
                let [q1, q2, q3, q4] = [q[l], q[l + 32], q[l + 64], q[l + 96]];
                ql[64 * half + l] = (q1 & 0x0f) | (q3 << 4);
                ql[64 * half + 32 + l] = (q2 & 0x0f) | (q4 << 4);
                qh[32 * half + l] = (q1 >> 4) | (q2 >> 4 << 2) | (q3 >> 4 << 4) | (q4 >> 4 << 6);
            }
        }
        Self { ql, qh, scales, d }
    }
}

impl Block<QK_K> for BlockQ6K {
    const TYPE: TensorType = TensorType::Q6_K;

    fn encode(x: &[f32; QK_K]) -> Self {
        let (subs, _) = x.as_chunks::<16>();
        let found = std::array::from_fn(|j| Self::search(&subs[j]));
        Self::assemble(x, &found)
    }

    fn encode_guided(x: &[f32; QK_K], importance: &[f32; QK_K], _: f32) -> Self {
        let (subs, weights) = (x.as_chunks::<16>().0, importance.as_chunks::<16>().0);
        let found = std::array::from_fn(|j| fit_signed(HALF, &subs[j], &weights[j]).scale);
        Self::assemble_guided(x, importance, &found)
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; QK_K]) {
        let d = self.d.get();
        let (subs, _) = y.as_chunks_mut::<16>();
        for (j, y) in subs.iter_mut().enumerate() {
            // Within its half, sub-block j % 8 lies in plane j % 8 / 2, left or right 16 bytes.
            let (half, plane, side) = (j / 8, j % 8 / 2, 16 * (j % 2));
            let low = &self.ql[64 * half + 32 * (plane % 2) + side..][..16];
            let high = &self.qh[32 * half + side..][..16];
            let scale = d * f32::from(self.scales[j]);
            for ((y, low), high) in y.iter_mut().zip(low).zip(high) {
                let low = i32::from(*low) >> (4 * (plane / 2)) & 0x0f;
                let high = i32::from(*high) >> (2 * plane) & 3;
                *y = scale * ((low | (high << 4)) - HALF) as f32;
            }
        }
    }
}

impl Fielded<QK_K> for BlockQ6K {
    const GEOMETRY: Geometry = Geometry {
        block: QK_K,
        sub_block: 16,
        levels: Levels::Even {
            lowest: -32,
            highest: 31,
        },
        scales: (-128, 127),
        scale_offset: 0.0,
        mins: None,
    };

    fn fields(&self) -> Fields {
        Fields {
            d: self.d.get(),
            scales: self.scales.map(i16::from),
            codes: std::array::from_fn(|i| {
                let (half, plane, l) = (i / 128, i % 128 / 32, i % 32);
                let low = self.ql[64 * half + 32 * (plane % 2) + l] >> (4 * (plane / 2)) & 0x0f;
                low | ((self.qh[32 * half + l] >> (2 * plane) & 3) << 4)
            }),
            ..Fields::default()
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let scales = fields.scales.map(|s| s as i8);
        Self::of_codes(&fields.codes, scales, F16Le::new(fields.d))
    }
}
