//! GPT-NeoX and Pythia.
//!
//! Attention and the feed-forward network each norm what comes into the layer, and both add to it.
//! Everything has biases. Queries, keys and values are one matrix, stored by head. A part of each head is
//! rotated.

use super::shared::*;
use crate::{
    Absent, Activation, Block, Dim, Family, Field, Graph, HfNames, Key, NormKind, Require,
    Required, RotaryPairs, TensorLine, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "gptneox",
    classes: &["GPTNeoXForCausalLM"],
    names: HfNames {
        backbone: "gpt_neox.",
        layers: "layers.",
    },
    keys: &[
        CONTEXT,
        HIDDEN,
        LAYERS,
        FEED_FORWARD,
        Key::of_config(
            Field::RotaryFraction,
            &[
                "rope.partial_rotary_factor",
                "partial_rotary_factor",
                "rotary_pct",
            ],
            Absent::Is(0.25),
        ),
        PARTLY_ROTARY_DIMS,
        HEADS,
        Key::line(
            Field::ParallelResidual,
            &["use_parallel_residual"],
            "use_parallel_residual",
            Absent::Is(1.0),
        ),
        layer_norm_eps(&["layer_norm_eps"], Absent::Is(1e-5)),
        ROTARY_BASE_OF_READERS,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        TensorLine::model(
            "embed_out.weight",
            "output.weight",
            &[Dim::Vocab, Dim::Hidden],
        )
        .untied(),
        TensorLine::model(
            "gpt_neox.embed_in.weight",
            "token_embd.weight",
            &[Dim::Vocab, Dim::Hidden],
        ),
        TensorLine::layer("attention.dense.bias", "attn_output.bias", &[Dim::Hidden]),
        TensorLine::layer(
            "attention.dense.weight",
            "attn_output.weight",
            &[Dim::Hidden, Dim::AttentionOutput],
        ),
        TensorLine::layer(
            "attention.query_key_value.bias",
            "attn_qkv.bias",
            &[Dim::QueryKeyValue],
        )
        .by_key_head(),
        TensorLine::layer(
            "attention.query_key_value.weight",
            "attn_qkv.weight",
            &[Dim::QueryKeyValue, Dim::Hidden],
        )
        .by_key_head(),
        ATTENTION_NORM_BIAS,
        ATTENTION_NORM,
        TensorLine::layer("mlp.dense_4h_to_h.bias", "ffn_down.bias", &[Dim::Hidden]),
        TensorLine::layer(
            "mlp.dense_4h_to_h.weight",
            "ffn_down.weight",
            &[Dim::Hidden, Dim::FeedForward],
        ),
        TensorLine::layer("mlp.dense_h_to_4h.bias", "ffn_up.bias", &[Dim::FeedForward]),
        TensorLine::layer(
            "mlp.dense_h_to_4h.weight",
            "ffn_up.weight",
            &[Dim::FeedForward, Dim::Hidden],
        ),
        FFN_NORM_BIAS,
        FFN_NORM,
        TensorLine::model(
            "gpt_neox.final_layer_norm.bias",
            "output_norm.bias",
            &[Dim::Hidden],
        ),
        TensorLine::model(
            "gpt_neox.final_layer_norm.weight",
            "output_norm.weight",
            &[Dim::Hidden],
        ),
    ],
    requires: &[
        Require {
            config: "hidden_act",
            values: Required::Words(&["gelu"]),
        },
        // An older name of rope_theta, which no published model sets otherwise.
        Require {
            config: "rotary_emb_base",
            values: Required::Number(10_000),
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
        norm: NormKind::Layer,
        block: Block::ParallelUnlessOff,
        activation: Activation::Gelu,
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
