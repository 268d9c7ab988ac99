//! StarCoder, the first generation, and SantaCoder: GPT-2's block with one head of keys and values.
//!
//! Positions are learned vectors that are added to the embedding. Queries, keys and values are one
//! matrix; everything has biases.

use super::shared::*;
use crate::{
    Absent, Activation, Dim, Family, Field, Graph, HfNames, Key, LayerPattern, NormKind, Require,
    Required, TensorLine, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "starcoder",
    classes: &["GPTBigCodeForCausalLM"],
    names: HfNames::GPT2,
    keys: &[
        Key::line(
            Field::Context,
            &["n_positions", "max_position_embeddings"],
            "context_length",
            Absent::Is(1024.0),
        ),
        Key::line(
            Field::Hidden,
            &["n_embd", "hidden_size"],
            "embedding_length",
            Absent::Error,
        ),
        Key::line(
            Field::FeedForward,
            &["n_inner"],
            "feed_forward_length",
            Absent::Times(4, Field::Hidden),
        ),
        Key::line(
            Field::Layers,
            &["n_layer", "num_hidden_layers"],
            "block_count",
            Absent::Error,
        ),
        Key::line(
            Field::Heads,
            &["n_head", "num_attention_heads"],
            "attention.head_count",
            Absent::Error,
        ),
        Key::line(
            Field::KvHeads,
            &[],
            "attention.head_count_kv",
            Absent::Is(1.0),
        ),
        layer_norm_eps(&["layer_norm_epsilon"], Absent::Is(1e-5)),
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        TensorLine::model(
            "transformer.wpe.weight",
            "position_embd.weight",
            &[Dim::Context, Dim::Hidden],
        ),
        TensorLine::model(
            "transformer.wte.weight",
            "token_embd.weight",
            &[Dim::Vocab, Dim::Hidden],
        ),
        TensorLine::layer("attn.c_attn.bias", "attn_qkv.bias", &[Dim::QueryKeyValue]),
        TensorLine::layer(
            "attn.c_attn.weight",
            "attn_qkv.weight",
            &[Dim::QueryKeyValue, Dim::Hidden],
        ),
        TensorLine::layer("attn.c_proj.bias", "attn_output.bias", &[Dim::Hidden]),
        TensorLine::layer(
            "attn.c_proj.weight",
            "attn_output.weight",
            &[Dim::Hidden, Dim::AttentionOutput],
        ),
        TensorLine::layer("ln_1.bias", "attn_norm.bias", &[Dim::Hidden]),
        TensorLine::layer("ln_1.weight", "attn_norm.weight", &[Dim::Hidden]),
        TensorLine::layer("ln_2.bias", "ffn_norm.bias", &[Dim::Hidden]),
        TensorLine::layer("ln_2.weight", "ffn_norm.weight", &[Dim::Hidden]),
        TensorLine::layer("mlp.c_fc.bias", "ffn_up.bias", &[Dim::FeedForward]),
        TensorLine::layer(
            "mlp.c_fc.weight",
            "ffn_up.weight",
            &[Dim::FeedForward, Dim::Hidden],
        ),
        TensorLine::layer("mlp.c_proj.bias", "ffn_down.bias", &[Dim::Hidden]),
        TensorLine::layer(
            "mlp.c_proj.weight",
            "ffn_down.weight",
            &[Dim::Hidden, Dim::FeedForward],
        ),
        TensorLine::model("transformer.ln_f.bias", "output_norm.bias", &[Dim::Hidden]),
        TensorLine::model(
            "transformer.ln_f.weight",
            "output_norm.weight",
            &[Dim::Hidden],
        ),
    ],
    requires: &[
        Require {
            config: "activation_function",
            values: Required::Words(&["gelu_pytorch_tanh", "gelu_new"]),
        },
        Require {
            config: "multi_query",
            values: Required::Flag(true),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: true,
    graph: Some(Graph {
        norm: NormKind::Layer,
        activation: Activation::GeluTanh,
        rotary_layers: LayerPattern::None,
        ..Graph::PLAIN
    }),
};
