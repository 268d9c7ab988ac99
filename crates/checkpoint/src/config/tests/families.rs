//! What single families' configurations say.

use super::{parse, with};
use crate::config::*;
use serde_json::json;

/// The configuration that Gemma 3 4B was published with, and what its parts were replaced by.
fn gemma3(root: Value, text: Value) -> Result<(Config, String), Error> {
    let mut config = json!({
        "architectures": ["Gemma3ForConditionalGeneration"],
        "eos_token_id": [1, 106],
        "image_token_index": 262144,
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024
        },
        "torch_dtype": "bfloat16",
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}
    });
    for (key, value) in text.as_object().unwrap() {
        config["text_config"][key] = value.clone();
    }
    for (key, value) in root.as_object().unwrap() {
        config[key] = value.clone();
    }
    let notes = Notes::default();
    let path = Path::new("config.json");
    let config = Config::parse(&Object::new(path, &config)?, &Limits::default(), &notes)?;
    Ok((config, notes.into_vec().join("\n")))
}

#[test]
fn a_text_model_inside_takes_its_class_s_defaults() {
    let (c, notes) = gemma3(json!({}), json!({})).unwrap();
    assert_eq!(notes, "");
    assert_eq!(
        c.multimodal.as_deref(),
        Some("Gemma3ForConditionalGeneration")
    );
    assert_eq!(c.hyper.family().architecture, "gemma3");
    let hyper = &c.hyper;
    assert_eq!(
        (hyper.heads(), hyper.kv_heads(), hyper.head_dim()),
        (8, 4, 256)
    );
    assert_eq!((hyper.context(), hyper.vocab()), (131_072, 262_208));
    assert_eq!(hyper.sliding_window(), Some(1024));
    assert_eq!(hyper.rotary_base(), 1e6);
    assert_eq!(hyper.factor(Field::LocalRotaryBase), Some(1e4));
    assert_eq!(c.rope_scaling, RopeScaling::Linear { factor: 8.0 });
    assert!(c.tied_embeddings);
    // What is said around it counts where it says nothing.
    assert_eq!(
        c.source_type(Path::new(""), &Notes::default()),
        TensorType::BF16
    );
    let (c, _) = gemma3(json!({"head_dim": 128}), json!({})).unwrap();
    assert_eq!(c.hyper.head_dim(), 128);
    let (c, _) = gemma3(json!({"head_dim": 128}), json!({"head_dim": 64})).unwrap();
    assert_eq!(c.hyper.head_dim(), 64);
    let (c, _) = gemma3(
        json!({}),
        json!({"rope_scaling": null, "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 3e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
        }}),
    )
    .unwrap();
    assert_eq!(c.rope_scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!(c.hyper.rotary_base(), 3e5);
    assert_eq!(c.hyper.factor(Field::LocalRotaryBase), Some(2e4));
}

