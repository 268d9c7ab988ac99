//! The forward pass.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Mutex, PoisonError};

use super::cache::{Cache, LayerMemory};
use super::math::{add, scale, softcap};
use super::rope::Turns;
use super::weights::{FeedForward, Mixer, Norm};
use super::{Hyperparameters, Model};
use crate::error::{Error, Result};
use crate::matmul::Compute;

/// What the blocks of one forward pass work with.
pub(super) struct Pass<'a> {
    pub(super) compute: Compute<'a>,
    pub(super) hyper: &'a Hyperparameters,
    /// Number of tokens.
    pub(super) tokens: usize,
    /// Position of the first token.
    pub(super) first: usize,
    /// Rotations of the tokens' positions.
    pub(super) turns: Turns,
    pub(super) buffers: Buffers,
}

/// Room for the numbers between products, from one layer to the next: new memory costs a page fault
/// for every 4 KiB of it.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// Room for `len` numbers, which are whatever they were: all of them are to be written first.
    pub(super) fn take(&self, len: usize) -> Buffer<'_> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that has the room, or else a new one.
        let fits = free.iter().enumerate().filter(|(_, b)| b.capacity() >= len);
        let place = fits
            .min_by_key(|(_, b)| b.capacity())
            .map(|(place, _)| place);
        let mut numbers = place.map_or_else(Vec::new, |place| free.swap_remove(place));
        numbers.resize(len, 0.0);
        Buffer {
            numbers,
            buffers: self,
        }
    }
}

/// Numbers that go back to where they came from.
pub(super) struct Buffer<'b> {
    numbers: Vec<f32>,
    buffers: &'b Buffers,
}

impl Deref for Buffer<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let mut free = self
            .buffers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.numbers));
    }
}

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

fn other_cache() -> Error {
    Error::Argument {
        what: "cache",
        found: "one of another model".to_owned(),
        expected: "one that this model made",
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
        cache: &mut Cache,
        outputs: Range<usize>,
    ) -> Result<Logits> {
        self.check_call(tokens, cache, &outputs)?;
        let Hyperparameters {
            hidden,
            norm_eps,
            graph,
            embedding_scale,
            residual_scale,
            logit_scale,
            logit_softcap,
            ..
        } = self.hyper;
        let (n, first) = (tokens.len(), cache.used());
        let vocab = self.vocab();
        if n == 0 {
            return Ok(Logits {
                data: Vec::new(),
                vocab,
            });
        }

        let pass = Pass {
            compute,
            hyper: &self.hyper,
            tokens: n,
            first,
            turns: self.ropes.turns(cache.capacity(), first, n),
            buffers: Buffers::default(),
        };
        let mut x = vec![0.0; n * hidden]; //       [n, hidden]: the tokens between layers
        let mut normed = vec![0.0; n * hidden]; //  [n, hidden]
        let mut step = vec![0.0; n * hidden]; //    [n, hidden]: what half a layer adds
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

        let add_step = |x: &mut [f32], step: &[f32]| {
            compute.for_rows(x, hidden, |t, x| add(x, &step[t * hidden..][..hidden]));
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
        let layer_inputs = match &self.weights.layer_inputs {
            Some(inputs) => inputs.of(&pass, tokens, &x)?, // [n, layers, dim]
            None => Vec::new(),
        };
        for (i, layer) in self.weights.layers.iter().enumerate() {
            // What the tokens take from each other: norm, mix, norm, add.
            norm(&layer.attn_norm, &x, &mut normed);
            match (&layer.mixer, cache.layer_mut(i)) {
                (Mixer::Attention(attention), LayerMemory::KeysValues(cache)) => {
                    attention.mix(&pass, i, &normed, cache, &mut step)?;
                }
                (Mixer::Convolution(convolution), LayerMemory::Convolution(tail)) => {
                    convolution.mix(&pass, &normed, tail, &mut step)?;
                }
                (Mixer::Delta(delta), LayerMemory::Delta(memory)) => {
                    delta.mix(&pass, &normed, memory, &mut step)?;
                }
                (Mixer::LatentAttention(attention), LayerMemory::KeysValues(cache)) => {
                    attention.mix(&pass, i, &normed, cache, &mut step)?;
                }
                // The cache's shapes were checked.
                _ => return Err(other_cache()),
            }
            norm_step(&layer.post_attention_norm, &mut step);
            scale(&mut step, residual_scale);
            if self.hyper.is_parallel && layer.ffn_norm.is_some() {
                norm(&layer.ffn_norm, &x, &mut normed);
            }
            add_step(&mut x, &step);

            // What becomes of each token by itself: norm, feed forward, norm, add.
            if !self.hyper.is_parallel {
                norm(&layer.ffn_norm, &x, &mut normed);
            }
            match &layer.feed_forward {
                FeedForward::Dense(dense) => dense.apply(&pass, &normed, &mut step)?,
                FeedForward::Experts(experts) => experts.apply(&pass, &normed, &mut step)?,
                FeedForward::Both(both) => both.apply(&pass, &x, &normed, &mut step)?,
            }
            norm_step(&layer.post_ffw_norm, &mut step);
            scale(&mut step, residual_scale);
            add_step(&mut x, &step);
            if let Some(input) = &layer.layer_input {
                input.add(&pass, i, &layer_inputs, &mut x)?;
            }
            scale(&mut x, layer.output_scale);
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
    fn check_call(&self, tokens: &[u32], cache: &Cache, outputs: &Range<usize>) -> Result<()> {
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
}
