//! One token with rows of blocks, straight from the file's bytes.

use std::arch::x86_64::*;

use super::unpack::{Factors, Unpack256, inlined};
use crate::kernels::dot::activations::{ActivationUnit, Token};

/// Bytes ahead of the current unit that are asked for.
const PREFETCH_BYTES: usize = 2048;

/// Largest unit of any format: Q8_0.
const MAX_UNIT_BYTES: usize = 8 * 34;

#[derive(Clone, Copy)]
struct Sums {
    products: [__m256; 2],
    mins: __m256,
}

/// Dot products of rows of blocks with one token.
///
/// # Safety
/// The CPU has the features of this folder; `rows` is `y.len()` rows of `row_bytes`, each a
/// whole number of blocks, and `token` has a unit for every 256 weights of a row.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_rows<F: Unpack256>(
    rows: &[u8],
    row_bytes: usize,
    token: Token<'_>,
    y: &mut [f32],
) {
    for (row, y) in rows.chunks_exact(row_bytes).zip(y) {
        let mut sums = Sums {
            products: [_mm256_setzero_ps(); 2],
            mins: _mm256_setzero_ps(),
        };
        let units = row.chunks_exact(F::UNIT_BYTES);
        let tail = units.remainder();
        for (unit, activations) in units.zip(token.units()) {
            for line in 0..F::UNIT_BYTES.div_ceil(64) {
                let ahead = unit.as_ptr().wrapping_add(PREFETCH_BYTES + 64 * line);
                _mm_prefetch(ahead.cast(), _MM_HINT_T0);
            }
            // SAFETY: the unit is whole.
            unsafe { add_unit::<F>(unit.as_ptr().cast(), activations, &mut sums) };
        }
        if let (false, Some(activations)) = (tail.is_empty(), token.units().next_back()) {
            // Blocks that are not there become zero: scale 0.
            let mut unit = [0; MAX_UNIT_BYTES];
            unit[..tail.len()].copy_from_slice(tail);
            // SAFETY: the buffer holds a unit of any format.
            unsafe { add_unit::<F>(unit.as_ptr().cast(), activations, &mut sums) };
        }
        // SAFETY: this function has the features.
        let (products, mins) = unsafe {
            (
                sum_of(_mm256_add_ps(sums.products[0], sums.products[1])),
                sum_of(sums.mins),
            )
        };
        *y = match () {
            // Signed products need no minimum: the offset is already taken off.
            () if F::WIDE => products,
            () if F::OFFSET == 0.0 => products + mins,
            () => products + F::OFFSET * mins,
        };
    }
}

/// Adds the products of one unit.
///
/// # Safety
/// The caller enables the features of this folder; `unit` points to a whole unit.
#[inline(always)]
unsafe fn add_unit<F: Unpack256>(unit: *const F, activations: &ActivationUnit, sums: &mut Sums) {
    let mut scale = [0.0_f32; 16];
    // SAFETY: the unit is whole; arrays have 8 or 16 floats and 256 activations.
    unsafe {
        let Factors { scales, mins } = F::factors(unit);
        let d = _mm256_loadu_ps(activations.d.as_ptr());
        if F::GROUP == 32 {
            _mm256_storeu_ps(scale.as_mut_ptr(), _mm256_mul_ps(scales[0], d));
            let minus_sum = _mm256_loadu_ps(activations.minus_sum32.as_ptr());
            sums.mins = _mm256_fmadd_ps(mins[0], minus_sum, sums.mins);
        } else {
            let pairs = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
            for half in 0..2 {
                let pairs = _mm256_add_epi32(pairs, _mm256_set1_epi32(4 * half as i32));
                let scales = _mm256_mul_ps(scales[half], _mm256_permutevar8x32_ps(d, pairs));
                _mm256_storeu_ps(scale.as_mut_ptr().add(8 * half), scales);
                let minus_sum = _mm256_loadu_ps(activations.minus_sum16.as_ptr().add(8 * half));
                sums.mins = _mm256_fmadd_ps(mins[half], minus_sum, sums.mins);
            }
        }
        for b in 0..8 {
            let q = _mm256_loadu_si256(activations.q.as_ptr().add(32 * b).cast());
            let products = quad_products(F::bytes(unit, b), q, F::WIDE);
            let scale = if F::GROUP == 32 {
                _mm256_set1_ps(scale[b])
            } else {
                _mm256_set_m128(_mm_set1_ps(scale[2 * b + 1]), _mm_set1_ps(scale[2 * b]))
            };
            let products = _mm256_cvtepi32_ps(products);
            sums.products[b % 2] = _mm256_fmadd_ps(products, scale, sums.products[b % 2]);
        }
    }
}

inlined! {
    /// Sums of two products in each lane of 16 bits. `wide` weights, above 127, are taken with
    /// their sign: the sums are then those of `u - 128`.
    pub(super) unsafe fn pair_products(u: __m256i, q: __m256i, wide: bool) -> __m256i {
        if wide {
            let w = _mm256_xor_si256(u, _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
        } else {
            _mm256_maddubs_epi16(u, q)
        }
    }

    /// Sums of four products in each lane.
    unsafe fn quad_products(u: __m256i, q: __m256i, wide: bool) -> __m256i {
        _mm256_madd_epi16(pair_products(u, q, wide), _mm256_set1_epi16(1))
    }

    /// The sum of all lanes.
    pub(super) unsafe fn sum_of(x: __m256) -> f32 {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
}
