//! The forward pass: tokens become vectors, the layers change these one after the other, and the last
//! ones become scores.
//!
//! The three steps are functions of their own, so that [windows](super::Windows) can stop between layers.

use std::ops::Range;

use super::cache::{Cache, KvCache, LayerMemory};
use super::math::{add, scale, softcap};
use super::pass::{Buffers, Pass};
use super::weights::{FeedForward, Mixer};
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

/// What leaves the embedding.
pub(super) struct Embedded {
    /// The tokens, `[tokens, hidden]`.
    pub(super) x: Vec<f32>,
    /// What layers add to each token, `[tokens, layers, dim]`; empty where they add nothing.
    pub(super) layer_inputs: Vec<f32>,
}

pub(super) fn other_cache() -> Error {
    Error::Argument {
        what: "cache",
        found: "one of another model".to_owned(),
        expected: "one that this model made",
    }
}

/// The keys and values of every window.
fn keys_values<'m>(memories: &'m mut [&mut LayerMemory]) -> Result<Vec<&'m mut KvCache>> {
    let caches = memories.iter_mut().map(|memory| memory.keys_values());
    // The cache's shapes were checked.
    caches.collect::<Option<_>>().ok_or_else(other_cache)
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
        cache: &mut Cache,
        outputs: Range<usize>,
    ) -> Result<Logits> {
        self.check_call(tokens, cache, &outputs)?;
        let (n, first) = (tokens.len(), cache.used());
        if n == 0 {
            return self.scores(compute, &[]);
        }
        let pass = Pass {
            compute,
            hyper: &self.hyper,
            tokens: n,
            window: n,
            first,
            turns: &self.ropes.turns(cache.capacity(), first, n),
            buffers: &Buffers::default(),
        };
        let Embedded {
            mut x,
            layer_inputs,
        } = self.embedded(&pass, tokens)?;
        for i in 0..self.hyper.layers {
            self.layer(&pass, i, &mut [cache.layer_mut(i)], &layer_inputs, &mut x)?;
        }
        cache.advance(n);
        let hidden = self.hyper.hidden;
        self.scores(compute, &x[outputs.start * hidden..outputs.end * hidden])
    }

    /// The embeddings of tokens, those of all windows one after the other.
    pub(super) fn embedded(&self, pass: &Pass<'_>, tokens: &[u32]) -> Result<Embedded> {
        let hidden = self.hyper.hidden;
        let mut x = vec![0.0; tokens.len() * hidden]; // [n, hidden]
        for (&token, x) in tokens.iter().zip(x.chunks_exact_mut(hidden)) {
            self.weights
                .token_embd
                .decode(token as usize, 0..hidden, x)?;
        }
        scale(&mut x, self.hyper.embedding_scale);
        if let Some(positions) = &self.weights.position_embd {
            let mut learned = vec![0.0; hidden];
            for (t, x) in x.chunks_exact_mut(hidden).enumerate() {
                positions.decode(pass.position(t), 0..hidden, &mut learned)?;
                add(x, &learned);
            }
        }
        let layer_inputs = match &self.weights.layer_inputs {
            Some(inputs) => inputs.of(pass, tokens, &x)?, // [n, layers, dim]
            None => Vec::new(),
        };
        Ok(Embedded { x, layer_inputs })
    }

    /// Takes `x`, `[tokens, hidden]`, through layer number `i`. Each window has its own memory.
    pub(super) fn layer(
        &self,
        pass: &Pass<'_>,
        i: usize,
        memories: &mut [&mut LayerMemory],
        layer_inputs: &[f32],
        x: &mut [f32],
    ) -> Result<()> {
        let Hyperparameters {
            hidden,
            residual_scale,
            is_parallel,
            ..
        } = self.hyper;
        let (compute, layer) = (pass.compute, &self.weights.layers[i]);
        let mut normed = pass.buffers.take(x.len()); //  [n, hidden]
        let mut step = pass.buffers.take(x.len()); //    [n, hidden]: what half a layer adds
        let add_step = |x: &mut [f32], step: &[f32]| {
            compute.for_rows(x, hidden, |t, x| add(x, &step[t * hidden..][..hidden]));
        };

        // What the tokens take from each other: norm, mix, norm, add.
        pass.norm(&layer.attn_norm, x, &mut normed);
        match &layer.mixer {
            Mixer::Attention(attention) => {
                attention.mix(pass, i, &normed, &mut keys_values(memories)?, &mut step)?;
            }
            mixer => pass.each_window(&normed, &mut step, |pass, window, normed, step| {
                match (mixer, &mut *memories[window]) {
                    (Mixer::Convolution(convolution), LayerMemory::Convolution(tail)) => {
                        convolution.mix(pass, normed, tail, step)
                    }
                    (Mixer::Delta(delta), LayerMemory::Delta(memory)) => {
                        delta.mix(pass, normed, memory, step)
                    }
                    (Mixer::LatentAttention(attention), LayerMemory::KeysValues(cache)) => {
                        attention.mix(pass, i, normed, cache, step)
                    }
                    _ => Err(other_cache()),
                }
            })?,
        }
        pass.norm_in_place(&layer.post_attention_norm, &mut step);
        scale(&mut step, residual_scale);
        if is_parallel && layer.ffn_norm.is_some() {
            pass.norm(&layer.ffn_norm, x, &mut normed);
        }
        add_step(x, &step);

        // What becomes of each token by itself: norm, feed forward, norm, add.
        if !is_parallel {
            pass.norm(&layer.ffn_norm, x, &mut normed);
        }
        match &layer.feed_forward {
            FeedForward::Dense(dense) => dense.apply(pass, &normed, &mut step)?,
            // An expert's few tokens would be others, in another kernel, if windows were together.
            FeedForward::Experts(experts) => {
                pass.each_window(&normed, &mut step, |pass, _, normed, step| {
                    experts.apply(pass, normed, step)
                })?;
            }
            FeedForward::Both(both) => {
                let len = pass.window * hidden;
                pass.each_window(&normed, &mut step, |pass, window, normed, step| {
                    both.apply(pass, &x[window * len..][..len], normed, step)
                })?;
            }
        }
        pass.norm_in_place(&layer.post_ffw_norm, &mut step);
        scale(&mut step, residual_scale);
        add_step(x, &step);
        if let Some(input) = &layer.layer_input {
            input.add(pass, i, layer_inputs, x)?;
        }
        scale(x, layer.output_scale);
        Ok(())
    }

    /// The scores of what leaves the last layer, `[positions, hidden]`.
    pub(super) fn scores(&self, compute: Compute, x: &[f32]) -> Result<Logits> {
        let Hyperparameters {
            hidden,
            norm_eps,
            logit_scale,
            logit_softcap,
            ..
        } = self.hyper;
        let vocab = self.vocab();
        let mut logits = vec![0.0; x.len() / hidden * vocab]; // [positions, vocab]
        if !x.is_empty() {
            let mut normed = x.to_vec();
            if let Some(norm) = &self.weights.output_norm {
                compute.for_rows(&mut normed, hidden, |_, x| {
                    norm.apply(self.hyper.graph.norm, norm_eps, x);
                });
            }
            compute.multiply(
                &compute.input(&normed, hidden),
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
    fn check_call(&self, tokens: &[u32], cache: &Cache, outputs: &Range<usize>) -> Result<()> {
        self.check_tokens(tokens, cache.used())?;
        if tokens.len() > cache.capacity() - cache.used() {
            return Err(Error::ContextFull {
                used: cache.used(),
                wanted: tokens.len(),
                context: cache.capacity(),
            });
        }
        if cache.shapes() != self.layer_shapes() {
            return Err(other_cache());
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

    /// Whether the tokens are tokens, and a sequence that has `used` positions can have so many more.
    pub(super) fn check_tokens(&self, tokens: &[u32], used: usize) -> Result<()> {
        let vocab = self.vocab();
        if let Some(&id) = tokens.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::TokenOutOfRange { id, vocab });
        }
        // There are no more positions than learned ones.
        let positions = self.weights.position_embd.as_ref();
        let learned = positions.map_or(usize::MAX, |positions| positions.rows());
        if tokens.len() > learned.saturating_sub(used) {
            return Err(Error::ContextFull {
                used,
                wanted: tokens.len(),
                context: learned,
            });
        }
        Ok(())
    }
}
