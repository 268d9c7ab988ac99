//! Blocks to the common form, 64 weights at a time.

use std::arch::x86_64::*;

use crate::kernels::dot::formats::{Format, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use crate::kernels::dot::unpack::{Unpack, scales_of_16};

/// Scales and minima of a unit.
///
/// For groups of 32, `first` is eight scales, then eight minima; `second` is not used. For
/// groups of 16, `first` is sixteen scales and `second` sixteen minima. Formats with an offset
/// give their scales for minima: the caller multiplies by [`Format::OFFSET`].
#[derive(Clone, Copy)]
pub(super) struct Factors {
    pub(super) first: __m512,
    pub(super) second: __m512,
}

/// A format that can be unpacked with AVX-512.
pub(super) trait Unpack512: Unpack {
    /// Which blocks of 32 a vector holds: `false` for `2 j` and `2 j + 1`, `true` for those in
    /// the low (even `j`) or high (odd `j`) nibbles of 64 bytes, the order of
    /// [`PAIRS`](crate::kernels::dot::activations::PAIRS).
    const PAIRED: bool = false;
    /// Whether vectors with odd `j` are 16 times too large: high nibbles left where they are.
    const HIGH_TIMES_16: bool = false;

    /// Vector `j < 4` of a unit: 64 weights as bytes.
    ///
    /// # Safety
    /// The CPU has the features of this folder; `unit` points to [`Format::UNIT_BYTES`] bytes.
    unsafe fn bytes(unit: *const u8, j: usize) -> __m512i;

    /// Scales and minima of a unit.
    ///
    /// # Safety
    /// As [`bytes`](Self::bytes).
    unsafe fn factors(unit: *const u8) -> Factors;
}

/// Helpers of the kernels: always inlined into a function that is compiled with the features of
/// this folder, which is what lets their vector instructions be emitted at all. (A function that
/// enables the features itself cannot be forced inline, and one call in a loop over blocks costs
/// more than the block.)
///
/// # Safety
/// Of each: the caller enables the features, and pointers lead to the bytes that are read.
macro_rules! inlined {
    ($(
        $(#[$meta:meta])*
        $vis:vis unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        #[inline(always)]
        $vis unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: as the macro says.
            unsafe { $body }
        }
    )*};
}
pub(super) use inlined;

inlined! {
    /// The same 32 bytes in both halves.
    unsafe fn twice_32(from: *const u8) -> __m512i {
        _mm512_broadcast_i64x4(_mm256_loadu_si256(from.cast()))
    }

    /// One number in the lower half, another in the upper.
    unsafe fn halves_epi16(low: i16, high: i16) -> __m512i {
        _mm512_inserti64x4(_mm512_set1_epi16(low), _mm256_set1_epi16(high), 1)
    }

    unsafe fn halves_epi8(low: u8, high: u8) -> __m512i {
        _mm512_inserti64x4(_mm512_set1_epi8(low as i8), _mm256_set1_epi8(high as i8), 1)
    }

    unsafe fn half_at(from: *const u8) -> __m128 {
        let bits = from.cast::<u16>().read_unaligned();
        _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits)))
    }

    /// Half floats at the same place of eight blocks.
    unsafe fn eight_halves(from: *const u8, stride: usize) -> __m256 {
        let at = |i: usize| from.add(i * stride).cast::<i16>().read_unaligned();
        _mm256_cvtph_ps(_mm_set_epi16(at(7), at(6), at(5), at(4), at(3), at(2), at(1), at(0)))
    }

    unsafe fn join(low: __m256, high: __m256) -> __m512 {
        _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1)
    }

    /// Nibbles of two blocks of 32: low nibbles are the first 16 weights of a block.
    unsafe fn small_nibbles(first: *const u8, second: *const u8) -> __m512i {
        let (a, b) = (
                _mm256_broadcastsi128_si256(_mm_loadu_si128(first.cast())),
                _mm256_broadcastsi128_si256(_mm_loadu_si128(second.cast())),
            );
        let both = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
        let shifts = _mm512_broadcast_i64x4(_mm256_set_m128i(_mm_set1_epi16(4), _mm_setzero_si128()));
        _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15))
    }

    /// Adds 16 to the bytes whose bit is set in two words of 32 bits.
    unsafe fn add_fifth_bits(nibbles: __m512i, first: *const u8, second: *const u8) -> __m512i {
        let (a, b) = (first.cast::<u32>().read_unaligned(), second.cast::<u32>().read_unaligned());
        let mask = u64::from(a) | (u64::from(b) << 32);
        _mm512_mask_add_epi8(nibbles, mask, nibbles, _mm512_set1_epi8(16))
    }

    /// 64 weights of Q2_K, or the low two bits of Q3_K: vector `j` of a super-block.
    unsafe fn two_bits(packed: *const u8, j: usize) -> __m512i {
        let shift = (j % 2 * 4) as i16;
        let both = twice_32(packed.add(j / 2 * 32));
        let shifted = _mm512_srlv_epi16(both, halves_epi16(shift, shift + 2));
        _mm512_and_si512(shifted, _mm512_set1_epi8(3))
    }

    /// The low (even `j`) or high nibbles of 64 bytes of Q4_K or Q5_K, the latter 16 times too
    /// large.
    unsafe fn masked_nibbles(packed: *const u8, j: usize) -> __m512i {
        let both = _mm512_loadu_si512(packed.add(j / 2 * 64).cast());
        let mask = if j.is_multiple_of(2) { 0x0f } else { 0xf0_u8 };
        _mm512_and_si512(both, _mm512_set1_epi8(mask as i8))
    }

    /// Bytes whose bit `low` (lower half) or `high` (upper half) is set in 32 bytes of masks.
    unsafe fn bit_planes(masks: *const u8, low: usize, high: usize) -> __mmask64 {
        let both = twice_32(masks);
        _mm512_test_epi8_mask(both, halves_epi8(1 << low, 1 << high))
    }

    /// Scales and minima at the head of Q4_K and Q5_K: two half floats, then 6 bits each of
    /// eight scales and eight minima. In the 12 bytes a, b, c of four each, the first four scales
    /// are the low 6 bits of a, the first minima those of b; the others have their low 4 bits in
    /// c (scales low, minima high) and their high 2 bits at the top of a and b.
    unsafe fn factors_of_8(block: *const u8) -> Factors {
        let head = _mm_loadu_si128(block.cast());
        let eight_each = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        let d = _mm512_cvtph_ps(_mm256_permutexvar_epi16(eight_each, _mm256_castsi128_si256(head)));
        // Words a, c, b, c and their low bits; the last shifted to the minima's nibbles.
        let words = _mm_shuffle_epi32(head, 0b11_10_11_01);
        let words = _mm_srlv_epi32(words, _mm_setr_epi32(0, 0, 0, 4));
        let low_bits = _mm_setr_epi32(0x3f3f_3f3f, 0x0f0f_0f0f, 0x3f3f_3f3f, 0x0f0f_0f0f);
        // Words -, a, -, b: their top bits two places down, where bits 4 and 5 belong.
        let tops = _mm_maskz_shuffle_epi32(0b1010, head, 0b10_00_01_00);
        let tops = _mm_and_si128(_mm_srli_epi32(tops, 2), _mm_set1_epi8(0x30));
        let bytes = _mm_or_si128(_mm_and_si128(words, low_bits), tops);
        let integers = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
        Factors { first: _mm512_mul_ps(integers, d), second: _mm512_setzero_ps() }
    }

    unsafe fn factors_with_offset(unit: *const u8, stride: usize) -> Factors {
        let d = eight_halves(unit, stride);
        Factors { first: join(d, d), second: _mm512_setzero_ps() }
    }

    unsafe fn factors_with_min(unit: *const u8, stride: usize) -> Factors {
        let (d, m) = (eight_halves(unit, stride), eight_halves(unit.add(2), stride));
        let m = _mm256_sub_ps(_mm256_setzero_ps(), m);
        Factors { first: join(d, m), second: _mm512_setzero_ps() }
    }
}

