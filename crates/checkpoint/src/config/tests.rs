mod families;

use super::*;
use serde_json::json;

fn parse(value: &Value) -> Result<Config, Error> {
    Config::parse(
        &Object::new(Path::new("m/config.json"), value)?,
        &Limits::default(),
        &Notes::default(),
    )
}

/// What is noted while a config.json is read.
fn notes_of(value: &Value) -> Vec<String> {
    let notes = Notes::default();
    let path = Path::new("m/config.json");
    let object = Object::new(path, value).unwrap();
    Config::parse(&object, &Limits::default(), &notes).unwrap();
    notes.into_vec()
}

/// What a forecast takes for the type of the weights, and what it notes.
fn type_of(c: &Config) -> (TensorType, Vec<String>) {
    let notes = Notes::default();
    let ty = c.source_type(Path::new("m/config.json"), &notes);
    (ty, notes.into_vec())
}

fn fixture(name: &str) -> Config {
    let path = format!(
        "{}/../../fixtures/{name}/config.json",
        env!("CARGO_MANIFEST_DIR")
    );
    Config::read(Path::new(&path), &Limits::default(), &Notes::default()).unwrap()
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
    assert_eq!(
        (h.layers(), h.hidden(), h.feed_forward()),
        (32, 4096, 14336)
    );
    assert_eq!((h.heads(), h.kv_heads(), h.head_dim()), (32, 8, 128));
    assert_eq!((h.vocab(), h.context()), (32000, 32768));
    assert_eq!((h.norm_eps(), h.rotary_base()), (1e-5, 10_000.0));
    assert!(!c.tied_embeddings && !c.declares_bias(Some("attention_bias")));
    assert_eq!(type_of(&c).0, TensorType::BF16);
    assert_eq!(c.token_ids, [("bos", 1), ("eos", 2)]);
    assert_eq!(c.rope_scaling, RopeScaling::None);
    assert_eq!(fixture("notus-mini").hyper.head_dim(), 32);
}

#[test]
fn defaults_are_those_of_the_format() {
    let c = parse(&with(json!({"num_key_value_heads": null}))).unwrap();
    assert_eq!(c.hyper.kv_heads(), 4);
    assert_eq!(c.hyper.head_dim(), 16);
    assert_eq!(c.hyper.rotary_base(), 10_000.0);
    assert_eq!(type_of(&c).0, TensorType::F32);
    let c = parse(&with(json!({
        "head_dim": 8, "tie_word_embeddings": true, "attention_bias": true, "dtype": "float16",
        "pad_token_id": -1, "eos_token_id": [5, 6], "bos_token_id": 3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": 7.0,
    })))
    .unwrap();
    assert_eq!((c.hyper.head_dim(), c.hyper.rotary_base()), (8, 5e5));
    assert!(c.tied_embeddings && c.declares_bias(Some("attention_bias")));
    assert_eq!(type_of(&c).0, TensorType::F16);
    assert_eq!(c.token_ids, [("bos", 3)]);
    let c = parse(&with(json!({"pad_token_id": -100}))).unwrap();
    assert!(c.token_ids.is_empty());
    for (class, tied) in [
        ("SmolLM3ForCausalLM", true),
        ("LlamaForCausalLM", false),
        ("Qwen2ForCausalLM", false),
    ] {
        let c = parse(&with(json!({"architectures": [class]}))).unwrap();
        assert_eq!(c.tied_embeddings, tied, "{class}");
    }
    let untied = json!({"architectures": ["SmolLM3ForCausalLM"], "tie_word_embeddings": false});
    assert!(!parse(&with(untied)).unwrap().tied_embeddings);
}

