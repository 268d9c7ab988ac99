use super::*;
use serde_json::json;

fn parse(value: &Value) -> Result<Config, Error> {
    Config::parse(
        &Object::new(Path::new("m/config.json"), value)?,
        &Limits::default(),
    )
}

fn fixture(name: &str) -> Config {
    let path = format!(
        "{}/../../fixtures/{name}/config.json",
        env!("CARGO_MANIFEST_DIR")
    );
    Config::read(Path::new(&path), &Limits::default()).unwrap()
}

/// A small valid config.json with `changes` made: a null removes the key.
fn with(changes: Value) -> Value {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "vocab_size": 40,
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[test]
fn the_real_configs_are_read() {
    let c = fixture("notus-7b-v1");
    let h = &c.hyper;
    assert_eq!((h.layers, h.hidden, h.ff), (32, 4096, 14336));
    assert_eq!((h.heads, h.kv_heads, h.head_dim), (32, 8, 128));
    assert_eq!((h.vocab, h.context), (32000, 32768));
    assert_eq!((h.norm_eps, h.rope_theta), (1e-5, 10_000.0));
    assert_eq!((h.q_rows(), h.kv_rows()), (4096, 1024));
    assert!(!h.tied_embeddings && !c.attention_bias && !c.mlp_bias);
    assert_eq!(c.source_type, TensorType::BF16);
    assert_eq!(c.token_ids, [("bos", 1), ("eos", 2)]);
    assert_eq!(c.rope_scaling, RopeScaling::None);
    assert_eq!(fixture("notus-mini").hyper.head_dim, 32);
}

#[test]
fn defaults_are_those_of_the_format() {
    let c = parse(&with(json!({"num_key_value_heads": null}))).unwrap();
    assert_eq!(c.hyper.kv_heads, 4);
    assert_eq!(c.hyper.head_dim, 16);
    assert_eq!(c.hyper.rope_theta, 10_000.0);
    assert_eq!(c.source_type, TensorType::F32);
    let c = parse(&with(json!({
        "head_dim": 8, "tie_word_embeddings": true, "attention_bias": true, "dtype": "float16",
        "pad_token_id": -1, "eos_token_id": [5, 6], "bos_token_id": 3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": 7.0,
    })))
    .unwrap();
    assert_eq!((c.hyper.head_dim, c.hyper.rope_theta), (8, 5e5));
    assert!(c.hyper.tied_embeddings && c.attention_bias);
    assert_eq!(c.source_type, TensorType::F16);
    assert_eq!(c.token_ids, [("bos", 3)]);
}

#[test]
fn bad_configs_say_path_key_and_value() {
    for (changes, parts) in [
        (
            json!({"architectures": ["GPT2LMHeadModel"]}),
            ["architectures", "GPT2LMHeadModel"],
        ),
        (json!({"architectures": []}), ["architectures", "0 items"]),
        (json!({"architectures": null}), ["architectures", "missing"]),
        (json!({"hidden_size": null}), ["hidden_size", "missing"]),
        (
            json!({"hidden_size": "64"}),
            ["hidden_size", "found string \"64\""],
        ),
        (json!({"hidden_size": 64.5}), ["hidden_size", "found 64.5"]),
        (
            json!({"hidden_size": 62}),
            ["hidden_size", "62 is not a multiple of the 4 heads"],
        ),
        (
            json!({"num_attention_heads": 0}),
            ["num_attention_heads", "found 0"],
        ),
        (
            json!({"num_key_value_heads": 3}),
            ["num_key_value_heads", "3 does not divide the 4"],
        ),
        (
            json!({"num_key_value_heads": 8}),
            ["num_key_value_heads", "8 does not divide the 4"],
        ),
        (
            json!({"head_dim": 8_000_000}),
            ["head_dim", "4 heads of it make more than 16777216"],
        ),
        (json!({"head_dim": 7}), ["head_dim", "7 elements is odd"]),
        (
            json!({"num_hidden_layers": 1_000_000}),
            ["num_hidden_layers", "from 1 to 4096"],
        ),
        (
            json!({"vocab_size": 4_000_000_000_u64}),
            ["vocab_size", "4000000000"],
        ),
        (
            json!({"intermediate_size": -5}),
            ["intermediate_size", "found -5"],
        ),
        (json!({"rms_norm_eps": 0}), ["rms_norm_eps", "above 0"]),
        (json!({"rms_norm_eps": "tiny"}), ["rms_norm_eps", "tiny"]),
        (json!({"hidden_act": "gelu"}), ["hidden_act", "gelu"]),
        (
            json!({"torch_dtype": "float8_e4m3fn"}),
            ["torch_dtype", "float8_e4m3fn"],
        ),
        (json!({"bos_token_id": 1.5}), ["bos_token_id", "1.5"]),
        (
            json!({"quantization_config": {"quant_method": "gptq"}}),
            ["quantization_config", "gptq"],
        ),
        (
            json!({"partial_rotary_factor": 0.5}),
            ["partial_rotary_factor", "0.5"],
        ),
        (
            json!({"rope_scaling": {"type": "dynamic", "factor": 2}}),
            ["rope_scaling.", "dynamic"],
        ),
        (
            json!({"rope_scaling": {"factor": 2}}),
            ["rope_scaling.rope_type", "missing"],
        ),
        (
            json!({"rope_scaling": {"type": "linear"}}),
            ["rope_scaling.factor", "missing"],
        ),
        (
            json!({"rope_scaling": 2}),
            ["rope_scaling", "an object, found 2"],
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2}}),
            ["original_max_position_embeddings", "missing"],
        ),
        (
            json!({"architectures": ["MistralForCausalLM"], "num_key_value_heads": null}),
            ["num_key_value_heads", "missing"],
        ),
    ] {
        let error = parse(&with(changes)).unwrap_err().to_string();
        assert!(error.starts_with("m/config.json: "), "{error}");
        for part in parts {
            assert!(error.contains(part), "{error}: no {part}");
        }
    }
}

