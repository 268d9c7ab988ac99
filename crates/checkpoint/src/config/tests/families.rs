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
