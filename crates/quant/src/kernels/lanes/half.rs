//! Rows of F16 through the conversions of the instruction set.

use super::widths::Conversions;
use super::{Float, Int};
use crate::float16::{f16_to_f32, f32_to_f16};

/// Narrows finite values.
#[inline(always)]
pub(crate) fn encode<S: Conversions>(isa: S, x: &[f32], out: &mut [u8]) {
    let whole = x.len() / S::LANES * S::LANES;
    let (x, x_rest) = x.split_at(whole);
    let (out, out_rest) = out.split_at_mut(2 * whole);
    for (x, out) in x
        .chunks_exact(S::LANES)
        .zip(out.chunks_exact_mut(2 * S::LANES))
    {
        S::store_f16(isa.load(x), out);
    }
    for (x, out) in x_rest.iter().zip(out_rest.as_chunks_mut().0) {
        *out = f32_to_f16(*x).to_le_bytes();
    }
}

/// Widens any bits.
#[inline(always)]
pub(crate) fn decode<S: Conversions>(isa: S, bytes: &[u8], y: &mut [f32]) {
    let whole = y.len() / S::LANES * S::LANES;
    let (bytes, bytes_rest) = bytes.split_at(2 * whole);
    let (y, y_rest) = y.split_at_mut(whole);
    for (bytes, y) in bytes
        .chunks_exact(2 * S::LANES)
        .zip(y.chunks_exact_mut(S::LANES))
    {
        isa.load_f16(bytes).store(y);
    }
    for (bytes, y) in bytes_rest.as_chunks().0.iter().zip(y_rest) {
        *y = f16_to_f32(u16::from_le_bytes(*bytes));
    }
}

/// Rounds every value to the nearest F16 and widens it again. NaN becomes the quiet NaN of its
/// sign, as in the scalar code: the conversions would keep its payload.
#[inline(always)]
pub(crate) fn round_through<S: Conversions>(isa: S, x: &mut [f32]) {
    let sign = isa.splat_int(i32::MIN);
    let nan = isa.splat_int(f32::NAN.to_bits() as i32);
    // Room for the F16 values of a vector: they do not leave the registers.
    let mut narrow = [0; 32];
    let narrow = &mut narrow[..2 * S::LANES];
    let mut vectors = x.chunks_exact_mut(S::LANES);
    for x in vectors.by_ref() {
        let v = isa.load(x);
        S::store_f16(v, narrow);
        let quiet = v.to_bits().and(sign).or(nan).as_float();
        isa.load_f16(narrow).or_else(v.eq(v), quiet).store(x);
    }
    for v in vectors.into_remainder() {
        *v = f16_to_f32(f32_to_f16(*v));
    }
}
