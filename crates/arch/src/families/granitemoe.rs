//! Granite 3 MoE, with and without a network that all tokens share.
//!
//! Granite's block and its factors. Gate and up of all experts are one tensor, the gate's rows first in
//! each; a router's largest scores are chosen, and softmax over these gives the weights.

use super::experts::*;
use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, Heads, HfNames, Key, Line, LogitScale, Part, Router,
    TensorLine, When, WindowSwitch,
};
use Dim::{ExpertForward, Experts, Hidden, SharedForward};

const WITH_SHARED: &[When] = &[When::Experts, When::Shared];

/// Gate and up of the experts, or of the network that all tokens share, in one tensor.
const fn half(
    hf: &'static str,
    gguf: &'static str,
    shape: &'static [Dim],
    part: Part,
) -> TensorLine {
    TensorLine::layer(hf, gguf, shape).part(part)
}

const EXPERTS_INPUT: &str = "block_sparse_moe.input_linear.weight";
const SHARED_INPUT: &str = "shared_mlp.input_linear.weight";

pub(super) const FAMILY: Family = Family {
    architecture: "granitemoe",
    classes: &["GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"],
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
        experts(&["num_local_experts"], Absent::Is(8.0)),
        EXPERTS_USED,
        head_dim(Absent::Default),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        super::granite::SCALES[0],
        super::granite::SCALES[1],
        super::granite::SCALES[2],
        super::granite::SCALES[3],
        Key::line(
            Field::SharedFeedForward,
            &["shared_intermediate_size"],
            "expert_shared_feed_forward_length",
            Absent::Default,
        ),
        EXPERT_FEED_FORWARD_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        half(
            EXPERTS_INPUT,
            "ffn_gate_exps.weight",
            &[Experts, ExpertForward, Hidden],
            Part::FirstRows,
        ),
        half(
            EXPERTS_INPUT,
            "ffn_up_exps.weight",
            &[Experts, ExpertForward, Hidden],
            Part::LastRows,
        ),
        TensorLine::layer(
            "block_sparse_moe.output_linear.weight",
            "ffn_down_exps.weight",
            &[Experts, Hidden, ExpertForward],
        ),
        TensorLine::layer(
            "block_sparse_moe.router.layer.weight",
            "ffn_gate_inp.weight",
            &[Experts, Hidden],
        ),
        ATTENTION_NORM,
        FFN_NORM,
        KEY.rotary(Heads::Key),
        ATTENTION_OUTPUT,
        QUERY.rotary(Heads::Query),
        VALUE,
        half(
            SHARED_INPUT,
            "ffn_gate_shexp.weight",
            &[SharedForward, Hidden],
            Part::FirstRows,
        )
        .when(WITH_SHARED),
        half(
            SHARED_INPUT,
            "ffn_up_shexp.weight",
            &[SharedForward, Hidden],
            Part::LastRows,
        )
        .when(WITH_SHARED),
        TensorLine::layer(
            "shared_mlp.output_linear.weight",
            "ffn_down_shexp.weight",
            &[Hidden, SharedForward],
        )
        .when(WITH_SHARED),
        FINAL_NORM,
    ],
    requires: &[
        SILU,
        crate::Require {
            config: "attention_bias",
            values: crate::Required::Flag(false),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        logit_scale: LogitScale::Divides,
        router: Router::SoftmaxOfChosen,
        ..Graph::PLAIN
    }),
};
