//! Blocks to the common form, 32 weights at a time.

use std::arch::x86_64::*;

use crate::float16::F16Le;
use crate::formats::*;
use crate::kernels::dot::unpack::{
    FP4_BYTES, LEVEL_BYTES, Unpack, scales_and_mins_of_8, scales_of_16,
};

/// Scales and minima of a unit; the second vectors are used by groups of 16 only. Formats with
/// an offset give their scales for minima: the caller multiplies by [`Product::OFFSET`](crate::kernels::dot::Product::OFFSET).
#[derive(Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) scales: [__m256; 2],
    pub(crate) mins: [__m256; 2],
}

/// A format that can be unpacked with AVX2.
pub(crate) trait Unpack256: Unpack {
    /// Weights `32 * b` to `32 * b + 31` of a unit as bytes, `b < 8`.
    ///
    /// # Safety
    /// The CPU has the features of this folder; `unit` points to a whole unit of blocks.
    unsafe fn bytes(unit: *const Self, b: usize) -> __m256i;

    /// Scales and minima of a unit.
    ///
    /// # Safety
    /// As [`bytes`](Self::bytes).
    unsafe fn factors(unit: *const Self) -> Factors;
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
    pub(super) unsafe fn load_32(from: *const u8) -> __m256i {
        _mm256_loadu_si256(from.cast())
    }

