//! Granite 3 and 4, dense.
//!
//! Llama's block, rows permuted alike, with four factors of its own: of the embedding, of the products
//! of queries and keys, of what each half of a layer adds, and a divisor of the scores.

use super::shared::*;
use crate::{Absent, Family, Field, Graph, HfNames, Key, Line, LogitScale, WindowSwitch};

/// The four factors.
pub(super) const SCALES: [Line; 4] = [
    // The framework's default, which is not what readers take for none.
    Key::line(
        Field::AttentionScale,
        &["attention_multiplier"],
        "attention.scale",
        Absent::Is(1.0),
    ),
    Key::line(
        Field::EmbeddingScale,
        &["embedding_multiplier"],
        "embedding_scale",
        Absent::Default,
    ),
    Key::line(
        Field::ResidualScale,
        &["residual_multiplier"],
        "residual_scale",
        Absent::Default,
    ),
    Key::line(
        Field::LogitScale,
        &["logits_scaling"],
        "logit_scale",
        Absent::Default,
    ),
];

pub(super) const FAMILY: Family = Family {
    architecture: "granite",
    classes: &["GraniteForCausalLM"],
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
        NORM_EPS,
        head_dim(Absent::Default),
        VALUE_DIM,
        VOCAB,
        ROTARY_DIMS,
        SCALES[0],
        SCALES[1],
        SCALES[2],
        SCALES[3],
    ],
    tensors: super::llama::FAMILY.tensors,
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: Some(Graph {
        logit_scale: LogitScale::Divides,
        ..Graph::PLAIN
    }),
};