#[test]
fn bad_configs_say_path_key_and_value() {
    for (changes, parts) in [
        (
            json!({"architectures": ["GPT2LMHeadModel"]}),
            ["architectures", "GPT2LMHeadModel"],
        ),
        (
            json!({"architectures": ["LlamaModel"]}),
            ["architectures", "saved without its output head (AutoModel)"],
        ),
        (
            json!({"architectures": ["MistralForSequenceClassification"]}),
            ["architectures", "a classifier, not a text model"],
        ),
        (
            json!({"architectures": ["PeftModelForCausalLM"]}),
            ["architectures", "merge the adapter first"],
        ),
        (
            json!({"architectures": ["FSDPQwen2ForCausalLM"]}),
            ["FSDPQwen2ForCausalLM", "write Qwen2ForCausalLM there"],
        ),
        (
            json!({"architectures": ["BertModel"]}),
            ["BertModel is not supported", "Qwen3ForCausalLM"],
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
        (json!({"bos_token_id": 1.5}), ["bos_token_id", "1.5"]),
        (
            json!({"partial_rotary_factor": 0.5}),
            ["partial_rotary_factor", "0.5"],
        ),
        (
            json!({"num_experts": 8}),
            ["num_experts", "8: mixtures of experts"],
        ),
        (
            json!({"rope_scaling": {"type": "su", "short_factor": [1], "long_factor": [2]}}),
            ["rope_scaling.rope_type", "su is not supported"],
        ),
        (
            json!({"rope_parameters": {"rope_type": "longrope", "factor": 2}}),
            ["rope_parameters.rope_type", "longrope is not supported"],
        ),
        (
            json!({"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}),
            ["rope_scaling.mrope_section", "mrope"],
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
            ["rope_parameters.full_attention", "differ between layers"],
        ),
        (
            json!({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}),
            ["rope_parameters.partial_rotary_factor", "0.5"],
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2}}),
            ["rope_scaling.beta_fast", "below beta_slow, 2"],
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": -1}}),
            ["rope_scaling.attention_factor", "above 0"],
        ),
        (
            json!({"rope_scaling":
                {"type": "yarn", "factor": 8, "mscale": -9, "mscale_all_dim": 1}}),
            ["rope_scaling.mscale", "above 0"],
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
            json!({"rope_scaling": {"type": "yarn"}}),
            ["rope_scaling.factor", "missing"],
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
fn yarn_is_what_transformers_computes() {
    // The magnitudes of factor 4: 0.1 ln(4) + 1 is 1.1386294.
    let plain = RopeScaling::Yarn {
        factor: 4.0,
        original_context: 32,
        ext_factor: None,
        attention_factor: None,
        attn_factor: None,
        beta_fast: None,
        beta_slow: None,
        truncate: true,
    };
    let with_magnitude = |attention, attn| {
        let mut yarn = plain.clone();
        if let RopeScaling::Yarn {
            attention_factor,
            attn_factor,
            ..
        } = &mut yarn
        {
            (*attention_factor, *attn_factor) = (attention, Some(attn));
        }
        yarn
    };
    let over_whole_context = || match plain.clone() {
        RopeScaling::Yarn { factor, .. } => RopeScaling::Yarn {
            factor,
            original_context: 128,
            ext_factor: None,
            attention_factor: None,
            attn_factor: None,
            beta_fast: None,
            beta_slow: None,
            truncate: true,
        },
        other => other,
    };
    for (more, outside, expected) in [
        (
            json!({"factor": 4, "original": 32}),
            json!({}),
            plain.clone(),
        ),
        (
            json!({"factor": 4, "original": 32, "truncate": true, "beta_fast": 0}),
            json!({}),
            plain.clone(),
        ),
        // Without the original length it is that of the model, without the factor it is their
        // ratio; the length beside the object counts more than the one inside.
        (json!({"factor": 4}), json!({}), over_whole_context()),
        (json!({"original": 32}), json!({}), plain.clone()),
        (
            json!({"factor": null, "original": 32}),
            json!({}),
            plain.clone(),
        ),
        (json!({"factor": 4}), json!({"original": 32}), plain.clone()),
        (
            json!({"factor": 4, "original": 64}),
            json!({"original": 32}),
            plain.clone(),
        ),
        // attention_factor replaces the usual magnitude, and so do both mscale keys together.
        (
            json!({"factor": 4, "original": 32, "attention_factor": 1.0}),
            json!({}),
            with_magnitude(Some(1.0), 0.878_248_9),
        ),
        (
            json!({"factor": 4, "original": 32, "attention_factor": 2, "mscale": 9,
                "mscale_all_dim": 1}),
            json!({}),
            with_magnitude(Some(2.0), 1.756_497_7),
        ),
        (
            json!({"factor": 4, "original": 32, "mscale": 1.0, "mscale_all_dim": 1.0}),
            json!({}),
            with_magnitude(None, 0.878_248_9),
        ),
        (
            json!({"factor": 4, "original": 32, "mscale": 2, "mscale_all_dim": 1}),
            json!({}),
            // 1.2772589 / 1.1386294 / 1.1386294
            with_magnitude(None, 0.985_176_7),
        ),
        (
            json!({"factor": 4, "original": 32, "mscale": 2}),
            json!({}),
            plain.clone(),
        ),
    ] {
        let renamed = |value: Value| {
            let text = value.to_string();
            serde_json::from_str::<Value>(
                &text.replace("\"original\"", "\"original_max_position_embeddings\""),
            )
            .unwrap()
        };
        let (mut block, mut config) = (renamed(more), renamed(outside));
        block["rope_type"] = json!("yarn");
        config["rope_scaling"] = block;
        let config = with(config);
        assert_eq!(parse(&config).unwrap().rope_scaling, expected, "{config}");
    }
}

#[test]
fn numbers_of_the_rotary_object_are_read_there() {
    let ministral = |mscale: f64, all_dim: f64| {
        let config = parse(&with(json!({
            "architectures": ["Ministral3ForCausalLM"],
            "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "mscale": mscale,
                "mscale_all_dim": all_dim, "original_max_position_embeddings": 32,
                "llama_4_scaling_beta": 0.1,
            },
        })));
        let config = config.unwrap();
        let factor = match config.rope_scaling {
            RopeScaling::Yarn { attn_factor, .. } => attn_factor,
            other => panic!("{other:?}"),
        };
        let number = |field| config.hyper.factor(field);
        (
            number(Field::YarnLogMultiplier),
            number(Field::TemperatureScale),
            factor,
        )
    };
    // The key of its own says it all.
    assert_eq!(ministral(1.0, 1.0), (Some(1.0), Some(0.1), None));
    // 0 says that there is no such divisor.
    assert_eq!(ministral(1.0, 0.0), (None, Some(0.1), None));
    // What it does not say is a factor besides: that of 2 over that of 1.
    let (_, _, factor) = ministral(2.0, 1.0);
    assert!((factor.unwrap() - 1.277_258_9 / 1.138_629_4).abs() < 1e-6);

    let glm4 = |rope: Value| {
        let mut config = with(json!({
            "architectures": ["Glm4ForCausalLM"], "head_dim": 32, "rope_parameters": rope,
        }));
        config["num_key_value_heads"] = json!(4);
        parse(&config).unwrap().hyper.rotary_dims()
    };
    assert_eq!(
        glm4(json!({"rope_type": "default", "partial_rotary_factor": 0.25})),
        8
    );
    assert_eq!(glm4(json!(null)), 16);
}

#[test]
fn switches_that_are_true_by_default_must_be_stated() {
    let starcoder2 = |use_bias: Value| {
        parse(&with(
            json!({"architectures": ["Starcoder2ForCausalLM"], "use_bias": use_bias}),
        ))
    };
    assert!(starcoder2(json!(true)).unwrap().tied_embeddings);
    let config = with(json!({"architectures": ["Starcoder2ForCausalLM"], "use_bias": true}));
    assert_eq!(notes_of(&config), [""; 0]);
    let error = starcoder2(json!(null)).unwrap_err().to_string();
    assert!(error.contains("use_bias: missing"), "{error}");
}

#[test]
fn rope_scaling_counts_alone_beside_rope_parameters() {
    let default = |theta: f64| json!({"rope_type": "default", "rope_theta": theta});
    let linear = json!({"type": "linear", "factor": 4.0});
    for (config, theta, factor, noted) in [
        (
            json!({"rope_parameters": default(1e4), "rope_scaling": linear}),
            1e4,
            Some(4.0),
            &[][..],
        ),
        // The base of rope_parameters is lost, as it is in transformers.
        (
            json!({"rope_parameters": default(1e6), "rope_scaling": linear}),
            1e4,
            Some(4.0),
            &[
                "rope_parameters.rope_theta",
                "1000000.0 is not used",
                "is 10000",
            ],
        ),
        (
            json!({"rope_parameters": default(1e6), "rope_scaling": linear, "rope_theta": 1e6}),
            1e6,
            Some(4.0),
            &[],
        ),
        (
            json!({
                "rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 1e4},
                "rope_scaling": linear,
            }),
            1e4,
            Some(4.0),
            &["rope_parameters.factor", "2 is not used"],
        ),
        (
            json!({"rope_parameters": {"rope_type": "linear", "factor": 2}, "rope_scaling": {}}),
            1e4,
            Some(2.0),
            &[],
        ),
        (
            json!({"rope_parameters": default(5e5), "rope_scaling": null}),
            5e5,
            None,
            &[],
        ),
        (
            json!({"rope_parameters": default(5e5), "rope_theta": 7}),
            5e5,
            None,
            &["rope_theta: 7 is not used", "500000"],
        ),
    ] {
        let config = with(config);
        let c = parse(&config).unwrap();
        assert_eq!(c.hyper.rotary_base(), theta, "{config}");
        let scaling = factor.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor });
        assert_eq!(c.rope_scaling, scaling, "{config}");
        let notes = notes_of(&config);
        assert_eq!(notes.is_empty(), noted.is_empty(), "{notes:?}");
        for part in noted {
            assert!(
                notes.iter().any(|note| note.contains(part)),
                "{notes:?}: no {part}"
            );
        }
    }
}

