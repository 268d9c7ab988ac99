//! The gated delta net: linear attention with a state that forgets (Qwen3-Next, Qwen 3.5).
//!
//! Queries, keys and values pass a short convolution. Each key head serves one or more value heads, and
//! each of these carries a state from token to token by the [gated delta rule](rule). What a head gives
//! is normed and gated.

mod rule;

use rayon::prelude::*;

use aeolus_arch::{DeltaOrder, Field};
use aeolus_quant::dot::Kernels;

use super::convolution::{Convolution, Tail};
use super::hyper::Hyperparameters;
use super::layer_shape::{LayerShape, padded};
use super::linear::Linear;
use super::math::{activate, multiply, sigmoid, sum_of};
use super::norm::Norm;
use super::pass::Pass;
use super::reader::Reader;
use crate::error::Result;
use crate::matmul::column_blocks;
use aeolus_arch::{Activation, NormKind};
use rule::{CHUNK, Chunk, Head};

/// Up to this many tokens are taken one by one.
const FEW: usize = 8;

/// The heads of one layer's delta net.
#[derive(Clone, Copy, Debug)]
struct Heads {
    /// Key heads.
    keys: usize,
    /// Value heads.
    values: usize,
    key_dim: usize,
    value_dim: usize,
    order: DeltaOrder,
}

/// The weights of one layer's delta net.
#[derive(Debug)]
pub(super) struct DeltaNet {
    heads: Heads,
    qkv: Linear,  // [2 * keys * key_dim + values * value_dim, hidden]
    gate: Linear, // [values * value_dim, hidden]
    steps: Steps,
    convolution: Convolution, // channels: rows of `qkv`
    width: usize,
    decay: Vec<f32>,     // [values]: what a step is multiplied with, below 0
    step_bias: Vec<f32>, // [values]
    norm: Norm,          // [value_dim]
    output: Linear,      // [hidden, values * value_dim]
}

/// Where each value head's step (how far the state decays) and beta (how much is corrected) come from.
#[derive(Debug)]
enum Steps {
    /// Matrices of their own, `[values, hidden]`.
    Apart { beta: Linear, alpha: Linear },
    /// One matrix `[2 * values, hidden]` with the betas and then the steps of each key head.
    ByKeyHead(Linear),
}

/// What one layer carries along.
#[derive(Clone, Debug)]
pub(super) struct DeltaMemory {
    tail: Tail,
    state: Vec<f32>, // [values, key_dim, value_dim padded]
}

impl DeltaMemory {
    /// Nothing has been seen.
    pub(super) fn new(width: usize, channels: usize, state: usize) -> Self {
        Self {
            tail: Tail::new(width, channels),
            state: vec![0.0; state],
        }
    }

    pub(super) fn clear(&mut self) {
        self.tail.clear();
        self.state.fill(0.0);
    }
}

impl Heads {
    fn of(hyper: &Hyperparameters) -> Self {
        let size = |field| hyper.numbers.count(field).unwrap_or(0) as usize;
        let values = size(Field::DeltaHeads);
        Self {
            keys: size(Field::DeltaKeyHeads),
            values,
            key_dim: size(Field::DeltaKeyDim),
            value_dim: size(Field::DeltaValues) / values,
            order: hyper.graph.delta_order,
        }
    }

    /// Rows of all keys, and of all queries.
    fn key_rows(&self) -> usize {
        self.keys * self.key_dim
    }

    /// Rows of all values.
    fn value_rows(&self) -> usize {
        self.values * self.value_dim
    }

    /// The key head of a value head.
    fn key_head(&self, value_head: usize) -> usize {
        match self.order {
            DeltaOrder::Dealt => value_head % self.keys,
            DeltaOrder::Grouped => value_head / (self.values / self.keys),
        }
    }

    /// Numbers of one value head's state.
    fn state(&self) -> usize {
        self.key_dim * padded(self.value_dim)
    }
}

