//! Vectors of AVX-512: 16 lanes, masks in mask registers.

#![allow(unsafe_code, reason = "intrinsics")]

use super::avx2;
use crate::kernels::dot;
use crate::kernels::lanes::levels::{BUCKET, BUCKETS};
use crate::kernels::lanes::pair::Pair;
use crate::kernels::lanes::widths::{Conversions, widths};
use crate::kernels::lanes::{Float, Int, Isa, Job, Mask};
use crate::kernels::level::level;
use crate::search::ROUND_MAGIC;
use core::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

/// Proof that the CPU has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// A vector of `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F32x16(__m512);

/// A vector of `i32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct I32x16(__m512i);

/// A mask register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct M16(__mmask16);

impl Avx512 {
    /// # Safety
    ///
    /// The CPU must have AVX-512 F, BW, DQ and VL.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

/// An intrinsic whose operands prove that it may run.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: vectors, masks and `Avx512` exist only where `new_unchecked` was called, on a
        // CPU with the needed features; the intrinsic touches no memory.
        unsafe { $call }
    };
}

impl Isa for Avx512 {
    const LANES: usize = 16;
    type F = F32x16;
    type I = I32x16;
    type M = M16;

    #[inline(always)]
    fn splat(self, value: f32) -> F32x16 {
        F32x16(op!(_mm512_set1_ps(value)))
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> I32x16 {
        I32x16(op!(_mm512_set1_epi32(value)))
    }

    #[inline(always)]
    fn apart<J: Job>(self, job: J) -> J::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn run<J: Job>(job: J) -> J::Output {
            job.run()
        }
        // SAFETY: `Avx512` exists only on a CPU with these features.
        unsafe { run(job) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> F32x16 {
        assert!(x.len() == 16);
        // SAFETY: `x` has 16 elements.
        F32x16(op!(_mm512_loadu_ps(x.as_ptr())))
    }

    #[inline(always)]
    fn nearest_level(self, v: F32x16) -> F32x16 {
        let bucket = v * self.splat(1.0 / BUCKET) + self.splat(ROUND_MAGIC);
        let bucket = op!(_mm512_castps_si512(bucket.0));
        let look_up = |table: &[f32; 32]| {
            let (low, high) = table.split_at(16);
            let (low, high) = (self.load(low).0, self.load(high).0);
            // Of the bits that hold the bucket, the lower five count.
            F32x16(op!(_mm512_permutex2var_ps(low, bucket, high)))
        };
        let is_below = v.lt(look_up(&BUCKETS.middle));
        look_up(&BUCKETS.below).or_else(is_below, look_up(&BUCKETS.above))
    }

    #[inline(always)]
    fn columns<const N: usize>(self, rows: &[&[f32; N]]) -> [F32x16; N] {
        const { assert!(N.is_multiple_of(16)) };
        let rows = &rows[..16];
        let mut columns = [self.splat(0.0); N];
        for (tile, columns) in columns.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            for (row, column) in rows.iter().zip(&mut *columns) {
                let part = &row.as_chunks::<16>().0[tile];
                // SAFETY: `part` has 16 elements.
                column.0 = op!(_mm512_loadu_ps(part.as_ptr()));
            }
            transpose(columns);
        }
        columns
    }
}

/// Transposes 16 vectors: pairs, fours, then quarters of vectors change places.
#[inline(always)]
fn transpose(t: &mut [F32x16; 16]) {
    for group in t.as_chunks_mut::<4>().0 {
        let [F32x16(a), F32x16(b), F32x16(c), F32x16(d)] = *group;
        let (ab, cd) = (op!(_mm512_unpacklo_ps(a, b)), op!(_mm512_unpacklo_ps(c, d)));
        let (ab_high, cd_high) = (op!(_mm512_unpackhi_ps(a, b)), op!(_mm512_unpackhi_ps(c, d)));
        *group = [
            F32x16(op!(_mm512_shuffle_ps::<0b01_00_01_00>(ab, cd))),
            F32x16(op!(_mm512_shuffle_ps::<0b11_10_11_10>(ab, cd))),
            F32x16(op!(_mm512_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high))),
            F32x16(op!(_mm512_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high))),
        ];
    }
    // Now t[4g + c], quarter q, holds column 4q + c of rows 4g to 4g + 3.
    for c in 0..4 {
        let [g0, g1, g2, g3] = [t[c].0, t[4 + c].0, t[8 + c].0, t[12 + c].0];
        let even01 = op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(g0, g1));
        let odd01 = op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(g0, g1));
        let even23 = op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(g2, g3));
        let odd23 = op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(g2, g3));
        t[c].0 = op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(even01, even23));
        t[8 + c].0 = op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(even01, even23));
        t[4 + c].0 = op!(_mm512_shuffle_f32x4::<0b10_00_10_00>(odd01, odd23));
        t[12 + c].0 = op!(_mm512_shuffle_f32x4::<0b11_01_11_01>(odd01, odd23));
    }
}

impl Conversions for Avx512 {
    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> I32x16 {
        assert!(x.len() == 16);
        // SAFETY: `x` has 16 bytes.
        I32x16(op!(_mm512_cvtepu8_epi32(_mm_loadu_si128(
            x.as_ptr().cast()
        ))))
    }