#[test]
fn keys_that_change_the_model_are_noted_and_those_that_do_not_are_not() {
    let mistral = json!(["MistralForCausalLM"]);
    for (changes, noted) in [
        // What published models carry.
        (
            json!({
                "_name_or_path": "a/b", "model_type": "llama", "auto_map": {}, "use_cache": true,
                "pretraining_tp": 1, "initializer_range": 0.02, "attention_dropout": 0.1,
                "transformers_version": "4.40.0", "unsloth_version": "2024.9", "id2label": {},
                "temperature": 0.7, "sliding_window": null, "rope_scaling": null,
                "max_sequence_length": 2048, "_attn_implementation_autoset": true,
            }),
            &[][..],
        ),
        // Values that change nothing.
        (
            json!({
                "attn_logit_softcapping": null, "final_logit_softcapping": 0.0,
                "logit_scale": 1.0, "residual_multiplier": 1, "qk_norm": false,
                "use_sliding_window": false, "sliding_window": 64, "no_rope_layers": [1, 1],
                "num_local_experts": 1, "num_experts": 0, "clip_qkv": null, "alibi": false,
                "layer_types": ["full_attention", "full_attention"],
            }),
            &[],
        ),
        (
            json!({"attn_logit_softcapping": 50.0, "logit_scale": 0.5, "no_rope_layers": [1, 0]}),
            &[
                "attn_logit_softcapping: 50.0 is not carried over",
                "logit_scale: 0.5",
                "no_rope_layers: an array",
            ],
        ),
        (json!({"pruned_heads": {}}), &[]),
        (json!({"pruned_heads": {"0": []}}), &[]),
        (
            json!({"pruned_heads": {"0": [1, 2]}}),
            &["pruned_heads: an object of 1 keys is not carried over"],
        ),
        (
            json!({"model_type": "qwen2"}),
            &["model_type: qwen2 contradicts architectures: the model is read as Llama"],
        ),
        (
            json!({"architectures": ["LLaMAForCausalLM"], "model_type": "llama"}),
            &[],
        ),
        (
            json!({"attention_multiplier": 1.0, "qk_norm": true, "rope_interleaved": true}),
            &["attention_multiplier", "qk_norm: true", "rope_interleaved"],
        ),
        (
            json!({"frobnicate": 1, "twiddle": false, "nothing": null}),
            &["m/config.json: frobnicate, twiddle: not known"],
        ),
        // A window is told once, and only where it is shorter than the context.
        (
            json!({"sliding_window": 64}),
            &["sliding_window: 64 is not written"],
        ),
        (json!({"sliding_window": 128}), &[]),
        (
            json!({"sliding_window": 64, "use_sliding_window": true, "max_window_layers": 1}),
            &["sliding_window: 64"],
        ),
        (
            json!({"architectures": mistral, "sliding_window": 64, "use_sliding_window": false}),
            &["sliding_window: 64"],
        ),
        (
            json!({"sliding_window": 64, "layer_types": ["full_attention", "sliding_attention"]}),
            &["sliding_window, layer_types: 64 and string \"sliding_attention\" are not written"],
        ),
        (
            json!({"sliding_window": 128, "layer_types": ["sliding_attention"]}),
            &[],
        ),
        (
            json!({"layer_types": ["linear_attention"]}),
            &[
                "layer_types: string \"linear_attention\" is not written",
                "has no such layers",
            ],
        ),
        // Layers of other kinds are told where the window is off, too.
        (
            json!({"use_sliding_window": false, "sliding_window": 64,
                "layer_types": ["sliding_attention", "linear_attention"]}),
            &[
                "layer_types: string \"linear_attention\" is not written",
                "has no such layers",
            ],
        ),
        (
            json!({"use_sliding_window": false, "layer_types": ["sliding_attention"]}),
            &[],
        ),
        (
            json!({"architectures": ["Qwen3ForCausalLM"], "layer_types": ["chunked_attention"]}),
            &["layer_types: string \"chunked_attention\" is not written"],
        ),
        (
            json!({"sliding_window": 64, "layer_types": ["chunked_attention"]}),
            &[
                "64 and string \"chunked_attention\" are",
                "no window and no such layers",
            ],
        ),
        // Mistral's class has a window where the key is absent; null means none.
        (
            json!({"architectures": mistral, "max_position_embeddings": 8192,
                "sliding_window": null}),
            &[],
        ),
        (json!({"architectures": mistral}), &[]),
        (
            json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
            &["rope_scaling.rope_type: dynamic", "up to 128 positions"],
        ),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2.0, "beta_fast": 32}}),
            &["rope_scaling.beta_fast: not used"],
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2.0, "finetuned": true,
                "attn_factor": 1.0, "extrapolation_factor": 1}}),
            &[],
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 2.0, "attn_factor": 0.5}}),
            &["rope_scaling.attn_factor: not used"],
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "rope_type": "linear", "factor": 2.0}}),
            &["rope_scaling.type: yarn is not used"],
        ),
        (
            json!({"original_max_position_embeddings": 32, "rope_scaling":
                {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}}),
            &["rope_scaling.original_max_position_embeddings: 64 is not used, 32"],
        ),
    ] {
        let notes = notes_of(&with(changes.clone()));
        let all = notes.join("\n");
        for part in noted {
            assert!(all.contains(part), "{changes}\n{all}: no {part}");
        }
        if noted.len() < 2 {
            assert_eq!(notes.len(), noted.len(), "{changes}\n{all}");
        }
    }
    let absent = json!({"architectures": mistral, "max_position_embeddings": 8192});
    let notes = notes_of(&with(absent));
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains("sliding_window: 4096, the framework's default, is not written"),
        "{notes:?}"
    );
    let many: serde_json::Map<String, Value> =
        (0..500).map(|i| (format!("k{i:03}\n"), json!(1))).collect();
    let notes = notes_of(&with(Value::Object(many)));
    assert!(notes[0].contains("k000\\n, k001\\n") && notes[0].contains("and 488 more"));
}