impl DeltaNet {
    /// That of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let linear = |part: &str| file.linear(&name(part));
        let heads = Heads::of(hyper);
        let qkv = linear("attn_qkv")?;
        let weight = file.vector(&name("ssm_conv1d.weight"))?;
        let width = weight.len() / qkv.matrix.rows();
        Ok(Self {
            heads,
            qkv,
            gate: linear("attn_gate")?,
            steps: match file.has(&name("ssm_ba.weight")) {
                true => Steps::ByKeyHead(linear("ssm_ba")?),
                false => Steps::Apart {
                    beta: linear("ssm_beta")?,
                    alpha: linear("ssm_alpha")?,
                },
            },
            convolution: Convolution::new(&weight, width),
            width,
            decay: file.vector(&name("ssm_a"))?,
            step_bias: file.vector(&name("ssm_dt.bias"))?,
            norm: file.norm(&name("ssm_norm"))?,
            output: linear("ssm_out")?,
        })
    }

    /// The matrices that every token is multiplied with.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let steps = match &self.steps {
            Steps::Apart { beta, alpha } => vec![beta, alpha],
            Steps::ByKeyHead(both) => vec![both],
        };
        let own = [&self.qkv, &self.gate, &self.output];
        own.into_iter().chain(steps)
    }

    /// What it remembers.
    pub(super) fn memory(&self) -> LayerShape {
        LayerShape::Delta {
            width: self.width,
            channels: self.qkv.matrix.rows(),
            state: self.heads.values * self.heads.state(),
        }
    }

    /// Projects, convolves, carries the states through all tokens, norms, gates, projects back; `x` and
    /// `out` are `[tokens, hidden]`.
    pub(super) fn mix(
        &self,
        pass: &Pass<'_>,
        x: &[f32],
        memory: &mut DeltaMemory,
        out: &mut [f32],
    ) -> Result<()> {
        let (compute, n, hyper) = (pass.compute, pass.tokens, pass.hyper);
        let heads = &self.heads;
        let channels = self.qkv.matrix.rows();
        let value_rows = heads.value_rows();
        let mut qkv = vec![0.0; n * channels]; //        [n, channels]
        let mut convolved = vec![0.0; n * channels]; //  [n, channels]
        let mut gate = vec![0.0; n * value_rows]; //     [n, values, value_dim]
        let mut mixed = vec![0.0; n * value_rows]; //    [n, values, value_dim]
        let mut betas = vec![0.0; n * heads.values]; //  [n, values]
        let mut steps = vec![0.0; n * heads.values]; //  [n, values]

        let input = compute.input(x, hyper.hidden);
        match &self.steps {
            Steps::Apart { beta, alpha } => compute.multiply(
                &input,
                &mut [
                    (&self.qkv.matrix, &mut qkv),
                    (&self.gate.matrix, &mut gate),
                    (&beta.matrix, &mut betas),
                    (&alpha.matrix, &mut steps),
                ],
            )?,
            Steps::ByKeyHead(both) => {
                let mut pairs = vec![0.0; n * 2 * heads.values]; // [n, keys, 2, values / keys]
                compute.multiply(
                    &input,
                    &mut [
                        (&self.qkv.matrix, &mut qkv),
                        (&self.gate.matrix, &mut gate),
                        (&both.matrix, &mut pairs),
                    ],
                )?;
                let each = heads.values / heads.keys;
                let pairs = pairs.chunks_exact(2 * each);
                let apart = betas
                    .chunks_exact_mut(each)
                    .zip(steps.chunks_exact_mut(each));
                for (pair, (beta, step)) in pairs.zip(apart) {
                    beta.copy_from_slice(&pair[..each]);
                    step.copy_from_slice(&pair[each..]);
                }
            }
        }
        self.convolution
            .apply(compute, &qkv, &mut memory.tail, &mut convolved);
        compute.for_rows(&mut convolved, channels, |_, x| {
            activate(x, Activation::Silu);
        });
        for (betas, steps) in betas
            .chunks_exact_mut(heads.values)
            .zip(steps.chunks_exact_mut(heads.values))
        {
            for beta in betas.iter_mut() {
                *beta = sigmoid(*beta);
            }
            for ((step, bias), decay) in steps.iter_mut().zip(&self.step_bias).zip(&self.decay) {
                *step = decay * softplus(*step + bias);
            }
        }

        let tokens = Tokens {
            heads,
            kernels: compute.kernels,
            eps: hyper.norm_eps,
            convolved: &convolved,
            betas: &betas,
            log_decays: &steps,
        };
        let mut groups: Vec<Vec<ValueHead<'_>>> = (0..heads.keys).map(|_| Vec::new()).collect();
        let states = memory.state.chunks_exact_mut(heads.state());
        let outputs = column_blocks(&mut mixed, value_rows, heads.value_dim);
        for (number, (state, outputs)) in states.zip(outputs).enumerate() {
            groups[heads.key_head(number)].push(ValueHead {
                number,
                state,
                outputs,
            });
        }
        let run = |(key_head, group): (usize, Vec<ValueHead<'_>>)| tokens.run(key_head, group);
        match compute.parallel {
            true => groups
                .into_par_iter()
                .with_max_len(1)
                .enumerate()
                .for_each(run),
            false => groups.into_iter().enumerate().for_each(run),
        }

        compute.for_rows(&mut gate, value_rows, |_, gate| {
            activate(gate, Activation::Silu);
        });
        compute.for_rows(&mut mixed, value_rows, |t, mixed| {
            self.norm.apply(NormKind::Rms, hyper.norm_eps, mixed);
            multiply(mixed, &gate[t * value_rows..][..value_rows]);
        });
        compute.multiply(
            &compute.input(&mixed, value_rows),
            &mut [(&self.output.matrix, out)],
        )
    }
}

