//! Gemma 2.
//!
//! A norm before and behind each half of the block, whose weights are stored as differences from 1;
//! a GELU gate; embeddings multiplied with the root of the hidden size. Scores of attention and
//! logits are bounded by softcaps. Every other layer, the first one included, sees a window.

use super::gemma::*;
use super::shared::*;
use crate::{
    Absent, Family, Field, Graph, HfNames, Key, LayerPattern, Line, QueryScale, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "gemma2",
    classes: &["Gemma2ForCausalLM"],
    names: HfNames::USUAL,
    keys: &[
        CONTEXT,
        HIDDEN,
        LAYERS,
        FEED_FORWARD,
        HEADS,
        KV_HEADS,
        Line::RopeScaling,
        ROTARY_BASE_OF_READERS,
        norm_eps(Absent::Is(1e-6)),
        head_dim(Absent::Is(256.0)),
        VALUE_DIM,
        Key::line(
            Field::AttentionSoftcap,
            &["attn_logit_softcapping"],
            "attn_logit_softcapping",
            Absent::Default,
        ),
        Key::line(
            Field::LogitSoftcap,
            &["final_logit_softcapping"],
            "final_logit_softcapping",
            Absent::Default,
        ),
        sliding_window(Absent::Is(4096.0)),
        VOCAB_OF_EMBEDDING,
        ROTARY_DIMS_READ,
    ],
    tensors: &[
        LM_HEAD.copy(),
        EMBEDDING,
        ATTENTION_NORM.plus_one(),
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        POST_ATTENTION_NORM.plus_one(),
        POST_FFN_NORM.plus_one(),
        PRE_FFN_NORM.plus_one(),
        KEY,
        ATTENTION_OUTPUT,
        QUERY,
        VALUE,
        FINAL_NORM.plus_one(),
    ],
    requires: &[GELU_TANH, LAYER_TYPES, QUERY_SCALAR],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::Written,
    tied: true,
    graph: Some(Graph {
        window_layers: LayerPattern::AllButEvery(2),
        query_scale: QueryScale::HiddenPerHeadAt(46),
        ..GRAPH
    }),
};
