//! Blocks of one scale and two to four values to the common form, and those of NVFP4: mostly as AVX2
//! does it, twice.

use std::arch::x86_64::*;

use super::unpack::{Factors, Unpack512, field, half, inlined, join, two_bits, unpack};
use crate::formats::*;
use crate::kernels::dot::avx2::Unpack256;

inlined! {
    /// Two times 32 weights.
    unsafe fn halves<F: Unpack256>(unit: *const F, j: usize) -> __m512i {
        let (low, high) = (F::bytes(unit, 2 * j), F::bytes(unit, 2 * j + 1));
        _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)
    }

    /// The factors of a format with an offset.
    unsafe fn factors<F: Unpack256>(unit: *const F) -> Factors {
        let [first, second] = F::factors(unit).scales;
        let scales = join(first, second);
        Factors { first: scales, second: scales }
    }
}

unpack!(BlockTQ1_0, |unit, j| halves(unit, j), |unit| factors(unit));
unpack!(
    BlockTQ2_0,
    |unit, j| two_bits(field!(unit, qs), j),
    |unit| {
        let scales = _mm512_broadcastss_ps(half(&(*unit).d));
        Factors {
            first: scales,
            second: scales,
        }
    }
);
unpack!(
    BlockQ1_0,
    |unit, j| {
        let signs: *const u64 = field!(unit.add(j / 2), qs);
        let positive = signs.add(j % 2).read_unaligned();
        _mm512_maskz_mov_epi8(positive, _mm512_set1_epi8(2))
    },
    |unit| factors(unit)
);
unpack!(BlockQ2_0, |unit, j| halves(unit, j), |unit| factors(unit));
unpack!(BlockNVFP4, |unit, j| halves(unit, j), |unit| factors(unit));
