//! What the fuzz targets of this crate do with their bytes.

use crate::config::Config;
use crate::json::Object;
use crate::{Error, Limits, layout, safetensors, shards, tokenizer};
use serde_json::Value;
use std::path::Path;

fn path() -> &'static Path {
    Path::new("fuzz")
}

/// A refusal is a message that fits a screen.
fn told<T>(result: Result<T, Error>) -> Option<T> {
    result
        .inspect_err(|error| assert!(error.to_string().len() < 8192, "{error}"))
        .ok()
}

/// The bytes as a safetensors file, and as the JSON and the data of one: a header's length changes
/// with every byte that is put into it, so that hardly any change of a file would get past that.
pub fn safetensors(data: &[u8]) {
    safetensors_file(data);
    if let Some(end) = data.iter().rposition(|byte| *byte == b'}') {
        let mut file = (end as u64 + 1).to_le_bytes().to_vec();
        file.extend(data);
        safetensors_file(&file);
    }
}

fn safetensors_file(data: &[u8]) {
    let Some(entries) = told(safetensors::entries(path(), data, &Limits::default())) else {
        return;
    };
    for entry in entries {
        let bytes = &data[entry.range.clone()];
        let elems: u64 = entry.shape.iter().product();
        assert_eq!(bytes.len() as u64 * 8, elems * entry.dtype.bitsize() as u64);
    }
}

/// config.json, and the tensors that it promises.
pub fn config(data: &[u8]) {
    let limits = Limits {
        // What the tensors' names take is no matter of the parser.
        layers: 64,
        ..Limits::default()
    };
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let object = told(Object::new(path(), &value));
    let Some(config) = object.and_then(|object| told(Config::parse(&object, &limits))) else {
        return;
    };
    let biases = layout::Biases {
        attention: Some(config.attention_bias),
        mlp: Some(config.mlp_bias),
    };
    for expected in layout::tensors(&config.hyper, biases) {
        assert!(expected.shape.iter().all(|dim| *dim > 0), "{expected:?}");
    }
    if config.hyper.head_dim <= 1024 {
        let (theta, dim) = (config.hyper.rope_theta, config.hyper.head_dim);
        let divisors = config.rope_scaling.frequency_divisors(theta, dim);
        assert!(divisors.is_none_or(|all| all.len() == dim as usize / 2));
    }
}

/// model.safetensors.index.json.
pub fn index(data: &[u8]) {
    for shard in told(shards::names_of_index(path(), data)).unwrap_or_default() {
        let joined = Path::new("folder").join(&shard);
        assert_eq!(joined.parent(), Some(Path::new("folder")), "{shard:?}");
    }
}

/// tokenizer.model.
pub fn tokenizer_model(data: &[u8]) {
    told(tokenizer::vocabulary(path(), data, &Limits::default()));
}

/// tokenizer.json, beside a vocabulary of three pieces.
pub fn tokenizer_json(data: &[u8]) {
    tokenizer::read_json(path(), data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn safetensors_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "safetensors", safetensors);
    }

    #[test]
    fn config_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "config", config);
    }

    #[test]
    fn index_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "index", index);
    }

    #[test]
    fn tokenizer_model_replays() {
        replay(
            env!("CARGO_MANIFEST_DIR"),
            "tokenizer_model",
            tokenizer_model,
        );
    }

    #[test]
    fn tokenizer_json_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "tokenizer_json", tokenizer_json);
    }
}
