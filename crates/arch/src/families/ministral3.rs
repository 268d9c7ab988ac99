//! Ministral 3, Mistral Small 3, Magistral, Devstral 2.
//!
//! Llama's block, rows permuted alike. Long contexts are YaRN's, whose magnitude a key of its own tells,
//! and queries grow with the logarithm of their position.

use super::shared::*;
use crate::{Absent, Family, Field, Graph, HfNames, Key, Line, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "mistral3",
    classes: &["Ministral3ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        rotary_base(1_000_000.0),
        NORM_EPS,
        head_dim(Absent::Is(128.0)),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        Key::line(
            Field::YarnLogMultiplier,
            &["rope.mscale_all_dim"],
            "rope.scaling.yarn_log_multiplier",
            Absent::Default,
        ),
        Key::line(
            Field::TemperatureScale,
            &["rope.llama_4_scaling_beta"],
            "attention.temperature_scale",
            Absent::Default,
        ),
        SLIDING_WINDOW_READ,
    ],
    tensors: super::llama::FAMILY.tensors,
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::UnlessOff,
    tied: false,
    graph: Some(Graph::PLAIN),
};
