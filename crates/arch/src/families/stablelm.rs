//! StableLM 3B and StableLM 2 1.6B.
//!
//! Llama's block with LayerNorms that have biases; a part of each head is rotated. StableLM 2 12B, whose
//! halves of the block read the same norm and which norms every head by a weight of its own, is not
//! expressed here.

use super::shared::*;
use crate::{
    Absent, Family, Field, Graph, HfNames, Key, NormKind, Require, Required, RotaryPairs,
    WindowSwitch,
};

/// The field that declares biases of queries, keys and values.
const QKV_BIAS: Option<&str> = Some("use_qkv_bias");

pub(super) const FAMILY: Family = Family {
    architecture: "stablelm",
    classes: &["StableLmForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        CONTEXT,
        HIDDEN,
        LAYERS,
        FEED_FORWARD,
        rotary_fraction(0.25),
        PARTLY_ROTARY_DIMS,
        HEADS,
        KV_HEADS,
        Key::line(
            Field::ParallelResidual,
            &["use_parallel_residual"],
            "use_parallel_residual",
            Absent::Is(0.0),
        ),
        layer_norm_eps(&["layer_norm_eps", "norm_eps"], Absent::Is(1e-5)),
        ROTARY_BASE_OF_READERS,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM_BIAS,
        ATTENTION_NORM,
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        FFN_NORM_BIAS,
        FFN_NORM,
        KEY_BIAS.bias(QKV_BIAS),
        KEY,
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(QKV_BIAS),
        QUERY,
        VALUE_BIAS.bias(QKV_BIAS),
        VALUE,
        FINAL_NORM_BIAS,
        FINAL_NORM,
    ],
    requires: &[
        SILU,
        Require {
            config: "use_parallel_residual",
            values: Required::Flag(false),
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
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
