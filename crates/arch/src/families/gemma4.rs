//! Gemma 4: the text model.
//!
//! Gemma 3's block with norms stored as they are, values normed without weights, and scores that nothing
//! divides. Layers that see everything have larger heads and fewer of keys; there the keys may serve as
//! the values too. Of wavelengths made for whole heads only the first ones turn. The small models add an
//! embedding for every layer behind its block, and their last layers take keys and values from earlier
//! ones. A number for each layer scales what leaves it. One model has experts beside its dense network,
//! each half with norms of its own.

use super::experts::*;
use super::gemma::*;
use super::shared::*;
use crate::{
    Absent, Dim, Family, Field, Graph, HfNames, Key, LayerPattern, Line, QueryScale, Require,
    Required, TensorLine, When, WindowSwitch,
};
use Dim::{Hidden, LayerInput, LayerInputs, Vocab};

pub(super) const FAMILY: Family = Family {
    architecture: "gemma4",
    classes: &["Gemma4ForCausalLM"],
    names: HfNames::USUAL,
    // The configurations of the multimodal models leave out what is the class's default.
    keys: &[
        LAYERS,
        context(Absent::Is(131_072.0)),
        HIDDEN,
        FEED_FORWARD,
        heads(Absent::Is(8.0)),
        kv_heads(Absent::Is(4.0)),
        Key::of_config(
            Field::GlobalKvHeads,
            &["num_global_key_value_heads", "global.num_key_value_heads"],
            Absent::Default,
        ),
        Line::RopeScaling,
        rotary_base(1_000_000.0),
        Key::line(
            Field::LocalRotaryBase,
            &["local.rope_theta"],
            "rope.freq_base_swa",
            Absent::Is(10_000.0),
        ),
        norm_eps(Absent::Is(1e-6)),
        experts(&["num_experts"], Absent::Default),
        Key::line(
            Field::ExpertsUsed,
            &["top_k_experts"],
            "expert_used_count",
            Absent::Default,
        ),
        Key::line(
            Field::HeadDim,
            &["global_head_dim", "global.head_dim"],
            "attention.key_length",
            Absent::Is(512.0),
        ),
        VALUE_DIM,
        Key::line(
            Field::LogitSoftcap,
            &["final_logit_softcapping"],
            "final_logit_softcapping",
            Absent::Default,
        ),
        sliding_window(Absent::Is(512.0)),
        Key::line(
            Field::SharedKvLayers,
            &["num_kv_shared_layers"],
            "attention.shared_kv_layers",
            Absent::Is(0.0),
        ),
        Key::line(
            Field::LayerInput,
            &["hidden_size_per_layer_input"],
            "embedding_length_per_layer_input",
            Absent::Is(256.0),
        ),
        Line::LocalLayers,
        Key::line(
            Field::LocalHeadDim,
            &["head_dim"],
            "attention.key_length_swa",
            Absent::Is(256.0),
        ),
        Key::line(
            Field::LocalValueDim,
            &[],
            "attention.value_length_swa",
            Absent::Same(Field::LocalHeadDim),
        ),
        Key::line(
            Field::ExpertFeedForward,
            &["moe_intermediate_size", "expert_intermediate_size"],
            "expert_feed_forward_length",
            Absent::Default,
        ),
        Key::of_config(Field::DoubleWide, &["use_double_wide_mlp"], Absent::Is(0.0)),
        ROTARY_DIMS,
        Key::line(
            Field::LocalRotaryDims,
            &[],
            "rope.dimension_count_swa",
            Absent::Same(Field::LocalHeadDim),
        ),
        Key::unwritten(
            Field::Vocab,
            &["vocab_size"],
            "vocab_size",
            Absent::Is(262_144.0),
        ),
    ],
    tensors: &[
        LM_HEAD,
        EMBEDDING,
        TensorLine::model(
            "model.embed_tokens_per_layer.weight",
            "per_layer_token_embd.weight",
            &[Vocab, LayerInputs],
        )
        .when(&[When::Has(Field::LayerInput)]),
        TensorLine::layer(
            "experts.down_proj",
            "ffn_down_exps.weight",
            &[Dim::Experts, Hidden, Dim::ExpertForward],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "experts.gate_up_proj",
            "ffn_gate_up_exps.weight",
            &[Dim::Experts, Dim::ExpertGateUp, Hidden],
        )
        .when(WITH_EXPERTS),
        ATTENTION_NORM,
        TensorLine::layer("layer_scalar", "layer_output_scale.weight", &[Dim::One]),
        FFN_DOWN,
        FFN_GATE,
        FFN_UP,
        TensorLine::layer(
            "per_layer_input_gate.weight",
            "inp_gate.weight",
            &[LayerInput, Hidden],
        )
        .when(&[When::Has(Field::LayerInput)]),
        TensorLine::layer(
            "per_layer_projection.weight",
            "proj.weight",
            &[Hidden, LayerInput],
        )
        .when(&[When::Has(Field::LayerInput)]),
        POST_ATTENTION_NORM,
        POST_FFN_NORM,
        TensorLine::layer(
            "post_feedforward_layernorm_1.weight",
            "post_ffw_norm_1.weight",
            &[Hidden],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "post_feedforward_layernorm_2.weight",
            "post_ffw_norm_2.weight",
            &[Hidden],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "post_per_layer_input_norm.weight",
            "post_norm.weight",
            &[Hidden],
        )
        .when(&[When::Has(Field::LayerInput)]),
        PRE_FFN_NORM,
        TensorLine::layer(
            "pre_feedforward_layernorm_2.weight",
            "pre_ffw_norm_2.weight",
            &[Hidden],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "router.per_expert_scale",
            "ffn_down_exps.scale",
            &[Dim::Experts],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer(
            "router.proj.weight",
            "ffn_gate_inp.weight",
            &[Dim::Experts, Hidden],
        )
        .when(WITH_EXPERTS),
        TensorLine::layer("router.scale", "ffn_gate_inp.scale", &[Hidden]).when(WITH_EXPERTS),
        KEY_NORM.when(&[When::OwnKeys]),
        KEY.when(&[When::OwnKeys]),
        ATTENTION_OUTPUT,
        QUERY_NORM,
        QUERY,
        VALUE
            .when(&[When::OwnKeys])
            .not_in_global("attention_k_eq_v"),
        FINAL_NORM,
        TensorLine::model(
            "model.per_layer_model_projection.weight",
            "per_layer_model_proj.weight",
            &[LayerInputs, Hidden],
        )
        .when(&[When::Has(Field::LayerInput)]),
        TensorLine::model(
            "model.per_layer_projection_norm.weight",
            "per_layer_proj_norm.weight",
            &[LayerInput],
        )
        .when(&[When::Has(Field::LayerInput)]),
    ],
    requires: &[
        GELU_TANH,
        Require {
            config: "attention_bias",
            values: Required::Flag(false),
        },
        // Attention to images in both directions says nothing about a text.
        Require {
            config: "use_bidirectional_attention",
            values: Required::Words(&["vision"]),
        },
    ],
    explicit: &[],
    defaults: &[],
    special_tokens: &[],
    writes_space_prefix: true,
    tokenizer: Some("gemma4"),
    window: WindowSwitch::Written,
    tied: true,
    graph: Some(Graph {
        window_layers: LayerPattern::AllButEvery(6),
        query_scale: QueryScale::One,
        value_norm: true,
        normed_experts: true,
        ..GRAPH
    }),
};
