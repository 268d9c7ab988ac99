//! Vectors of AVX2: 8 lanes, masks as vectors.

#![allow(unsafe_code, reason = "intrinsics")]

use crate::kernels::dot;
use crate::kernels::lanes::pair::Pair;
use crate::kernels::lanes::widths::{Conversions, widths};
use crate::kernels::lanes::{Float, Int, Isa, Job, Mask};
use crate::kernels::level::level;
use core::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// A vector of `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F32x8(__m256);

/// A vector of `i32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct I32x8(__m256i);

/// All bits of a lane set or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct M8(__m256);

impl Avx2 {
    /// # Safety
    ///
    /// The CPU must have AVX2.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

/// An intrinsic whose operands prove that it may run.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: vectors, masks and `Avx2` exist only where `new_unchecked` was called, on a CPU
        // with AVX2; the intrinsic touches no memory.
        unsafe { $call }
    };
}

impl Isa for Avx2 {
    const LANES: usize = 8;
    type F = F32x8;
    type I = I32x8;
    type M = M8;

    #[inline(always)]
    fn splat(self, value: f32) -> F32x8 {
        F32x8(op!(_mm256_set1_ps(value)))
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> I32x8 {
        I32x8(op!(_mm256_set1_epi32(value)))
    }

    #[inline(always)]
    fn apart<J: Job>(self, job: J) -> J::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2")]
        fn run<J: Job>(job: J) -> J::Output {
            job.run()
        }
        // SAFETY: `Avx2` exists only on a CPU with these features.
        unsafe { run(job) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> F32x8 {
        assert!(x.len() == 8);
        // SAFETY: `x` has 8 elements.
        F32x8(op!(_mm256_loadu_ps(x.as_ptr())))
    }

    #[inline(always)]
    fn columns<const N: usize>(self, rows: &[&[f32; N]]) -> [F32x8; N] {
        const { assert!(N.is_multiple_of(8)) };
        let (low, high) = rows[..8].split_at(4);
        let mut columns = [self.splat(0.0); N];
        for (quad, columns) in columns.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // Row r in the lower half, row r + 4 in the upper half.
            let mut both = [self.splat(0.0); 4];
            for ((both, low), high) in both.iter_mut().zip(low).zip(high) {
                let low = &low.as_chunks::<4>().0[quad];
                let high = &high.as_chunks::<4>().0[quad];
                // SAFETY: both have 4 elements.
                both.0 = op!(_mm256_set_m128(
                    _mm_loadu_ps(high.as_ptr()),
                    _mm_loadu_ps(low.as_ptr())
                ));
            }
            let [F32x8(a), F32x8(b), F32x8(c), F32x8(d)] = both;
            let (ab, cd) = (op!(_mm256_unpacklo_ps(a, b)), op!(_mm256_unpacklo_ps(c, d)));
            let (ab_high, cd_high) = (op!(_mm256_unpackhi_ps(a, b)), op!(_mm256_unpackhi_ps(c, d)));
            *columns = [
                F32x8(op!(_mm256_shuffle_ps::<0b01_00_01_00>(ab, cd))),
                F32x8(op!(_mm256_shuffle_ps::<0b11_10_11_10>(ab, cd))),
                F32x8(op!(_mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high))),
                F32x8(op!(_mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high))),
            ];
        }
        columns
    }
}

/// The smallest of eight lanes.
#[inline(always)]
pub(super) fn reduce_min(v: __m256) -> f32 {
    let upper = op!(_mm256_extractf128_ps::<1>(v));
    let four = op!(_mm_min_ps(_mm256_castps256_ps128(v), upper));
    let two = op!(_mm_min_ps(four, _mm_movehl_ps(four, four)));
    let one = op!(_mm_min_ss(two, _mm_movehdup_ps(two)));
    op!(_mm_cvtss_f32(one))
}

/// The largest of eight lanes.
#[inline(always)]
pub(super) fn reduce_max(v: __m256) -> f32 {
    let upper = op!(_mm256_extractf128_ps::<1>(v));
    let four = op!(_mm_max_ps(_mm256_castps256_ps128(v), upper));
    let two = op!(_mm_max_ps(four, _mm_movehl_ps(four, four)));
    let one = op!(_mm_max_ss(two, _mm_movehdup_ps(two)));
    op!(_mm_cvtss_f32(one))
}

impl Conversions for Avx2 {
    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> I32x8 {
        assert!(x.len() == 8);
        // SAFETY: `x` has 8 bytes.
        I32x8(op!(_mm256_cvtepu8_epi32(_mm_loadl_epi64(
            x.as_ptr().cast()
        ))))
    }

    #[inline(always)]
    fn load_words(self, x: &[u16]) -> I32x8 {
        assert!(x.len() == 8);
        // SAFETY: `x` has 8 words.
        I32x8(op!(_mm256_cvtepu16_epi32(_mm_loadu_si128(
            x.as_ptr().cast()
        ))))
    }

    #[inline(always)]
    fn look_up(table: F32x8, index: I32x8) -> F32x8 {
        F32x8(op!(_mm256_permutevar8x32_ps(table.0, index.0)))
    }

