//! The small functions of the transformer, written so that they compile to vectors.

use aeolus_arch::Activation;
use aeolus_quant::dot::exp;

/// `gate = activation(gate) * up`.
pub(crate) fn gate_with(gate: &mut [f32], up: &[f32], activation: Activation) {
    /// The bound of both, and the factor within the sigmoid.
    const LIMIT: f32 = 7.0;
    const ALPHA: f32 = 1.702;
    if activation != Activation::ClampedSwiglu {
        activate(gate, activation);
        return multiply(gate, up);
    }
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = gate.min(LIMIT);
        *gate = x / (1.0 + exp(-ALPHA * x)) * (up.clamp(-LIMIT, LIMIT) + 1.0);
    }
}

/// `activation(x)` in place: of one that has no part in it for another number.
pub(crate) fn activate(x: &mut [f32], activation: Activation) {
    match activation {
        Activation::Silu | Activation::ClampedSwiglu => {
            x.iter_mut().for_each(|x| *x /= 1.0 + exp(-*x))
        }
        Activation::SquaredRelu => x.iter_mut().for_each(|x| *x = x.max(0.0) * x.max(0.0)),
        Activation::Gelu => {
            for x in x {
                *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
        // x / 2 * (1 + tanh(z)) is x * sigmoid(2 z).
        Activation::GeluTanh => {
            /// The root of 2 / pi, doubled.
            const SCALE: f32 = 1.595_769;
            for x in x {
                *x /= 1.0 + exp(-SCALE * *x * (1.0 + 0.044_715 * *x * *x));
            }
        }
    }
}

/// The error function, within 6e-7: a polynomial in 1 / (1 + p |x|) times a Gaussian (Abramowitz and
/// Stegun, 7.1.26).
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let mut p = 1.061_405_4_f32;
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p * t + c;
    }
    (1.0 - p * t * exp(-x * x)).copysign(x)
}

/// `c * tanh(x / c)` in place.
pub(crate) fn softcap(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * (1.0 - 2.0 / (1.0 + exp(2.0 / cap * *x)));
    }
}

/// Sum of `f(x)` in eight interleaved sums.
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
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

/// `x / rms(x) * weight` in place, with `eps` added to the mean square: of every run of numbers that is
/// as long as the weight, which may be a whole vector or a head.
pub(crate) fn rms_norm(x: &mut [f32], weight: &[f32], eps: f32) {
    for x in x.chunks_exact_mut(weight.len()) {
        let mean_square = sum_of(x, |x| x * x) / x.len() as f32;
        let scale = 1.0 / (mean_square + eps).sqrt();
        for (x, weight) in x.iter_mut().zip(weight) {
            *x = *x * scale * weight;
        }
    }
}

/// The same for `x - mean(x)`.
pub(crate) fn layer_norm(x: &mut [f32], weight: &[f32], eps: f32) {
    for x in x.chunks_exact_mut(weight.len()) {
        let mean = sum_of(x, |x| x) / x.len() as f32;
        x.iter_mut().for_each(|x| *x -= mean);
        rms_norm(x, weight, eps);
    }
}

/// `1 / (1 + e^-x)`.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Numbers to weights that sum to 1.
pub fn softmax(x: &mut [f32]) {
    aeolus_quant::dot::softmax(x, f32::NEG_INFINITY);
}

/// `a *= factor`. A factor of 1 changes nothing and costs nothing.
pub(crate) fn scale(a: &mut [f32], factor: f32) {
    if factor != 1.0 {
        a.iter_mut().for_each(|a| *a *= factor);
    }
}

/// `a *= b`.
pub(crate) fn multiply(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a *= b;
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
    fn norms_and_gates() {
        let x = [3.0, -4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0];
        let mut out = x;
        rms_norm(&mut out, &[2.0; 10], 0.0);
        let rms = 5.0_f32.sqrt();
        assert!(
            x.iter()
                .zip(out)
                .all(|(x, out)| (out - 2.0 * x / rms).abs() < 1e-6)
        );
        // Of two heads, each by itself, and far from the origin.
        let mut out = [1003.0, 1001.0, -7.0, -8.0];
        layer_norm(&mut out, &[2.0, 3.0], 0.0);
        assert_eq!(out, [2.0, -3.0, 2.0, -3.0]);

        let mut gate = [0.0, 1.0, -100.0];
        activate(&mut gate, Activation::Silu);
        assert_eq!(gate[0], 0.0);
        assert!((gate[1] - 1.0 / (1.0 + (-1.0_f32).exp())).abs() < 1e-6);
        assert!(gate[2].abs() < 1e-30);
    }

    #[test]
    fn gates_may_be_bounded() {
        let mut gate = [1.0, 20.0, -20.0, 2.0];
        gate_with(
            &mut gate,
            &[2.0, -20.0, 1.0, 9.0],
            Activation::ClampedSwiglu,
        );
        let exact = |x: f64, up: f64| x / (1.0 + (-1.702 * x).exp()) * (up + 1.0);
        let expected = [
            exact(1.0, 2.0),
            exact(7.0, -7.0),
            exact(-20.0, 1.0),
            exact(2.0, 7.0),
        ];
        let close = |(x, exact): (&f32, f64)| (f64::from(*x) - exact).abs() < 2e-5;
        assert!(gate.iter().zip(expected).all(close), "{gate:?}");
        let mut gate = [3.0, -2.0];
        gate_with(&mut gate, &[0.5, 4.0], Activation::SquaredRelu);
        assert_eq!(gate, [4.5, 0.0]);
    }

    #[test]
    fn the_error_function_and_what_is_made_of_it() {
        for (x, exact) in [
            (0.0, 0.0),
            (0.1, 0.112_462_92),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
            (4.0, 1.0),
        ] {
            assert!((erf(x) - exact).abs() < 5e-7, "{x}: {}", erf(x));
            assert!((erf(-x) + exact).abs() < 5e-7, "{x}: {}", erf(-x));
        }
        let mut x = [1.0, -1.0, 30.0, -30.0];
        activate(&mut x, Activation::Gelu);
        let expected = [0.841_344_8, -0.158_655_26, 30.0, 0.0];
        let close = |(a, b): (&f32, f32)| (a - b).abs() < 1e-6;
        assert!(x.iter().zip(expected).all(close), "{x:?}");
        let mut x = [3.0, -2.0];
        activate(&mut x, Activation::SquaredRelu);
        assert_eq!(x, [9.0, 0.0]);
    }

    #[test]
    fn gelu_and_softcaps_are_made_of_tanh() {
        let x: Vec<f32> = (-3000..3000).map(|i| i as f32 / 100.0).collect();
        let (mut gelu, mut capped) = (x.clone(), x.clone());
        activate(&mut gelu, Activation::GeluTanh);
        softcap(&mut capped, 5.0);
        for ((x, gelu), capped) in x.into_iter().zip(gelu).zip(capped) {
            let x = f64::from(x);
            let z = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            let exact = 0.5 * x * (1.0 + z.tanh());
            assert!((f64::from(gelu) - exact).abs() < 2e-6, "{x}: {gelu}");
            let exact = 5.0 * (x / 5.0).tanh();
            assert!((f64::from(capped) - exact).abs() < 2e-6, "{x}: {capped}");
        }
    }
}
