//! StarCoder 2.
//!
//! LayerNorms with biases, biases on every projection, and a feed-forward network of two matrices with
//! GELU between them. Pairs of the rotary embedding are the two halves of a head, so no row is permuted.

use super::shared::*;
use crate::{
    Absent, Activation, Dim, Family, Graph, HfNames, Line, NormKind, Require, Required,
    RotaryPairs, TensorLine, WindowSwitch,
};

/// The field that declares biases of all projections; norms always have theirs.
const USE_BIAS: Option<&str> = Some("use_bias");

pub(super) const FAMILY: Family = Family {
    architecture: "starcoder2",
    classes: &["Starcoder2ForCausalLM"],
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
        layer_norm_eps(&["norm_epsilon", "layer_norm_epsilon"], Absent::Is(1e-5)),
        head_dim(Absent::Default),
        VALUE_DIM,
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM_BIAS,
        ATTENTION_NORM,
        TensorLine::layer("mlp.c_fc.bias", "ffn_up.bias", &[Dim::FeedForward]).bias(USE_BIAS),
        TensorLine::layer(
            "mlp.c_fc.weight",
            "ffn_up.weight",
            &[Dim::FeedForward, Dim::Hidden],
        ),
        TensorLine::layer("mlp.c_proj.bias", "ffn_down.bias", &[Dim::Hidden]).bias(USE_BIAS),
        TensorLine::layer(
            "mlp.c_proj.weight",
            "ffn_down.weight",
            &[Dim::Hidden, Dim::FeedForward],
        ),
        FFN_NORM_BIAS,
        FFN_NORM,
        KEY_BIAS.bias(USE_BIAS),
        KEY,
        ATTENTION_OUTPUT_BIAS.bias(USE_BIAS),
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(USE_BIAS),
        QUERY,
        VALUE_BIAS.bias(USE_BIAS),
        VALUE,
        FINAL_NORM_BIAS,
        FINAL_NORM,
    ],
    requires: &[
        Require {
            config: "hidden_act",
            values: Required::Words(&["gelu_pytorch_tanh"]),
        },
        // The framework reads the field above; this one is left from the training code.
        Require {
            config: "activation_function",
            values: Required::Words(&["gelu", "gelu_pytorch_tanh"]),
        },
        Require {
            config: "mlp_type",
            values: Required::Words(&["default"]),
        },
        Require {
            config: "norm_type",
            values: Required::Words(&["layer_norm"]),
        },
    ],
    // True where config.json does not say.
    explicit: &[("Starcoder2ForCausalLM", "use_bias")],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::UnlessOff,
    tied: true,
    graph: Some(Graph {
        norm: NormKind::Layer,
        activation: Activation::GeluTanh,
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