#[test]
fn what_would_be_computed_otherwise_is_refused_by_its_path() {
    for (root, text, parts) in [
        (
            json!({}),
            json!({"model_type": "qwen2_5_vl_text"}),
            [
                "text_config.model_type",
                "Gemma3ForConditionalGeneration around it",
            ],
        ),
        (
            json!({}),
            json!({"model_type": null}),
            ["text_config.model_type", "missing"],
        ),
        (
            json!({"architectures": ["PaliGemmaForConditionalGeneration"]}),
            json!({}),
            ["architectures", "both directions"],
        ),
        (
            json!({"text_config": 7}),
            json!({}),
            ["text_config", "expected an object, found 7"],
        ),
        (
            json!({"text_config": null}),
            json!({}),
            [
                "architectures",
                "Gemma3ForConditionalGeneration is not supported",
            ],
        ),
        (
            json!({}),
            json!({"sliding_window_pattern": 4}),
            [
                "text_config.sliding_window_pattern",
                "4 is not supported, only 6 is",
            ],
        ),
        (
            json!({}),
            json!({"layer_types": vec!["full_attention"; 34]}),
            ["text_config.layer_types", "only the family's own layers"],
        ),
        (
            json!({"query_pre_attn_scalar": 168}),
            json!({}),
            ["query_pre_attn_scalar", "only 256 is"],
        ),
        (
            json!({}),
            json!({"hidden_activation": "relu"}),
            ["text_config.hidden_activation", "only gelu_pytorch_tanh is"],
        ),
        (
            json!({}),
            json!({"rope_scaling": null, "rope_parameters": {
                "full_attention": {"rope_type": "default"},
                "sliding_attention": {"rope_type": "linear", "factor": 8.0},
            }}),
            ["sliding_attention.rope_type", "layers with a window"],
        ),
    ] {
        let error = gemma3(root, text).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
    // The largest model divides by another number.
    let large = json!({"num_hidden_layers": 62, "num_attention_heads": 32, "hidden_size": 5376,
        "num_key_value_heads": 16, "head_dim": 128, "query_pre_attn_scalar": 168});
    assert!(gemma3(json!({}), large).is_ok());
}

#[test]
fn longrope_is_two_lists_and_a_magnitude() {
    let phi3 = |changes: Value| {
        let mut config = with(json!({
            "architectures": ["Phi3ForCausalLM"], "max_position_embeddings": 4096,
            "original_max_position_embeddings": 256,
        }));
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        parse(&config)
    };
    let factors = |short: usize, long: usize| json!({"type": "longrope", "short_factor": vec![1.0; short], "long_factor": vec![2; long]});
    let c = phi3(json!({"rope_scaling": factors(8, 8)})).unwrap();
    let divisors = c.rope_scaling.divisors(1e4, 16);
    assert_eq!(divisors[0], ("rope_factors_long.weight", vec![2.0; 8]));
    assert_eq!(divisors[1], ("rope_factors_short.weight", vec![1.0; 8]));
    let RopeScaling::Long {
        attention_factor, ..
    } = c.rope_scaling
    else {
        panic!("{:?}", c.rope_scaling);
    };
    assert!((attention_factor - 1.5_f32.sqrt()).abs() < 1e-6);
    assert_eq!(c.hyper.sliding_window(), None);
    assert_eq!(
        c.hyper.stated(Field::SlidingWindow),
        Some(arch::Value::Size(0))
    );
    for (changes, parts) in [
        (
            json!({"rope_scaling": factors(8, 7)}),
            ["long_factor", "7 numbers, expected one for each of 8"],
        ),
        (
            json!({"rope_scaling": {"type": "longrope", "short_factor": [1.0]}}),
            ["rope_scaling.long_factor", "missing"],
        ),
        (
            json!({"rope_scaling": {"type": "su", "short_factor": [0.0], "long_factor": [1]}}),
            [
                "rope_scaling.short_factor",
                "expected an array of numbers above 0",
            ],
        ),
        (
            json!({"architectures": ["LlamaForCausalLM"], "rope_scaling": factors(8, 8)}),
            ["rope_type", "longrope"],
        ),
    ] {
        let error = phi3(changes).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
}

fn kinds(config: &Config) -> Vec<LayerKind> {
    let hyper = &config.hyper;
    (0..hyper.layers()).map(|n| hyper.layer(n).kind).collect()
}

fn lfm2(changes: Value) -> Result<Config, Error> {
    let mut config = json!({
        "architectures": ["Lfm2ForCausalLM"], "block_ff_dim": 12_288, "block_multiple_of": 256,
        "hidden_size": 2048, "norm_eps": 1e-5, "num_attention_heads": 32,
        "num_hidden_layers": 4, "num_key_value_heads": 8, "vocab_size": 65_536,
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    parse(&config)
}

#[test]
fn layers_of_several_kinds_are_named_or_numbered() {
    use LayerKind::{Global, Recurrent};
    let words =
        json!({"layer_types": ["conv", "full_attention", "conv", "full_attention", "conv"]});
    let c = lfm2(words).unwrap();
    assert_eq!(kinds(&c), [Recurrent, Global, Recurrent, Global]);
    let c = lfm2(json!({"full_attn_idxs": [0, 3]})).unwrap();
    assert_eq!(kinds(&c), [Global, Recurrent, Recurrent, Global]);
    let heads = |n| c.hyper.layer(n).kv_heads;
    assert_eq!((heads(0), heads(1)), (8, 0));
    for (changes, parts) in [
        (
            json!({"layer_types": ["conv"]}),
            ["layer_types: 1 items", "each of 4"],
        ),
        (
            json!({"layer_types": ["conv", "conv", "linear_attention", "conv"]}),
            ["full_attention or conv", "linear_attention"],
        ),
        (
            json!({"layer_types": "conv"}),
            ["layer_types", "expected an array"],
        ),
        (
            json!({"full_attn_idxs": [4]}),
            ["full_attn_idxs", "below 4, found 4"],
        ),
        (
            json!({"conv_bias": true}),
            ["conv_bias: true is not supported", "only false"],
        ),
    ] {
        let error = lfm2(changes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn a_feed_forward_size_may_be_adjusted() {
    // Two thirds, as a multiple of 256.
    assert_eq!(lfm2(json!({})).unwrap().hyper.feed_forward(), 8192);
    for (changes, size) in [
        (json!({"block_auto_adjust_ff_dim": false}), 12_288),
        (json!({"block_ff_dim": 6656}), 4608),
        (
            json!({"block_ff_dim": 6656, "block_ffn_dim_multiplier": 1.3}),
            5888,
        ),
        (json!({"block_ff_dim": 1000, "block_multiple_of": 1}), 666),
    ] {
        let c = lfm2(changes.clone()).unwrap();
        assert_eq!(c.hyper.feed_forward(), size, "{changes}");
    }
}

#[test]
fn delta_nets_attend_every_few_layers_and_their_sizes_fit() {
    use LayerKind::{Global, Recurrent};
    let qwen35 = |changes: Value| {
        let mut config = json!({
            "architectures": ["Qwen3_5ForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
            "num_attention_heads": 4, "num_hidden_layers": 4, "num_key_value_heads": 2,
            "linear_num_key_heads": 2, "linear_num_value_heads": 6, "vocab_size": 100,
        });
        let all = config.as_object_mut().unwrap();
        all.extend(changes.as_object().unwrap().clone());
        parse(&config)
    };
    let c = qwen35(json!({})).unwrap();
    assert_eq!(kinds(&c), [Recurrent, Recurrent, Recurrent, Global]);
    assert_eq!(c.rotary_sections, [11, 11, 10, 0]);
    assert_eq!(c.hyper.rotary_dims(), 64);
    let c = qwen35(json!({
        "full_attention_interval": 2,
        "rope_parameters": {"mrope_section": [3, 1], "partial_rotary_factor": 0.5,
            "rope_theta": 1e6, "rope_type": "default"},
    }));
    let c = c.unwrap();
    assert_eq!(kinds(&c), [Recurrent, Global, Recurrent, Global]);
    assert_eq!(c.rotary_sections, [3, 1, 0, 0]);
    assert_eq!((c.hyper.rotary_dims(), c.hyper.rotary_base()), (128, 1e6));
    for (changes, parts) in [
        (
            json!({"linear_num_value_heads": 5}),
            [
                "linear_num_value_heads",
                "5 is not a multiple of the 2 key heads",
            ],
        ),
        (
            json!({"attn_output_gate": false}),
            ["attn_output_gate", "only true"],
        ),
        (
            json!({"rope_parameters": {"mrope_section": [1, 2, 3, 4, 5]}}),
            ["mrope_section", "up to 4 whole numbers"],
        ),
        (
            json!({"linear_key_head_dim": 8_000_000}),
            ["linear_key_head_dim", "more than 16777216 rows"],
        ),
    ] {
        let error = qwen35(changes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn layers_that_see_everything_may_have_their_own_sizes_in_two_spellings() {
    let gemma4 = |changes: Value| {
        let mut config = json!({
            "architectures": ["Gemma4ForCausalLM"], "attention_k_eq_v": true, "head_dim": 32,
            "hidden_size": 64, "hidden_size_per_layer_input": 0, "intermediate_size": 96,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "num_attention_heads": 4, "num_hidden_layers": 3, "num_key_value_heads": 2,
            "num_kv_shared_layers": 1, "use_double_wide_mlp": true, "vocab_size": 100,
        });
        let all = config.as_object_mut().unwrap();
        all.extend(changes.as_object().unwrap().clone());
        parse(&config)
    };
    // The last layer always sees everything.
    let sizes = json!({"head_dim": 48, "num_key_value_heads": 1});
    let old = json!({"global_head_dim": 48, "num_global_key_value_heads": 1});
    let new = json!({"per_layer_config": {"1": sizes}});
    for changes in [old, new] {
        let hyper = gemma4(changes).unwrap().hyper;
        let layer = |n| {
            let layer = hyper.layer(n);
            (
                layer.head_dim,
                layer.kv_heads,
                layer.feed_forward,
                layer.owns_keys,
            )
        };
        assert_eq!(layer(0), (32, 2, 96, true));
        assert_eq!(layer(1), (48, 1, 96, true));
        assert_eq!(layer(2), (48, 1, 192, false));
        assert_eq!((hyper.keys_of(1), hyper.keys_of(2)), (1, 1));
    }
    let c = gemma4(json!({"global_head_dim": 48})).unwrap();
    assert_eq!(c.rope_scaling, RopeScaling::Proportional { part: 0.25 });
    let divisors = c.rope_scaling.divisors(1e6, 48);
    let (turning, still) = divisors[0].1.split_at(6);
    assert!(turning.iter().all(|x| *x == 1.0) && still.iter().all(|x| *x == 1e30));
    assert!(c.declares("attention_k_eq_v"));
    for (changes, parts) in [
        (
            json!({"num_kv_shared_layers": 3}),
            ["num_kv_shared_layers", "no layer of 3"],
        ),
        (
            json!({"per_layer_config": {"0": {"head_dim": 48}}}),
            ["per_layer_config.0", "is not supported"],
        ),
        (
            json!({"per_layer_config": {"1": {"head_dim": 48}, "2": {"head_dim": 64}}}),
            ["per_layer_config.2", "another size than layer 1"],
        ),
        (
            json!({"use_bidirectional_attention": "all"}),
            ["use_bidirectional_attention", "only vision"],
        ),
    ] {
        let error = gemma4(changes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}