/// Implements [`Unpack512`].
macro_rules! unpack {
    ($format:ident $([$($fact:ident),+])?, |$unit:ident, $j:ident| $bytes:expr, |$head:ident| $factors:expr) => {
        impl Unpack512 for $format {
            $($(const $fact: bool = true;)+)?
            inlined! {
                unsafe fn bytes($unit: *const u8, $j: usize) -> __m512i {
                    $bytes
                }
                unsafe fn factors($head: *const u8) -> Factors {
                    $factors
                }
            }
        }
    };
}

unpack!(
    Q4_0,
    |unit, j| {
        let block = unit.add(36 * j);
        small_nibbles(block.add(2), block.add(20))
    },
    |unit| factors_with_offset(unit, Q4_0::BYTES)
);
unpack!(
    Q4_1,
    |unit, j| {
        let block = unit.add(40 * j);
        small_nibbles(block.add(4), block.add(24))
    },
    |unit| factors_with_min(unit, Q4_1::BYTES)
);
unpack!(
    Q5_0,
    |unit, j| {
        let block = unit.add(44 * j);
        let nibbles = small_nibbles(block.add(6), block.add(28));
        add_fifth_bits(nibbles, block.add(2), block.add(24))
    },
    |unit| factors_with_offset(unit, Q5_0::BYTES)
);
unpack!(
    Q5_1,
    |unit, j| {
        let block = unit.add(48 * j);
        let nibbles = small_nibbles(block.add(8), block.add(32));
        add_fifth_bits(nibbles, block.add(4), block.add(28))
    },
    |unit| factors_with_min(unit, Q5_1::BYTES)
);
unpack!(
    Q8_0,
    |unit, j| {
        let block = unit.add(68 * j);
        let first = _mm256_loadu_si256(block.add(2).cast());
        let second = _mm256_loadu_si256(block.add(36).cast());
        let both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        _mm512_xor_si512(both, _mm512_set1_epi8(-128))
    },
    |unit| factors_with_offset(unit, Q8_0::BYTES)
);
unpack!(Q2K, |unit, j| two_bits(unit.add(16), j), |unit| {
    let packed = _mm512_cvtepu8_epi32(_mm_loadu_si128(unit.cast()));
    let scales = _mm512_and_si512(packed, _mm512_set1_epi32(15));
    let mins = _mm512_srli_epi32(packed, 4);
    let d = _mm512_broadcastss_ps(half_at(unit.add(80)));
    let dmin = _mm512_broadcastss_ps(half_at(unit.add(82)));
    Factors {
        first: _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d),
        second: _mm512_mul_ps(_mm512_cvtepi32_ps(mins), dmin),
    }
});
unpack!(
    Q3K,
    |unit, j| {
        let low = two_bits(unit.add(32), j);
        let high = bit_planes(unit, 2 * j, 2 * j + 1);
        _mm512_mask_add_epi8(low, high, low, _mm512_set1_epi8(4))
    },
    |unit| {
        let packed = scales_of_16(std::slice::from_raw_parts(unit.add(96), 12));
        let packed = _mm512_cvtepu8_epi32(_mm_loadu_si128(packed.as_ptr().cast()));
        let scales = _mm512_sub_epi32(packed, _mm512_set1_epi32(32));
        let d = _mm512_broadcastss_ps(half_at(unit.add(108)));
        let first = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d);
        Factors {
            first,
            second: first,
        }
    }
);
unpack!(Q4K [PAIRED, HIGH_TIMES_16], |unit, j| masked_nibbles(unit.add(16), j), |unit| {
    factors_of_8(unit)
});
unpack!(
    Q5K[PAIRED],
    |unit, j| {
        let low = masked_nibbles(unit.add(48), j);
        let low = if j.is_multiple_of(2) {
            low
        } else {
            _mm512_srli_epi16(low, 4)
        };
        let first = j / 2 * 4 + j % 2;
        let high = bit_planes(unit.add(16), first, first + 2);
        _mm512_mask_add_epi8(low, high, low, _mm512_set1_epi8(16))
    },
    |unit| factors_of_8(unit)
);
unpack!(
    Q6K,
    |unit, j| {
        // 128 weights: 64 bytes of low nibbles, used twice, and 32 of high pairs, used four times.
        let (half, part) = (j / 2, j % 2);
        let low = _mm512_loadu_si512(unit.add(64 * half).cast());
        let high = twice_32(unit.add(128 + 32 * half));
        let (low, high) = if part == 0 {
            (low, _mm512_sllv_epi16(high, halves_epi16(4, 2)))
        } else {
            (
                _mm512_srli_epi16(low, 4),
                _mm512_srlv_epi16(high, halves_epi16(0, 2)),
            )
        };
        let low = _mm512_and_si512(low, _mm512_set1_epi8(0x0f));
        _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi8(0x30)))
    },
    |unit| {
        let scales = _mm512_cvtepi8_epi32(_mm_loadu_si128(unit.add(192).cast()));
        let d = _mm512_broadcastss_ps(half_at(unit.add(208)));
        let first = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d);
        Factors {
            first,
            second: first,
        }
    }
);
