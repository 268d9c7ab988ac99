//! Llama 1 to 3, Mistral 7B and Nemo, Mixtral, and the many models of the same shape.
//!
//! The plain block. Rows of the query and key projections are permuted on conversion, so that the
//! numbers which are rotated together become neighbours. Llama 3's rotary scaling is a tensor of
//! divisors, which conversion computes. Biases are rare and computed where they are.
//!
//! Mixtral has experts in place of the dense network: a router's softmax chooses some, whose weights are
//! divided by their sum.

use super::experts::*;
use super::shared::*;
use crate::{Absent, Dim, Family, Field, Graph, Heads, HfNames, Line, TensorLine, WindowSwitch};
use Dim::{ExpertForward, Experts, Hidden};

pub(super) const FAMILY: Family = Family {
    architecture: "llama",
    classes: &[
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "MixtralForCausalLM",
        "LLaMAForCausalLM",
    ],
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
        experts(&["num_local_experts"], Absent::Default),
        EXPERTS_USED,
        head_dim(Absent::HeadDim),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        SLIDING_WINDOW_READ,
        EXPERT_FEED_FORWARD_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        TensorLine::layer(
            "block_sparse_moe.experts.{}.w1.weight",
            "ffn_gate_exps.weight",
            &[Experts, ExpertForward, Hidden],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "block_sparse_moe.experts.{}.w2.weight",
            "ffn_down_exps.weight",
            &[Experts, Hidden, ExpertForward],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "block_sparse_moe.experts.{}.w3.weight",
            "ffn_up_exps.weight",
            &[Experts, ExpertForward, Hidden],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "block_sparse_moe.gate.weight",
            "ffn_gate_inp.weight",
            &[Experts, Hidden],
        )
        .when(WITH_EXPERTS),
        ATTENTION_NORM,
        FFN_DOWN_BIAS.bias(MLP_BIAS).when(IN_DENSE),
        FFN_DOWN.when(IN_DENSE),
        FFN_GATE_BIAS.bias(MLP_BIAS).when(IN_DENSE),
        FFN_GATE.when(IN_DENSE),
        FFN_UP_BIAS.bias(MLP_BIAS).when(IN_DENSE),
        FFN_UP.when(IN_DENSE),
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
    requires: &[SILU],
    explicit: &[("MistralForCausalLM", "num_key_value_heads")],
    // Its class keeps no size of a head that config.json does not state.
    defaults: &[
        ("MixtralForCausalLM", Field::HeadDim, None),
        ("MixtralForCausalLM", Field::ValueDim, None),
    ],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::UnlessOff,
    tied: false,
    graph: Some(Graph {
        normed_experts: true,
        ..Graph::PLAIN
    }),
};
