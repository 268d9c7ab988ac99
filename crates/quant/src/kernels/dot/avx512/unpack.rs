//! Blocks to the common form, 64 weights at a time.

use std::arch::x86_64::*;
use std::mem::offset_of;

use crate::float16::F16Le;
use crate::formats::*;
use crate::kernels::dot::unpack::{FP4_BYTES, LEVEL_BYTES, Unpack, scales_of_16};

/// Scales and minima of a unit.
///
/// For groups of 32, `first` is eight scales, then eight minima; `second` is not used. For
/// groups of 16, `first` is sixteen scales and `second` sixteen minima. Formats with an offset
/// give their scales for minima: the caller multiplies by [`Product::OFFSET`](crate::kernels::dot::Product::OFFSET).
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
    /// The CPU has the features of this folder; `unit` points to a whole unit of blocks.
    unsafe fn bytes(unit: *const Self, j: usize) -> __m512i;

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
        $vis:vis unsafe fn $name:ident$(<$param:ident: $bound:ident>)?($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        #[inline(always)]
        $vis unsafe fn $name$(<$param: $bound>)?($($arg: $ty),*) $(-> $ret)? {
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

    pub(super) unsafe fn half(from: *const F16Le) -> __m128 {
        let bits = from.cast::<u16>().read_unaligned();
        _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits)))
    }

    /// The same half float of eight blocks, `stride` bytes apart.
    unsafe fn eight_halves(from: *const F16Le, stride: usize) -> __m256 {
        let at = |i: usize| from.byte_add(i * stride).cast::<i16>().read_unaligned();
        _mm256_cvtph_ps(_mm_set_epi16(at(7), at(6), at(5), at(4), at(3), at(2), at(1), at(0)))
    }

    pub(super) unsafe fn join(low: __m256, high: __m256) -> __m512 {
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
    pub(super) unsafe fn two_bits(packed: *const u8, j: usize) -> __m512i {
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
    unsafe fn factors_of_8(head: *const F16Le) -> Factors {
        let head = _mm_loadu_si128(head.cast());
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

    unsafe fn factors_with_offset(d: *const F16Le, stride: usize) -> Factors {
        let d = eight_halves(d, stride);
        Factors { first: join(d, d), second: _mm512_setzero_ps() }
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

    /// Entries of a table whose indices are the nibbles of two blocks of 32.
    unsafe fn entries(table: &[u8; 16], first: *const u8, second: *const u8) -> __m512i {
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
        _mm512_shuffle_epi8(table, small_nibbles(first, second))
    }

    unsafe fn factors_with_min(d: *const F16Le, m: *const F16Le, stride: usize) -> Factors {
        let (d, m) = (eight_halves(d, stride), eight_halves(m, stride));
        let m = _mm256_sub_ps(_mm256_setzero_ps(), m);
        Factors { first: join(d, m), second: _mm512_setzero_ps() }
    }
}

// Q4_K and Q5_K begin alike, with the factors that one vector loads.
const _: () = assert!(
    offset_of!(BlockQ4K, dmin) == 2
        && offset_of!(BlockQ4K, scales) == 4
        && offset_of!(BlockQ5K, dmin) == 2
        && offset_of!(BlockQ5K, scales) == 4
);

/// Implements [`Unpack512`]; `unit` points to the blocks of a unit.
macro_rules! unpack {
    ($block:ident $([$($fact:ident),+])?, |$unit:ident, $j:ident| $bytes:expr, |$head:ident| $factors:expr) => {
        impl Unpack512 for $block {
            $($(const $fact: bool = true;)+)?
            inlined! {
                unsafe fn bytes($unit: *const Self, $j: usize) -> __m512i {
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
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        small_nibbles(field!(a, qs), field!(b, qs))
    },
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(
    BlockQ4_1,
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        small_nibbles(field!(a, qs), field!(b, qs))
    },
    |unit| factors_with_min(field!(unit, d), field!(unit, m), size_of::<Self>())
);
unpack!(
    BlockQ5_0,
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        let nibbles = small_nibbles(field!(a, qs), field!(b, qs));
        add_fifth_bits(nibbles, field!(a, qh), field!(b, qh))
    },
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(
    BlockQ5_1,
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        let nibbles = small_nibbles(field!(a, qs), field!(b, qs));
        add_fifth_bits(nibbles, field!(a, qh), field!(b, qh))
    },
    |unit| factors_with_min(field!(unit, d), field!(unit, m), size_of::<Self>())
);
unpack!(
    BlockQ8_0,
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        let first = _mm256_loadu_si256(field!(a, qs));
        let second = _mm256_loadu_si256(field!(b, qs));
        let both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        _mm512_xor_si512(both, _mm512_set1_epi8(-128))
    },
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(BlockQ2K, |unit, j| two_bits(field!(unit, qs), j), |unit| {
    let packed = _mm512_cvtepu8_epi32(_mm_loadu_si128(field!(unit, scales)));
    let scales = _mm512_and_si512(packed, _mm512_set1_epi32(15));
    let mins = _mm512_srli_epi32(packed, 4);
    let d = _mm512_broadcastss_ps(half(field!(unit, d)));
    let dmin = _mm512_broadcastss_ps(half(field!(unit, dmin)));
    Factors {
        first: _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d),
        second: _mm512_mul_ps(_mm512_cvtepi32_ps(mins), dmin),
    }
});
unpack!(
    BlockQ3K,
    |unit, j| {
        let low = two_bits(field!(unit, qs), j);
        let high = bit_planes(field!(unit, hmask), 2 * j, 2 * j + 1);
        _mm512_mask_add_epi8(low, high, low, _mm512_set1_epi8(4))
    },
    |unit| {
        let packed = scales_of_16(&(*unit).scales);
        let packed = _mm512_cvtepu8_epi32(_mm_loadu_si128(packed.as_ptr().cast()));
        let scales = _mm512_sub_epi32(packed, _mm512_set1_epi32(32));
        let d = _mm512_broadcastss_ps(half(field!(unit, d)));
        let first = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d);
        Factors {
            first,
            second: first,
        }
    }
);
unpack!(
    BlockQ4K[PAIRED, HIGH_TIMES_16],
    |unit, j| masked_nibbles(field!(unit, qs), j),
    |unit| factors_of_8(field!(unit, d))
);
unpack!(
    BlockQ5K[PAIRED],
    |unit, j| {
        let low = masked_nibbles(field!(unit, qs), j);
        let low = if j.is_multiple_of(2) {
            low
        } else {
            _mm512_srli_epi16(low, 4)
        };
        let first = j / 2 * 4 + j % 2;
        let high = bit_planes(field!(unit, qh), first, first + 2);
        _mm512_mask_add_epi8(low, high, low, _mm512_set1_epi8(16))
    },
    |unit| factors_of_8(field!(unit, d))
);
unpack!(
    BlockQ6K,
    |unit, j| {
        // 128 weights: 64 bytes of low nibbles, used twice, and 32 of high pairs, used four times.
        let (half, part) = (j / 2, j % 2);
        let (ql, qh): (*const u8, *const u8) = (field!(unit, ql), field!(unit, qh));
        let low = _mm512_loadu_si512(ql.add(64 * half).cast());
        let high = twice_32(qh.add(32 * half));
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
        let scales = _mm512_cvtepi8_epi32(_mm_loadu_si128(field!(unit, scales)));
        let d = _mm512_broadcastss_ps(half(field!(unit, d)));
        let first = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d);
        Factors {
            first,
            second: first,
        }
    }
);
unpack!(
    BlockIQ4NL,
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        entries(&LEVEL_BYTES, field!(a, qs), field!(b, qs))
    },
    |unit| factors_with_offset(field!(unit, d), size_of::<Self>())
);
unpack!(
    BlockIQ4XS,
    |unit, j| {
        let qs: *const u8 = field!(unit, qs);
        entries(&LEVEL_BYTES, qs.add(32 * j), qs.add(32 * j + 16))
    },
    |unit| {
        let packed = scales_of_iq4_xs(field!(unit, scales_l), field!(unit, scales_h));
        let scales = _mm256_sub_epi32(packed, _mm256_set1_epi32(32));
        let d = _mm256_broadcastss_ps(half(field!(unit, d)));
        let scales = _mm256_mul_ps(_mm256_cvtepi32_ps(scales), d);
        Factors {
            first: join(scales, scales),
            second: _mm512_setzero_ps(),
        }
    }
);
unpack!(
    BlockMXFP4,
    |unit, j| {
        let (a, b) = (unit.add(2 * j), unit.add(2 * j + 1));
        entries(&FP4_BYTES, field!(a, qs), field!(b, qs))
    },
    |unit| {
        let scales = powers(field!(unit, e), size_of::<Self>());
        Factors {
            first: join(scales, scales),
            second: _mm512_setzero_ps(),
        }
    }
);
