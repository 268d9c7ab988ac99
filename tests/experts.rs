//! Mixtures of experts at full size: time and memory, on weights that take no room.

use crate::support::{arg, capped, ok};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A checkpoint of a configuration whose weights are holes in its files.
fn sparse(config: &Json, folder: &Path) -> PathBuf {
    let (like, out) = (folder.join("like"), folder.join("model"));
    std::fs::create_dir(&like).unwrap();
    std::fs::write(like.join("config.json"), config.to_string()).unwrap();
    ok([
        "synth",
        "--like",
        arg(&like),
        "-o",
        arg(&out),
        "--sparse",
        "-q",
    ]);
    out
}

/// DeepSeek V3 as it was published.
fn deepseek_v3() -> Json {
    json!({
        "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "ep_size": 1,
        "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
        "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
        "model_type": "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8,
        "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
        "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
        "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6,
        "rope_scaling": {
            "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 4096, "type": "yarn"
        },
        "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
        "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 129280
    })
}

/// Qwen3-235B-A22B as it was published.
fn qwen3_235b() -> Json {
    json!({
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1,
        "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 12288,
        "max_position_embeddings": 40960, "max_window_layers": 94, "mlp_only_layers": [],
        "model_type": "qwen3_moe", "moe_intermediate_size": 1536, "norm_topk_prob": true,
        "num_attention_heads": 64, "num_experts": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 94, "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
        "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": null,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_sliding_window": false,
        "vocab_size": 151936
    })
}

/// Every expert is a tensor of its own: 45,000 of DeepSeek V3, whose files would be 1.3 TB.
#[test]
fn models_of_hundreds_of_billions_of_weights_are_forecast_at_once() {
    for (config, weights) in [
        (deepseek_v3(), 671_026_419_200_u64),
        (qwen3_235b(), 235_093_634_560),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = sparse(&config, folder.path());
        let start = Instant::now();
        let forecast = ["forecast", arg(&model), "--no-tokenizer", "--json"];
        let forecast = ok(forecast.into_iter().chain(["--type", "bf16,Q4_K_M,IQ4_XS"]));
        let elapsed = start.elapsed();
        println!("{elapsed:?}");
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        let forecast: Json = serde_json::from_str(&forecast).unwrap();
        let files = forecast["files"].as_array().unwrap();
        let bytes: Vec<u64> = files.iter().map(|f| f["bytes"].as_u64().unwrap()).collect();
        // Two bytes a weight, but for a few vectors and routers.
        assert!(
            (2 * weights..2 * weights + weights / 500).contains(&bytes[0]),
            "{bytes:?}"
        );
        assert!(bytes[1] < bytes[0] / 3 && bytes[2] < bytes[1], "{bytes:?}");
        for file in files {
            let memory = file["max_ram_bytes"].as_u64().unwrap();
            assert!(memory > file["bytes"].as_u64().unwrap(), "{file}");
        }
    }
}

/// A stack of 256 experts is as many pieces of a file, none of which is copied to stack it.
#[test]
fn a_stack_of_256_experts_is_quantized_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = qwen3_235b();
    for (key, value) in [
        ("hidden_size", 512),
        ("intermediate_size", 1024),
        ("moe_intermediate_size", 1024),
        ("num_attention_heads", 4),
        ("num_experts", 256),
        ("num_hidden_layers", 1),
        ("vocab_size", 64),
    ] {
        config[key] = json!(value);
    }
    let model = sparse(&config, folder.path());
    let file = folder.path().join("q.gguf");
    let quantize = [
        "quantize",
        arg(&model),
        "--no-tokenizer",
        "--type",
        "Q4_K_M",
    ];
    let status = capped(600, 256)
        .args(quantize)
        .args(["-o", arg(&file), "-q"])
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert!(std::fs::metadata(&file).unwrap().len() > 200_000_000);
}
