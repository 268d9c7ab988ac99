//! A causal convolution of each channel by itself, over the last few tokens.

use crate::matmul::Compute;

/// What every channel is convolved with.
#[derive(Debug)]
pub(super) struct Convolution {
    weight: Vec<f32>, // [width, channels], the oldest token's first
    channels: usize,
}

/// The inputs that the next token's sums still reach back to, zero before the first token.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    inputs: Vec<f32>, // [width - 1, channels], the oldest first
}

impl Convolution {
    /// From weights as GGUF has them, `[channels, width]`.
    pub(super) fn new(weight: &[f32], width: usize) -> Self {
        let channels = weight.len() / width;
        let turned = (0..weight.len()).map(|i| weight[i % channels * width + i / channels]);
        Self {
            weight: turned.collect(),
            channels,
        }
    }

    /// `out[t] = sum of weight[j] * x[t - width + 1 + j]` for every channel; `x` and `out` are
    /// `[tokens, channels]`, and what lies before `x` is in the tail, which moves on behind it.
    pub(super) fn apply(&self, compute: Compute, x: &[f32], tail: &mut Tail, out: &mut [f32]) {
        let channels = self.channels;
        let before = tail.inputs.len() / channels;
        compute.for_rows(out, channels, |t, out| {
            out.fill(0.0);
            for (j, weight) in self.weight.chunks_exact(channels).enumerate() {
                let x = match (t + j).checked_sub(before) {
                    Some(token) => &x[token * channels..],
                    None => &tail.inputs[(t + j) * channels..],
                };
                for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                    *out += weight * x;
                }
            }
        });
        let seen = x.len() / channels;
        let kept = before.saturating_sub(seen) * channels;
        let forgotten = tail.inputs.len() - kept;
        tail.inputs.copy_within(forgotten.., 0);
        tail.inputs[kept..].copy_from_slice(&x[x.len() - forgotten..]);
    }
}

impl Tail {
    /// Nothing has been seen.
    pub(super) fn new(width: usize, channels: usize) -> Self {
        Self {
            inputs: vec![0.0; (width - 1) * channels],
        }
    }

    pub(super) fn clear(&mut self) {
        self.inputs.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::Numeric;

    #[test]
    fn tokens_in_any_pieces_are_convolved_with_those_before() {
        let (width, channels, tokens) = (4, 3, 11);
        let wave =
            |n: usize, step: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * step).sin()).collect() };
        let (weight, x) = (wave(channels * width, 0.7), wave(tokens * channels, 0.3));
        let mut expected = vec![0.0; x.len()];
        for (i, out) in expected.iter_mut().enumerate() {
            let (t, c) = (i / channels, i % channels);
            for j in (0..width).filter(|j| t + j >= width - 1) {
                *out += weight[c * width + j] * x[(t + j + 1 - width) * channels + c];
            }
        }
        let compute = Compute {
            kernels: aeolus_quant::Cpu::select().unwrap().kernels(),
            numeric: Numeric::Exact,
            parallel: false,
            tap: None,
        };
        let convolution = Convolution::new(&weight, width);
        for piece in [1, 2, 3, 5, tokens] {
            let mut tail = Tail::new(width, channels);
            let mut found = vec![f32::NAN; x.len()];
            let pieces = x.chunks(piece * channels);
            for (x, out) in pieces.zip(found.chunks_mut(piece * channels)) {
                convolution.apply(compute, x, &mut tail, out);
            }
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(found.iter().zip(&expected).all(close), "{piece}");
        }
    }
}
