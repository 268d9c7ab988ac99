//! Qwen 3, dense.
//!
//! As Qwen 2, with biases only where `attention_bias` asks for them, and with a norm of every head's
//! queries and keys in front of the rotation. The size of a head is its own number: all heads
//! together may be wider than a token.

use super::shared::*;
use crate::{Absent, Family, Graph, HfNames, Line, RotaryPairs, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "qwen3",
    classes: &["Qwen3ForCausalLM"],
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
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        FFN_NORM,
        KEY_NORM,
        KEY_BIAS.bias(ATTENTION_BIAS),
        KEY,
        ATTENTION_OUTPUT_BIAS.bias(ATTENTION_BIAS),
        ATTENTION_OUTPUT,
        QUERY_NORM,
        QUERY_BIAS.bias(ATTENTION_BIAS),
        QUERY,
        VALUE_BIAS.bias(ATTENTION_BIAS),
        VALUE,
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
