//! Qwen 1.5, 2 and 2.5, and the models distilled into them.
//!
//! Llama's block with biases on queries, keys and values; pairs of the rotary embedding are the two
//! halves of a head, so no row is permuted.

use super::shared::*;
use crate::{Absent, Dim, Family, Graph, Line, RotaryPairs, TensorLine, WindowSwitch};
use Dim::{AttentionOutput, FeedForward, Hidden, KeyHeads, Query, ValueHeads};

pub(super) const FAMILY: Family = Family {
    architecture: "qwen2",
    classes: &["Qwen2ForCausalLM"],
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
        head_dim(Absent::Default),
        VALUE_DIM,
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        TensorLine::layer("input_layernorm.weight", "attn_norm.weight", &[Hidden]),
        TensorLine::layer(
            "mlp.down_proj.weight",
            "ffn_down.weight",
            &[Hidden, FeedForward],
        ),
        TensorLine::layer(
            "mlp.gate_proj.weight",
            "ffn_gate.weight",
            &[FeedForward, Hidden],
        ),
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
        TensorLine::layer("self_attn.k_proj.bias", "attn_k.bias", &[KeyHeads]).bias(None),
        TensorLine::layer(
            "self_attn.k_proj.weight",
            "attn_k.weight",
            &[KeyHeads, Hidden],
        ),
        TensorLine::layer(
            "self_attn.o_proj.weight",
            "attn_output.weight",
            &[Hidden, AttentionOutput],
        ),
        TensorLine::layer("self_attn.q_proj.bias", "attn_q.bias", &[Query]).bias(None),
        TensorLine::layer("self_attn.q_proj.weight", "attn_q.weight", &[Query, Hidden]),
        TensorLine::layer("self_attn.v_proj.bias", "attn_v.bias", &[ValueHeads]).bias(None),
        TensorLine::layer(
            "self_attn.v_proj.weight",
            "attn_v.weight",
            &[ValueHeads, Hidden],
        ),
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[],
    writes_space_prefix: false,
    window: WindowSwitch::IfOn,
    graph: Some(Graph {
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