/// What all heads of a pass read.
struct Tokens<'a> {
    heads: &'a Heads,
    kernels: &'a Kernels,
    eps: f32,
    convolved: &'a [f32],  // [tokens, queries, keys and values]
    betas: &'a [f32],      // [tokens, values]
    log_decays: &'a [f32], // [tokens, values]
}

/// What one value head changes.
struct ValueHead<'a> {
    number: usize,
    state: &'a mut [f32],
    /// For each token, `[value_dim]`.
    outputs: Vec<&'a mut [f32]>,
}

impl Tokens<'_> {
    /// All tokens of the value heads of one key head.
    fn run(&self, key_head: usize, mut group: Vec<ValueHead<'_>>) {
        let Heads {
            values,
            key_dim,
            value_dim,
            ..
        } = *self.heads;
        let key_rows = self.heads.key_rows();
        let row = 2 * key_rows + self.heads.value_rows();
        let count = self.convolved.len() / row;
        let unit = |start: usize| -> Vec<f32> {
            let rows = self.convolved.chunks_exact(row);
            let mut all: Vec<f32> = Vec::with_capacity(count * key_dim);
            rows.for_each(|row| all.extend(&row[start + key_head * key_dim..][..key_dim]));
            for x in all.chunks_exact_mut(key_dim) {
                let scale = 1.0 / (sum_of(x, |x| x * x) + self.eps).sqrt();
                x.iter_mut().for_each(|x| *x *= scale);
            }
            all
        };
        let (mut q, k) = (unit(0), unit(key_rows));
        let scale = 1.0 / (key_dim as f32).sqrt();
        q.iter_mut().for_each(|q| *q *= scale);
        let value = |t: usize, head: usize| {
            &self.convolved[t * row + 2 * key_rows + head * value_dim..][..value_dim]
        };
        if count <= FEW {
            for head in &mut group {
                for (t, out) in head.outputs.iter_mut().enumerate() {
                    let part = t * key_dim..(t + 1) * key_dim;
                    let at = t * values + head.number;
                    let token = (&q[part.clone()], &k[part], value(t, head.number));
                    let factors = (self.log_decays[at].exp(), self.betas[at]);
                    rule::step(head.state, token, factors, out);
                }
            }
            return;
        }
        for first in (0..count).step_by(CHUNK) {
            let tokens = first..(first + CHUNK).min(count);
            let chunk = Chunk::new(self.kernels, (&q, &k), tokens.clone(), key_dim);
            for head in &mut group {
                let of = |all: &[f32]| -> Vec<f32> {
                    tokens
                        .clone()
                        .map(|t| all[t * values + head.number])
                        .collect()
                };
                let inputs = Head {
                    values: tokens.clone().map(|t| value(t, head.number)).collect(),
                    log_decay: of(self.log_decays),
                    beta: of(self.betas),
                };
                chunk.apply(&inputs, head.state, &mut head.outputs[tokens.clone()]);
            }
        }
    }
}

/// `ln(1 + e^x)`, which is x where e^x is large.
fn softplus(x: f32) -> f32 {
    match x > 20.0 {
        true => x,
        false => x.exp().ln_1p(),
    }
}
