//! Phi 3, 3.5 and 4.
//!
//! The plain block with fused matrices: queries, keys and values are one, gate and up are one. Long
//! contexts turn by divisors that are tensors: one set up to the original context, one beyond it.

use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, HfNames, Key, Line, RotaryPairs, TensorLine, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "phi3",
    classes: &["Phi3ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        Line::RopeScaling,
        CONTEXT,
        Key::line(
            Field::OriginalContext,
            &[
                "original_max_position_embeddings",
                "rope.original_max_position_embeddings",
            ],
            "rope.scaling.original_context_length",
            Absent::Same(Field::Context),
        ),
        HIDDEN,
        FEED_FORWARD,
        LAYERS,
        HEADS,
        KV_HEADS,
        norm_eps(Absent::Is(1e-5)),
        rotary_fraction(1.0),
        PARTLY_ROTARY_DIMS,
        rotary_base(10_000.0),
        head_dim(Absent::Default),
        VALUE_DIM,
        // 0 where there is none.
        sliding_window(Absent::Is(0.0)),
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN,
        FFN_GATE_UP,
        FFN_NORM,
        ATTENTION_OUTPUT,
        TensorLine::layer(
            "self_attn.qkv_proj.weight",
            "attn_qkv.weight",
            &[Dim::QueryKeyValue, Dim::Hidden],
        ),
        FINAL_NORM,
    ],
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::Written,
    tied: false,
    graph: Some(Graph {
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
