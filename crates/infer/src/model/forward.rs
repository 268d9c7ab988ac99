//! The forward pass.

use std::ops::Range;

use super::attention::attend;
use super::cache::KvCache;
use super::math::{activate, add, multiply, scale, softcap};
use super::rope::rotate;
use super::weights::{Linear, Norm};
use super::{Hyperparameters, Model};
use crate::error::{Error, Result};
use crate::matmul::Compute;

/// The scores of every token at some positions, `[positions, vocab]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    data: Vec<f32>,
    vocab: usize,
}

impl Logits {
    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.data.len() / self.vocab
    }

    /// Number of tokens.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// The scores at one position, counted among those asked for.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn row(&self, position: usize) -> &[f32] {
        &self.data[position * self.vocab..(position + 1) * self.vocab]
    }

    /// The positions one after the other.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.vocab)
    }

    /// All scores, `[positions, vocab]`.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

impl Model {
    /// Computes the next `tokens` of the sequence in `cache` and gives the logits at the
    /// positions `outputs`, counted within `tokens` (an empty range for none: a prompt needs
    /// only its last). The cache then holds the new positions too; after an error it is as
    /// before.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`], [`Error::ContextFull`], or [`Error::Argument`] for outputs
    /// beyond the tokens or a cache of another model.
    pub fn forward(
        &self,
        compute: Compute,
        tokens: &[u32],
        cache: &mut KvCache,
        outputs: Range<usize>,
    ) -> Result<Logits> {
        self.check_call(tokens, cache, &outputs)?;
        let Hyperparameters {
            hidden,
            feed_forward,
            head_dim,
            norm_eps,
            graph,
            embedding_scale,
            residual_scale,
            logit_scale,
            logit_softcap,
            ..
        } = self.hyper;
        let (q_dim, kv_dim) = (self.hyper.q_dim(), self.hyper.kv_dim());
        let (n, first) = (tokens.len(), cache.used());
        let vocab = self.vocab();
        if n == 0 {
            return Ok(Logits {
                data: Vec::new(),
                vocab,
            });
        }

        let mut x = vec![0.0; n * hidden]; //              [n, hidden]: the tokens between layers
        let mut normed = vec![0.0; n * hidden]; //         [n, hidden]
        let mut q = vec![0.0; n * q_dim]; //               [n, heads, head_dim]
        let mut k = vec![0.0; n * kv_dim]; //              [n, kv_heads, head_dim]
        let mut v = vec![0.0; n * kv_dim]; //              [n, kv_heads, head_dim]
        let mut attended = vec![0.0; n * q_dim]; //        [n, heads, head_dim]
        let mut gate = vec![0.0; n * feed_forward]; //     [n, feed_forward]
        let mut up = vec![0.0; n * feed_forward]; //       [n, feed_forward]
        let mut step = vec![0.0; n * hidden]; //           [n, hidden]: what a half layer adds
        let turns = self.ropes.turns(cache.capacity(), first, n);
        let norm = |norm: &Option<Norm>, x: &[f32], out: &mut [f32]| {
            compute.for_rows(out, hidden, |t, out| {
                out.copy_from_slice(&x[t * hidden..][..hidden]);
                if let Some(norm) = norm {
                    norm.apply(graph.norm, norm_eps, out);
                }
            });
        };
        let norm_step = |norm: &Option<Norm>, step: &mut [f32]| {
            if let Some(norm) = norm {
                compute.for_rows(step, hidden, |_, step| {
                    norm.apply(graph.norm, norm_eps, step);
                });
            }
        };

        for (&token, x) in tokens.iter().zip(x.chunks_exact_mut(hidden)) {
            self.weights
                .token_embd
                .decode(token as usize, 0..hidden, x)?;
        }
        scale(&mut x, embedding_scale);
        if let Some(positions) = &self.weights.position_embd {
            let mut learned = vec![0.0; hidden];
            for (t, x) in x.chunks_exact_mut(hidden).enumerate() {
                positions.decode(first + t, 0..hidden, &mut learned)?;
                add(x, &learned);
            }
        }
        for (i, layer) in self.weights.layers.iter().enumerate() {
            // Attention: norm, project, norm heads, rotate, remember, attend, project back, norm, add.
            norm(&layer.attn_norm, &x, &mut normed);
            compute.multiply(
                &compute.input(&normed, hidden),
                &mut [
                    (&layer.attn_q.matrix, &mut q),
                    (&layer.attn_k.matrix, &mut k),
                    (&layer.attn_v.matrix, &mut v),
                ],
            )?;
            let rotated = graph.rotary_layers.contains(i);
            let is_local = self.hyper.local_layers[i];
            let place = |t: usize, heads: &mut [f32], linear: &Linear, norm: &Option<Norm>| {
                if let Some(bias) = &linear.bias {
                    add(heads, bias);
                }
                if let Some(norm) = norm {
                    norm.apply(graph.norm, norm_eps, heads);
                }
                if rotated {
                    rotate(heads, head_dim, graph.rotary_pairs, turns.row(is_local, t));
                }
            };
            compute.for_rows(&mut q, q_dim, |t, q| {
                place(t, q, &layer.attn_q, &layer.attn_q_norm);
                if let Some(temperature) = self.hyper.temperature {
                    scale(q, temperature.at(first + t));
                }
            });
            compute.for_rows(&mut k, kv_dim, |t, k| {
                place(t, k, &layer.attn_k, &layer.attn_k_norm);
            });
            layer.attn_v.add_bias(compute, &mut v);
            for (t, (k, v)) in k
                .chunks_exact(kv_dim)
                .zip(v.chunks_exact(kv_dim))
                .enumerate()
            {
                cache.write(i, first + t, k, v);
            }
            attend(compute, &self.hyper, cache, i, &q, &mut attended);
            compute.multiply(
                &compute.input(&attended, q_dim),
                &mut [(&layer.attn_output.matrix, &mut step)],
            )?;
            layer.attn_output.add_bias(compute, &mut step);
            norm_step(&layer.post_attention_norm, &mut step);
            scale(&mut step, residual_scale);
            if self.hyper.is_parallel && layer.ffn_norm.is_some() {
                norm(&layer.ffn_norm, &x, &mut normed);
            }
            add(&mut x, &step);

            // Feed-forward: norm, project, gate if there is one, project back, norm, add.
            if !self.hyper.is_parallel {
                norm(&layer.ffn_norm, &x, &mut normed);
            }
            let input = compute.input(&normed, hidden);
            let inner = match &layer.ffn_gate {
                Some(ffn_gate) => {
                    let gate_and_up = &mut [
                        (&ffn_gate.matrix, &mut gate[..]),
                        (&layer.ffn_up.matrix, &mut up[..]),
                    ];
                    compute.multiply(&input, gate_and_up)?;
                    ffn_gate.add_bias(compute, &mut gate);
                    layer.ffn_up.add_bias(compute, &mut up);
                    compute.for_rows(&mut gate, feed_forward, |t, gate| {
                        activate(gate, graph.activation);
                        multiply(gate, &up[t * feed_forward..][..feed_forward]);
                    });
                    &gate
                }
                None => {
                    compute.multiply(&input, &mut [(&layer.ffn_up.matrix, &mut up)])?;
                    layer.ffn_up.add_bias(compute, &mut up);
                    compute.for_rows(&mut up, feed_forward, |_, up| {
                        activate(up, graph.activation);
                    });
                    &up
                }
            };
            compute.multiply(
                &compute.input(inner, feed_forward),
                &mut [(&layer.ffn_down.matrix, &mut step)],
            )?;
            layer.ffn_down.add_bias(compute, &mut step);
            norm_step(&layer.post_ffw_norm, &mut step);
            scale(&mut step, residual_scale);
            add(&mut x, &step);
        }
        cache.advance(n);

        // Scores of every token, only where asked for.
        let asked = &x[outputs.start * hidden..outputs.end * hidden]; // [outputs, hidden]
        let mut logits = vec![0.0; outputs.len() * vocab]; //            [outputs, vocab]
        if !outputs.is_empty() {
            let normed = &mut normed[..asked.len()];
            norm(&self.weights.output_norm, asked, normed);
            compute.multiply(
                &compute.input(normed, hidden),
                &mut [(&self.weights.output, &mut logits)],
            )?;
            if let Some(bias) = &self.weights.output_bias {
                compute.for_rows(&mut logits, vocab, |_, logits| add(logits, bias));
            }
            scale(&mut logits, logit_scale);
            if let Some(cap) = logit_softcap {
                compute.for_rows(&mut logits, vocab, |_, logits| softcap(logits, cap));
            }
        }
        Ok(Logits {
            data: logits,
            vocab,
        })
    }

