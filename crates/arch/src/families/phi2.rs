//! Phi 1, 1.5 and 2.
//!
//! Attention and the feed-forward network read the same LayerNorm and both add to it. Everything has
//! biases, the output too. A part of each head is rotated.

use super::shared::*;
use crate::{
    Absent, Activation, Block, Dim, Family, Graph, HfNames, NormKind, Require, Required,
    RotaryPairs, TensorLine, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "phi2",
    classes: &["PhiForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        LAYERS,
        HEADS,
        KV_HEADS,
        layer_norm_eps(&["layer_norm_eps", "layer_norm_epsilon"], Absent::Is(1e-5)),
        rotary_fraction(0.5),
        PARTLY_ROTARY_DIMS,
        ROTARY_BASE_OF_READERS,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        TensorLine::model("lm_head.bias", "output.bias", &[Dim::Vocab]),
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM_BIAS,
        ATTENTION_NORM,
        TensorLine::layer("mlp.fc1.bias", "ffn_up.bias", &[Dim::FeedForward]),
        TensorLine::layer(
            "mlp.fc1.weight",
            "ffn_up.weight",
            &[Dim::FeedForward, Dim::Hidden],
        ),
        TensorLine::layer("mlp.fc2.bias", "ffn_down.bias", &[Dim::Hidden]),
        TensorLine::layer(
            "mlp.fc2.weight",
            "ffn_down.weight",
            &[Dim::Hidden, Dim::FeedForward],
        ),
        TensorLine::layer("self_attn.dense.bias", "attn_output.bias", &[Dim::Hidden]),
        TensorLine::layer(
            "self_attn.dense.weight",
            "attn_output.weight",
            &[Dim::Hidden, Dim::AttentionOutput],
        ),
        KEY_BIAS,
        KEY,
        QUERY_BIAS,
        QUERY,
        VALUE_BIAS,
        VALUE,
        TensorLine::model(
            "model.final_layernorm.bias",
            "output_norm.bias",
            &[Dim::Hidden],
        ),
        TensorLine::model(
            "model.final_layernorm.weight",
            "output_norm.weight",
            &[Dim::Hidden],
        ),
    ],
    requires: &[
        Require {
            config: "hidden_act",
            values: Required::Words(&["gelu_new", "gelu_pytorch_tanh"]),
        },
        Require {
            config: "qk_layernorm",
            values: Required::Flag(false),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        norm: NormKind::Layer,
        block: Block::Parallel,
        activation: Activation::GeluTanh,
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
