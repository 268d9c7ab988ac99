//! Attention: new positions look at all positions they may see, by queries, keys and values.

use aeolus_quant::dot::{Matmul, PANEL};
use rayon::prelude::*;

use super::cache::KvCache;
use super::hyper::Hyperparameters;
use super::layer_shape::{LayerShape, padded};
use super::linear::Linear;
use super::math::{scale, sigmoid, softcap};
use super::norm::Norm;
use super::pass::Pass;
use super::reader::Reader;
use super::rope::rotate;
use crate::error::Result;
use crate::matmul::{Compute, column_blocks};

/// Queries (tokens times heads of a group) that share a pass over keys and values: four rounds
/// of the kernel's twelve rows.
const QUERIES: usize = 48;

/// The weights of one layer's attention. A norm that is not there changes nothing.
#[derive(Debug)]
pub(super) struct Attention {
    q: Linear, // [heads * head_dim, hidden], or twice the rows: each head's and its gate's
    k: Option<Linear>, // [kv_heads * head_dim, hidden]; none where another layer's keys are read
    v: Option<Linear>, // [kv_heads * head_dim, hidden]; none where keys serve as values
    q_norm: Option<Norm>, // [head_dim]
    k_norm: Option<Norm>, // [head_dim]
    v_norm: Option<Norm>, // [head_dim]
    output: Linear, // [hidden, heads * head_dim]
    /// A score of each head that takes part in the softmax and stands for no position.
    sinks: Option<Vec<f32>>, // [heads]
}

impl Attention {
    /// That of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let linear = |part: &str| file.linear(&name(part));
        let optional = |part: &str| {
            let there = file.has(&name(&format!("{part}.weight")));
            there.then(|| linear(part)).transpose()
        };
        let sizes = hyper.layer(layer);
        let head_dim = sizes.head_dim as usize;
        let (q, k, v) = match linear("attn_qkv") {
            Ok(whole) if !sizes.owns_keys => (whole, None, None),
            // Its rows are those of the three.
            Ok(whole) => {
                let (all, kv) = (whole.matrix.rows(), sizes.kv_heads as usize * head_dim);
                let [q, k, v] = [0..all - 2 * kv, all - 2 * kv..all - kv, all - kv..all];
                (whole.part(q), Some(whole.part(k)), Some(whole.part(v)))
            }
            Err(_) => (linear("attn_q")?, optional("attn_k")?, optional("attn_v")?),
        };
        let ones = || Norm {
            weight: vec![1.0; head_dim],
            bias: None,
        };
        Ok(Self {
            q,
            k,
            v,
            q_norm: file.optional_norm(&name("attn_q_norm"))?,
            k_norm: file.optional_norm(&name("attn_k_norm"))?,
            v_norm: hyper.graph.value_norm.then(ones),
            output: linear("attn_output")?,
            sinks: file.optional_vector(&name("attn_sinks.weight"))?,
        })
    }

    /// The matrices that every token is multiplied with.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let always = [&self.q, &self.output].into_iter();
        always.chain(&self.k).chain(&self.v)
    }

    /// What it remembers.
    pub(super) fn memory(hyper: &Hyperparameters, layer: usize) -> LayerShape {
        let sizes = hyper.layer(layer);
        match sizes.owns_keys {
            true => LayerShape::KeysValues {
                heads: sizes.kv_heads as usize,
                key_dim: sizes.head_dim as usize,
                value_dim: sizes.head_dim as usize,
            },
            false => LayerShape::Of(hyper.numbers.keys_of(layer as u32) as usize),
        }
    }

    /// `out = output(attend(q, k, v))`, both `x` and `out` being `[tokens, hidden]`: project, norm heads,
    /// rotate, remember, attend, gate where there are gates, project back. `caches` are those that layer
    /// number `layer` reads, one for each window.
    pub(super) fn mix(
        &self,
        pass: &Pass<'_>,
        layer: usize,
        x: &[f32],
        caches: &mut [&mut KvCache],
        out: &mut [f32],
    ) -> Result<()> {
        let (compute, hyper) = (pass.compute, pass.hyper);
        let sizes = hyper.layer(layer);
        let (kv_heads, head_dim) = (sizes.kv_heads as usize, sizes.head_dim as usize);
        let (n, q_dim, kv_dim) = (pass.tokens, hyper.heads * head_dim, kv_heads * head_dim);
        let q_rows = self.q.matrix.rows();
        let mut q = pass.buffers.take(n * q_rows); //        [n, heads, head_dim]
        let mut k = pass.buffers.take(n * kv_dim); //        [n, kv_heads, head_dim]
        let mut v = pass.buffers.take(n * kv_dim); //        [n, kv_heads, head_dim]
        let mut attended = pass.buffers.take(n * q_dim); //  [n, heads, head_dim]

        let mut products = vec![(&self.q.matrix, &mut q[..])];
        products.extend(self.k.as_ref().map(|k_proj| (&k_proj.matrix, &mut k[..])));
        products.extend(self.v.as_ref().map(|v_proj| (&v_proj.matrix, &mut v[..])));
        compute.multiply(&compute.input(x, hyper.hidden), &mut products)?;
        self.q.add_bias(compute, &mut q);
        let gate = (q_rows > q_dim).then(|| take_gates(&mut q, head_dim));
        let q = &mut q[..n * q_dim];

        let place = Placing {
            pass,
            layer,
            head_dim,
        };
        compute.for_rows(q, q_dim, |t, q| {
            place.apply(t, q, &self.q_norm);
            if let Some(temperature) = hyper.temperature {
                scale(q, temperature.at(pass.position(t)));
            }
        });
        if let Some(k_proj) = &self.k {
            k_proj.add_bias(compute, &mut k);
            match &self.v {
                Some(v_proj) => v_proj.add_bias(compute, &mut v),
                None => v.copy_from_slice(&k),
            }
            compute.for_rows(&mut k, kv_dim, |t, k| place.apply(t, k, &self.k_norm));
            if let Some(norm) = &self.v_norm {
                compute.for_rows(&mut v, kv_dim, |_, v| {
                    norm.apply(hyper.graph.norm, hyper.norm_eps, v);
                });
            }
            for (t, (k, v)) in k
                .chunks_exact(kv_dim)
                .zip(v.chunks_exact(kv_dim))
                .enumerate()
            {
                caches[t / pass.window].write(pass.position(t), k, v);
            }
        }
        let heads = Heads {
            count: hyper.heads,
            kv_count: kv_heads,
            key_dim: head_dim,
            value_dim: head_dim,
            scale: hyper.query_scale,
            softcap: hyper.attention_softcap,
            window: hyper.window(layer),
            sinks: self.sinks.as_deref(),
        };
        let windows = q.chunks_exact(pass.window * q_dim);
        let windows = windows.zip(attended.chunks_exact_mut(pass.window * q_dim));
        for ((q, attended), cache) in windows.zip(caches) {
            attend(compute, &heads, cache, pass.first, q, attended);
        }
        if let Some(gate) = gate {
            compute.for_rows(&mut attended, q_dim, |t, attended| {
                for (x, gate) in attended.iter_mut().zip(&gate[t * q_dim..]) {
                    *x *= sigmoid(*gate);
                }
            });
        }
        compute.multiply(
            &compute.input(&attended, q_dim),
            &mut [(&self.output.matrix, out)],
        )?;
        self.output.add_bias(compute, out);
        Ok(())
    }
}

