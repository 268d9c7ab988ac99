//! Families without golden data: tiny checkpoints made from a config.json. What today's llama.cpp says
//! of their files is in `interop.rs`.

use crate::support::{arg, fails, fixture, ok};
use aeolus_gguf::GgufFile;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Families without golden data, by GGUF's name.
pub const FAMILIES: [&str; 12] = [
    "arcee",
    "command-r",
    "ernie4_5",
    "exaone",
    "glm4moe",
    "gptneox",
    "granitemoe",
    "olmo",
    "phi2",
    "seed_oss",
    "stablelm",
    "starcoder",
];

/// Those that are converted and quantized, and not run.
pub const WITHOUT_GRAPH: [&str; 1] = ["olmo"];

/// What the classes of these families call their fields.
fn config(architecture: &str) -> Json {
    let (class, own) = match architecture {
        "arcee" => ("ArceeForCausalLM", json!({"hidden_act": "relu2"})),
        "command-r" => (
            "CohereForCausalLM",
            json!({"layer_norm_eps": 1e-5, "logit_scale": 0.0625, "use_qk_norm": false,
                "model_max_length": 256, "rope_theta": 8_000_000.0}),
        ),
        "ernie4_5" => (
            "Ernie4_5ForCausalLM",
            json!({"head_dim": 16, "use_bias": false, "tie_word_embeddings": true}),
        ),
        "exaone" => (
            "ExaoneForCausalLM",
            json!({"num_layers": 2, "layer_norm_epsilon": 1e-5, "activation_function": "silu"}),
        ),
        "glm4moe" => (
            "Glm4MoeForCausalLM",
            json!({"attention_bias": true, "first_k_dense_replace": 1, "head_dim": 32,
                "moe_intermediate_size": 96, "n_group": 1, "n_routed_experts": 8,
                "n_shared_experts": 1, "norm_topk_prob": true, "num_experts_per_tok": 3,
                "partial_rotary_factor": 0.5, "rope_theta": 10_000.0,
                "routed_scaling_factor": 1.5, "topk_group": 1, "use_qk_norm": true}),
        ),
        "granitemoe" => (
            "GraniteMoeSharedForCausalLM",
            json!({"attention_multiplier": 0.2, "embedding_multiplier": 6.0,
                "logits_scaling": 3.0, "num_experts_per_tok": 3, "num_local_experts": 8,
                "residual_multiplier": 0.4, "rope_theta": 10_000.0,
                "shared_intermediate_size": 96}),
        ),
        "gptneox" => (
            "GPTNeoXForCausalLM",
            json!({"hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_pct": 0.5,
                "rotary_emb_base": 10_000, "use_parallel_residual": true,
                "num_key_value_heads": 4}),
        ),
        "olmo" => ("OlmoForCausalLM", json!({"clip_qkv": 8.0})),
        "phi2" => (
            "PhiForCausalLM",
            json!({"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5,
                "num_key_value_heads": 4}),
        ),
        "seed_oss" => (
            "SeedOssForCausalLM",
            json!({"head_dim": 32, "attention_bias": true, "attention_out_bias": false}),
        ),
        "stablelm" => (
            "StableLmForCausalLM",
            json!({"layer_norm_eps": 1e-5, "partial_rotary_factor": 0.25, "use_qkv_bias": true}),
        ),
        _ => (
            "GPTBigCodeForCausalLM",
            json!({"n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 128,
                "n_inner": 256, "layer_norm_epsilon": 1e-5, "multi_query": true,
                "activation_function": "gelu_pytorch_tanh"}),
        ),
    };
    let mut config = match architecture {
        "starcoder" => json!({}),
        _ => json!({
            "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 256,
            "max_position_embeddings": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
            "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        }),
    };
    let all = config.as_object_mut().unwrap();
    all.extend(own.as_object().unwrap().clone());
    all.insert("architectures".into(), json!([class]));
    all.insert("vocab_size".into(), json!(4096));
    all.insert("torch_dtype".into(), json!("bfloat16"));
    config
}

/// Makes a tiny checkpoint with random weights and the tokenizer of notus-mini.
pub fn checkpoint(architecture: &str, folder: &Path) -> PathBuf {
    let like = folder.join(format!("{architecture}-config"));
    std::fs::create_dir(&like).unwrap();
    for file in ["tokenizer.model", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture("notus-mini").join(file), like.join(file)).unwrap();
    }
    std::fs::write(like.join("config.json"), config(architecture).to_string()).unwrap();
    let out = folder.join(architecture);
    ok(["synth", "--like", arg(&like), "-o", arg(&out)]);
    out
}

#[test]
fn every_family_of_the_list_is_converted_quantized_and_run_or_refused_in_words() {
    let out = tempfile::tempdir().unwrap();
    for name in FAMILIES {
        let model = checkpoint(name, out.path());
        let dir = arg(out.path());
        let forecast = ok(["forecast", arg(&model), "--type", "bf16,Q4_K_M", "--json"]);
        let forecast: Json = serde_json::from_str(&forecast).unwrap();
        ok(["convert", arg(&model), "--type", "bf16", "-o", dir, "-q"]);
        ok(["quantize", arg(&model), "--type", "Q4_K_M", "-o", dir, "-q"]);
        for (row, ty) in forecast["files"]
            .as_array()
            .unwrap()
            .iter()
            .zip(["BF16", "Q4_K_M"])
        {
            let path = out.path().join(format!("{name}.{ty}.gguf"));
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert_eq!(row["bytes"], json!(bytes), "{}", path.display());
        }
        let bf16 = out.path().join(format!("{name}.BF16.gguf"));
        // A file of the family is a source as well.
        let again = out.path().join("again.gguf");
        ok([
            "quantize",
            arg(&bf16),
            "--type",
            "Q8_0",
            "-o",
            arg(&again),
            "-q",
            "--force",
        ]);
        let run = ["run", arg(&again), "-p", "x", "-n", "3"];
        if WITHOUT_GRAPH.contains(&name) {
            let message = fails(run);
            let expected =
                format!("models of architecture {name} are converted and quantized, but not run");
            assert!(message.contains(&expected), "{message}");
        } else {
            ok(run);
        }
    }
}

#[test]
fn the_families_that_are_not_run_are_all_tried() {
    let known = aeolus_arch::FAMILIES.iter();
    let without = known.filter(|family| family.graph.is_none());
    let mut without: Vec<&str> = without.map(|family| family.architecture).collect();
    without.sort_unstable();
    assert_eq!(without, WITHOUT_GRAPH);
}

#[test]
fn tensors_and_keys_of_starcoder_are_those_that_its_readers_look_for() {
    let out = tempfile::tempdir().unwrap();
    let model = checkpoint("starcoder", out.path());
    ok([
        "convert",
        arg(&model),
        "--type",
        "bf16",
        "-o",
        arg(out.path()),
        "-q",
    ]);
    let file = GgufFile::open(&out.path().join("starcoder.BF16.gguf")).unwrap();
    for (name, ty, dims) in [
        ("token_embd.weight", "BF16", &[64, 4096][..]),
        // Learned positions stay as exact as they were.
        ("position_embd.weight", "F32", &[64, 128]),
        ("blk.1.attn_qkv.weight", "BF16", &[64, 64 + 2 * 16]),
        ("blk.1.attn_qkv.bias", "F32", &[64 + 2 * 16]),
        ("blk.1.ffn_down.weight", "BF16", &[256, 64]),
        ("output_norm.bias", "F32", &[64]),
    ] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(
            (tensor.ty.name(), tensor.shape.dims()),
            (ty, dims),
            "{name}"
        );
    }
    for (key, value) in [
        ("context_length", 128),
        ("feed_forward_length", 256),
        ("attention.head_count_kv", 1),
    ] {
        let found = file.metadata().u32(&format!("starcoder.{key}")).unwrap();
        assert_eq!(found, Some(value), "{key}");
    }
}