#[test]
fn published_configs_give_no_notes() {
    for name in ["notus-mini", "notus-7b-v1"] {
        let notes = Notes::default();
        let path = format!(
            "{}/../../fixtures/{name}/config.json",
            env!("CARGO_MANIFEST_DIR")
        );
        Config::read(Path::new(&path), &Limits::default(), &notes).unwrap();
        let notes = notes.into_vec();
        // Mistral's first model has a window of 4096 tokens and a context of 32768.
        let window = usize::from(name == "notus-7b-v1");
        assert_eq!(notes.len(), window, "{notes:?}");
    }
}

#[test]
fn the_type_that_is_claimed_matters_for_forecasts_only() {
    for (changes, ty, noted) in [
        (json!({}), TensorType::F32, ""),
        (json!({"torch_dtype": "torch.float16"}), TensorType::F16, ""),
        (
            json!({"dtype": "bfloat16", "torch_dtype": "float32"}),
            TensorType::BF16,
            "",
        ),
        (json!({"torch_dtype": "auto"}), TensorType::F32, ""),
        (json!({"torch_dtype": " BF16 "}), TensorType::BF16, ""),
        (json!({"dtype": "fp16"}), TensorType::F16, ""),
        (json!({"dtype": "torch.FP32"}), TensorType::F32, ""),
        (json!({"dtype": "fp64"}), TensorType::F32, ""),
        (json!({"torch_dtype": "float64"}), TensorType::F32, ""),
        (
            json!({"torch_dtype": {"text": "int4"}}),
            TensorType::F32,
            "",
        ),
        (
            json!({"torch_dtype": "float8_e4m3fn"}),
            TensorType::F32,
            "torch_dtype: float8_e4m3fn is a floating-point type of 8 bits (fp8)",
        ),
        (
            json!({"torch_dtype": "int8"}),
            TensorType::F32,
            "torch_dtype: int8 is not a type of weights",
        ),
    ] {
        let config = with(changes);
        assert_eq!(notes_of(&config), [""; 0]);
        let (found, notes) = type_of(&parse(&config).unwrap());
        assert_eq!(found, ty, "{config}");
        assert!(notes.concat().contains(noted), "{notes:?}");
        assert_eq!(notes.is_empty(), noted.is_empty(), "{notes:?}");
    }
}

