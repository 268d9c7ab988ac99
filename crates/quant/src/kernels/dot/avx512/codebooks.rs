//! Blocks of the IQ1, IQ2 and IQ3 formats to the common form: points are gathered, eight or sixteen at
//! a time, and the signs of 64 weights are one mask.

use std::arch::x86_64::*;

use super::unpack::{Factors, Unpack512, field, half, inlined, unpack};
use crate::formats::*;
use crate::kernels::dot::codebooks::*;

inlined! {
    /// The scales of a block.
    unsafe fn factors<F: Codebook>(block: &F) -> Factors {
        let factor = _mm_mul_ss(half(&block.factor()), _mm_set_ss(F::SCALE_UNIT));
        let [first, second] = block.odd_scales();
        let second = if F::GROUP == 16 { second } else { first };
        let integers = _mm512_cvtepu8_epi32(_mm_set_epi64x(second as i64, first as i64));
        let scales = _mm512_mul_ps(_mm512_cvtepi32_ps(integers), _mm512_broadcastss_ps(factor));
        Factors { first: scales, second: scales }
    }

    /// Eight points of eight weights.
    unsafe fn eights(points: &[u64], numbers: __m256i) -> __m512i {
        _mm512_i32gather_epi64::<8>(numbers, points.as_ptr().cast())
    }

    /// Sixteen points of four weights.
    unsafe fn fours(points: &[u32], numbers: __m512i) -> __m512i {
        _mm512_i32gather_epi32::<4>(numbers, points.as_ptr().cast())
    }

    /// Bytes with their signs.
    unsafe fn signed<F: Codebook>(u: __m512i, negative: u64) -> __m512i {
        let twice = _mm512_set1_epi8((2 * F::OFFSET as u8) as i8);
        _mm512_mask_sub_epi8(u, negative, twice, u)
    }

    /// Eight bytes as words of 32 bits.
    unsafe fn eight_words(from: *const u8) -> __m256i {
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))
    }

    /// Sixteen bytes as words of 32 bits.
    unsafe fn sixteen_words(from: *const u8) -> __m512i {
        _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))
    }

    /// `mask` at places of `packed`, moved to the left by eight bits: the upper bits of numbers.
    unsafe fn upper(packed: __m256i, places: __m256i, mask: i32) -> __m256i {
        let bits = _mm256_and_si256(_mm256_srlv_epi32(packed, places), _mm256_set1_epi32(mask));
        _mm256_slli_epi32(bits, 8)
    }

    /// The bytes of eight points of IQ1, and those for shifts up where the bit of `down` at each
    /// place of `packed` is not set.
    unsafe fn shifted(numbers: __m256i, packed: __m256i, places: __m256i, down: i32) -> __m512i {
        let bits = _mm256_srlv_epi32(packed, places);
        let up = _mm256_testn_epi32_mask(bits, _mm256_set1_epi32(down));
        let u = eights(&IQ1_EIGHTS, numbers);
        _mm512_add_epi8(u, _mm512_maskz_set1_epi64(up, UP as i64))
    }
}

unpack!(
    BlockIQ1S,
    |unit, j| {
        let (qs, qh): (*const u8, *const i32) = (field!(unit, qs), field!(unit, qh));
        // Two words of 16 bits: three bits for each of four groups, the shift in the uppermost.
        let packed = _mm256_set1_epi32(qh.add(j).read_unaligned());
        let high = upper(packed, _mm256_setr_epi32(0, 3, 6, 9, 16, 19, 22, 25), 7);
        let numbers = _mm256_or_si256(eight_words(qs.add(8 * j)), high);
        shifted(
            numbers,
            packed,
            _mm256_setr_epi32(15, 15, 15, 15, 31, 31, 31, 31),
            1,
        )
    },
    |unit| factors(&*unit)
);
unpack!(
    BlockIQ1M,
    |unit, j| {
        let (qs, qh): (*const u8, *const i32) = (field!(unit, qs), field!(unit, qh));
        let packed = _mm256_set1_epi32(qh.add(j).read_unaligned());
        let places = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
        let numbers = _mm256_or_si256(eight_words(qs.add(8 * j)), upper(packed, places, 7));
        shifted(numbers, packed, places, 8)
    },
    |unit| factors(&*unit)
);
unpack!(
    BlockIQ2XXS,
    |unit, j| {
        // Twice four numbers and a word of signs.
        let qs: *const u8 = field!(unit, qs);
        let both = _mm_loadu_si128(qs.add(16 * j).cast());
        let numbers = _mm256_cvtepu8_epi32(_mm_shuffle_epi32(both, 0b11_01_10_00));
        let words = _mm_extract_epi64(_mm_shuffle_epi32(both, 0b10_00_11_01), 0);
        let signs = complete(sevens_of_words(words as u64));
        signed::<Self>(eights(&IQ2_XXS_EIGHTS, numbers), signs)
    },
    |unit| factors(&*unit)
);
unpack!(
    BlockIQ2XS,
    |unit, j| {
        let qs: *const u8 = field!(unit, qs);
        let packed = _mm_loadu_si128(qs.add(16 * j).cast());
        let numbers = _mm256_cvtepu16_epi32(_mm_and_si128(packed, _mm_set1_epi16(511)));
        let sevens = _mm_cvtepi16_epi8(_mm_srli_epi16(packed, 9));
        let signs = complete(_mm_cvtsi128_si64(sevens) as u64);
        signed::<Self>(eights(&IQ2_XS_EIGHTS, numbers), signs)
    },
    |unit| factors(&*unit)
);
unpack!(
    BlockIQ2S,
    |unit, j| {
        let (qs, signs): (*const u8, *const u64) = (field!(unit, qs), field!(unit, signs));
        let qh: *const u16 = field!(unit, qh);
        let packed = _mm256_set1_epi32(i32::from(qh.add(j).read_unaligned()));
        let high = upper(packed, _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14), 3);
        let numbers = _mm256_or_si256(eight_words(qs.add(8 * j)), high);
        signed::<Self>(
            eights(&IQ2_S_EIGHTS, numbers),
            signs.add(j).read_unaligned(),
        )
    },
    |unit| factors(&*unit)
);
unpack!(
    BlockIQ3XXS,
    |unit, j| {
        let (qs, words): (*const u8, *const u64) = (field!(unit, qs), field!(unit, words));
        let signs = complete(sevens_of_words(words.add(j).read_unaligned()));
        signed::<Self>(fours(&IQ3_XXS_FOURS, sixteen_words(qs.add(16 * j))), signs)
    },
    |unit| factors(&*unit)
);
unpack!(
    BlockIQ3S,
    |unit, j| {
        let (qs, signs): (*const u8, *const u64) = (field!(unit, qs), field!(unit, signs));
        let qh: *const u16 = field!(unit, qh);
        let low = sixteen_words(qs.add(16 * j));
        let ninth = qh.add(j).read_unaligned();
        let numbers = _mm512_mask_add_epi32(low, ninth, low, _mm512_set1_epi32(256));
        signed::<Self>(fours(&IQ3_S_FOURS, numbers), signs.add(j).read_unaligned())
    },
    |unit| factors(&*unit)
);
