//! LG's EXAONE 3 and 3.5.
//!
//! Llama's block under names that continue GPT-2's; pairs of the rotary embedding are the two halves of
//! a head, so no row is permuted.

use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, HfNames, Key, Line, Require, Required, RotaryPairs,
    TensorLine, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "exaone",
    classes: &["ExaoneForCausalLM"],
    names: HfNames::GPT2,
    keys: &[
        Key::line(
            Field::Layers,
            &["num_hidden_layers", "num_layers"],
            "block_count",
            Absent::Error,
        ),
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(500_000.0),
        Key::line(
            Field::NormEps,
            &["rms_norm_eps", "layer_norm_epsilon"],
            "attention.layer_norm_rms_epsilon",
            Absent::Is(1e-5),
        ),
        head_dim(Absent::HeadDim),
        VALUE_DIM,
        rotary_fraction(1.0),
        PARTLY_ROTARY_DIMS,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        TensorLine::model(
            "transformer.wte.weight",
            "token_embd.weight",
            &[Dim::Vocab, Dim::Hidden],
        ),
        TensorLine::layer(
            "attn.attention.k_proj.weight",
            "attn_k.weight",
            &[Dim::KeyHeads, Dim::Hidden],
        ),
        TensorLine::layer(
            "attn.attention.out_proj.weight",
            "attn_output.weight",
            &[Dim::Hidden, Dim::AttentionOutput],
        ),
        TensorLine::layer(
            "attn.attention.q_proj.weight",
            "attn_q.weight",
            &[Dim::Query, Dim::Hidden],
        ),
        TensorLine::layer(
            "attn.attention.v_proj.weight",
            "attn_v.weight",
            &[Dim::ValueHeads, Dim::Hidden],
        ),
        TensorLine::layer("ln_1.weight", "attn_norm.weight", &[Dim::Hidden]),
        TensorLine::layer("ln_2.weight", "ffn_norm.weight", &[Dim::Hidden]),
        TensorLine::layer(
            "mlp.c_fc_0.weight",
            "ffn_gate.weight",
            &[Dim::FeedForward, Dim::Hidden],
        ),
        TensorLine::layer(
            "mlp.c_fc_1.weight",
            "ffn_up.weight",
            &[Dim::FeedForward, Dim::Hidden],
        ),
        TensorLine::layer(
            "mlp.c_proj.weight",
            "ffn_down.weight",
            &[Dim::Hidden, Dim::FeedForward],
        ),
        TensorLine::model(
            "transformer.ln_f.weight",
            "output_norm.weight",
            &[Dim::Hidden],
        ),
    ],
    requires: &[
        SILU,
        Require {
            config: "activation_function",
            values: Required::Words(&["silu", "swish"]),
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
