//! The gated delta rule of one head.
//!
//! A head has a state `S`, `[key_dim, value_dim]`, which answers a key with a value. Each token lets it
//! decay, corrects what it answers for the token's key, and asks it by the token's query:
//!
//! ```text
//! S = decay S;   d = beta (v - S' k);   S = S + k d';   o = S' q
//! ```
//!
//! Token by token every number of the state is read and written for each token ([`step`]). For many
//! tokens the same sums are ordered by chunks ([`chunk`]). With `D[t, s]` the product of the decays behind
//! token `s` up to `t`, and `S` the state before the chunk,
//!
//! ```text
//! d[t] = beta[t] (v[t] - D[t, 0] S' k[t] - sum over s < t of D[t, s] (k[s] . k[t]) d[s])
//! o[t] = D[t, 0] S' q[t] + sum over s <= t of D[t, s] (k[s] . q[t]) d[s]
//! S    = D[end, 0] S + sum of D[end, s] k[s] d[s]'
//! ```
//!
//! so that all but the sum over earlier `d` are products of matrices. The decays only shrink, and so does
//! every factor here: nothing is divided by them.

use std::ops::Range;

use aeolus_quant::dot::{Kernels, Matmul, PANEL};

use crate::model::layer_shape::padded;

/// Tokens of a chunk: its products with itself grow with the square.
pub(super) const CHUNK: usize = 64;

/// The keys and queries of one key head in a chunk, and their products.
pub(super) struct Chunk<'a> {
    kernels: &'a Kernels,
    tokens: usize,
    key_dim: usize,
    stacked: Vec<f32>,  // [2 * tokens, key_dim]: keys, then queries
    turned: Vec<f32>,   // [key_dim, tokens padded]: keys
    products: Vec<f32>, // [2 * tokens, tokens padded]: of each with every key
}

/// One value head's tokens of a chunk.
pub(super) struct Head<'a> {
    /// Values, `[value_dim]` for each token.
    pub(super) values: Vec<&'a [f32]>,
    /// Logarithms of the decays, at most 0.
    pub(super) log_decay: Vec<f32>,
    /// How much of an answer is corrected.
    pub(super) beta: Vec<f32>,
}

