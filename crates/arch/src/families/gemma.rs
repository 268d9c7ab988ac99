//! Lines that the generations of Gemma have in common.

use crate::{Activation, Dim, EmbeddingScale, Graph, Require, Required, RotaryPairs, TensorLine};

/// The norm behind attention, of what it adds.
pub(super) const POST_ATTENTION_NORM: TensorLine = TensorLine::layer(
    "post_attention_layernorm.weight",
    "post_attention_norm.weight",
    &[Dim::Hidden],
);
/// The norm in front of the feed-forward network.
pub(super) const PRE_FFN_NORM: TensorLine = TensorLine::layer(
    "pre_feedforward_layernorm.weight",
    "ffn_norm.weight",
    &[Dim::Hidden],
);
/// The norm behind the feed-forward network, of what it adds.
pub(super) const POST_FFN_NORM: TensorLine = TensorLine::layer(
    "post_feedforward_layernorm.weight",
    "post_ffw_norm.weight",
    &[Dim::Hidden],
);

/// `hidden_act` is an older name, and the framework does not read it.
pub(super) const GELU_TANH: Require = Require {
    config: "hidden_activation",
    values: Required::Words(&["gelu_pytorch_tanh", "gelu_new"]),
};

/// GGUF has no key for the divisor of scores.
pub(super) const QUERY_SCALAR: Require = Require {
    config: "query_pre_attn_scalar",
    values: Required::QueryScale,
};

pub(super) const GRAPH: Graph = Graph {
    activation: Activation::GeluTanh,
    rotary_pairs: RotaryPairs::Halves,
    embedding_scale: EmbeddingScale::SqrtHidden,
    ..Graph::PLAIN
};
