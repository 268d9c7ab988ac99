//! Qwen 3.5 and 3.6, dense: the text model.
//!
//! Three layers of four are gated delta nets, the fourth attends, with a gate for its output that comes
//! with the queries. Norms are stored as their difference from 1, but for the one within the delta net.
//! Conversion deals the delta net's value heads out, in rows and in the columns of its output, so that a
//! runtime can repeat its key heads as a whole. Pairs turn by three positions, which are one in a text.

use super::delta_net::*;
use super::shared::*;
use crate::{
    Absent, Delta, DeltaOrder, Dim, Family, Graph, HfNames, Line, TensorLine, WindowSwitch,
};
use Dim::{DeltaHeads, DeltaQueryKeyValue, DeltaValues, Hidden};

/// The delta net, whose value heads are dealt out.
pub(super) const DELTA: [TensorLine; 9] = [
    DECAY.delta_heads(Delta::Numbers),
    CONVOLUTION_WEIGHT.delta_heads(Delta::BehindKeys),
    STEP_BIAS.delta_heads(Delta::Numbers),
    delta(
        "linear_attn.in_proj_a.weight",
        "ssm_alpha.weight",
        &[DeltaHeads, Hidden],
    )
    .delta_heads(Delta::Numbers),
    delta(
        "linear_attn.in_proj_b.weight",
        "ssm_beta.weight",
        &[DeltaHeads, Hidden],
    )
    .delta_heads(Delta::Numbers),
    delta(
        "linear_attn.in_proj_qkv.weight",
        "attn_qkv.weight",
        &[DeltaQueryKeyValue, Hidden],
    )
    .delta_heads(Delta::BehindKeys),
    delta(
        "linear_attn.in_proj_z.weight",
        "attn_gate.weight",
        &[DeltaValues, Hidden],
    )
    .delta_heads(Delta::Values),
    VALUE_NORM,
    OUT.delta_columns(),
];

pub(super) const FAMILY: Family = Family {
    architecture: "qwen35",
    classes: &["Qwen3_5ForCausalLM"],
    names: HfNames::USUAL,
    keys: &join::<_, 23>(&[
        &[
            LAYERS,
            context(Absent::Is(32_768.0)),
            HIDDEN,
            FEED_FORWARD,
            HEADS,
            kv_heads(Absent::Is(4.0)),
            Line::RotarySections,
            Line::RopeScaling,
            rotary_base(10_000_000.0),
            norm_eps(Absent::Is(1e-6)),
            head_dim(Absent::Is(256.0)),
            VALUE_DIM,
        ],
        &DELTA_KEYS,
    ]),
    tensors: &join::<_, 27>(&[
        &[LM_HEAD, EMBEDDING, ATTENTION_NORM.plus_one()],
        &DELTA,
        &[FFN_DOWN, FFN_GATE, FFN_UP],
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
        ..GRAPH
    }),
};
