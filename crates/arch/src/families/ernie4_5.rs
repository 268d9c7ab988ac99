//! Baidu's ERNIE 4.5, dense.
//!
//! Llama's block; the framework interleaves the pairs that turn together, so no row is permuted.

use super::shared::*;
use crate::{Absent, Family, Graph, HfNames, Line, WindowSwitch};

/// The field that declares biases of all projections.
const USE_BIAS: Option<&str> = Some("use_bias");

pub(super) const FAMILY: Family = Family {
    architecture: "ernie4_5",
    classes: &["Ernie4_5_ForCausalLM", "Ernie4_5ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(500_000.0),
        norm_eps(Absent::Is(1e-5)),
        head_dim(Absent::Is(128.0)),
        VALUE_DIM,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN_BIAS.bias(USE_BIAS),
        FFN_DOWN,
        FFN_GATE_BIAS.bias(USE_BIAS),
        FFN_GATE,
        FFN_UP_BIAS.bias(USE_BIAS),
        FFN_UP,
        FFN_NORM,
        KEY_BIAS.bias(USE_BIAS),
        KEY,
        ATTENTION_OUTPUT_BIAS.bias(USE_BIAS),
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(USE_BIAS),
        QUERY,
        VALUE_BIAS.bias(USE_BIAS),
        VALUE,
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: true,
    graph: Some(Graph::PLAIN),
};
