//! OLMo 2.
//!
//! No norm in front of the halves of the block: what each adds is normed instead. Queries and keys are
//! normed over all heads together.

use super::gemma::{POST_ATTENTION_NORM, POST_FFN_NORM};
use super::shared::*;
use crate::{Absent, Dim, Family, Graph, HfNames, Line, RotaryPairs, TensorLine, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "olmo2",
    classes: &["Olmo2ForCausalLM"],
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
        head_dim(Absent::Default),
        VALUE_DIM,
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        POST_ATTENTION_NORM,
        POST_FFN_NORM,
        TensorLine::layer(
            "self_attn.k_norm.weight",
            "attn_k_norm.weight",
            &[Dim::KeyHeads],
        ),
        KEY_BIAS.bias(ATTENTION_BIAS),
        KEY,
        ATTENTION_OUTPUT_BIAS.bias(ATTENTION_BIAS),
        ATTENTION_OUTPUT,
        TensorLine::layer(
            "self_attn.q_norm.weight",
            "attn_q_norm.weight",
            &[Dim::Query],
        ),
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