/// Takes the gates out of queries `[tokens, heads, 2, head_dim]`: both become
/// `[tokens, heads, head_dim]`, the queries in the first half of `q`.
fn take_gates(q: &mut [f32], head_dim: usize) -> Vec<f32> {
    let mut gates = Vec::with_capacity(q.len() / 2);
    for head in 0..q.len() / (2 * head_dim) {
        let start = 2 * head * head_dim;
        gates.extend_from_slice(&q[start + head_dim..start + 2 * head_dim]);
        q.copy_within(start..start + head_dim, head * head_dim);
    }
    gates
}

/// How queries and keys of a layer are put in their place.
struct Placing<'a> {
    pass: &'a Pass<'a>,
    layer: usize,
    head_dim: usize,
}

impl Placing<'_> {
    /// Norms the heads of a token of the pass and rotates them by its position.
    fn apply(&self, token: usize, heads: &mut [f32], norm: &Option<Norm>) {
        let hyper = self.pass.hyper;
        if let Some(norm) = norm {
            norm.apply(hyper.graph.norm, hyper.norm_eps, heads);
        }
        if hyper.graph.rotary_layers.contains(self.layer) {
            let place = self.pass.place(token);
            let turns = self.pass.turns.row(hyper.is_local(self.layer), place);
            rotate(heads, self.head_dim, hyper.graph.rotary_pairs, turns);
        }
    }
}

/// The heads of one layer's attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads<'a> {
    /// Query heads.
    pub(super) count: usize,
    /// Key and value heads; each serves `count / kv_count` query heads.
    pub(super) kv_count: usize,
    /// Numbers of a query or key.
    pub(super) key_dim: usize,
    /// Numbers of a value, and of what a head gives.
    pub(super) value_dim: usize,
    /// What products of queries and keys are multiplied with.
    pub(super) scale: f32,
    /// `c` in `c * tanh(x / c)`, which bounds the scores.
    pub(super) softcap: Option<f32>,
    /// Positions that a token sees, itself included.
    pub(super) window: usize,
    /// Scores that take part in the softmax and stand for no position, `[count]`.
    pub(super) sinks: Option<&'a [f32]>,
}