    /// Every byte shifted right by `count < 8` bits, with the bits of `mask` kept.
    unsafe fn shift_bytes(x: __m256i, count: usize, mask: u8) -> __m256i {
        let shifted = _mm256_srl_epi16(x, _mm_cvtsi32_si128(count as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
    }

    pub(super) unsafe fn half(from: *const F16Le) -> __m256 {
        let bits = from.cast::<u16>().read_unaligned();
        _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
    }

    /// The same half float of eight blocks, `stride` bytes apart.
    unsafe fn eight_halves(from: *const F16Le, stride: usize) -> __m256 {
        let at = |i: usize| from.byte_add(i * stride).cast::<i16>().read_unaligned();
        _mm256_cvtph_ps(_mm_set_epi16(at(7), at(6), at(5), at(4), at(3), at(2), at(1), at(0)))
    }

    unsafe fn minus(x: __m256) -> __m256 {
        _mm256_sub_ps(_mm256_setzero_ps(), x)
    }

    /// 16 bytes of nibbles: the low ones are the first 16 weights.
    unsafe fn small_nibbles(from: *const u8) -> __m256i {
        let packed = _mm_loadu_si128(from.cast());
        let both = _mm256_set_m128i(_mm_srli_epi16(packed, 4), packed);
        _mm256_and_si256(both, _mm256_set1_epi8(15))
    }

    /// All bits of the bytes whose bit is set in a word.
    pub(super) unsafe fn bits_to_bytes(word: i32) -> __m256i {
        // Each lane of 8 bytes looks at its own byte of the word, each byte at its own bit.
        let spread = _mm256_setr_epi64x(
            0,
            0x0101_0101_0101_0101,
            0x0202_0202_0202_0202,
            0x0303_0303_0303_0303,
        );
        let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), spread);
        let bit = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
        _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit)
    }

    /// Adds 16 to the bytes whose bit is set in a word of 32 bits.
    unsafe fn add_fifth_bits(nibbles: __m256i, from: *const u8) -> __m256i {
        let set = bits_to_bytes(from.cast::<i32>().read_unaligned());
        _mm256_or_si256(nibbles, _mm256_and_si256(set, _mm256_set1_epi8(16)))
    }

    /// Block `b` of Q2_K, or the low two bits of Q3_K.
    pub(super) unsafe fn two_bits(packed: *const u8, b: usize) -> __m256i {
        shift_bytes(load_32(packed.add(b / 4 * 32)), b % 4 * 2, 3)
    }

    /// Block `b` of Q4_K, or the low four bits of Q5_K.
    unsafe fn four_bits(packed: *const u8, b: usize) -> __m256i {
        shift_bytes(load_32(packed.add(b / 2 * 32)), b % 2 * 4, 15)
    }

    /// `value` in the bytes whose bit `b` is set in 32 bytes of masks.
    unsafe fn bit_plane(masks: *const u8, b: usize, value: u8) -> __m256i {
        let masks = load_32(masks);
        let bit = _mm256_set1_epi8((1_u8 << b) as i8);
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(masks, bit), bit);
        _mm256_and_si256(set, _mm256_set1_epi8(value as i8))
    }

    /// Eight small integers times `d`.
    pub(super) unsafe fn scaled(bytes: u64, d: __m256) -> __m256 {
        let integers = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes as i64));
        _mm256_mul_ps(_mm256_cvtepi32_ps(integers), d)
    }

    /// Sixteen signed bytes times `d`.
    unsafe fn scaled_16(bytes: __m128i, d: __m256) -> [__m256; 2] {
        let low = _mm256_cvtepi8_epi32(bytes);
        let high = _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes));
        [
            _mm256_mul_ps(_mm256_cvtepi32_ps(low), d),
            _mm256_mul_ps(_mm256_cvtepi32_ps(high), d),
        ]
    }

    /// Scales and minima of Q4_K and Q5_K.
    unsafe fn factors_of_8(d: *const F16Le, dmin: *const F16Le, packed: &[u8; 12]) -> Factors {
        let (scales, mins) = scales_and_mins_of_8(packed);
        Factors { scales: [scaled(scales, half(d)); 2], mins: [scaled(mins, half(dmin)); 2] }
    }

    unsafe fn factors_with_offset(d: *const F16Le, stride: usize) -> Factors {
        let d = eight_halves(d, stride);
        Factors { scales: [d; 2], mins: [d; 2] }
    }

    /// The scales of IQ4_XS, still 32 too large.
    unsafe fn scales_of_iq4_xs(low: *const u32, high: *const u16) -> __m256i {
        let (low, high) = (low.read_unaligned(), high.read_unaligned());
        let low = _mm256_srlv_epi32(_mm256_set1_epi32(low as i32), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
        let high = _mm256_srlv_epi32(_mm256_set1_epi32(i32::from(high)), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
        let high = _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4);
        _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(15)), high)
    }

    /// The factors of eight blocks of MXFP4, `stride` bytes apart: `2^(e - 128)`. As the bits of a
    /// float the exponent is `e - 1`, or it is subnormal.
    unsafe fn powers(from: *const u8, stride: usize) -> __m256 {
        let at = |i: usize| i32::from(from.add(i * stride).read());
        let e = _mm256_setr_epi32(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7));
        let one = _mm256_set1_epi32(1);
        let normal = _mm256_slli_epi32(_mm256_sub_epi32(e, one), 23);
        let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), _mm256_min_epi32(e, one));
        _mm256_castsi256_ps(_mm256_max_epi32(normal, subnormal))
    }

    /// Entries of a table whose indices are the nibbles of a block of 32.
    unsafe fn entries(table: &[u8; 16], from: *const u8) -> __m256i {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        _mm256_shuffle_epi8(table, small_nibbles(from))
    }

    unsafe fn factors_with_min(d: *const F16Le, m: *const F16Le, stride: usize) -> Factors {
        let (d, m) = (eight_halves(d, stride), eight_halves(m, stride));
        Factors { scales: [d; 2], mins: [minus(m); 2] }
    }
}

/// Implements [`Unpack256`]; `unit` points to the blocks of a unit.
macro_rules! unpack {
    ($block:ident, |$unit:ident, $b:ident| $bytes:expr, |$head:ident| $factors:expr) => {
        impl Unpack256 for $block {
            inlined! {
                unsafe fn bytes($unit: *const Self, $b: usize) -> __m256i {
                    $bytes
                }
                unsafe fn factors($head: *const Self) -> Factors {
                    $factors
                }
            }
        }
    };
}
pub(super) use unpack;

/// A field of a block behind a pointer, as a pointer.
macro_rules! field {
    ($block:expr, $field:ident) => {
        (&raw const (*$block).$field).cast()
    };
}
pub(super) use field;

