//! Attention of one window and its derivative, head by head.
//!
//! `P = softmax(Q K^T * scale)` over what each position sees, `O = P V`. With `dO` given,
//! `dV = P^T dO`, `dP = dO V^T`, `dS = P * (dP - sum(P * dP))`, `dQ = dS K * scale`, `dK = dS^T Q * scale`.

use crate::panels::Panels;
use crate::products::product;
use aeolus_infer::math::softmax;
use aeolus_quant::Cpu;
use rayon::prelude::*;

/// The heads of one layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) count: usize,
    pub(super) kv_count: usize,
    pub(super) dim: usize,
    /// What products of queries and keys are multiplied with.
    pub(super) scale: f32,
    /// Positions that a token sees, itself included.
    pub(super) window: usize,
    /// Tokens of a window of the text.
    pub(super) tokens: usize,
}

/// Gradients at queries, keys and values.
pub(super) struct Gradients {
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
}

/// One head of `[tokens, heads, dim]`.
fn head(x: &[f32], heads: usize, dim: usize, head: usize) -> Vec<f32> {
    let rows = x.chunks_exact(heads * dim);
    rows.flat_map(|row| &row[head * dim..][..dim])
        .copied()
        .collect()
}

fn put_head(x: &mut [f32], from: &[f32], heads: usize, dim: usize, head: usize) {
    for (row, from) in x.chunks_exact_mut(heads * dim).zip(from.chunks_exact(dim)) {
        row[head * dim..][..dim].copy_from_slice(from);
    }
}

impl Heads {
    /// `[n, n]` weights of the positions for queries `q` and the panels of keys, both `[n, dim]`.
    fn weights(&self, cpu: Cpu, q: &[f32], keys: &Panels) -> Vec<f32> {
        let n = self.tokens;
        let mut p = product(cpu, q, keys, n);
        for (t, p) in p.chunks_exact_mut(n).enumerate() {
            let start = (t + 1).saturating_sub(self.window);
            p.iter_mut().for_each(|p| *p *= self.scale);
            softmax(&mut p[start..=t]);
            p[..start].fill(0.0);
            p[t + 1..].fill(0.0);
        }
        p
    }

    /// Calls `work` for each window and key head, on all threads, and gives the results in order.
    fn each<T: Send>(&self, q: &[f32], work: impl Fn(usize, usize) -> T + Sync + Send) -> Vec<T> {
        let windows = q.len() / (self.tokens * self.count * self.dim);
        let tasks = (0..windows * self.kv_count).into_par_iter();
        tasks
            .map(|task| work(task / self.kv_count, task % self.kv_count))
            .collect()
    }

    fn of_window<'a>(&self, x: &'a [f32], heads: usize, window: usize) -> &'a [f32] {
        let len = self.tokens * heads * self.dim;
        &x[window * len..][..len]
    }

    /// `out`, `[windows, tokens, heads, dim]`, of queries of the same shape and of keys and values
    /// `[windows, tokens, kv_heads, dim]`.
    pub(super) fn attend(&self, cpu: Cpu, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let Self {
            count,
            kv_count,
            dim,
            ..
        } = *self;
        let group = count / kv_count;
        let parts = self.each(q, |window, kv| {
            let [k, v] =
                [k, v].map(|x| head(self.of_window(x, kv_count, window), kv_count, dim, kv));
            let (keys, values) = (Panels::of_columns(&k, dim), Panels::of_rows(&v, dim));
            let queries = self.of_window(q, count, window);
            let outputs = (kv * group..(kv + 1) * group).map(|h| {
                let p = self.weights(cpu, &head(queries, count, dim, h), &keys);
                product(cpu, &p, &values, dim)
            });
            outputs.collect::<Vec<_>>()
        });
        let mut out = vec![0.0; q.len()];
        let windows = out.chunks_exact_mut(self.tokens * count * dim);
        for (out, parts) in windows.zip(parts.chunks_exact(kv_count)) {
            for (h, part) in parts.iter().flatten().enumerate() {
                put_head(out, part, count, dim, h);
            }
        }
        out
    }

    /// The gradients, from those at the output.
    pub(super) fn backward(
        &self,
        cpu: Cpu,
        (q, k, v): (&[f32], &[f32], &[f32]),
        d_out: &[f32],
    ) -> Gradients {
        let Self {
            count,
            kv_count,
            dim,
            tokens: n,
            ..
        } = *self;
        let group = count / kv_count;
        let parts = self.each(q, |window, kv| {
            let [k, v] =
                [k, v].map(|x| head(self.of_window(x, kv_count, window), kv_count, dim, kv));
            let (keys, key_rows) = (Panels::of_columns(&k, dim), Panels::of_rows(&k, dim));
            let values = Panels::of_columns(&v, dim);
            let (mut dk, mut dv) = (vec![0.0; n * dim], vec![0.0; n * dim]);
            let mut dq = Vec::with_capacity(group);
            for h in kv * group..(kv + 1) * group {
                let q = head(self.of_window(q, count, window), count, dim, h);
                let d_out = head(self.of_window(d_out, count, window), count, dim, h);
                let p = self.weights(cpu, &q, &keys);
                let mut ds = product(cpu, &d_out, &values, n);
                for (t, (ds, p)) in ds.chunks_exact_mut(n).zip(p.chunks_exact(n)).enumerate() {
                    let seen = (t + 1).saturating_sub(self.window)..t + 1;
                    let along: f32 = seen.clone().map(|i| p[i] * ds[i]).sum();
                    for i in 0..n {
                        ds[i] = match seen.contains(&i) {
                            true => p[i] * (ds[i] - along) * self.scale,
                            false => 0.0,
                        };
                    }
                }
                let add = |sum: &mut Vec<f32>, x: Vec<f32>| {
                    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                };
                add(
                    &mut dv,
                    product(cpu, &turned(&p, n), &Panels::of_rows(&d_out, dim), dim),
                );
                add(
                    &mut dk,
                    product(cpu, &turned(&ds, n), &Panels::of_rows(&q, dim), dim),
                );
                dq.push(product(cpu, &ds, &key_rows, dim));
            }
            (dq, dk, dv)
        });
        let zeros = |like: &[f32]| vec![0.0; like.len()];
        let mut all = Gradients {
            q: zeros(q),
            k: zeros(k),
            v: zeros(v),
        };
        for (task, (dq, dk, dv)) in parts.into_iter().enumerate() {
            let (window, kv) = (task / kv_count, task % kv_count);
            let (q_len, kv_len) = (n * count * dim, n * kv_count * dim);
            let rows = &mut all.q[window * q_len..][..q_len];
            for (h, dq) in dq.iter().enumerate() {
                put_head(rows, dq, count, dim, kv * group + h);
            }
            put_head(
                &mut all.k[window * kv_len..][..kv_len],
                &dk,
                kv_count,
                dim,
                kv,
            );
            put_head(
                &mut all.v[window * kv_len..][..kv_len],
                &dv,
                kv_count,
                dim,
                kv,
            );
        }
        all
    }
}

/// A square `[n, n]` with rows as columns.
fn turned(x: &[f32], n: usize) -> Vec<f32> {
    (0..n * n).map(|i| x[i % n * n + i / n]).collect()
}