/// One token: `state` is `[key_dim, value_dim padded]`, `out` `[value_dim]`.
pub(super) fn step(
    state: &mut [f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    (decay, beta): (f32, f32),
    out: &mut [f32],
) {
    let width = padded(v.len());
    let mut answer = vec![0.0; width];
    for (row, k) in state.chunks_exact_mut(width).zip(k) {
        for (s, answer) in row.iter_mut().zip(&mut answer) {
            *s *= decay;
            *answer += k * *s;
        }
    }
    for (i, answer) in answer.iter_mut().enumerate() {
        *answer = v.get(i).map_or(0.0, |v| beta * (v - *answer));
    }
    let correction = answer;
    let mut sums = vec![0.0; width];
    for ((row, k), q) in state.chunks_exact_mut(width).zip(k).zip(q) {
        for ((s, correction), sum) in row.iter_mut().zip(&correction).zip(&mut sums) {
            *s += k * correction;
            *sum += q * *s;
        }
    }
    out.copy_from_slice(&sums[..out.len()]);
}

impl<'a> Chunk<'a> {
    /// Of some tokens of `q` and `k`, `[tokens, key_dim]`.
    pub(super) fn new(
        kernels: &'a Kernels,
        (q, k): (&[f32], &[f32]),
        tokens: Range<usize>,
        key_dim: usize,
    ) -> Self {
        let part = tokens.start * key_dim..tokens.end * key_dim;
        let keys = &k[part.clone()];
        let tokens = tokens.len();
        let width = padded(tokens);
        let stacked = [keys, &q[part]].concat();
        let mut turned = vec![0.0; key_dim * width];
        for (t, key) in keys.chunks_exact(key_dim).enumerate() {
            for (row, k) in turned.chunks_exact_mut(width).zip(key) {
                row[t] = *k;
            }
        }
        let mut this = Self {
            kernels,
            tokens,
            key_dim,
            stacked,
            turned,
            products: vec![0.0; 2 * tokens * width],
        };
        let mut products = std::mem::take(&mut this.products);
        this.multiply(&this.stacked, key_dim, &this.turned, width, &mut products);
        this.products = products;
        this
    }

    /// `y = x * matrix`: `x` is `[rows, depth]`, the matrix `[depth, width]` and `y` `[rows, width]`, the
    /// width a multiple of 32. Rows of `x` may be longer than the matrix is deep.
    fn multiply(&self, x: &[f32], x_stride: usize, matrix: &[f32], width: usize, y: &mut [f32]) {
        let depth = matrix.len() / width;
        for first in (0..width).step_by(PANEL) {
            let operands = Matmul {
                x,
                x_stride,
                rows: x.len() / x_stride,
                depth,
                y: &mut y[first..],
                y_stride: width,
            };
            self.kernels.matmul_f32(&matrix[first..], width, operands);
        }
    }

    /// One value head: changes its state and writes every token's output.
    pub(super) fn apply(&self, head: &Head<'_>, state: &mut [f32], out: &mut [&mut [f32]]) {
        let Self {
            tokens, key_dim, ..
        } = *self;
        let value_dim = head.values[0].len();
        let (width, value_width) = (padded(tokens), padded(value_dim));
        let mut sum = 0.0;
        let total: Vec<f32> = head
            .log_decay
            .iter()
            .map(|g| {
                sum += g;
                sum
            })
            .collect();
        let decay = |from: usize, to: usize| (total[to] - total[from]).exp();

        // What the state before the chunk answers to every key and query.
        let mut answers = vec![0.0; 2 * tokens * value_width]; // [2 * tokens, value_dim padded]
        self.multiply(&self.stacked, key_dim, state, value_width, &mut answers);
        let (of_keys, of_queries) = answers.split_at(tokens * value_width);

        let mut corrections = vec![0.0; tokens * value_width]; // [tokens, value_dim padded]
        let mut weights = vec![0.0; tokens * width]; //           [tokens, tokens padded]
        for t in 0..tokens {
            let (before, rest) = corrections.split_at_mut(t * value_width);
            let correction = &mut rest[..value_width];
            let answer = &of_keys[t * value_width..];
            let shrunk = total[t].exp();
            for ((d, v), answer) in correction.iter_mut().zip(head.values[t]).zip(answer) {
                *d = v - shrunk * answer;
            }
            for (s, earlier) in before.chunks_exact(value_width).enumerate() {
                let factor = decay(s, t) * self.products[t * width + s];
                for (d, earlier) in correction.iter_mut().zip(earlier) {
                    *d -= factor * earlier;
                }
            }
            correction.iter_mut().for_each(|d| *d *= head.beta[t]);
            for s in 0..=t {
                let product = self.products[(tokens + t) * width + s];
                weights[t * width + s] = decay(s, t) * product;
            }
        }

        let mut sums = vec![0.0; tokens * value_width]; // [tokens, value_dim padded]
        self.multiply(&weights, width, &corrections, value_width, &mut sums);
        for (t, out) in out.iter_mut().enumerate() {
            let (sums, answers) = (&sums[t * value_width..], &of_queries[t * value_width..]);
            let shrunk = total[t].exp();
            for ((out, sum), answer) in out.iter_mut().zip(sums).zip(answers) {
                *out = sum + shrunk * answer;
            }
        }

        let last = tokens - 1;
        let left: Vec<f32> = (0..tokens).map(|s| decay(s, last)).collect();
        let mut shrinking = self.turned.clone(); // [key_dim, tokens padded]
        for row in shrinking.chunks_exact_mut(width) {
            for (k, left) in row.iter_mut().zip(&left) {
                *k *= left;
            }
        }
        let mut learned = vec![0.0; key_dim * value_width]; // [key_dim, value_dim padded]
        self.multiply(&shrinking, width, &corrections, value_width, &mut learned);
        let shrunk = total[last].exp();
        for (s, learned) in state.iter_mut().zip(&learned) {
            *s = shrunk * *s + learned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule in f64, token by token.
    fn exact(
        (q, k, v): (&[f32], &[f32], &[f32]),
        (log_decay, beta): (&[f32], &[f32]),
        (key_dim, value_dim): (usize, usize),
    ) -> (Vec<f64>, Vec<f64>) {
        let mut state = vec![0.0; key_dim * value_dim];
        let mut out = Vec::new();
        for (t, (g, beta)) in log_decay.iter().zip(beta).enumerate() {
            let row = |x: &[f32], n: usize| -> Vec<f64> {
                x[t * n..][..n].iter().map(|x| f64::from(*x)).collect()
            };
            let (q, k, v) = (row(q, key_dim), row(k, key_dim), row(v, value_dim));
            state.iter_mut().for_each(|s| *s *= f64::from(*g).exp());
            for j in 0..value_dim {
                let answer: f64 = (0..key_dim).map(|i| state[i * value_dim + j] * k[i]).sum();
                let d = f64::from(*beta) * (v[j] - answer);
                (0..key_dim).for_each(|i| state[i * value_dim + j] += k[i] * d);
                out.push((0..key_dim).map(|i| state[i * value_dim + j] * q[i]).sum());
            }
        }
        (out, state)
    }

    #[test]
    fn steps_and_chunks_of_any_length_give_the_rule() {
        let kernels = aeolus_quant::Cpu::select().unwrap().kernels();
        let mut state = 1_u32;
        let mut random = |n: usize, scale: f32| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
            };
            (0..n).map(|_| next()).collect()
        };
        for (key_dim, value_dim) in [(16, 16), (24, 40), (128, 128)] {
            let tokens = 150;
            let near_one = 1.7 / (key_dim as f32).sqrt();
            let (q, k) = (
                random(tokens * key_dim, near_one),
                random(tokens * key_dim, near_one),
            );
            let v = random(tokens * value_dim, 1.0);
            // From almost nothing kept to almost everything.
            let log_decay: Vec<f32> = random(tokens, 1.0)
                .iter()
                .map(|x| -(4.0 * x).exp())
                .collect();
            let beta: Vec<f32> = random(tokens, 0.5).iter().map(|x| x + 0.5).collect();
            let dims = (key_dim, value_dim);
            let (expected, left) = exact((&q, &k, &v), (&log_decay, &beta), dims);
            let width = padded(value_dim);
            for piece in [1, 2, 31, CHUNK, 100] {
                let mut state = vec![0.0; key_dim * width];
                let mut out = vec![f32::NAN; tokens * value_dim];
                let mut rows: Vec<&mut [f32]> = out.chunks_exact_mut(value_dim).collect();
                for first in (0..tokens).step_by(piece) {
                    let range = first..(first + piece).min(tokens);
                    if piece == 1 {
                        let row = |x, n| -> &[f32] { &<&[f32]>::clone(x)[first * n..][..n] };
                        let token = (row(&&*q, key_dim), row(&&*k, key_dim), row(&&*v, value_dim));
                        let factors = (log_decay[first].exp(), beta[first]);
                        step(&mut state, token, factors, rows[first]);
                        continue;
                    }
                    let head = Head {
                        values: v[first * value_dim..range.end * value_dim]
                            .chunks_exact(value_dim)
                            .collect(),
                        log_decay: log_decay[range.clone()].to_vec(),
                        beta: beta[range.clone()].to_vec(),
                    };
                    let chunk = Chunk::new(kernels, (&q, &k), range.clone(), key_dim);
                    chunk.apply(&head, &mut state, &mut rows[range]);
                }
                let worst = |found: &[f32], exact: &[f64]| {
                    let differences = found
                        .iter()
                        .zip(exact)
                        .map(|(a, b)| (f64::from(*a) - b).abs());
                    differences.fold(0.0, f64::max)
                };
                let rows: Vec<f32> = state
                    .chunks(width)
                    .flat_map(|r| r[..value_dim].to_vec())
                    .collect();
                assert!(out.iter().all(|x| x.is_finite()), "{dims:?} {piece}");
                assert!(
                    worst(&out, &expected) < 2e-5,
                    "{dims:?} {piece}: {}",
                    worst(&out, &expected)
                );
                assert!(
                    worst(&rows, &left) < 2e-5,
                    "{dims:?} {piece}: {}",
                    worst(&rows, &left)
                );
            }
        }
    }
}