unpack!(
    BlockQ4_0,
    |unit, b| small_nibbles(field!(unit.add(b), qs)),
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(
    BlockQ4_1,
    |unit, b| small_nibbles(field!(unit.add(b), qs)),
    |unit| factors_with_min(field!(unit, d), field!(unit, m), size_of::<Self>())
);
unpack!(
    BlockQ5_0,
    |unit, b| {
        let block = unit.add(b);
        add_fifth_bits(small_nibbles(field!(block, qs)), field!(block, qh))
    },
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(
    BlockQ5_1,
    |unit, b| {
        let block = unit.add(b);
        add_fifth_bits(small_nibbles(field!(block, qs)), field!(block, qh))
    },
    |unit| factors_with_min(field!(unit, d), field!(unit, m), size_of::<Self>())
);
unpack!(
    BlockQ8_0,
    |unit, b| {
        let signed = load_32(field!(unit.add(b), qs));
        _mm256_xor_si256(signed, _mm256_set1_epi8(-128))
    },
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(BlockQ2K, |unit, b| two_bits(field!(unit, qs), b), |unit| {
    let packed = _mm_loadu_si128(field!(unit, scales));
    let nibble = _mm_set1_epi8(15);
    let scales = _mm_and_si128(packed, nibble);
    let mins = _mm_and_si128(_mm_srli_epi16(packed, 4), nibble);
    Factors {
        scales: scaled_16(scales, half(field!(unit, d))),
        mins: scaled_16(mins, half(field!(unit, dmin))),
    }
});
unpack!(
    BlockQ3K,
    |unit, b| {
        let high = bit_plane(field!(unit, hmask), b, 4);
        _mm256_or_si256(two_bits(field!(unit, qs), b), high)
    },
    |unit| {
        let packed = scales_of_16(&(*unit).scales);
        let packed = _mm_loadu_si128(packed.as_ptr().cast());
        let signed = _mm_sub_epi8(packed, _mm_set1_epi8(32));
        let scales = scaled_16(signed, half(field!(unit, d)));
        Factors {
            scales,
            mins: scales,
        }
    }
);
unpack!(BlockQ4K, |unit, b| four_bits(field!(unit, qs), b), |unit| {
    factors_of_8(&(*unit).d, &(*unit).dmin, &(*unit).scales)
});
unpack!(
    BlockQ5K,
    |unit, b| {
        let high = bit_plane(field!(unit, qh), b, 16);
        _mm256_or_si256(four_bits(field!(unit, qs), b), high)
    },
    |unit| factors_of_8(&(*unit).d, &(*unit).dmin, &(*unit).scales)
);
unpack!(
    BlockQ6K,
    |unit, b| {
        // 128 weights: 64 bytes of low nibbles, used twice, and 32 of high pairs, used four times.
        let (half, part) = (b / 4, b % 4);
        let (ql, qh): (*const u8, *const u8) = (field!(unit, ql), field!(unit, qh));
        let low = load_32(ql.add(64 * half + part % 2 * 32));
        let low = shift_bytes(low, part / 2 * 4, 15);
        let high = shift_bytes(load_32(qh.add(32 * half)), 2 * part, 3);
        _mm256_or_si256(low, _mm256_slli_epi16(high, 4))
    },
    |unit| {
        let scales = _mm_loadu_si128(field!(unit, scales));
        let scales = scaled_16(scales, half(field!(unit, d)));
        Factors {
            scales,
            mins: scales,
        }
    }
);
unpack!(
    BlockIQ4NL,
    |unit, b| entries(&LEVEL_BYTES, field!(unit.add(b), qs)),
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(
    BlockIQ4XS,
    |unit, b| {
        let qs: *const u8 = field!(unit, qs);
        entries(&LEVEL_BYTES, qs.add(16 * b))
    },
    |unit| {
        let packed = scales_of_iq4_xs(field!(unit, scales_l), field!(unit, scales_h));
        let scales = _mm256_cvtepi32_ps(_mm256_sub_epi32(packed, _mm256_set1_epi32(32)));
        let scales = [_mm256_mul_ps(scales, half(field!(unit, d))); 2];
        Factors {
            scales,
            mins: scales,
        }
    }
);
unpack!(
    BlockMXFP4,
    |unit, b| entries(&FP4_BYTES, field!(unit.add(b), qs)),
    |unit| {
        let scales = [powers(field!(unit, e), size_of::<Self>()); 2];
        Factors {
            scales,
            mins: scales,
        }
    }
);
