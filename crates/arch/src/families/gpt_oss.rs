//! gpt-oss.
//!
//! Every second layer sees a window, the first among them. Each head of attention has a score of its
//! own that takes part in the softmax and stands for no position. Experts have biases and a bounded
//! gate; the largest scores of the router are chosen, and softmax over these gives the weights.
//!
//! Published models have their experts in MXFP4, four bits a weight; others store them with rows as
//! columns. Rows of gate and up alternate.

use super::experts::*;
use super::shared::*;
use crate::{
    Absent, Activation, Dim, Family, FfnNorm, Field, Graph, HfNames, Key, LayerPattern, Line, Part,
    Require, Required, RotaryPairs, Router, Stored, TensorLine, WindowSwitch,
};
use Dim::{ExpertForward, Experts, Hidden};

const fn packed(blocks: &'static str, scales: &'static str, part: Part) -> Stored {
    Stored {
        hf: blocks,
        part,
        scales: Some(scales),
    }
}

const fn gate_up(part: Part) -> Stored {
    let (blocks, scales) = (
        "mlp.experts.gate_up_proj_blocks",
        "mlp.experts.gate_up_proj_scales",
    );
    packed(blocks, scales, part)
}

pub(super) const FAMILY: Family = Family {
    architecture: "gpt-oss",
    classes: &["GptOssForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(150_000.0),
        NORM_EPS,
        experts(&["num_local_experts"], Absent::Is(128.0)),
        EXPERTS_USED,
        head_dim(Absent::Is(64.0)),
        VALUE_DIM,
        sliding_window(Absent::Is(128.0)),
        Key::line(
            Field::ExpertFeedForward,
            &[],
            "expert_feed_forward_length",
            Absent::Same(Field::FeedForward),
        ),
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM,
        TensorLine::layer(
            "mlp.experts.down_proj",
            "ffn_down_exps.weight",
            &[Experts, Hidden, ExpertForward],
        )
        .part(Part::Transposed)
        .or(&[packed(
            "mlp.experts.down_proj_blocks",
            "mlp.experts.down_proj_scales",
            Part::Whole,
        )]),
        TensorLine::layer(
            "mlp.experts.down_proj_bias",
            "ffn_down_exps.bias",
            &[Experts, Hidden],
        ),
        TensorLine::layer(
            "mlp.experts.gate_up_proj",
            "ffn_gate_exps.weight",
            &[Experts, ExpertForward, Hidden],
        )
        .part(Part::TransposedEvenRows)
        .or(&[gate_up(Part::EvenRows)]),
        TensorLine::layer(
            "mlp.experts.gate_up_proj",
            "ffn_up_exps.weight",
            &[Experts, ExpertForward, Hidden],
        )
        .part(Part::TransposedOddRows)
        .or(&[gate_up(Part::OddRows)]),
        TensorLine::layer(
            "mlp.experts.gate_up_proj_bias",
            "ffn_gate_exps.bias",
            &[Experts, ExpertForward],
        )
        .part(Part::EvenRows),
        TensorLine::layer(
            "mlp.experts.gate_up_proj_bias",
            "ffn_up_exps.bias",
            &[Experts, ExpertForward],
        )
        .part(Part::OddRows),
        TensorLine::layer("mlp.router.bias", "ffn_gate_inp.bias", &[Experts]),
        TensorLine::layer(
            "mlp.router.weight",
            "ffn_gate_inp.weight",
            &[Experts, Hidden],
        ),
        TensorLine::layer(
            "post_attention_layernorm.weight",
            "post_attention_norm.weight",
            &[Hidden],
        ),
        KEY_BIAS,
        KEY,
        ATTENTION_OUTPUT_BIAS,
        ATTENTION_OUTPUT,
        QUERY_BIAS,
        QUERY,
        TensorLine::layer("self_attn.sinks", "attn_sinks.weight", &[Dim::Heads]),
        VALUE_BIAS,
        VALUE,
        FINAL_NORM,
    ],
    requires: &[
        SILU,
        LAYER_TYPES,
        Require {
            config: "attention_bias",
            values: Required::Flag(true),
        },
        Require {
            config: "swiglu_alpha",
            values: Required::Factor(1.702),
        },
        Require {
            config: "swiglu_limit",
            values: Required::Factor(7.0),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::Written,
    tied: false,
    graph: Some(Graph {
        ffn_norm: FfnNorm::PostAttention,
        activation: Activation::ClampedSwiglu,
        rotary_pairs: RotaryPairs::Halves,
        window_layers: LayerPattern::AllButEvery(2),
        router: Router::SoftmaxOfChosen,
        ..Graph::PLAIN
    }),
};