#[test]
fn rope_scaling_kinds() {
    let scaling = |value| {
        parse(&with(json!({"rope_scaling": value})))
            .unwrap()
            .rope_scaling
    };
    assert_eq!(
        scaling(json!({"type": "linear", "factor": 4})),
        RopeScaling::Linear { factor: 4.0 }
    );
    assert_eq!(
        scaling(json!({
            "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096,
            "attn_factor": 0.5, "finetuned": true,
        })),
        RopeScaling::Yarn {
            factor: 8.0,
            original_context: 4096,
            ext_factor: None,
            attn_factor: Some(0.5),
            beta_fast: None,
            beta_slow: None,
        }
    );
    let llama3 = scaling(json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }));
    // Llama 3.1: theta 500,000, heads of 128. Wavelengths below 2048 positions keep their
    // frequency, those above 8192 are stretched by the factor, between it rises smoothly.
    let divisors = llama3.frequency_divisors(5e5, 128).unwrap();
    assert_eq!(divisors.len(), 64);
    assert_eq!((divisors[0], divisors[63]), (1.0, 8.0));
    assert!(divisors.is_sorted());
    // The same steps in numpy's f32.
    assert_eq!(
        divisors[28..36],
        [
            1.0, 1.2074839, 1.5534146, 2.026313, 2.69453, 3.6842532, 5.257327, 8.0
        ]
    );
    let wavelength = |i: i32| 2.0 * std::f64::consts::PI * 5e5_f64.powf(f64::from(i) / 64.0);
    for (i, divisor) in (0..).zip(&divisors) {
        match wavelength(i) {
            w if w < 2048.0 => assert_eq!(*divisor, 1.0, "{i}"),
            w if w > 8192.0 => assert_eq!(*divisor, 8.0, "{i}"),
            _ => assert!((1.0..8.0).contains(divisor), "{i}"),
        }
    }
    assert_eq!(scaling(json!({"rope_theta": 9.0})), RopeScaling::None);
    assert_eq!(RopeScaling::None.frequency_divisors(1e4, 128), None);
}

#[test]
fn a_file_that_is_no_config() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let read = || {
        Config::read(&path, &Limits::default())
            .unwrap_err()
            .to_string()
    };
    assert!(read().contains("config.json: no such file"), "{}", read());
    for (text, part) in [("{", "line 1"), ("[]", "expected an object"), ("", "EOF")] {
        std::fs::write(&path, text).unwrap();
        assert!(read().contains(part), "{}", read());
    }
}
