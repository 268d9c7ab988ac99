//! Lines that many families have in common.

use crate::{Absent, Dim, Field, Key, Line, Require, Required, TensorLine, Written};
use Dim::{AttentionOutput, FeedForward, HeadDim, Hidden, KeyHeads, Query, ValueHeads, Vocab};

pub(super) const LAYERS: Line = Key::line(
    Field::Layers,
    &["num_hidden_layers"],
    "block_count",
    Absent::Error,
);
pub(super) const CONTEXT: Line = context(Absent::Error);

/// The trained context, with what the family's class takes for none.
pub(super) const fn context(absent: Absent) -> Line {
    Key::line(
        Field::Context,
        &["max_position_embeddings"],
        "context_length",
        absent,
    )
}

pub(super) const HIDDEN: Line = Key::line(
    Field::Hidden,
    &["hidden_size"],
    "embedding_length",
    Absent::Error,
);
pub(super) const FEED_FORWARD: Line = Key::line(
    Field::FeedForward,
    &["intermediate_size"],
    "feed_forward_length",
    Absent::Error,
);
pub(super) const HEADS: Line = heads(Absent::Error);
/// Files of the first models lack it: every head has its own keys and values.
pub(super) const KV_HEADS: Line = kv_heads(Absent::Same(Field::Heads));
pub(super) const NORM_EPS: Line = norm_eps(Absent::Error);

/// The number of heads, with what the family's class takes for none.
pub(super) const fn heads(absent: Absent) -> Line {
    Key::line(
        Field::Heads,
        &["num_attention_heads"],
        "attention.head_count",
        absent,
    )
}

/// The number of heads of keys and values, with what the family's class takes for none.
pub(super) const fn kv_heads(absent: Absent) -> Line {
    Key::line(
        Field::KvHeads,
        &["num_key_value_heads"],
        "attention.head_count_kv",
        absent,
    )
}

/// What RMS norms add, with what the family's class takes for none.
pub(super) const fn norm_eps(absent: Absent) -> Line {
    Key::line(
        Field::NormEps,
        &["rms_norm_eps"],
        "attention.layer_norm_rms_epsilon",
        absent,
    )
}

/// What LayerNorm adds, under the name that the family's class has for it.
pub(super) const fn layer_norm_eps(config: &'static [&'static str], absent: Absent) -> Line {
    Key::line(
        Field::NormEps,
        config,
        "attention.layer_norm_epsilon",
        absent,
    )
}

/// The window of families whose files say it, with what the family's class takes for none.
pub(super) const fn sliding_window(absent: Absent) -> Line {
    Key::line(
        Field::SlidingWindow,
        &["sliding_window"],
        "attention.sliding_window",
        absent,
    )
}

/// The kinds of the layers' attention: the family's own ones.
pub(super) const LAYER_TYPES: Require = Require {
    config: "layer_types",
    values: Required::WindowLayers,
};

/// Every so many layers one has no window.
pub(super) const fn window_period(config: &'static str, layers: u64) -> Require {
    Require {
        config,
        values: Required::Number(layers),
    }
}

/// The base of the rotary wavelengths, with what the family's class takes for none.
pub(super) const fn rotary_base(default: f64) -> Line {
    Key::line(
        Field::RotaryBase,
        &["rope_theta"],
        "rope.freq_base",
        Absent::Is(default),
    )
}

/// The same for families of which the reference never writes it: readers take this number.
pub(super) const ROTARY_BASE_OF_READERS: Line = Line::Key(Key {
    field: Field::RotaryBase,
    config: &["rope_theta"],
    gguf: "rope.freq_base",
    written: Written::Unless(10_000.0),
    absent: Absent::Is(10_000.0),
});

/// The size of a head's keys, with what the family's class takes for none.
pub(super) const fn head_dim(absent: Absent) -> Line {
    Key::line(
        Field::HeadDim,
        &["head_dim"],
        "attention.key_length",
        absent,
    )
}

/// The size of a head's values: that of its keys, written where that is.
pub(super) const VALUE_DIM: Line = Key::line(
    Field::ValueDim,
    &[],
    "attention.value_length",
    Absent::Same(Field::HeadDim),
);

/// The size of the vocabulary, for families that write a key for it.
pub(super) const VOCAB: Line =
    Key::line(Field::Vocab, &["vocab_size"], "vocab_size", Absent::Error);

/// The same for families whose files have no key for it: the rows of the embedding say it.
pub(super) const VOCAB_OF_EMBEDDING: Line =
    Key::unwritten(Field::Vocab, &["vocab_size"], "vocab_size", Absent::Error);

/// The part of a head that is rotated, with what the family's class takes for none.
pub(super) const fn rotary_fraction(default: f64) -> Line {
    Key::of_config(
        Field::RotaryFraction,
        &["rope.partial_rotary_factor", "partial_rotary_factor"],
        Absent::Is(default),
    )
}

/// How much of a head is rotated: the part that [`rotary_fraction`] says.
pub(super) const PARTLY_ROTARY_DIMS: Line = Key::line(
    Field::RotaryDims,
    &[],
    "rope.dimension_count",
    Absent::PartOfHead,
);

/// How much of a head is rotated: all of it.
pub(super) const ROTARY_DIMS: Line = Key::line(
    Field::RotaryDims,
    &[],
    "rope.dimension_count",
    Absent::HeadDim,
);

/// The same for families that write no key for it.
pub(super) const ROTARY_DIMS_READ: Line = Key::unwritten(
    Field::RotaryDims,
    &[],
    "rope.dimension_count",
    Absent::Default,
);

