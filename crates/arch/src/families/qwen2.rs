//! Qwen 1.5, 2 and 2.5, and the models distilled into them.
//!
//! Llama's block with biases on queries, keys and values; pairs of the rotary embedding are the two
//! halves of a head, so no row is permuted.

use super::shared::*;
use crate::{Absent, Family, Graph, HfNames, Line, RotaryPairs, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "qwen2",
    classes: &["Qwen2ForCausalLM"],
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
        head_dim(Absent::Default),
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
        KEY_BIAS.bias(None),
        KEY,
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(None),
        QUERY,
        VALUE_BIAS.bias(None),
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
