//! Latent attention: keys and values of all heads are made of one vector, and that vector is what is
//! remembered.
//!
//! A position's key for head `h` is `[k_b[h]^T c, r]`, its value `v_b[h] c`: `c` is its latent vector, `r`
//! a rotated part that all heads share. Instead of making keys, a query is multiplied with `k_b[h]` once:
//! its product with a key is then `(k_b[h] q) . c + q_r . r`, so that all heads look at the same short
//! keys `[c, r]` and values `c`, and `v_b[h]` is applied to what they have summed.

use super::attention::{Heads, attend};
use super::cache::KvCache;
use super::hyper::Hyperparameters;
use super::layer_shape::LayerShape;
use super::linear::Linear;
use super::math::scale;
use super::norm::Norm;
use super::pass::Pass;
use super::reader::Reader;
use super::rope::rotate;
use crate::error::Result;
use crate::matmul::Matrix;

/// The weights of one layer's latent attention.
#[derive(Debug)]
pub(super) struct LatentAttention {
    query: Query,
    kv_a: Linear,     // [latent + rotated, hidden]
    kv_norm: Norm,    // [latent]
    k_b: Vec<Matrix>, // [latent, unrotated], of each head
    v_b: Vec<Matrix>, // [value, latent], of each head
    output: Linear,   // [hidden, heads * value]
    sizes: Sizes,
}

/// How queries are made.
#[derive(Debug)]
enum Query {
    /// Of the token.
    Direct(Linear), // [heads * (unrotated + rotated), hidden]
    /// Of a latent vector of their own.
    Latent {
        a: Linear,  // [rank, hidden]
        norm: Norm, // [rank]
        b: Linear,  // [heads * (unrotated + rotated), rank]
    },
}

/// Lengths of vectors.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Of the latent vector.
    latent: usize,
    /// Of the part of a query that meets the latent vector.
    unrotated: usize,
    /// Of the rotated part of a query, and of a key.
    rotated: usize,
    /// Of what a head gives.
    value: usize,
}

impl Sizes {
    fn of(hyper: &Hyperparameters) -> Self {
        let dim = |dim| hyper.numbers.dim(dim, None) as usize;
        Self {
            latent: dim(aeolus_arch::Dim::LatentRank),
            unrotated: dim(aeolus_arch::Dim::LatentKeyPart),
            rotated: hyper.rope_dims,
            value: dim(aeolus_arch::Dim::LatentValue),
        }
    }
}

