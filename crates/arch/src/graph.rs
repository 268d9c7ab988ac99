//! What a family's forward pass does differently from the plain one.
//!
//! The plain block is `x += attention(norm(x)); x += feed_forward(norm(x))`, with RMS norms, a SiLU
//! gate and rotary positions. What a file shows by itself is no feature: biases and norms of queries
//! and keys are computed where their tensors are.

/// Features of the one forward function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Which numbers of a head turn together.
    pub rotary_pairs: RotaryPairs,
    /// In which layers positions are rotated.
    pub rotary_layers: RotaryLayers,
}

/// Which two numbers of a head make a pair that the rotary embedding turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryPairs {
    /// `(2i, 2i + 1)`: what conversion makes of Llama's rows.
    Neighbours,
    /// `(i, i + n / 2)`, as GPT-NeoX and most Hugging Face models have it.
    Halves,
}

/// In which layers queries and keys are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryLayers {
    /// In all.
    All,
    /// In all but every `n`th, counted from 1.
    AllButEvery(u32),
}

impl RotaryLayers {
    /// Whether layer number `layer`, counted from 0, is rotated.
    pub fn contains(self, layer: usize) -> bool {
        match self {
            Self::All => true,
            Self::AllButEvery(n) => !(layer + 1).is_multiple_of(n as usize),
        }
    }
}

impl Graph {
    /// Llama's: the plain block.
    pub const PLAIN: Self = Self {
        rotary_pairs: RotaryPairs::Neighbours,
        rotary_layers: RotaryLayers::All,
    };
}
