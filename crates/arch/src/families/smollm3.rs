//! SmolLM 3.
//!
//! Llama's block, rows permuted alike, but every fourth layer does not rotate: it sees no positions.

use super::shared::*;
use crate::{Absent, Family, Graph, HfNames, LayerPattern, Line, Require, Required, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "smollm3",
    classes: &["SmolLM3ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(2_000_000.0),
        NORM_EPS,
        head_dim(Absent::Default),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        SLIDING_WINDOW_READ,
    ],
    tensors: super::llama::FAMILY.tensors,
    requires: &[
        SILU,
        Require {
            config: "no_rope_layers",
            values: Required::RotaryLayers,
        },
        Require {
            config: "no_rope_layer_interval",
            values: Required::Number(4),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: true,
    graph: Some(Graph {
        rotary_layers: LayerPattern::AllButEvery(4),
        ..Graph::PLAIN
    }),
};