    #[inline(always)]
    fn rotate(v: F32x8) -> F32x8 {
        F32x8(op!(_mm256_permutevar8x32_ps(
            v.0,
            _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6)
        )))
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> F32x8 {
        assert!(bytes.len() == 16);
        // SAFETY: `bytes` has 16 bytes.
        F32x8(op!(_mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast()))))
    }

    #[inline(always)]
    fn store_f16(v: F32x8, out: &mut [u8]) {
        assert!(out.len() == 16);
        // SAFETY: `out` has 16 bytes.
        op!(_mm_storeu_si128(
            out.as_mut_ptr().cast(),
            _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0)
        ))
    }

    #[inline(always)]
    fn shr(v: I32x8, count: u32) -> I32x8 {
        I32x8(op!(_mm256_srl_epi32(v.0, _mm_cvtsi32_si128(count as i32))))
    }
}

macro_rules! operators {
    ($($name:ident::$method:ident $intrinsic:ident),*) => {$(
        impl $name for F32x8 {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(op!($intrinsic(self.0, other.0)))
            }
        }
    )*};
}
operators!(
    Add::add _mm256_add_ps,
    Sub::sub _mm256_sub_ps,
    Mul::mul _mm256_mul_ps,
    Div::div _mm256_div_ps
);

impl Float for F32x8 {
    type Mask = M8;
    type Int = I32x8;

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(op!(_mm256_max_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(op!(_mm256_min_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn at_most(self, limit: Self) -> Self {
        self.to_bits().min(limit.to_bits()).as_float()
    }

    #[inline(always)]
    fn at_least_zero(self, zero: Self) -> Self {
        self.to_bits().max(zero.to_bits()).as_float()
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(op!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(op!(_mm256_sqrt_ps(self.0)))
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        Self(op!(_mm256_round_ps::<NEAREST>(self.0)))
    }

    #[inline(always)]
    fn truncate(self) -> I32x8 {
        I32x8(op!(_mm256_cvttps_epi32(self.0)))
    }

    #[inline(always)]
    fn to_bits(self) -> I32x8 {
        I32x8(op!(_mm256_castps_si256(self.0)))
    }

    #[inline(always)]
    fn lt(self, other: Self) -> M8 {
        M8(op!(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0)))
    }

    #[inline(always)]
    fn eq(self, other: Self) -> M8 {
        M8(op!(_mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0)))
    }

    #[inline(always)]
    fn or_else(self, mask: M8, other: Self) -> Self {
        Self(op!(_mm256_blendv_ps(other.0, self.0, mask.0)))
    }

    #[inline(always)]
    fn reduce_min(self) -> f32 {
        reduce_min(self.0)
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        reduce_max(self.0)
    }

    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        assert!(out.len() == 8);
        // SAFETY: `out` has 8 elements.
        op!(_mm256_storeu_ps(out.as_mut_ptr(), self.0))
    }
}

impl Int for I32x8 {
    type Float = F32x8;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(op!(_mm256_sub_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(op!(_mm256_min_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(op!(_mm256_max_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(op!(_mm256_and_si256(self.0, other.0)))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(op!(_mm256_or_si256(self.0, other.0)))
    }

    #[inline(always)]
    fn shl4(self) -> Self {
        Self(op!(_mm256_slli_epi32::<4>(self.0)))
    }

    #[inline(always)]
    fn to_float(self) -> F32x8 {
        F32x8(op!(_mm256_cvtepi32_ps(self.0)))
    }

    #[inline(always)]
    fn as_float(self) -> F32x8 {
        F32x8(op!(_mm256_castsi256_ps(self.0)))
    }

    #[inline(always)]
    fn store_bytes(self, out: &mut [u8]) {
        assert!(out.len() == 8);
        let low = op!(_mm256_and_si256(self.0, _mm256_set1_epi32(0xff)));
        let words = op!(_mm_packus_epi32(
            _mm256_castsi256_si128(low),
            _mm256_extracti128_si256::<1>(low)
        ));
        // SAFETY: `out` has 8 bytes.
        op!(_mm_storel_epi64(
            out.as_mut_ptr().cast(),
            _mm_packus_epi16(words, words)
        ))
    }
}

impl Mask for M8 {
    const LANES: u32 = 8;

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(op!(_mm256_and_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(op!(_mm256_or_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        Self(op!(_mm256_andnot_ps(other.0, self.0)))
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        op!(_mm256_movemask_ps(self.0)) as u32 as u64
    }
}

widths! {
    Avx2,
    affine Affine Pair<Self> = |isa| Pair(isa);
    symmetric Symmetric Self = |isa| isa;
    iterative Iterative Pair<Pair<Self>> = |isa| Pair(Pair(isa));
    levels Levels Self = |isa| isa;
}

level! {
    name: "avx2",
    features: ["avx2", "fma", "f16c"],
    // SAFETY: the function runs only on a CPU with these features.
    isa: unsafe { Avx2::new_unchecked() },
    kernels: dot::avx2::KERNELS,
}
