//! Cohere's Command R and Aya 23.
//!
//! Attention and the feed-forward network read the same LayerNorm, which has no bias, and both add to
//! it. Command R+ norms queries and keys besides, with a weight for every head, which is not expressed
//! here.

use super::shared::*;
use crate::{
    Absent, Block, Family, Field, Graph, HfNames, Key, Line, NormKind, Require, Required,
    WindowSwitch,
};

/// The framework interleaves the pairs that turn together, so no row is permuted.
pub(super) const FAMILY: Family = Family {
    architecture: "command-r",
    classes: &["CohereForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        // The other key is the context of the first training only.
        Key::line(
            Field::Context,
            &["model_max_length", "max_position_embeddings"],
            "context_length",
            Absent::Error,
        ),
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        rotary_base(500_000.0),
        layer_norm_eps(&["layer_norm_eps"], Absent::Is(1e-5)),
        head_dim(Absent::Default),
        VALUE_DIM,
        Key::line(
            Field::LogitScale,
            &["logit_scale"],
            "logit_scale",
            Absent::Is(0.0625),
        ),
        Line::RopeScalingOrNone,
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD.copy(),
        EMBEDDING,
        ATTENTION_NORM,
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        KEY_BIAS.bias(ATTENTION_BIAS),
        KEY,
        ATTENTION_OUTPUT_BIAS.bias(ATTENTION_BIAS),
        ATTENTION_OUTPUT,
        QUERY_BIAS.bias(ATTENTION_BIAS),
        QUERY,
        VALUE_BIAS.bias(ATTENTION_BIAS),
        VALUE,
        FINAL_NORM,
    ],
    requires: &[
        SILU,
        Require {
            config: "use_qk_norm",
            values: Required::Flag(false),
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
        block: Block::Parallel,
        ..Graph::PLAIN
    }),
};