    #[inline(always)]
    fn load_words(self, x: &[u16]) -> I32x16 {
        assert!(x.len() == 16);
        // SAFETY: `x` has 16 words.
        I32x16(op!(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
            x.as_ptr().cast()
        ))))
    }

    #[inline(always)]
    fn look_up(table: F32x16, index: I32x16) -> F32x16 {
        // The fourth bit chooses one of two tables that are alike.
        F32x16(op!(_mm512_permutexvar_ps(index.0, table.0)))
    }

    #[inline(always)]
    fn rotate(v: F32x16) -> F32x16 {
        let bits = v.to_bits().0;
        I32x16(op!(_mm512_alignr_epi32::<15>(bits, bits))).as_float()
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> F32x16 {
        assert!(bytes.len() == 32);
        // SAFETY: `bytes` has 32 bytes.
        F32x16(op!(_mm512_cvtph_ps(_mm256_loadu_si256(
            bytes.as_ptr().cast()
        ))))
    }

    #[inline(always)]
    fn store_f16(v: F32x16, out: &mut [u8]) {
        assert!(out.len() == 32);
        // SAFETY: `out` has 32 bytes.
        op!(_mm256_storeu_si256(
            out.as_mut_ptr().cast(),
            _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0)
        ))
    }

    #[inline(always)]
    fn shr(v: I32x16, count: u32) -> I32x16 {
        I32x16(op!(_mm512_srl_epi32(v.0, _mm_cvtsi32_si128(count as i32))))
    }
}

macro_rules! operators {
    ($($name:ident::$method:ident $intrinsic:ident),*) => {$(
        impl $name for F32x16 {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(op!($intrinsic(self.0, other.0)))
            }
        }
    )*};
}
operators!(
    Add::add _mm512_add_ps,
    Sub::sub _mm512_sub_ps,
    Mul::mul _mm512_mul_ps,
    Div::div _mm512_div_ps
);

impl Float for F32x16 {
    type Mask = M16;
    type Int = I32x16;

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(op!(_mm512_max_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(op!(_mm512_min_ps(self.0, other.0)))
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
        Self(op!(_mm512_abs_ps(self.0)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(op!(_mm512_sqrt_ps(self.0)))
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        Self(op!(_mm512_roundscale_ps::<NEAREST>(self.0)))
    }

    #[inline(always)]
    fn truncate(self) -> I32x16 {
        I32x16(op!(_mm512_cvttps_epi32(self.0)))
    }

    #[inline(always)]
    fn to_bits(self) -> I32x16 {
        I32x16(op!(_mm512_castps_si512(self.0)))
    }

    #[inline(always)]
    fn lt(self, other: Self) -> M16 {
        M16(op!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0)))
    }

    #[inline(always)]
    fn eq(self, other: Self) -> M16 {
        M16(op!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0)))
    }

    #[inline(always)]
    fn or_else(self, mask: M16, other: Self) -> Self {
        Self(op!(_mm512_mask_blend_ps(mask.0, other.0, self.0)))
    }

    #[inline(always)]
    fn reduce_min(self) -> f32 {
        let upper = op!(_mm512_extractf32x8_ps::<1>(self.0));
        avx2::reduce_min(op!(_mm256_min_ps(_mm512_castps512_ps256(self.0), upper)))
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        let upper = op!(_mm512_extractf32x8_ps::<1>(self.0));
        avx2::reduce_max(op!(_mm256_max_ps(_mm512_castps512_ps256(self.0), upper)))
    }

    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        assert!(out.len() == 16);
        // SAFETY: `out` has 16 elements.
        op!(_mm512_storeu_ps(out.as_mut_ptr(), self.0))
    }
}

impl Int for I32x16 {
    type Float = F32x16;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(op!(_mm512_sub_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(op!(_mm512_min_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(op!(_mm512_max_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(op!(_mm512_and_si512(self.0, other.0)))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(op!(_mm512_or_si512(self.0, other.0)))
    }

    #[inline(always)]
    fn shl4(self) -> Self {
        Self(op!(_mm512_slli_epi32::<4>(self.0)))
    }

    #[inline(always)]
    fn to_float(self) -> F32x16 {
        F32x16(op!(_mm512_cvtepi32_ps(self.0)))
    }

    #[inline(always)]
    fn as_float(self) -> F32x16 {
        F32x16(op!(_mm512_castsi512_ps(self.0)))
    }

    #[inline(always)]
    fn store_bytes(self, out: &mut [u8]) {
        assert!(out.len() == 16);
        // SAFETY: `out` has 16 bytes.
        op!(_mm_storeu_si128(
            out.as_mut_ptr().cast(),
            _mm512_cvtepi32_epi8(self.0)
        ))
    }
}

impl Mask for M16 {
    const LANES: u32 = 16;

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        u64::from(self.0)
    }
}

widths! {
    Avx512,
    affine Affine Pair<Self> = |isa| Pair(isa);
    symmetric Symmetric Pair<Self> = |isa| Pair(isa);
    iterative Iterative Pair<Pair<Self>> = |isa| Pair(Pair(isa));
    levels Levels Pair<Self> = |isa| Pair(isa);
}

level! {
    name: "avx512",
    features: [
        "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx2", "fma", "f16c"
    ],
    // SAFETY: the function runs only on a CPU with these features.
    isa: unsafe { Avx512::new_unchecked() },
    kernels: dot::avx512::KERNELS,
}
