//! Llama 1 to 3, Mistral 7B and Nemo, and the many models of the same shape.
//!
//! The plain block. Rows of the query and key projections are permuted on conversion, so that the
//! numbers which are rotated together become neighbours. Llama 3's rotary scaling is a tensor of
//! divisors, which conversion computes. Biases are rare and computed where they are.

use super::shared::*;
use crate::{Absent, Dim, Family, Graph, Heads, Line, TensorLine, WindowSwitch};
use Dim::{AttentionOutput, FeedForward, Hidden, KeyHeads, Query, ValueHeads};

pub(super) const FAMILY: Family = Family {
    architecture: "llama",
    classes: &["LlamaForCausalLM", "MistralForCausalLM", "LLaMAForCausalLM"],
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
        head_dim(Absent::HeadDim),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        TensorLine::layer("input_layernorm.weight", "attn_norm.weight", &[Hidden]),
        TensorLine::layer("mlp.down_proj.bias", "ffn_down.bias", &[Hidden]).bias(MLP_BIAS),
        TensorLine::layer(
            "mlp.down_proj.weight",
            "ffn_down.weight",
            &[Hidden, FeedForward],
        ),
        TensorLine::layer("mlp.gate_proj.bias", "ffn_gate.bias", &[FeedForward]).bias(MLP_BIAS),
        TensorLine::layer(
            "mlp.gate_proj.weight",
            "ffn_gate.weight",
            &[FeedForward, Hidden],
        ),
        TensorLine::layer("mlp.up_proj.bias", "ffn_up.bias", &[FeedForward]).bias(MLP_BIAS),
        TensorLine::layer(
            "mlp.up_proj.weight",
            "ffn_up.weight",
            &[FeedForward, Hidden],
        ),
        TensorLine::layer(
            "post_attention_layernorm.weight",
            "ffn_norm.weight",
            &[Hidden],
        ),
        TensorLine::layer("self_attn.k_proj.bias", "attn_k.bias", &[KeyHeads])
            .rotary(Heads::Key)
            .bias(ATTENTION_BIAS),
        TensorLine::layer(
            "self_attn.k_proj.weight",
            "attn_k.weight",
            &[KeyHeads, Hidden],
        )
        .rotary(Heads::Key),
        TensorLine::layer("self_attn.o_proj.bias", "attn_output.bias", &[Hidden])
            .bias(ATTENTION_BIAS),
        TensorLine::layer(
            "self_attn.o_proj.weight",
            "attn_output.weight",
            &[Hidden, AttentionOutput],
        ),
        TensorLine::layer("self_attn.q_proj.bias", "attn_q.bias", &[Query])
            .rotary(Heads::Query)
            .bias(ATTENTION_BIAS),
        TensorLine::layer("self_attn.q_proj.weight", "attn_q.weight", &[Query, Hidden])
            .rotary(Heads::Query),
        TensorLine::layer("self_attn.v_proj.bias", "attn_v.bias", &[ValueHeads])
            .bias(ATTENTION_BIAS),
        TensorLine::layer(
            "self_attn.v_proj.weight",
            "attn_v.weight",
            &[ValueHeads, Hidden],
        ),
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[("MistralForCausalLM", "num_key_value_heads")],
    writes_space_prefix: true,
    window: WindowSwitch::UnlessOff,
    graph: Some(Graph::PLAIN),
};