#[test]
fn numbers_that_only_python_takes_for_json_matter_where_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let read = |text: String| {
        std::fs::write(&path, text).unwrap();
        Config::read(&path, &Limits::default(), &Notes::default())
    };
    let config = with(json!({"aux": "HERE"})).to_string();
    let expected = parse(&with(json!({}))).unwrap().hyper;
    for number in ["NaN", "Infinity", "-Infinity", "[1, -Infinity]"] {
        let text = config.replace("\"HERE\"", number);
        assert_eq!(read(text.clone()).unwrap().hyper, expected);
        assert_eq!(read(format!("\u{feff}{text}")).unwrap().hyper, expected);
    }
    for (key, number) in [
        ("rope_theta", "NaN"),
        ("rms_norm_eps", "Infinity"),
        ("hidden_act", "-Infinity"),
        ("bos_token_id", "NaN"),
    ] {
        let error = read(
            with(json!({key: "HERE"}))
                .to_string()
                .replace("\"HERE\"", number),
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(&format!("{key}: expected"))
                && error.ends_with(&format!("found {number}")),
            "{error}"
        );
    }
    std::fs::write(&path, b"\xff\xfe{\0}\0").unwrap();
    let error = Config::read(&path, &Limits::default(), &Notes::default()).unwrap_err();
    assert!(error.to_string().contains("UTF-16"), "{error}");
}

#[test]
fn a_file_that_is_no_config() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let read = || {
        Config::read(&path, &Limits::default(), &Notes::default())
            .unwrap_err()
            .to_string()
    };
    assert!(read().contains("config.json: no such file"), "{}", read());
    for (text, part) in [("{", "line 1"), ("[]", "expected an object"), ("", "EOF")] {
        std::fs::write(&path, text).unwrap();
        assert!(read().contains(part), "{}", read());
    }
}
