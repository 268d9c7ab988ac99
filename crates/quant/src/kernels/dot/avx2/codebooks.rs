//! Blocks of the IQ1, IQ2 and IQ3 formats to the common form: AVX2 has no faster look-up than a load of
//! eight bytes.

use std::arch::x86_64::*;

use super::unpack::{Factors, Unpack256, bits_to_bytes, half, inlined, scaled};
use crate::kernels::dot::codebooks::Codebook;

impl<F: Codebook> Unpack256 for F {
    inlined! {
        unsafe fn bytes(unit: *const Self, b: usize) -> __m256i {
            let block = &*unit;
            let eight = |k: usize| block.eight(4 * b + k) as i64;
            let u = _mm256_setr_epi64x(eight(0), eight(1), eight(2), eight(3));
            if !F::SIGNED {
                return u;
            }
            // -u under the mask is (u ^ -1) + 1; twice the offset is added there, too.
            let negative = bits_to_bytes(block.signs(b) as i32);
            let twice = _mm256_set1_epi8((2 * F::OFFSET as u8 + 1) as i8);
            _mm256_add_epi8(_mm256_xor_si256(u, negative), _mm256_and_si256(negative, twice))
        }
        unsafe fn factors(unit: *const Self) -> Factors {
            let block = &*unit;
            let factor = _mm256_mul_ps(half(&block.factor()), _mm256_set1_ps(F::SCALE_UNIT));
            let [first, second] = block.odd_scales();
            let first = scaled(first, factor);
            let second = if F::GROUP == 16 { scaled(second, factor) } else { first };
            Factors { scales: [first, second], mins: [first, second] }
        }
    }
}
