//! OLMo, the first generation.
//!
//! Llama's block, rows permuted alike; its LayerNorms have neither weight nor bias, so that there is no
//! tensor for any. Some models bound queries, keys and values.

use super::shared::*;
use crate::{Absent, Family, Field, Heads, HfNames, Key, Line, WindowSwitch};

pub(super) const FAMILY: Family = Family {
    architecture: "olmo",
    classes: &["OlmoForCausalLM", "OLMoForCausalLM"],
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
        head_dim(Absent::Default),
        VALUE_DIM,
        // The class has it as a constant.
        layer_norm_eps(&[], Absent::Is(1e-5)),
        Key::line(
            Field::AttentionClamp,
            &["clip_qkv"],
            "attention.clamp_kqv",
            Absent::Default,
        ),
        VOCAB_OF_EMBEDDING,
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        KEY.rotary(Heads::Key),
        ATTENTION_OUTPUT,
        QUERY.rotary(Heads::Query),
        VALUE,
    ],
    requires: &[SILU],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: false,
    tokenizer: None,
    window: WindowSwitch::IfOn,
    tied: false,
    graph: None,
};
