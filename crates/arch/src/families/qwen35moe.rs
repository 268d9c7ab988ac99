//! Qwen 3.5 and 3.6 with experts: the text model.
//!
//! The dense model's layers. In place of a dense network every layer has experts, whose weights are
//! divided by their sum, and a network that all tokens share.

use super::delta_net::*;
use super::experts::*;
use super::qwen35::DELTA;
use super::shared::*;
use crate::{Absent, DeltaOrder, Family, Graph, HfNames, Line, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "qwen35moe",
    classes: &["Qwen3_5MoeForCausalLM"],
    names: HfNames::USUAL,
    keys: &join::<_, 26>(&[
        &[
            LAYERS,
            context(Absent::Is(32_768.0)),
            HIDDEN,
            HEADS,
            kv_heads(Absent::Is(2.0)),
            Line::RotarySections,
            Line::RopeScaling,
            rotary_base(10_000_000.0),
            norm_eps(Absent::Is(1e-6)),
            experts(&["num_experts"], Absent::Is(256.0)),
            experts_used(Absent::Is(8.0)),
            head_dim(Absent::Is(256.0)),
            VALUE_DIM,
            EXPERT_FEED_FORWARD,
            SHARED_FEED_FORWARD,
        ],
        &DELTA_KEYS,
    ]),
    tensors: &join::<_, 32>(&[
        &[LM_HEAD, EMBEDDING, ATTENTION_NORM.plus_one()],
        &DELTA,
        &MIXTURE,
        &GATED_ATTENTION,
    ]),
    requires: &[SILU, OUTPUT_GATE],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        delta_order: DeltaOrder::Dealt,
        normed_experts: true,
        ..GRAPH
    }),
};