/// One head group's share: some tokens.
struct Task<'a> {
    kv_head: usize,
    /// Number of the first token within the batch.
    first_token: usize,
    /// For each token, the outputs of this group's heads, `[group, value_dim]`.
    outputs: Vec<&'a mut [f32]>,
}

/// `out[t] = softmax(q[t] · keys * scale) · values` for every head, the scores bounded by the softcap
/// where there is one.
///
/// `q` is `[tokens, heads, key_dim]`, `out` `[tokens, heads, value_dim]`; the keys and values of all
/// tokens are in the cache already, the first token at position `first`.
pub(super) fn attend(
    compute: Compute,
    heads: &Heads<'_>,
    cache: &KvCache,
    first: usize,
    q: &[f32],
    out: &mut [f32],
) {
    let group = heads.count / heads.kv_count;
    let tokens_of_a_task = (QUERIES / group).max(1);
    let mut tasks = Vec::new();
    let row = heads.count * heads.value_dim;
    for (block, out) in out.chunks_mut(tokens_of_a_task * row).enumerate() {
        let columns = column_blocks(out, row, group * heads.value_dim);
        for (kv_head, outputs) in columns.into_iter().enumerate() {
            let first_token = block * tokens_of_a_task;
            tasks.push(Task {
                kv_head,
                first_token,
                outputs,
            });
        }
    }
    let run = |task| attend_group(compute, heads, cache, first, q, task);
    if compute.parallel {
        tasks.into_par_iter().with_max_len(1).for_each(run);
    } else {
        tasks.into_iter().for_each(run);
    }
}

fn attend_group(
    compute: Compute,
    heads: &Heads<'_>,
    cache: &KvCache,
    first: usize,
    q: &[f32],
    mut task: Task<'_>,
) {
    let Heads {
        key_dim, value_dim, ..
    } = *heads;
    let group = heads.count / heads.kv_count;
    let tokens = task.outputs.len();
    let queries = tokens * group;

    // q of this group, scaled: [tokens * group, key_dim]
    let mut scaled = Vec::with_capacity(queries * key_dim);
    for token in task.first_token..task.first_token + tokens {
        let start = (token * heads.count + task.kv_head * group) * key_dim;
        let q = &q[start..start + group * key_dim];
        scaled.extend(q.iter().map(|q| q * heads.scale));
    }

    // Positions that any of the tokens sees, and the panels of 32 that hold them.
    let visible = |token: usize| {
        let position = first + task.first_token + token;
        (position + 1).saturating_sub(heads.window)..position + 1
    };
    let (start, end) = (visible(0).start, visible(tokens - 1).end);
    let first_panel = start / PANEL * PANEL;
    let width = end.next_multiple_of(PANEL) - first_panel;

    // scores: [queries, positions from first_panel on]
    let mut scores = vec![0.0; queries * width];
    for position in (first_panel..end).step_by(PANEL) {
        let operands = Matmul {
            x: &scaled,
            x_stride: key_dim,
            rows: queries,
            depth: key_dim,
            y: &mut scores[position - first_panel..],
            y_stride: width,
        };
        cache.scores(compute.kernels, (task.kv_head, position), operands);
    }
    for (query, scores) in scores.chunks_exact_mut(width).enumerate() {
        let seen = visible(query / group);
        let (before, rest) = scores.split_at_mut(seen.start - first_panel);
        let (seen, after) = rest.split_at_mut(seen.end - seen.start);
        before.fill(0.0);
        if let Some(cap) = heads.softcap {
            softcap(seen, cap);
        }
        let sink = heads
            .sinks
            .map(|sinks| sinks[task.kv_head * group + query % group]);
        compute
            .kernels
            .softmax(seen, sink.unwrap_or(f32::NEG_INFINITY));
        after.fill(0.0);
    }

    // sums of values: [queries, value_dim padded]
    let row = padded(value_dim);
    let mut sums = vec![0.0; queries * row];
    for first_dim in (0..row).step_by(PANEL) {
        let operands = Matmul {
            x: &scores[start - first_panel..],
            x_stride: width,
            rows: queries,
            depth: end - start,
            y: &mut sums[first_dim..],
            y_stride: row,
        };
        cache.weighted_values(compute.kernels, (task.kv_head, start), first_dim, operands);
    }
    let outputs = task.outputs.iter_mut();
    let outputs = outputs.flat_map(|out| out.chunks_exact_mut(value_dim));
    for (out, sums) in outputs.zip(sums.chunks_exact(row)) {
        out.copy_from_slice(&sums[..value_dim]);
    }
}
