//! GLM 4.5, 4.6 and 4.7, Air among them.
//!
//! Half of each head is rotated; the two halves of what is rotated make the pairs. The first layers are
//! dense. Experts are chosen by the sigmoid of the router's scores with a correction; experts that all
//! tokens share are added. The last block predicts a second token, and is kept on demand.

use super::experts::*;
use super::shared::*;
use crate::{
    Absent, Dim, Family, FfnNorm, Field, Graph, HfNames, Key, Line, RotaryPairs, Router,
    TensorLine, When, WindowSwitch, Written,
};

const SHARED: [TensorLine; 3] = shared([
    "mlp.shared_experts.down_proj.weight",
    "mlp.shared_experts.gate_proj.weight",
    "mlp.shared_experts.up_proj.weight",
]);
const WITH_SHARED: &[When] = &[When::Experts, When::Shared];
const USE_QK_NORM: Option<&str> = Some("use_qk_norm");

pub(super) const FAMILY: Family = Family {
    architecture: "glm4moe",
    classes: &["Glm4MoeForCausalLM"],
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
        experts(&["n_routed_experts"], Absent::Error),
        EXPERTS_USED,
        EXPERT_GROUPS,
        EXPERT_GROUPS_USED,
        head_dim(Absent::Default),
        VALUE_DIM,
        rotary_fraction(0.5),
        PARTLY_ROTARY_DIMS,
        EXPERT_FEED_FORWARD,
        SHARED_EXPERTS,
        DENSE_LAYERS,
        Key::line(Field::Gating, &[], "expert_gating_func", Absent::Is(2.0)),
        EXPERT_SCALE,
        expert_norm(Written::Always),
        PREDICT_LAYERS,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        PREDICTING[0],
        PREDICTING[1],
        PREDICTING[2],
        PREDICTING[3],
        ATTENTION_NORM,
        FFN_DOWN.when(IN_DENSE),
        DOWN_EXPERTS,
        GATE_EXPERTS,
        UP_EXPERTS,
        ROUTER_CORRECTION,
        ROUTER,
        FFN_GATE.when(IN_DENSE),
        SHARED[0].when(WITH_SHARED),
        SHARED[1].when(WITH_SHARED),
        SHARED[2].when(WITH_SHARED),
        FFN_UP.when(IN_DENSE),
        TensorLine::layer(
            "post_attention_layernorm.weight",
            "post_attention_norm.weight",
            &[Dim::Hidden],
        ),
        KEY_NORM.bias(USE_QK_NORM),
        KEY_BIAS.bias(ATTENTION_BIAS),
        KEY,
        ATTENTION_OUTPUT,
        QUERY_NORM.bias(USE_QK_NORM),
        QUERY_BIAS.bias(ATTENTION_BIAS),
        QUERY,
        VALUE_BIAS.bias(ATTENTION_BIAS),
        VALUE,
        PREDICTING[4],
        PREDICTING[5],
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[
        ("bos", "[gMASK]"),
        ("eot", "<|user|>"),
        ("unk", "<|endoftext|>"),
        ("eom", "<|observation|>"),
    ],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        ffn_norm: FfnNorm::PostAttention,
        rotary_pairs: RotaryPairs::Halves,
        router: Router::Sigmoid,
        ..Graph::PLAIN
    }),
};
