//! DeepSeek V2, V3 and R1.
//!
//! Latent attention: keys and values of all heads are made of one vector, which is all that is
//! remembered of a position, beside a rotated part of the key that all heads share. The matrix that
//! makes them is two tensors in GGUF, head by head, that of the keys with rows as columns: queries are
//! multiplied with it, so that keys and values are never made.
//!
//! The first layers are dense. V2 chooses experts by softmax, V3 by the sigmoid with a correction, both
//! in groups of experts; experts that all tokens share are added. V3's block that predicts a second
//! token is kept on demand.

use super::experts::*;
use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, HfNames, Key, Line, Mixer, Part, Require, Required, Router,
    TensorLine, Value, When, WindowSwitch, Written,
};
use Dim::Hidden;

const SHARED: [TensorLine; 3] = shared([
    "mlp.shared_experts.down_proj.weight",
    "mlp.shared_experts.gate_proj.weight",
    "mlp.shared_experts.up_proj.weight",
]);
const WITH_SHARED: &[When] = &[When::Experts, When::Shared];
const QUERY_RANK: &[When] = &[When::Has(Field::QueryRank)];

const fn flag(config: &'static str, value: bool) -> Require {
    Require {
        config,
        values: Required::Flag(value),
    }
}

pub(super) const FAMILY: Family = Family {
    architecture: "deepseek2",
    classes: &["DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        Key::line(
            Field::KvHeads,
            &[],
            "attention.head_count_kv",
            Absent::Is(1.0),
        ),
        Line::RopeScaling,
        rotary_base(10_000.0),
        norm_eps(Absent::Is(1e-6)),
        experts(&["n_routed_experts"], Absent::Error),
        EXPERTS_USED,
        EXPERT_GROUPS,
        EXPERT_GROUPS_USED,
        Key::line(
            Field::Gating,
            &["scoring_func"],
            "expert_gating_func",
            Absent::Default,
        ),
        Key::line(
            Field::HeadDim,
            &[],
            "attention.key_length",
            Absent::Sum(Field::LatentRank, Field::RotaryDims),
        ),
        Key::line(
            Field::ValueDim,
            &[],
            "attention.value_length",
            Absent::Same(Field::LatentRank),
        ),
        DENSE_LAYERS,
        VOCAB,
        Key::line(
            Field::QueryRank,
            &["q_lora_rank"],
            "attention.q_lora_rank",
            Absent::Default,
        ),
        Key::line(
            Field::LatentRank,
            &["kv_lora_rank"],
            "attention.kv_lora_rank",
            Absent::Error,
        ),
        Key::of_config(Field::UnrotatedDim, &["qk_nope_head_dim"], Absent::Error),
        Key::line(
            Field::LatentKeyDim,
            &[],
            "attention.key_length_mla",
            Absent::Sum(Field::UnrotatedDim, Field::RotaryDims),
        ),
        Key::line(
            Field::LatentValueDim,
            &["v_head_dim"],
            "attention.value_length_mla",
            Absent::Error,
        ),
        EXPERT_FEED_FORWARD,
        SHARED_EXPERTS,
        EXPERT_SCALE,
        expert_norm(Written::Unless(0.0)),
        Key::line(
            Field::RotaryDims,
            &["qk_rope_head_dim"],
            "rope.dimension_count",
            Absent::Error,
        ),
        Key::line(
            Field::YarnLogTenth,
            &["rope.mscale_all_dim"],
            "rope.scaling.yarn_log_multiplier",
            Absent::Default,
        ),
        PREDICT_LAYERS,
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
        FFN_NORM,
        TensorLine::layer(
            "self_attn.kv_a_layernorm.weight",
            "attn_kv_a_norm.weight",
            &[Dim::LatentRank],
        ),
        TensorLine::layer(
            "self_attn.kv_a_proj_with_mqa.weight",
            "attn_kv_a_mqa.weight",
            &[Dim::LatentKey, Hidden],
        ),
        TensorLine::layer(
            "self_attn.kv_b_proj.weight",
            "attn_k_b.weight",
            &[Dim::Heads, Dim::LatentRank, Dim::LatentKeyPart],
        )
        .part(Part::LatentKeys),
        TensorLine::layer(
            "self_attn.kv_b_proj.weight",
            "attn_v_b.weight",
            &[Dim::Heads, Dim::LatentValue, Dim::LatentRank],
        )
        .part(Part::LatentValues),
        TensorLine::layer(
            "self_attn.o_proj.weight",
            "attn_output.weight",
            &[Hidden, Dim::LatentOutput],
        ),
        TensorLine::layer(
            "self_attn.q_a_layernorm.weight",
            "attn_q_a_norm.weight",
            &[Dim::QueryRank],
        )
        .when(QUERY_RANK),
        TensorLine::layer(
            "self_attn.q_a_proj.weight",
            "attn_q_a.weight",
            &[Dim::QueryRank, Hidden],
        )
        .when(QUERY_RANK),
        TensorLine::layer(
            "self_attn.q_b_proj.weight",
            "attn_q_b.weight",
            &[Dim::LatentQueries, Dim::QueryRank],
        )
        .when(QUERY_RANK),
        TensorLine::layer(
            "self_attn.q_proj.weight",
            "attn_q.weight",
            &[Dim::LatentQueries, Hidden],
        )
        .when(&[When::Lacks(Field::QueryRank)]),
        PREDICTING[4],
        PREDICTING[5],
        FINAL_NORM,
    ],
    requires: &[
        SILU,
        flag("attention_bias", false),
        flag("mlp_bias", false),
        flag("rope_interleave", true),
        Require {
            config: "moe_layer_freq",
            values: Required::Number(1),
        },
        Require {
            config: "topk_method",
            values: Required::Words(&["noaux_tc", "greedy", "group_limited_greedy"]),
        },
    ],
    explicit: &[],
    // Files that newer versions of the framework save do not say it.
    defaults: &[("DeepseekV3ForCausalLM", Field::Gating, Some(Value::Size(2)))],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        mixer: Mixer::LatentAttention,
        router: Router::Softmax,
        ..Graph::PLAIN
    }),
};
