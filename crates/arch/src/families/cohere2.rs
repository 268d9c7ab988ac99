//! Cohere's Command R7B, Command A and Aya of the second generation.
//!
//! Attention and the feed-forward network read the same LayerNorm, which has no bias, and both add to
//! it. Three layers of four see a window and rotate; the fourth sees all and no positions. Logits are
//! multiplied with a number.

use super::shared::*;
use crate::{
    Absent, Block, Family, Field, Graph, HfNames, Key, LayerPattern, Line, NormKind, Require,
    Required, WindowSwitch,
};

/// The framework interleaves the pairs that turn together, so no row is permuted.
pub(super) const FAMILY: Family = Family {
    architecture: "cohere2",
    classes: &["Cohere2ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        LAYERS,
        CONTEXT,
        HIDDEN,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        rotary_base(10_000.0),
        layer_norm_eps(&["layer_norm_eps"], Absent::Is(1e-5)),
        head_dim(Absent::HeadDim),
        VALUE_DIM,
        Key::line(
            Field::LogitScale,
            &["logit_scale"],
            "logit_scale",
            Absent::Is(0.0625),
        ),
        sliding_window(Absent::Is(4096.0)),
        VOCAB,
        ROTARY_DIMS,
        Line::RopeScalingOrNone,
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
        LAYER_TYPES,
        window_period("sliding_window_pattern", 4),
        window_period("_sliding_window_pattern", 4),
        window_period("layer_switch", 4),
        Require {
            config: "order_of_interleaved_layers",
            values: Required::Words(&["local_attn_first"]),
        },
        Require {
            config: "position_embedding_type",
            values: Required::Words(&["rope_gptj"]),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::Written,
    tied: true,
    graph: Some(Graph {
        norm: NormKind::Layer,
        block: Block::Parallel,
        rotary_layers: LayerPattern::AllButEvery(4),
        window_layers: LayerPattern::AllButEvery(4),
        ..Graph::PLAIN
    }),
};
