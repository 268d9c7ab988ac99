//! The backward pass: what the loss's gradients at the outputs of a model's matrices are.
//!
//! # For what
//!
//! The Kronecker-factored Fisher matrix of a matrix is `A (x) G`: `A = mean x x^T` of its inputs, and
//! `G = mean g g^T`, `g` being the gradient of the summed negative log-likelihood of a window's tokens at
//! the matrix's output. An error `E` of the weights then costs about `tr(G E A E^T) / 2` of KL divergence
//! per token (Martens and Grosse 2015, arXiv:1503.05671). For this to be the divergence and not the loss on
//! a text, the tokens that are predicted are drawn from the model itself, one for each position: with a
//! fixed seed, by [`labels`].
//!
//! [`moments`] hands out both for each matrix, layer by layer from the last to the first; [`inputs`] hands out `A`
//! alone, on the way forward.
//! [`norm_gradients`] gives the gradients at the vectors of the norms, for [tuning](crate::norms) these.
//!
//! # Which families
//!
//! Dense ones with the plain block: RMS norms (before or behind each half), attention over keys and
//! values with or without a window, rotary positions of any scaling, biases, norms of queries and keys,
//! a SiLU gate, the scales of Granite. These are `llama`, `mistral3`, `qwen2`, `qwen3`, `smollm3`, `granite`,
//! `olmo2`, `seed_oss`, `ernie4_5` and `exaone` as they usually come. What a model has beyond that (experts,
//! softcaps, states, another activation) is refused by name before anything is computed: [`Backward::new`].
//!
//! # How
//!
//! The text passes through the layers once, and what goes into each is kept in a temporary file. Then each
//! layer is computed again from its input, with everything its derivative needs, from the last one to the
//! first. Weights stay in their mapped file and are decoded a strip at a time.
//!
//! | memory | bytes |
//! |---|---|
//! | temporary file | `4 * tokens * hidden * (layers + 1)` |
//! | one layer's intermediates | about `4 * 2048 * (6 * hidden + 6 * heads * head_dim + 5 * feed_forward)` |
//! | logits | `8 * 512 * vocab` |
//! | moments of a layer | `2 n (n + 1)` for each side of each matrix; `attn_q`, `attn_k`, `attn_v` share their inputs, so do `ffn_gate` and `ffn_up` |
//!
//! All is f32, in sums whose order depends on nothing but the shapes, never fused: the same bits for any
//! number of threads and every CPU level ([`Cpu::run_lanes`]).

mod attention;
mod error;
mod head;
mod layer;
mod model;
mod norm;
mod pass;
mod store;
mod tensors;
#[cfg(test)]
pub(crate) mod tests;
mod weight;

pub use error::Error;
pub use head::labels;
pub use model::check;
pub(crate) use pass::EMBEDDING;
pub use pass::{LayerMoments, Norms, Position, Step, Text, inputs, moments, norm_gradients};
pub use tensors::Backward;

#[cfg(doc)]
use aeolus_quant::Cpu;