/// Conversion writes no window, as the reference does; files that have the key are run with it.
pub(super) const SLIDING_WINDOW_READ: Line = Key::unwritten(
    Field::SlidingWindow,
    &[],
    "attention.sliding_window",
    Absent::Default,
);

pub(super) const LM_HEAD: TensorLine =
    TensorLine::model("lm_head.weight", "output.weight", &[Vocab, Hidden]).untied();
pub(super) const EMBEDDING: TensorLine = TensorLine::model(
    "model.embed_tokens.weight",
    "token_embd.weight",
    &[Vocab, Hidden],
);
pub(super) const FINAL_NORM: TensorLine =
    TensorLine::model("model.norm.weight", "output_norm.weight", &[Hidden]);
pub(super) const FINAL_NORM_BIAS: TensorLine =
    TensorLine::model("model.norm.bias", "output_norm.bias", &[Hidden]);

// The tensors of a layer. Whether a bias is there, and whether rows are permuted, the family says.

pub(super) const ATTENTION_NORM: TensorLine =
    TensorLine::layer("input_layernorm.weight", "attn_norm.weight", &[Hidden]);
pub(super) const ATTENTION_NORM_BIAS: TensorLine =
    TensorLine::layer("input_layernorm.bias", "attn_norm.bias", &[Hidden]);
pub(super) const FFN_NORM_BIAS: TensorLine =
    TensorLine::layer("post_attention_layernorm.bias", "ffn_norm.bias", &[Hidden]);
pub(super) const FFN_NORM: TensorLine = TensorLine::layer(
    "post_attention_layernorm.weight",
    "ffn_norm.weight",
    &[Hidden],
);
pub(super) const FFN_DOWN: TensorLine = TensorLine::layer(
    "mlp.down_proj.weight",
    "ffn_down.weight",
    &[Hidden, FeedForward],
);
pub(super) const FFN_DOWN_BIAS: TensorLine =
    TensorLine::layer("mlp.down_proj.bias", "ffn_down.bias", &[Hidden]);
pub(super) const FFN_GATE: TensorLine = TensorLine::layer(
    "mlp.gate_proj.weight",
    "ffn_gate.weight",
    &[FeedForward, Hidden],
);
pub(super) const FFN_GATE_BIAS: TensorLine =
    TensorLine::layer("mlp.gate_proj.bias", "ffn_gate.bias", &[FeedForward]);
/// Gate and up as one matrix, which GGUF keeps under the latter's name.
pub(super) const FFN_GATE_UP: TensorLine = TensorLine::layer(
    "mlp.gate_up_proj.weight",
    "ffn_up.weight",
    &[Dim::GateUp, Hidden],
);
pub(super) const FFN_UP: TensorLine = TensorLine::layer(
    "mlp.up_proj.weight",
    "ffn_up.weight",
    &[FeedForward, Hidden],
);
pub(super) const FFN_UP_BIAS: TensorLine =
    TensorLine::layer("mlp.up_proj.bias", "ffn_up.bias", &[FeedForward]);
pub(super) const QUERY: TensorLine =
    TensorLine::layer("self_attn.q_proj.weight", "attn_q.weight", &[Query, Hidden]);
pub(super) const QUERY_BIAS: TensorLine =
    TensorLine::layer("self_attn.q_proj.bias", "attn_q.bias", &[Query]);
pub(super) const KEY: TensorLine = TensorLine::layer(
    "self_attn.k_proj.weight",
    "attn_k.weight",
    &[KeyHeads, Hidden],
);
pub(super) const KEY_BIAS: TensorLine =
    TensorLine::layer("self_attn.k_proj.bias", "attn_k.bias", &[KeyHeads]);
pub(super) const VALUE: TensorLine = TensorLine::layer(
    "self_attn.v_proj.weight",
    "attn_v.weight",
    &[ValueHeads, Hidden],
);
pub(super) const VALUE_BIAS: TensorLine =
    TensorLine::layer("self_attn.v_proj.bias", "attn_v.bias", &[ValueHeads]);
pub(super) const ATTENTION_OUTPUT: TensorLine = TensorLine::layer(
    "self_attn.o_proj.weight",
    "attn_output.weight",
    &[Hidden, AttentionOutput],
);
pub(super) const ATTENTION_OUTPUT_BIAS: TensorLine =
    TensorLine::layer("self_attn.o_proj.bias", "attn_output.bias", &[Hidden]);
pub(super) const QUERY_NORM: TensorLine =
    TensorLine::layer("self_attn.q_norm.weight", "attn_q_norm.weight", &[HeadDim]);
pub(super) const KEY_NORM: TensorLine =
    TensorLine::layer("self_attn.k_norm.weight", "attn_k_norm.weight", &[HeadDim]);

/// The gate is SiLU's.
pub(super) const SILU: Require = Require {
    config: "hidden_act",
    values: Required::Words(&["silu", "swish"]),
};

/// The field that declares biases of the attention's projections.
pub(super) const ATTENTION_BIAS: Option<&str> = Some("attention_bias");
/// The field that declares biases of the feed-forward network.
pub(super) const MLP_BIAS: Option<&str> = Some("mlp_bias");

/// Lists one behind the other, for families that share parts of theirs; `N` entries together, or it does not
/// compile.
pub(super) const fn join<T: Copy, const N: usize>(lists: &[&[T]]) -> [T; N] {
    let mut joined = [lists[0][0]; N];
    let (mut list, mut n) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            joined[n] = lists[list][i];
            (i, n) = (i + 1, n + 1);
        }
        list += 1;
    }
    assert!(n == N, "the lists do not have as many entries as the array");
    joined
}