impl LatentAttention {
    /// That of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let linear = |part: &str| file.linear(&name(part));
        let query = match file.has(&name("attn_q_a.weight")) {
            true => Query::Latent {
                a: linear("attn_q_a")?,
                norm: file.norm(&name("attn_q_a_norm"))?,
                b: linear("attn_q_b")?,
            },
            false => Query::Direct(linear("attn_q")?),
        };
        let sizes = Sizes::of(hyper);
        Ok(Self {
            query,
            kv_a: linear("attn_kv_a_mqa")?,
            kv_norm: file.norm(&name("attn_kv_a_norm"))?,
            k_b: file.stack(&name("attn_k_b.weight"), sizes.latent)?,
            v_b: file.stack(&name("attn_v_b.weight"), sizes.value)?,
            output: linear("attn_output")?,
            sizes,
        })
    }

    /// The matrices that every token is multiplied with.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let query = match &self.query {
            Query::Direct(q) => vec![q],
            Query::Latent { a, b, .. } => vec![a, b],
        };
        let linears = query.into_iter().chain([&self.kv_a, &self.output]);
        let linears = linears.map(|linear| &linear.matrix);
        linears.chain(&self.k_b).chain(&self.v_b)
    }

    /// What it remembers.
    pub(super) fn memory(&self) -> LayerShape {
        LayerShape::KeysValues {
            heads: 1,
            key_dim: self.sizes.latent + self.sizes.rotated,
            value_dim: self.sizes.latent,
        }
    }

    /// `out = output(attend(q, k, v))`, both `x` and `out` being `[tokens, hidden]`. `cache` is that of
    /// this layer, number `layer`.
    pub(super) fn mix(
        &self,
        pass: &Pass<'_>,
        layer: usize,
        x: &[f32],
        cache: &mut KvCache,
        out: &mut [f32],
    ) -> Result<()> {
        let (compute, hyper, graph) = (pass.compute, pass.hyper, &pass.hyper.graph);
        let Sizes {
            latent,
            unrotated,
            rotated,
            value,
        } = self.sizes;
        let (n, heads) = (pass.tokens, hyper.heads);
        let (q_row, kv_row) = (unrotated + rotated, latent + rotated);
        let turn = |t: usize, part: &mut [f32]| {
            let turns = pass.turns.row(hyper.is_local(layer), t);
            rotate(part, rotated, graph.rotary_pairs, turns);
        };

        // Queries, and what is remembered of each token: project, norm, rotate.
        let mut q = vec![0.0; n * heads * q_row]; //  [n, heads, unrotated + rotated]
        let mut kv = vec![0.0; n * kv_row]; //        [n, latent + rotated]
        let input = compute.input(x, hyper.hidden);
        match &self.query {
            Query::Direct(linear) => {
                let both = &mut [
                    (&linear.matrix, &mut q[..]),
                    (&self.kv_a.matrix, &mut kv[..]),
                ];
                compute.multiply(&input, both)?;
            }
            Query::Latent { a, norm, b } => {
                let rank = a.matrix.rows();
                let mut small = vec![0.0; n * rank]; //  [n, rank]
                let both = &mut [
                    (&a.matrix, &mut small[..]),
                    (&self.kv_a.matrix, &mut kv[..]),
                ];
                compute.multiply(&input, both)?;
                compute.for_rows(&mut small, rank, |_, small| {
                    norm.apply(graph.norm, hyper.norm_eps, small);
                });
                let small = compute.input(&small, rank);
                compute.multiply(&small, &mut [(&b.matrix, &mut q)])?;
            }
        }
        compute.for_rows(&mut kv, kv_row, |t, kv| {
            let (c, r) = kv.split_at_mut(latent);
            self.kv_norm.apply(graph.norm, hyper.norm_eps, c);
            turn(t, r);
        });
        for (t, kv) in kv.chunks_exact(kv_row).enumerate() {
            cache.write(pass.first + t, kv, &kv[..latent]);
        }

        // Queries as the short keys want them.
        let mut parts = vec![0.0; heads * n * unrotated]; //  [heads, n, unrotated]
        for (t, q) in q.chunks_exact(heads * q_row).enumerate() {
            for (h, q) in q.chunks_exact(q_row).enumerate() {
                parts[(h * n + t) * unrotated..][..unrotated].copy_from_slice(&q[..unrotated]);
            }
        }
        let mut turned = vec![0.0; heads * n * latent]; //  [heads, n, latent]
        self.by_head(pass, &self.k_b, &parts, &mut turned)?;
        let mut short = vec![0.0; n * heads * kv_row]; //  [n, heads, latent + rotated]
        compute.for_rows(&mut short, heads * kv_row, |t, short| {
            for (h, short) in short.chunks_exact_mut(kv_row).enumerate() {
                let (c, r) = short.split_at_mut(latent);
                c.copy_from_slice(&turned[(h * n + t) * latent..][..latent]);
                r.copy_from_slice(&q[(t * heads + h) * q_row + unrotated..][..rotated]);
                turn(t, r);
            }
            if let Some(temperature) = hyper.temperature {
                scale(short, temperature.at(pass.first + t));
            }
        });

        let mut summed = vec![0.0; n * heads * latent]; //  [n, heads, latent]
        let shape = Heads {
            count: heads,
            kv_count: 1,
            key_dim: kv_row,
            value_dim: latent,
            scale: hyper.query_scale,
            softcap: hyper.attention_softcap,
            window: hyper.window(layer),
            sinks: None,
        };
        attend(compute, &shape, cache, pass.first, &short, &mut summed);

        // Values of what each head has summed.
        let by_head = &mut turned;
        for (t, summed) in summed.chunks_exact(heads * latent).enumerate() {
            for (h, summed) in summed.chunks_exact(latent).enumerate() {
                by_head[(h * n + t) * latent..][..latent].copy_from_slice(summed);
            }
        }
        let mut values = vec![0.0; heads * n * value]; //    [heads, n, value]
        self.by_head(pass, &self.v_b, by_head, &mut values)?;
        let mut attended = vec![0.0; n * heads * value]; //  [n, heads, value]
        for (t, attended) in attended.chunks_exact_mut(heads * value).enumerate() {
            for (h, attended) in attended.chunks_exact_mut(value).enumerate() {
                attended.copy_from_slice(&values[(h * n + t) * value..][..value]);
            }
        }
        compute.multiply(
            &compute.input(&attended, heads * value),
            &mut [(&self.output.matrix, out)],
        )?;
        Ok(())
    }

    /// `y[h] = matrices[h] x[h]`, `x` being `[heads, tokens, cols]` and `y` `[heads, tokens, rows]`.
    fn by_head(
        &self,
        pass: &Pass<'_>,
        matrices: &[Matrix],
        x: &[f32],
        y: &mut [f32],
    ) -> Result<()> {
        let of_head = |length: usize| length / matrices.len();
        let (x_len, y_len) = (of_head(x.len()), of_head(y.len()));
        let inputs = x.chunks_exact(x_len).zip(matrices);
        let inputs: Vec<_> = inputs
            .map(|(x, matrix)| pass.compute.input(x, matrix.cols()))
            .collect();
        let outputs = inputs.iter().zip(matrices).zip(y.chunks_exact_mut(y_len));
        pass.compute
            .multiply_each(outputs.map(|((input, matrix), y)| (input, matrix, y)))
    }
}
