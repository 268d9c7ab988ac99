//! GLM 4 of 2025: GLM-4-9B-0414, GLM-4-32B, GLM-Z1.
//!
//! A norm before and behind each half of the block, biases on queries, keys and values, and a matrix that
//! is gate and up at once. Half of each head is rotated; the framework interleaves the pairs, so no row
//! is permuted.

use super::shared::*;
use crate::{Absent, Dim, Family, Graph, HfNames, Line, TensorLine, WindowSwitch};

/// What the tokenizer's files do not say.
pub(super) const SPECIAL_TOKENS: &[(&str, &str)] = &[
    ("eos", "<|endoftext|>"),
    ("eot", "<|user|>"),
    ("unk", "<|endoftext|>"),
    ("bos", "<|endoftext|>"),
];

pub(super) const FAMILY: Family = Family {
    architecture: "glm4",
    classes: &["Glm4ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(10_000.0),
        NORM_EPS,
        head_dim(Absent::Is(128.0)),
        VALUE_DIM,
        rotary_fraction(0.5),
        PARTLY_ROTARY_DIMS,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN,
        FFN_GATE_UP,
        FFN_NORM,
        TensorLine::layer(
            "post_mlp_layernorm.weight",
            "post_ffw_norm.weight",
            &[Dim::Hidden],
        ),
        TensorLine::layer(
            "post_self_attn_layernorm.weight",
            "post_attention_norm.weight",
            &[Dim::Hidden],
        ),
        KEY_BIAS.bias(ATTENTION_BIAS),
        KEY,
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(ATTENTION_BIAS),
        QUERY,
        VALUE_BIAS.bias(ATTENTION_BIAS),
        VALUE,
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: SPECIAL_TOKENS,
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph::PLAIN),
};
