//! Arcee's AFM.
//!
//! Llama's attention, rows permuted alike; the feed-forward network has no gate and squares what ReLU
//! leaves.

use super::shared::*;
use crate::{
    Absent, Activation, Family, Graph, Heads, HfNames, Line, Require, Required, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "arcee",
    classes: &["ArceeForCausalLM"],
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
        norm_eps(Absent::Is(1e-5)),
        head_dim(Absent::HeadDim),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN_BIAS.bias(MLP_BIAS),
        FFN_DOWN,
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
    requires: &[Require {
        config: "hidden_act",
        values: Required::Words(&["relu2"]),
    }],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        activation: Activation::SquaredRelu,
        ..Graph::PLAIN
    }),
};
