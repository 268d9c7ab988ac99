//! Qwen3-Next.
//!
//! Qwen 3.5's layers before they were split further: the projections of a delta net lie together for each
//! of its key heads, and its value heads stay in the order of these. Every layer has experts, and a
//! network that all tokens share.

use super::delta_net::*;
use super::experts::*;
use super::qwen2moe::NO_DENSE_LAYERS;
use super::shared::*;
use crate::{Absent, Dim, Family, Graph, HfNames, Line, Part, Require, Required, WindowSwitch};
use Dim::{DeltaHeadsTwice, DeltaQueryKeyValue, DeltaQueryKeyValueGate, DeltaValues, Hidden};

pub(super) const FAMILY: Family = Family {
    architecture: "qwen3next",
    classes: &["Qwen3NextForCausalLM"],
    names: HfNames::USUAL,
    keys: &join::<_, 26>(&[
        &[
            LAYERS,
            context(Absent::Is(32_768.0)),
            HIDDEN,
            FEED_FORWARD,
            HEADS,
            kv_heads(Absent::Is(2.0)),
            Line::RopeScaling,
            rotary_base(10_000.0),
            norm_eps(Absent::Is(1e-6)),
            experts(&["num_experts"], Absent::Is(512.0)),
            experts_used(Absent::Is(10.0)),
            head_dim(Absent::Is(256.0)),
            VALUE_DIM,
            EXPERT_FEED_FORWARD,
            SHARED_FEED_FORWARD,
        ],
        &DELTA_KEYS,
    ]),
    tensors: &join::<_, 31>(&[
        &[
            LM_HEAD,
            EMBEDDING,
            ATTENTION_NORM.plus_one(),
            DECAY,
            CONVOLUTION_WEIGHT,
            STEP_BIAS,
            delta(
                "linear_attn.in_proj_ba.weight",
                "ssm_ba.weight",
                &[DeltaHeadsTwice, Hidden],
            ),
            delta(
                "linear_attn.in_proj_qkvz.weight",
                "attn_qkv.weight",
                &[DeltaQueryKeyValue, Hidden],
            )
            .stored_as(&[DeltaQueryKeyValueGate, Hidden])
            .part(Part::DeltaQueryKeyValue),
            delta(
                "linear_attn.in_proj_qkvz.weight",
                "attn_gate.weight",
                &[DeltaValues, Hidden],
            )
            .stored_as(&[DeltaQueryKeyValueGate, Hidden])
            .part(Part::DeltaGates),
            VALUE_NORM,
            OUT,
        ],
        &MIXTURE,
        &GATED_ATTENTION,
    ]),
    requires: &[
        SILU,
        NO_DENSE_LAYERS[0],
        NO_DENSE_LAYERS[1],
        Require {
            config: "norm_topk_prob",
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
        normed_experts: true,
        ..GRAPH
    }),
};
