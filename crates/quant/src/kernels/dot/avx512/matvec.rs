//! One token with rows of blocks, straight from the file's bytes.

use std::arch::x86_64::*;

use super::unpack::{Factors, Unpack512};
use crate::kernels::dot::activations::{ActivationUnit, PairedUnit, Token};

/// Bytes ahead of the current unit that are asked for: about a memory latency of work.
const PREFETCH_BYTES: usize = 2048;

/// Largest unit of any format: Q8_0.
const MAX_UNIT_BYTES: usize = 8 * 34;

/// Sums of a row: two chains of products, so that one addition need not wait for the last, and
/// the minima.
#[derive(Clone, Copy)]
struct Sums {
    products: [__m512; 2],
    mins: __m512,
}

/// Dot products of rows of blocks with one token.
///
/// # Safety
/// The CPU has the features of this folder; `rows` is `y.len()` rows of `row_bytes`, each a
/// whole number of blocks, and `token` has a unit for every 256 weights of a row.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn dot_rows<F: Unpack512>(
    rows: &[u8],
    row_bytes: usize,
    token: Token<'_>,
    y: &mut [f32],
) {
    for (row, y) in rows.chunks_exact(row_bytes).zip(y) {
        let mut sums = Sums {
            products: [_mm512_setzero_ps(); 2],
            mins: _mm512_setzero_ps(),
        };
        let units = row.chunks_exact(F::UNIT_BYTES);
        let tail = units.remainder();
        for ((unit, natural), paired) in units.zip(token.units()).zip(token.paired()) {
            for line in 0..F::UNIT_BYTES.div_ceil(64) {
                let ahead = unit.as_ptr().wrapping_add(PREFETCH_BYTES + 64 * line);
                _mm_prefetch(ahead.cast(), _MM_HINT_T0);
            }
            // SAFETY: the unit is whole.
            unsafe { add_unit::<F>(unit.as_ptr().cast(), natural, paired, &mut sums) };
        }
        let last = token.units().next_back().zip(token.paired().next_back());
        if let (false, Some((natural, paired))) = (tail.is_empty(), last) {
            // Blocks that are not there become zero: scale 0.
            let mut unit = [0; MAX_UNIT_BYTES];
            unit[..tail.len()].copy_from_slice(tail);
            // SAFETY: the buffer holds a unit of any format.
            unsafe { add_unit::<F>(unit.as_ptr().cast(), natural, paired, &mut sums) };
        }
        let products = _mm512_reduce_add_ps(_mm512_add_ps(sums.products[0], sums.products[1]));
        let mins = if F::GROUP == 32 {
            // The lower half collected products of scales that mean nothing.
            _mm512_mask_reduce_add_ps(0xff00, sums.mins)
        } else {
            _mm512_reduce_add_ps(sums.mins)
        };
        *y = products
            + if F::OFFSET == 0.0 {
                mins
            } else {
                F::OFFSET * mins
            };
    }
}

/// Adds the products of one unit.
///
/// # Safety
/// The caller enables the features of this folder; `unit` points to a whole unit.
#[inline(always)]
unsafe fn add_unit<F: Unpack512>(
    unit: *const F,
    natural: &ActivationUnit,
    paired: &PairedUnit,
    sums: &mut Sums,
) {
    let d = if F::HIGH_TIMES_16 {
        &paired.d_nibbles
    } else {
        &natural.d
    };
    let q = if F::PAIRED { &paired.q } else { &natural.q };
    // SAFETY: the unit is whole; behind eight scales lie eight sums, since both structs are
    // `repr(C)`; there are 256 activations and sixteen sums.
    unsafe {
        let Factors { first, second } = F::factors(unit);
        let d_and_sums = _mm512_loadu_ps(d.as_ptr());
        let scales = if F::GROUP == 32 {
            let both = _mm512_mul_ps(first, d_and_sums);
            sums.mins = _mm512_add_ps(sums.mins, both);
            both
        } else {
            let minus_sums = _mm512_loadu_ps(natural.minus_sum16.as_ptr());
            sums.mins = _mm512_fmadd_ps(second, minus_sums, sums.mins);
            let pairs = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
            _mm512_mul_ps(first, _mm512_permutexvar_ps(pairs, d_and_sums))
        };
        for j in 0..4 {
            let u = F::bytes(unit, j);
            let q = _mm512_loadu_si512(q.as_ptr().add(64 * j).cast());
            let products = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), u, q));
            let scale = _mm512_permutexvar_ps(groups_of_lanes::<F>(j), scales);
            sums.products[j % 2] = _mm512_fmadd_ps(products, scale, sums.products[j % 2]);
        }
    }
}

/// The group of each lane of vector `j`: a lane holds 4 weights, so 4 or 8 lanes share a group.
///
/// # Safety
/// The caller enables the features of this folder.
#[inline(always)]
unsafe fn groups_of_lanes<F: Unpack512>(j: usize) -> __m512i {
    // SAFETY: plain arithmetic of the folder's features.
    unsafe {
        if F::GROUP == 32 {
            let (low, high) = if F::PAIRED {
                (4 * (j / 2) + j % 2, 4 * (j / 2) + j % 2 + 2)
            } else {
                (2 * j, 2 * j + 1)
            };
            let (low, high) = (
                _mm512_set1_epi32(low as i32),
                _mm256_set1_epi32(high as i32),
            );
            _mm512_inserti64x4(low, high, 1)
        } else {
            let of_lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
            _mm512_add_epi32(of_lanes, _mm512_set1_epi32(4 * j as i32))
        }
    }
}
