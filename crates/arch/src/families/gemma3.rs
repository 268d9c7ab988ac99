//! Gemma 3: the text model.
//!
//! Gemma 2's block without softcaps, and with a norm of every head's queries and keys. Five layers of
//! six see a window; they rotate by a base of their own, and only the others are scaled for long
//! contexts.

use super::gemma::*;
use super::shared::*;
use crate::{
    Absent, Family, Field, Graph, HfNames, Key, LayerPattern, Line, QueryScale, WindowSwitch,
};

pub(super) const FAMILY: Family = Family {
    architecture: "gemma3",
    classes: &["Gemma3ForCausalLM"],
    names: HfNames::USUAL,
    // The configurations of the multimodal models leave out what is the class's default.
    keys: &[
        LAYERS,
        context(Absent::Is(131_072.0)),
        HIDDEN,
        FEED_FORWARD,
        heads(Absent::Is(8.0)),
        kv_heads(Absent::Is(4.0)),
        Line::RopeScaling,
        rotary_base(1_000_000.0),
        Key::line(
            Field::LocalRotaryBase,
            &["local.rope_theta", "rope_local_base_freq"],
            "rope.freq_base_swa",
            Absent::Is(10_000.0),
        ),
        norm_eps(Absent::Is(1e-6)),
        head_dim(Absent::Is(256.0)),
        VALUE_DIM,
        Key::line(
            Field::LogitSoftcap,
            &["final_logit_softcapping"],
            "final_logit_softcapping",
            Absent::Default,
        ),
        sliding_window(Absent::Is(4096.0)),
        Key::unwritten(
            Field::Vocab,
            &["vocab_size"],
            "vocab_size",
            Absent::Is(262_208.0),
        ),
        ROTARY_DIMS_READ,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        ATTENTION_NORM.plus_one(),
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        POST_ATTENTION_NORM.plus_one(),
        POST_FFN_NORM.plus_one(),
        PRE_FFN_NORM.plus_one(),
        KEY_NORM.plus_one(),
        KEY,
        ATTENTION_OUTPUT,
        QUERY_NORM.plus_one(),
        QUERY,
        VALUE,
        FINAL_NORM.plus_one(),
    ],
    requires: &[
        GELU_TANH,
        LAYER_TYPES,
        QUERY_SCALAR,
        window_period("sliding_window_pattern", 6),
        window_period("_sliding_window_pattern", 6),
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: None,
    window: WindowSwitch::Written,
    tied: true,
    graph: Some(Graph {
        window_layers: LayerPattern::AllButEvery(6),
        query_scale: QueryScale::HiddenPerHeadAt(62),
        ..GRAPH
    }),
};
