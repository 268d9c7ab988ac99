//! Metadata made of a tokenizer.json. The comparison with the original framework (`oracle/`) includes
//! this file, too.

use aeolus_arch::pre_tokenizer::{self, Structure};
use aeolus_gguf::{Array, Metadata};
use serde_json::Value;

/// What a converter writes for a tokenizer.json.
pub fn metadata(json: &Value, architecture: &str, bos: Option<u32>) -> Metadata<'static> {
    let structure: Structure = serde_json::from_value(json.clone()).unwrap();
    let pre = pre_tokenizer::recognise(&structure).ok();
    let model = match pre.map(|pre| pre.name) {
        None => "llama",
        // Gemma 2 and 3 have the same structure, and SentencePiece vocabularies.
        Some("gemma4") if architecture != "gemma4" => "llama",
        Some("gemma4") => "gemma4",
        Some(_) => "gpt2",
    };
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let added = json["added_tokens"].as_array().unwrap();
    let id = |value: &Value| value.as_u64().unwrap() as usize;
    let len = vocab
        .values()
        .chain(added.iter().map(|a| &a["id"]))
        .map(id)
        .max()
        .unwrap()
        + 1;
    let mut tokens = vec![String::new(); len];
    let mut types = vec![5; len];
    for (piece, value) in vocab {
        tokens[id(value)] = piece.clone();
        let is_byte = model != "gpt2" && piece.starts_with("<0x") && piece.len() == 6;
        types[id(value)] = if is_byte { 6 } else { 1 };
    }
    for token in added {
        let content = token["content"].as_str().unwrap();
        tokens[id(&token["id"])] = content.to_owned();
        types[id(&token["id"])] = match token["special"].as_bool().unwrap() {
            true => 3,
            // The reference's converter says of these that they are normal.
            false if model == "gemma4" => 1,
            false => 4,
        };
    }
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture.to_owned());
    metadata.insert("tokenizer.ggml.model", model);
    if model == "gpt2" {
        metadata.insert("tokenizer.ggml.pre", pre.unwrap().name);
    }
    metadata.insert("tokenizer.ggml.tokens", Array::from_strings(&tokens));
    metadata.insert("tokenizer.ggml.token_type", Array::from_i32s(&types));
    if model == "llama" {
        let scores: Vec<f32> = (0..len).map(|id| -(id as f32)).collect();
        metadata.insert("tokenizer.ggml.scores", Array::from_f32s(&scores));
        let prefix = json["normalizer"]["type"] == "Sequence";
        metadata.insert("tokenizer.ggml.add_space_prefix", prefix);
    } else {
        let merges = json["model"]["merges"].as_array().unwrap();
        let merges = merges.iter().map(|merge| match merge.as_array() {
            None => merge.as_str().unwrap().to_owned(),
            Some(pair) => format!(
                "{} {}",
                pair[0].as_str().unwrap(),
                pair[1].as_str().unwrap()
            ),
        });
        metadata.insert("tokenizer.ggml.merges", Array::from_strings(merges));
    }
    metadata.insert("tokenizer.ggml.add_bos_token", bos.is_some());
    if let Some(bos) = bos {
        metadata.insert("tokenizer.ggml.bos_token_id", bos);
    }
    metadata
}
