//! What attention does between its products, number by number: weights of positions, and the numbers
//! of keys and values in 8 bits.
//!
//! The code is written once and compiled for each level. It has no fused multiply-add and adds in eight
//! interleaved sums, so that the results are the same on all of them.

/// The functions of a level.
#[derive(Debug)]
pub(crate) struct Elementwise {
    /// See [`softmax`](super::Kernels::softmax).
    pub(super) softmax: unsafe fn(&mut [f32], f32),
    /// See [`widen_columns`](super::Kernels::widen_columns).
    pub(super) widen_columns: unsafe fn(&[i8], &[f32], &mut [f32]),
    /// See [`widen_rows`](super::Kernels::widen_rows).
    pub(super) widen_rows: unsafe fn(&[i8], usize, &[f32], usize, &mut [f32]),
}

/// The functions, compiled for a level's features.
macro_rules! elementwise {
    () => {{
        use $crate::kernels::dot::elementwise as body;

        body::Elementwise {
            softmax: body::softmax,
            widen_columns: body::widen_columns,
            widen_rows: body::widen_rows,
        }
    }};
    ($features:literal) => {{
        use $crate::kernels::dot::elementwise as body;

        #[target_feature(enable = $features)]
        unsafe fn softmax(x: &mut [f32], beside: f32) {
            body::softmax(x, beside);
        }

        #[target_feature(enable = $features)]
        unsafe fn widen_columns(q: &[i8], d: &[f32], out: &mut [f32]) {
            body::widen_columns(q, d, out);
        }

        #[target_feature(enable = $features)]
        unsafe fn widen_rows(
            q: &[i8],
            q_stride: usize,
            d: &[f32],
            d_stride: usize,
            out: &mut [f32],
        ) {
            body::widen_rows(q, q_stride, d, d_stride, out);
        }

        body::Elementwise {
            softmax,
            widen_columns,
            widen_rows,
        }
    }};
}
pub(crate) use elementwise;

/// e^x within 2 units in the last place from -87 to 88; beyond that the value at the border.
///
/// `x = n ln 2 + r` with |r| at most half of ln 2; a polynomial gives e^r, and 2^n goes straight
/// into the exponent bits. The library's function is as exact, but one call for each number.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding this leaves the rounded integer in the low bits of the sum.
    const MAGIC: f32 = super::activations::MAGIC;
    /// ln 2 in two parts: the first has so few bits that `n` times it is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    let exp_r = p * r * r + r + 1.0;
    let two_to_n = f32::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits() - 127) << 23);
    exp_r * two_to_n
}

/// Turns scores into weights, `e^x` over the sum of all; see [`Kernels::softmax`](super::Kernels::softmax),
/// which is faster.
#[inline(always)]
pub fn softmax(x: &mut [f32], beside: f32) {
    let largest = largest(x, beside);
    for x in x.iter_mut() {
        *x = exp(*x - largest);
    }
    let mut lanes = [0.0_f32; 8];
    let (eights, tail) = x.as_chunks::<8>();
    let tail: f32 = tail.iter().sum();
    for eight in eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane += x;
        }
    }
    let mut sum = lanes.iter().sum::<f32>() + tail;
    // Where there is nothing beside, nothing is added: not even a number below 2e-38.
    if beside != f32::NEG_INFINITY {
        sum += exp(beside - largest);
    }
    let scale = 1.0 / sum;
    for x in x.iter_mut() {
        *x *= scale;
    }
}

/// The largest number, `least` included; NaN is passed over.
#[inline(always)]
fn largest(x: &[f32], least: f32) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [least; 32];
    let (blocks, tail) = x.as_chunks::<32>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, *x);
        }
    }
    lanes.iter().chain(tail).copied().fold(least, larger)
}

