//! Llama 1 to 3, Mistral 7B and Nemo, and the many models of the same shape.
//!
//! The plain block. Rows of the query and key projections are permuted on conversion, so that the
//! numbers which are rotated together become neighbours. Llama 3's rotary scaling is a tensor of
//! divisors, which conversion computes. Biases are rare and computed where they are.

use super::shared::*;
use crate::{Absent, Family, Graph, Heads, HfNames, Line, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "llama",
    classes: &["LlamaForCausalLM", "MistralForCausalLM", "LLaMAForCausalLM"],
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
        head_dim(Absent::HeadDim),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN_BIAS.bias(MLP_BIAS),
        FFN_DOWN,
        FFN_GATE_BIAS.bias(MLP_BIAS),
        FFN_GATE,
        FFN_UP_BIAS.bias(MLP_BIAS),
        FFN_UP,
        FFN_NORM,
        KEY_BIAS.rotary(Heads::Key).bias(ATTENTION_BIAS),
        KEY.rotary(Heads::Key),
        ATTENTION_OUTPUT_BIAS.bias(ATTENTION_BIAS),
        ATTENTION_OUTPUT,
        QUERY_BIAS.rotary(Heads::Query).bias(ATTENTION_BIAS),
        QUERY.rotary(Heads::Query),
        VALUE_BIAS.bias(ATTENTION_BIAS),
        VALUE,
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[("MistralForCausalLM", "num_key_value_heads")],
    special_tokens: &[],
    writes_space_prefix: true,
    window: WindowSwitch::UnlessOff,
    tied: false,
    graph: Some(Graph::PLAIN),
};
