//! Qwen 3 MoE.
//!
//! Qwen 3's attention. A router's softmax chooses experts, whose weights are divided by their sum.

use super::experts::*;
use super::qwen2moe::NO_DENSE_LAYERS;
use super::shared::*;
use crate::{Absent, Family, Graph, HfNames, Line, Require, Required, RotaryPairs, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "qwen3moe",
    classes: &["Qwen3MoeForCausalLM"],
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
        experts(&["num_experts"], Absent::Is(128.0)),
        EXPERTS_USED,
        head_dim(Absent::Default),
        VALUE_DIM,
        EXPERT_FEED_FORWARD,
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        DOWN_EXPERTS,
        GATE_EXPERTS,
        UP_EXPERTS,
        ROUTER,
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
    requires: &[
        SILU,
        NO_DENSE_LAYERS[0],
        NO_DENSE_LAYERS[1],
        Require {
            config: "norm_topk_prob",
            values: Required::Flag(true),
        },
    ],
    // False where it is absent, which no reader of the family's files computes.
    explicit: &[("Qwen3MoeForCausalLM", "norm_topk_prob")],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        rotary_pairs: RotaryPairs::Halves,
        normed_experts: true,
        ..Graph::PLAIN
    }),
};