#[inline(always)]
pub(crate) fn widen_columns(q: &[i8], d: &[f32], out: &mut [f32]) {
    let blocks = q.chunks(32 * 32).zip(out.chunks_mut(32 * 32));
    for ((q, out), d) in blocks.zip(d.as_chunks::<32>().0) {
        let rows = q.as_chunks::<32>().0.iter();
        for (q, out) in rows.zip(out.as_chunks_mut::<32>().0) {
            for ((out, q), d) in out.iter_mut().zip(q).zip(d) {
                *out = f32::from(*q) * d;
            }
        }
    }
}

#[inline(always)]
pub(crate) fn widen_rows(q: &[i8], q_stride: usize, d: &[f32], d_stride: usize, out: &mut [f32]) {
    let rows = q.chunks(q_stride).zip(d.iter().step_by(d_stride));
    for ((q, d), out) in rows.zip(out.as_chunks_mut::<32>().0) {
        for (out, q) in out.iter_mut().zip(&q[..32]) {
            *out = f32::from(*q) * d;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;

    #[test]
    fn exp_is_exp() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "{x}: {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    /// Scores of any size, the last one largest.
    fn scores(n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| (i * i % 31) as f32 * 1.7 - 50.0 + i as f32)
            .collect()
    }

    #[test]
    fn weights_are_those_of_the_formula_and_the_same_on_all_levels() {
        for beside in [f32::NEG_INFINITY, -3.0, 60.0] {
            for n in [1, 7, 8, 31, 32, 33, 100, 1000] {
                let x = scores(n);
                let largest = x
                    .iter()
                    .map(|x| f64::from(*x))
                    .fold(f64::from(beside), f64::max);
                let powers: Vec<f64> = x.iter().map(|x| (f64::from(*x) - largest).exp()).collect();
                let sum = powers.iter().sum::<f64>() + (f64::from(beside) - largest).exp();
                let mut expected = x.clone();
                softmax(&mut expected, beside);
                for (found, power) in expected.iter().zip(&powers) {
                    assert!(
                        (f64::from(*found) - power / sum).abs() < 1e-6,
                        "{n} beside {beside}"
                    );
                }
                for cpu in Cpu::available() {
                    let mut found = x.clone();
                    cpu.kernels().softmax(&mut found, beside);
                    let same = found
                        .iter()
                        .zip(&expected)
                        .all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{}: {n} beside {beside}", cpu.name());
                }
            }
        }
    }

    #[test]
    fn a_score_that_is_no_number_reaches_every_weight() {
        for cpu in Cpu::available() {
            for at in [0, 8, 39] {
                let mut x = scores(40);
                x[at] = f32::NAN;
                cpu.kernels().softmax(&mut x, f32::NEG_INFINITY);
                assert!(x.iter().all(|x| x.is_nan()), "{} at {at}", cpu.name());
            }
        }
    }

    #[test]
    fn eight_bits_are_widened_with_their_scales() {
        for cpu in Cpu::available() {
            for rows in [0, 1, 31, 32, 33, 80] {
                let q: Vec<i8> = (0..64 * rows).map(|i| (i * 37 % 256) as u8 as i8).collect();
                let d: Vec<f32> = (0..64 * rows.max(1)).map(|i| 0.25 + i as f32).collect();
                let mut out = vec![f32::NAN; 32 * rows];
                let scales = 32 * rows.div_ceil(32);
                cpu.kernels()
                    .widen_columns(&q[..32 * rows], &d[..scales], &mut out);
                for (i, x) in out.iter().enumerate() {
                    assert_eq!(
                        *x,
                        f32::from(q[i]) * d[i / 1024 * 32 + i % 32],
                        "{} {i}",
                        cpu.name()
                    );
                }
                let end = (64 * rows).saturating_sub(32);
                cpu.kernels()
                    .widen_rows((&q[..end], 64), (&d[1..], 2), &mut out);
                for (i, x) in out.iter().enumerate() {
                    let (row, column) = (i / 32, i % 32);
                    assert_eq!(
                        *x,
                        f32::from(q[64 * row + column]) * d[1 + 2 * row],
                        "{} {i}",
                        cpu.name()
                    );
                }
            }
        }
    }
}
