//! RMS norms and their derivatives: `y = x / rms(x) * w`, of every run of numbers that is as long as `w`.

use rayon::prelude::*;

/// What a norm divided by: 1 / rms of each run.
fn inverse(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum_of(x, |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt()
}

/// The sum of `f(0)` to `f(n - 1)` in eight interleaved sums.
fn sum_of(x: &[f32], f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for i in 0..x.len() {
        lanes[i % 8] += f(i);
    }
    lanes.iter().sum()
}

/// `norm(x)`; without a norm `x` itself.
pub(super) fn normed(x: &[f32], weight: Option<&[f32]>, eps: f32) -> Vec<f32> {
    let mut y = x.to_vec();
    if let Some(weight) = weight {
        y.par_chunks_exact_mut(weight.len()).for_each(|y| {
            let scale = inverse(y, eps);
            for (y, weight) in y.iter_mut().zip(weight) {
                *y = *y * scale * weight;
            }
        });
    }
    y
}

/// The gradients at `x` and at the weight, from those at `norm(x)`; `dy` becomes the former.
pub(super) fn backward(x: &[f32], dy: &mut [f32], weight: Option<&[f32]>, eps: f32) -> Vec<f32> {
    let Some(weight) = weight else {
        return Vec::new();
    };
    let n = weight.len();
    // Sums over the runs of each block, and these in the order of the blocks.
    let blocks = x.par_chunks(64 * n).zip(dy.par_chunks_mut(64 * n));
    let sums: Vec<Vec<f32>> = blocks
        .map(|(x, dy)| {
            let mut dw = vec![0.0; n];
            for (x, dy) in x.chunks_exact(n).zip(dy.chunks_exact_mut(n)) {
                let scale = inverse(x, eps);
                for i in 0..n {
                    dw[i] += dy[i] * x[i] * scale;
                }
                let along = sum_of(x, |i| dy[i] * weight[i] * x[i]);
                let along = along * scale * scale / n as f32;
                for i in 0..n {
                    dy[i] = scale * (weight[i] * dy[i] - along * x[i]);
                }
            }
            dw
        })
        .collect();
    let mut dw = vec![0.0; n];
    for sums in sums {
        dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
    }
    dw
}
