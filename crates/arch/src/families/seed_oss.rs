//! ByteDance's Seed OSS.
//!
//! Qwen 2's block with a head size of its own. GGUF calls the norm in front of the feed-forward network
//! after its place behind attention.

use super::shared::*;
use crate::{
    Absent, Dim, Family, FfnNorm, Graph, HfNames, Line, RotaryPairs, TensorLine, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "seed_oss",
    classes: &["SeedOssForCausalLM"],
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
        norm_eps(Absent::Is(1e-6)),
        head_dim(Absent::Is(128.0)),
        VALUE_DIM,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN_BIAS.bias(MLP_BIAS),
        FFN_DOWN,
        FFN_GATE_BIAS.bias(MLP_BIAS),
        FFN_GATE,
        FFN_UP_BIAS.bias(MLP_BIAS),
        FFN_UP,
        TensorLine::layer(
            "post_attention_layernorm.weight",
            "post_attention_norm.weight",
            &[Dim::Hidden],
        ),
        KEY_BIAS.bias(ATTENTION_BIAS),
        KEY,
        ATTENTION_OUTPUT_BIAS.bias(Some("attention_out_bias")),
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(ATTENTION_BIAS),
        QUERY,
        VALUE_BIAS.bias(ATTENTION_BIAS),
        VALUE,
        FINAL_NORM,
    ],
    requires: &[SILU],
    // True where config.json does not say.
    explicit: &[("SeedOssForCausalLM", "attention_bias")],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        ffn_norm: FfnNorm::PostAttention,
        rotary_pairs: RotaryPairs::Halves,
        ..Graph::PLAIN
    }),
};