    /// Whether the tokens are tokens, have room, and the cache is one of this model.
    fn check_call(&self, tokens: &[u32], cache: &KvCache, outputs: &Range<usize>) -> Result<()> {
        let vocab = self.vocab();
        if let Some(&id) = tokens.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::TokenOutOfRange { id, vocab });
        }
        // There are no more positions than learned ones.
        let positions = self.weights.position_embd.as_ref();
        let learned = positions.map_or(usize::MAX, |positions| positions.rows());
        if tokens.len() > learned.saturating_sub(cache.used()) {
            return Err(Error::ContextFull {
                used: cache.used(),
                wanted: tokens.len(),
                context: learned,
            });
        }
        if tokens.len() > cache.capacity() - cache.used() {
            return Err(Error::ContextFull {
                used: cache.used(),
                wanted: tokens.len(),
                context: cache.capacity(),
            });
        }
        if !cache.fits(&self.hyper) {
            return Err(Error::Argument {
                what: "cache",
                found: "one of another model".to_owned(),
                expected: "one that this model made",
            });
        }
        if outputs.start > outputs.end || outputs.end > tokens.len() {
            return Err(Error::Argument {
                what: "outputs",
                found: format!("{} to {}", outputs.start, outputs.end),
                expected: "a range within the tokens",
            });
        }
        Ok(())
    }
}

impl Linear {
    /// Adds the bias to products `[tokens, rows]`.
    fn add_bias(&self, compute: Compute, products: &mut [f32]) {
        if let Some(bias) = &self.bias {
            compute.for_rows(products, bias.len(), |_, products| add(products, bias));
        }
    }
}
