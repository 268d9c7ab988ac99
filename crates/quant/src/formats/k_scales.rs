//! What Q4_K and Q5_K share: how errors weigh, the rounding under quantized scales, and the 12 bytes in
//! which eight 6-bit scales and eight 6-bit minimums are packed.
//!
//! ```text
//! byte j      (0..4)   bits 0-5 scale j     bits 6-7 upper bits of scale j + 4
//! byte j + 4  (0..4)   bits 0-5 min j       bits 6-7 upper bits of min j + 4
//! byte j + 8  (0..4)   bits 0-3 scale j + 4 (lower bits)   bits 4-7 min j + 4 (lower bits)
//! ```

use super::fields::{Fields, first};
use super::{QK_K, round_affine};
use crate::float16::F16Le;
use crate::search::{
    Affine, AffineSearch, fit_positive, guided_weights, nearest_int, sum_of, sum_of_squares,
};
use std::array;

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

    /// The weights rounded under these scales, which `search` was made for.
    #[inline(always)]
    pub(super) fn quants(&self, x: &[f32; QK_K], search: &AffineSearch) -> [u8; QK_K] {
        self.round(x, search, |j| error_weights(&x.as_chunks().0[j]))
    }

    /// The same under a guide.
    #[inline(always)]
    pub(super) fn guided_quants(
        &self,
        x: &[f32; QK_K],
        importance: &[f32; QK_K],
        search: &AffineSearch,
    ) -> [u8; QK_K] {
        self.round(x, search, |j| {
            guided_weights_of(x, importance).as_chunks().0[j]
        })
    }

    /// Rounds weights. Where the scale of a sub-block vanished in 6 bits or f16, the reference leaves the
    /// search's quants: they are searched again with what errors weigh there.
    #[inline(always)]
    fn round(
        &self,
        x: &[f32; QK_K],
        search: &AffineSearch,
        weights: impl Fn(usize) -> [f32; 32],
    ) -> [u8; QK_K] {
        let mut q = [0u8; QK_K];
        let (subs, q_subs) = (x.as_chunks::<32>().0, q.as_chunks_mut::<32>().0);
        for (j, ((x, q), found)) in subs.iter().zip(q_subs).zip(self.effective()).enumerate() {
            match found.scale == 0.0 {
                true => drop(search.fit(x, &weights(j), q)),
                false => round_affine(x, found, i32::from(search.q_max), q),
            }
        }
        q
    }

    /// Puts together fields that are within their limits.
    pub(super) fn of_fields(fields: &Fields) -> Self {
        Self {
            d: F16Le::new(fields.d),
            dmin: F16Le::new(fields.dmin),
            scales: first(&fields.scales.map(|s| s as u8)),
            mins: first(&fields.mins.map(|m| m as u8)),
        }
    }

    /// The 12 bytes.
    #[inline(always)]
    pub(super) fn packed(&self) -> [u8; 12] {
        pack(&self.scales, &self.mins)
    }

    /// Scale and minimum of each sub-block as a decoder will see them.
    #[inline(always)]
    fn effective(&self) -> [Affine; SUB_BLOCKS] {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let mut effective = [Affine::default(); SUB_BLOCKS];
        for (j, e) in effective.iter_mut().enumerate() {
            e.scale = d * f32::from(self.scales[j]);
            e.min = dmin * f32::from(self.mins[j]);
        }
        effective
    }
}

/// What an error at each element weighs: root mean square of the sub-block plus magnitude.
#[inline(always)]
pub(super) fn error_weights(x: &[f32; 32]) -> [f32; 32] {
    let mut sum = 0.0f32;
    for v in x {
        sum += v * v;
    }
    let rms = (sum / 32.0).sqrt();
    let mut weights = *x;
    for w in &mut weights {
        *w = rms + w.abs();
    }
    weights
}

/// What errors weigh under a guide.
fn guided_weights_of(x: &[f32; QK_K], importance: &[f32; QK_K]) -> [f32; QK_K] {
    guided_weights(x, importance, 2.0 * sum_of_squares(x) / QK_K as f32)
}

/// What a search finds under a guide, and the sum of the weights of each sub-block.
pub(super) fn fit_guided(
    search: &AffineSearch,
    x: &[f32; QK_K],
    importance: &[f32; QK_K],
) -> ([Affine; 8], [f32; 8]) {
    let weights = guided_weights_of(x, importance);
    let (subs, weights) = (x.as_chunks::<32>().0, weights.as_chunks::<32>().0);
    let found = array::from_fn(|j| search.fit(&subs[j], &weights[j], &mut [0; 32]));
    (found, array::from_fn(|j| sum_of(&weights[j])))
}

/// The lower four bits of quants: those of elements `64g + l` and `64g + 32 + l` in one byte.
#[inline(always)]
pub(super) fn pack_nibbles(q: &[u8; QK_K]) -> [u8; 128] {
    let mut qs = [0; 128];
    for (g, qs) in qs.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for l in 0..32 {
            qs[l] = (q[64 * g + l] & 0x0f) | (q[64 * g + 32 + l] << 4);
        }
    }
    qs
}

/// Fields with the scales and minimums of packed bytes, without codes.
pub(super) fn fields(d: F16Le, dmin: F16Le, packed: &[u8; 12]) -> Fields {
    let mut fields = Fields {
        d: d.get(),
        dmin: dmin.get(),
        ..Fields::default()
    };
    let (scales, mins) = unpack(packed);
    for j in 0..SUB_BLOCKS {
        fields.scales[j] = i16::from(scales[j]);
        fields.mins[j] = i16::from(mins[j]);
    }
    fields
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
