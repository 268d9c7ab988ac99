//! The small functions of the transformer, written so that they compile to vectors.

/// e^x within 2 units in the last place from -87 to 88; beyond that the value at the border.
///
/// `x = n ln 2 + r` with |r| at most half of ln 2; a polynomial gives e^r, and 2^n goes straight
/// into the exponent bits. The library's function is as exact, but one call for each number.
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding this leaves the rounded integer in the low bits of the sum.
    const MAGIC: f32 = 12_582_912.0;
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

/// `x * sigmoid(x)` times `up`, into `gate`.
pub(crate) fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

/// Sum of `f(x)` in eight interleaved sums.
fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let chunks = x.chunks_exact(8);
    let tail: f32 = chunks.remainder().iter().map(|&x| f(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// `x / rms(x) * weight`, with `eps` added to the mean square.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = sum_of(x, |x| x * x) / x.len() as f32;
    let scale = 1.0 / (mean_square + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// [`rms_norm`] of every head of one token, each in place and by the same weight.
pub(crate) fn norm_heads(heads: &mut [f32], weight: &[f32], eps: f32) {
    for head in heads.chunks_exact_mut(weight.len()) {
        let mean_square = sum_of(head, |x| x * x) / head.len() as f32;
        let scale = 1.0 / (mean_square + eps).sqrt();
        for (x, weight) in head.iter_mut().zip(weight) {
            *x = *x * scale * weight;
        }
    }
}

/// Numbers to weights that sum to 1.
pub(crate) fn softmax(x: &mut [f32]) {
    let largest = x
        .iter()
        .fold(f32::NEG_INFINITY, |largest, &x| largest.max(x));
    for x in x.iter_mut() {
        *x = exp(*x - largest);
    }
    let scale = 1.0 / sum_of(x, |x| x);
    for x in x.iter_mut() {
        *x *= scale;
    }
}

/// `a += b`.
pub(crate) fn add(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn softmax_sums_to_one_whatever_the_size() {
        for n in [1, 7, 8, 100] {
            let mut x: Vec<f32> = (0..n).map(|i| i as f32 * 3.0 - 50.0).collect();
            softmax(&mut x);
            assert!((x.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(x.windows(2).all(|w| w[0] <= w[1]));
        }
    }

    #[test]
    fn norms_and_gates() {
        let x = [3.0, -4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0];
        let mut out = [0.0; 10];
        rms_norm(&x, &[2.0; 10], 0.0, &mut out);
        let rms = 5.0_f32.sqrt();
        assert!(
            x.iter()
                .zip(out)
                .all(|(x, out)| (out - 2.0 * x / rms).abs() < 1e-6)
        );
        let mut gate = [0.0, 1.0, -100.0];
        swiglu(&mut gate, &[5.0, 2.0, 1.0]);
        assert_eq!(gate[0], 0.0);
        assert!((gate[1] - 2.0 / (1.0 + (-1.0_f32).exp())).abs() < 1e-6);
        assert!(gate[2].abs() < 1e-30);
    }
}
