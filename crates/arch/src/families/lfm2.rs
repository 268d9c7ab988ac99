//! LFM2: short convolutions between layers with attention.
//!
//! A convolution layer multiplies its input with a gate, mixes the last few tokens of each channel, and
//! multiplies the result with another gate. Attention is grouped, with a norm of every head's queries
//! and keys. GGUF names the norm behind the layers `token_embd_norm`, and tells convolution layers by
//! their 0 key heads.

use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, HfNames, Key, Line, Recurrence, Require, Required,
    RotaryPairs, TensorLine, When, WindowSwitch,
};
use Dim::{Convolution, FeedForward, HeadDim, Hidden, One, ThreeHidden};

/// A tensor of a convolution layer.
const fn convolution(hf: &'static str, gguf: &'static str, shape: &'static [Dim]) -> TensorLine {
    TensorLine::layer(hf, gguf, shape).when(&[When::Recurrent])
}

pub(super) const FAMILY: Family = Family {
    architecture: "lfm2",
    classes: &["Lfm2ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        context(Absent::Is(128_000.0)),
        HIDDEN,
        Key::of_config(
            Field::FeedForwardStated,
            &["block_ff_dim", "intermediate_size"],
            Absent::Is(12_288.0),
        ),
        Key::of_config(
            Field::FeedForwardAdjusted,
            &["block_auto_adjust_ff_dim"],
            Absent::Is(1.0),
        ),
        Key::of_config(
            Field::FeedForwardFactor,
            &["block_ffn_dim_multiplier"],
            Absent::Is(1.0),
        ),
        Key::of_config(
            Field::FeedForwardMultiple,
            &["block_multiple_of"],
            Absent::Is(256.0),
        ),
        Key::line(
            Field::FeedForward,
            &[],
            "feed_forward_length",
            Absent::FeedForward,
        ),
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(1_000_000.0),
        Key::line(
            Field::NormEps,
            &["norm_eps"],
            "attention.layer_norm_rms_epsilon",
            Absent::Is(1e-5),
        ),
        VOCAB,
        Key::line(
            Field::Convolution,
            &["conv_L_cache"],
            "shortconv.l_cache",
            Absent::Is(3.0),
        ),
        ROTARY_DIMS_READ,
        SLIDING_WINDOW_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        TensorLine::model(
            "model.embedding_norm.weight",
            "token_embd_norm.weight",
            &[Hidden],
        ),
        convolution(
            "conv.conv.weight",
            "shortconv.conv.weight",
            &[Hidden, Convolution],
        )
        .stored_as(&[Hidden, One, Convolution]),
        convolution(
            "conv.in_proj.weight",
            "shortconv.in_proj.weight",
            &[ThreeHidden, Hidden],
        ),
        convolution(
            "conv.out_proj.weight",
            "shortconv.out_proj.weight",
            &[Hidden, Hidden],
        ),
        TensorLine::layer(
            "feed_forward.w1.weight",
            "ffn_gate.weight",
            &[FeedForward, Hidden],
        ),
        TensorLine::layer(
            "feed_forward.w2.weight",
            "ffn_down.weight",
            &[Hidden, FeedForward],
        ),
        TensorLine::layer(
            "feed_forward.w3.weight",
            "ffn_up.weight",
            &[FeedForward, Hidden],
        ),
        TensorLine::layer("ffn_norm.weight", "ffn_norm.weight", &[Hidden]),
        TensorLine::layer("operator_norm.weight", "attn_norm.weight", &[Hidden]),
        TensorLine::layer(
            "self_attn.k_layernorm.weight",
            "attn_k_norm.weight",
            &[HeadDim],
        )
        .when(&[When::Attention]),
        KEY.when(&[When::Attention]),
        TensorLine::layer(
            "self_attn.out_proj.weight",
            "attn_output.weight",
            &[Hidden, Dim::AttentionOutput],
        )
        .when(&[When::Attention]),
        TensorLine::layer(
            "self_attn.q_layernorm.weight",
            "attn_q_norm.weight",
            &[HeadDim],
        )
        .when(&[When::Attention]),
        QUERY.when(&[When::Attention]),
        VALUE.when(&[When::Attention]),
    ],
    requires: &[
        Require {
            config: "conv_bias",
            values: Required::Flag(false),
        },
        Require {
            config: "block_use_swiglu",
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
        rotary_pairs: RotaryPairs::Halves,
        recurrence: Recurrence::ShortConvolution,
        output_norm: "token_embd_norm",
        ..Graph::PLAIN
    }),
};
