//! Qwen 1.5 MoE and Qwen 2 MoE.
//!
//! Qwen 2's attention. A router's softmax chooses experts, whose weights are not divided by their sum;
//! a network that all tokens share is added, weighted by the sigmoid of a product with the token.

use super::experts::*;
use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, HfNames, Key, Line, Require, Required, RotaryPairs,
    TensorLine, WindowSwitch,
};

const SHARED: [TensorLine; 3] = shared([
    "mlp.shared_expert.down_proj.weight",
    "mlp.shared_expert.gate_proj.weight",
    "mlp.shared_expert.up_proj.weight",
]);

/// Every layer has experts.
pub(super) const NO_DENSE_LAYERS: [Require; 2] = [
    Require {
        config: "decoder_sparse_step",
        values: Required::Number(1),
    },
    Require {
        config: "mlp_only_layers",
        values: Required::Nothing,
    },
];

pub(super) const FAMILY: Family = Family {
    architecture: "qwen2moe",
    classes: &["Qwen2MoeForCausalLM"],
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
        experts(&["num_experts"], Absent::Is(60.0)),
        EXPERTS_USED,
        head_dim(Absent::Default),
        VALUE_DIM,
        EXPERT_FEED_FORWARD,
        Key::line(
            Field::SharedFeedForward,
            &["shared_expert_intermediate_size"],
            "expert_shared_feed_forward_length",
            Absent::Error,
        ),
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
        SHARED[0],
        SHARED[1],
        SHARED[2],
        TensorLine::layer(
            "mlp.shared_expert_gate.weight",
            "ffn_gate_inp_shexp.weight",
            &[Dim::One, Dim::Hidden],
        ),
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
    requires: &[
        SILU,
        NO_DENSE_LAYERS[0],
        NO_DENSE_LAYERS[1],
        Require {
            config: "norm_topk_prob",
            values: Required::Flag(false),
        },
        Require {
            config: "qkv_bias",
            values: Required::Flag(true),
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
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
