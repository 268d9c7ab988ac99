//! Blocks of one scale and two to four values to the common form, and those of NVFP4.

use std::arch::x86_64::*;

use super::unpack::{
    Factors, Unpack256, bits_to_bytes, field, half, inlined, load_32, two_bits, unpack,
};
use crate::float16::F16Le;
use crate::formats::*;
use crate::kernels::dot::unpack::{FP4_BYTES, NVFP4_BIAS};

inlined! {
    /// One scale for all groups.
    unsafe fn one_factor(d: *const F16Le) -> Factors {
        Factors { scales: [half(d); 2], mins: [half(d); 2] }
    }

    /// The first digits of fractions in base 3 times `powers`, modulo 1.
    unsafe fn digits(fractions: __m256i, powers: __m256i) -> __m256i {
        let even_bytes = _mm256_set1_epi16(0x00ff);
        let even = _mm256_and_si256(_mm256_mullo_epi16(fractions, powers), even_bytes);
        let odd = _mm256_srli_epi16(fractions, 8);
        let odd = _mm256_and_si256(_mm256_mullo_epi16(odd, powers), even_bytes);
        let three = _mm256_set1_epi16(3);
        let even = _mm256_srli_epi16(_mm256_mullo_epi16(even, three), 8);
        let odd = _mm256_andnot_si256(even_bytes, _mm256_mullo_epi16(odd, three));
        _mm256_or_si256(even, odd)
    }

    unsafe fn twice_16(from: *const u8) -> __m256i {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast()))
    }
}

unpack!(
    BlockTQ1_0,
    |unit, b| {
        // Five times 32 digits, five times 16, four times 4.
        let qs: *const u8 = field!(unit, qs);
        let power = |n: usize| _mm_set1_epi16([1, 3, 9, 27, 81][n]);
        let powers = |low: usize, high: usize| _mm256_set_m128i(power(high), power(low));
        match b {
            0..5 => digits(load_32(qs), powers(b, b)),
            5 => digits(twice_16(qs.add(32)), powers(0, 1)),
            6 => digits(twice_16(qs.add(32)), powers(2, 3)),
            _ => {
                let qh: *const i32 = field!(unit, qh);
                let last = _mm_set1_epi32(qh.read_unaligned());
                let fractions = _mm256_set_m128i(last, _mm_loadu_si128(qs.add(32).cast()));
                let of_last = _mm_setr_epi16(1, 1, 3, 3, 9, 9, 27, 27);
                digits(fractions, _mm256_set_m128i(of_last, power(4)))
            }
        }
    },
    |unit| one_factor(&(*unit).d)
);
unpack!(
    BlockTQ2_0,
    |unit, b| two_bits(field!(unit, qs), b),
    |unit| one_factor(field!(unit, d))
);
unpack!(
    BlockQ1_0,
    |unit, b| {
        let signs: *const i32 = field!(unit.add(b / 4), qs);
        let positive = bits_to_bytes(signs.add(b % 4).read_unaligned());
        _mm256_and_si256(positive, _mm256_set1_epi8(2))
    },
    |unit| {
        let [first, second] = [half(&(*unit).d), half(&(*unit.add(1)).d)];
        let scales = [_mm256_blend_ps::<0xf0>(first, second); 2];
        Factors {
            scales,
            mins: scales,
        }
    }
);
unpack!(
    BlockQ2_0,
    |unit, b| {
        let qs: *const u8 = field!(unit.add(b / 2), qs);
        let packed = _mm256_cvtepu8_epi32(_mm_loadl_epi64(qs.add(8 * (b % 2)).cast()));
        // The byte in bits 0, 6, 12 and 18 on: a pair at the start of each byte.
        let twice = _mm256_or_si256(packed, _mm256_slli_epi32(packed, 6));
        let all = _mm256_or_si256(twice, _mm256_slli_epi32(twice, 12));
        _mm256_and_si256(all, _mm256_set1_epi8(3))
    },
    |unit| {
        let d = |i: usize| half(&(*unit.add(i)).d);
        let (low, high) = (
            _mm256_unpacklo_ps(d(0), d(1)),
            _mm256_unpacklo_ps(d(2), d(3)),
        );
        // 0, 1, 0, 1 | ... to 0, 0, 1, 1 | 2, 2, 3, 3
        let pairs = _mm256_permute_ps::<0b01_01_00_00>(_mm256_blend_ps::<0xf0>(low, high));
        Factors {
            scales: [pairs; 2],
            mins: [pairs; 2],
        }
    }
);
unpack!(
    BlockNVFP4,
    |unit, b| {
        // Eight bytes hold the halves of sixteen weights.
        let qs: *const u8 = field!(unit.add(b / 2), qs);
        let packed = _mm_loadu_si128(qs.add(16 * (b % 2)).cast());
        let high = _mm_srli_epi16(packed, 4);
        let (first, second) = (
            _mm_unpacklo_epi64(packed, high),
            _mm_unpackhi_epi64(packed, high),
        );
        let nibbles = _mm256_and_si256(_mm256_set_m128i(second, first), _mm256_set1_epi8(15));
        let table = _mm_loadu_si128(FP4_BYTES.as_ptr().cast());
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles)
    },
    |unit| {
        let four = |i: usize| i32::from_le_bytes((*unit.add(i)).d);
        let scales = _mm_setr_epi32(four(0), four(1), four(2), four(3));
        let scales = [scales, _mm_unpackhi_epi64(scales, scales)].map(|bytes| {
            let bytes = _mm256_cvtepu8_epi32(bytes);
            // Exponent and mantissa where a float has them; the bias is then 120 too small.
            let bits = _mm256_slli_epi32(_mm256_and_si256(bytes, _mm256_set1_epi32(0x7f)), 20);
            let scale = _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(NVFP4_BIAS));
            let none = _mm256_cmpeq_epi32(bytes, _mm256_set1_epi32(0x7f));
            _mm256_andnot_ps(_mm256_castsi256_ps(none), scale)
        });
        Factors {
            scales,
            mins: scales,
        }
    }
);
