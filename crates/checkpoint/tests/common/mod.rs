//! Tiny checkpoints: one layer, 4 heads of 4, 16 tokens.
#![allow(dead_code, reason = "each test program uses a part")]

use serde_json::{Value, json};
use std::path::Path;

/// A tensor of a tiny file: name, dtype, shape in Hugging Face order.
pub type Spec = (String, &'static str, Vec<u64>);

/// config.json of the tiny model.
pub fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
        "num_attention_heads": 4, "num_hidden_layers": 1, "num_key_value_heads": 2,
        "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "vocab_size": 16,
        "torch_dtype": "float16",
    })
}

/// Its tensors, all F16.
pub fn tensors() -> Vec<Spec> {
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    [
        ("lm_head.weight".into(), vec![16, 16]),
        ("model.embed_tokens.weight".into(), vec![16, 16]),
        (layer("input_layernorm"), vec![16]),
        (layer("mlp.down_proj"), vec![16, 24]),
        (layer("mlp.gate_proj"), vec![24, 16]),
        (layer("mlp.up_proj"), vec![24, 16]),
        (layer("post_attention_layernorm"), vec![16]),
        (layer("self_attn.k_proj"), vec![8, 16]),
        (layer("self_attn.o_proj"), vec![16, 16]),
        (layer("self_attn.q_proj"), vec![16, 16]),
        (layer("self_attn.v_proj"), vec![8, 16]),
        ("model.norm.weight".into(), vec![16]),
    ]
    .map(|(name, shape)| (name, "F16", shape))
    .into()
}

/// Bytes of a safetensors file of these tensors, one behind the other; byte `i` of the data is
/// `i % 251`.
pub fn safetensors(tensors: &[Spec]) -> Vec<u8> {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, dtype, shape) in tensors {
        let size = match *dtype {
            "F64" | "I64" => 8,
            "F32" | "U32" | "I32" => 4,
            "F16" | "BF16" => 2,
            _ => 1,
        };
        let begin = end;
        end += shape.iter().product::<u64>() * size;
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..end).map(|i| (i % 251) as u8));
    bytes
}

/// A folder called `tiny` with this config.json and these tensors, no tokenizer.
pub fn folder(config: &Value, tensors: &[Spec]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let tiny = dir.path().join("tiny");
    std::fs::create_dir(&tiny).unwrap();
    write(&tiny, "config.json", config.to_string().as_bytes());
    write(&tiny, "model.safetensors", &safetensors(tensors));
    dir
}

pub fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}
