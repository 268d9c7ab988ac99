//! A small vector of each token for every layer, added behind the layer's block (Gemma 4's E models).
//!
//! It comes from a table of its own and from a projection of the token's embedding:
//! `(norm(projection(x) / sqrt(hidden)) + table[token] * sqrt(dim)) / sqrt(2)`, x being the scaled
//! embedding. A layer lets it through by a gate, projects it, norms that and adds it.

use super::hyper::Hyperparameters;
use super::linear::Linear;
use super::math::{activate, add, multiply, scale};
use super::norm::Norm;
use super::pass::Pass;
use super::reader::Reader;
use crate::error::Result;
use crate::matmul::Matrix;
use aeolus_arch::Field;

/// Where the vectors of all layers come from.
#[derive(Debug)]
pub(super) struct LayerInputs {
    table: Matrix,      // [vocab, layers * dim]
    projection: Linear, // [layers * dim, hidden]
    norm: Norm,         // [dim]
    dim: usize,
}

/// What one layer does with its vector.
#[derive(Debug)]
pub(super) struct LayerInput {
    gate: Linear,       // [dim, hidden]
    projection: Linear, // [hidden, dim]
    norm: Norm,         // [hidden]
}

impl LayerInputs {
    /// Those of a file, if it has any.
    pub(super) fn read(file: &Reader<'_>, hyper: &Hyperparameters) -> Result<Option<Self>> {
        let dim = hyper.numbers.count(Field::LayerInput).unwrap_or(0) as usize;
        if dim == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            table: file.matrix("per_layer_token_embd.weight")?,
            projection: file.linear("per_layer_model_proj")?,
            norm: file.norm("per_layer_proj_norm")?,
            dim,
        }))
    }

    /// The vectors of some tokens, `[tokens, layers, dim]`; `x` are their scaled embeddings,
    /// `[tokens, hidden]`.
    pub(super) fn of(&self, pass: &Pass<'_>, tokens: &[u32], x: &[f32]) -> Result<Vec<f32>> {
        let (compute, hyper) = (pass.compute, pass.hyper);
        let width = self.table.cols();
        let mut all = vec![0.0; tokens.len() * width];
        compute.multiply(
            &compute.input(x, hyper.hidden),
            &mut [(&self.projection.matrix, &mut all)],
        )?;
        let mut row = vec![0.0; width];
        for (&token, all) in tokens.iter().zip(all.chunks_exact_mut(width)) {
            scale(all, 1.0 / (hyper.hidden as f32).sqrt());
            self.norm.apply(hyper.graph.norm, hyper.norm_eps, all);
            self.table.decode(token as usize, 0..width, &mut row)?;
            scale(&mut row, (self.dim as f32).sqrt());
            add(all, &row);
            scale(all, std::f32::consts::FRAC_1_SQRT_2);
        }
        Ok(all)
    }
}

impl LayerInput {
    /// That of a layer, if it has one.
    pub(super) fn read(file: &Reader<'_>, layer: usize) -> Result<Option<Self>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        if !file.has(&name("inp_gate.weight")) {
            return Ok(None);
        }
        Ok(Some(Self {
            gate: file.linear(&name("inp_gate"))?,
            projection: file.linear(&name("proj"))?,
            norm: file.norm(&name("post_norm"))?,
        }))
    }

    /// The matrices that every token is multiplied with.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.gate, &self.projection].into_iter()
    }

    /// `x += norm(projection(activation(gate x) * input))`; `x` is `[tokens, hidden]`, `inputs` are those
    /// of all layers.
    pub(super) fn add(
        &self,
        pass: &Pass<'_>,
        layer: usize,
        inputs: &[f32],
        x: &mut [f32],
    ) -> Result<()> {
        let (compute, hyper) = (pass.compute, pass.hyper);
        let (dim, hidden) = (self.gate.matrix.rows(), hyper.hidden);
        let mut gated = vec![0.0; pass.tokens * dim]; //     [n, dim]
        let mut step = vec![0.0; pass.tokens * hidden]; //  [n, hidden]
        compute.multiply(
            &compute.input(x, hidden),
            &mut [(&self.gate.matrix, &mut gated)],
        )?;
        let width = dim * hyper.layers;
        compute.for_rows(&mut gated, dim, |t, gated| {
            activate(gated, hyper.graph.activation);
            multiply(gated, &inputs[t * width + layer * dim..][..dim]);
        });
        compute.multiply(
            &compute.input(&gated, dim),
            &mut [(&self.projection.matrix, &mut step)],
        )?;
        compute.for_rows(&mut step, hidden, |_, step| {
            self.norm.apply(hyper.graph.norm, hyper.norm_eps, step);
        });
        add(x, &step);
        Ok(())
    }
}
