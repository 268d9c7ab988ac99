//! What differs from layer to layer within one model.
//!
//! Most families repeat one layer. Hybrids do not: some layers attend and others carry a state along,
//! some see a window and others everything, and their heads and feed-forward networks may be of other
//! sizes. config.json names each layer's kind (`layer_types`); GGUF files have arrays with an item for
//! each layer.

/// How a layer lets the tokens of a sequence know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Attention to every position before.
    Global,
    /// Attention within a window, where the model has one.
    Local,
    /// A state that is carried from token to token: the graph says which.
    Recurrent,
}

/// The sizes of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// How it mixes tokens.
    pub kind: LayerKind,
    /// Key and value heads, as its file has them: 0 may stand for a layer without attention.
    pub kv_heads: u32,
    /// Elements of one head's query, key or value.
    pub head_dim: u32,
    /// Elements of a head that are rotated: the first ones.
    pub rotary_dims: u32,
    /// Elements between the feed-forward network's two halves.
    pub feed_forward: u32,
    /// Whether it computes keys of its own; others take those of the last layer of their kind that does.
    pub owns_keys: bool,
}
