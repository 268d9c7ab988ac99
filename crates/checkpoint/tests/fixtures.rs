//! The fixtures against the golden files: every key and every byte.

use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions, RowMap, Tensor, TensorFacts, open};
use aeolus_gguf::{Metadata, TensorType, Value};
use half::{bf16, f16};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn golden(name: &str) -> Json {
    let text = std::fs::read_to_string(fixtures().join("golden").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn notus_mini() -> Checkpoint {
    open(&fixtures().join("notus-mini"), &OpenOptions::default()).unwrap()
}

/// The golden files were made from a folder called `hf`: so is this copy.
fn folder_called_hf() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let hf = dir.path().join("hf");
    std::fs::create_dir(&hf).unwrap();
    for file in std::fs::read_dir(fixtures().join("notus-mini")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), hf.join(file.file_name())).unwrap();
    }
    dir
}

/// Checks one value against a golden entry; arrays by length, head and the hash of their JSON.
fn check_value(key: &str, value: &Value<'_>, expected: &Json) {
    let types: Vec<&str> = match value {
        Value::Array(array) => vec!["ARRAY", array.element_type().name()],
        other => vec![other.value_type().name()],
    };
    assert_eq!(
        serde_json::to_value(types).unwrap(),
        expected["type"],
        "{key}"
    );
    let expected = &expected["value"];
    match value {
        Value::Array(array) => {
            assert_eq!(
                array.len() as u64,
                expected["len"].as_u64().unwrap(),
                "{key}"
            );
            let items: Vec<Json> = array.iter().map(|item| plain(&item)).collect();
            for (item, head) in items.iter().zip(expected["head"].as_array().unwrap()) {
                assert_eq!(item, head, "{key}");
            }
            let text = python_list(&items);
            assert_eq!(sha256(text.as_bytes()), expected["sha256"], "{key}");
        }
        other => assert_eq!(&plain(other), expected, "{key}"),
    }
}

/// A list as Python's `json.dumps` writes it, separated by comma and space.
fn python_list(items: &[Json]) -> String {
    let texts: Vec<String> = items.iter().map(Json::to_string).collect();
    format!("[{}]", texts.join(", "))
}

fn plain(value: &Value<'_>) -> Json {
    match value {
        Value::String(text) => text.as_ref().into(),
        Value::Bool(b) => (*b).into(),
        other => match other.as_float() {
            Some(x) => x.into(),
            None => i64::try_from(other.as_integer().unwrap()).unwrap().into(),
        },
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn metadata_equal_the_reference_converters() {
    let dir = folder_called_hf();
    let checkpoint = open(&dir.path().join("hf"), &OpenOptions::default()).unwrap();
    assert_eq!(checkpoint.name, "hf");
    let metadata = checkpoint.output_metadata(1, false);
    let golden = golden("metadata.json");
    let expected = golden["f16"].as_object().unwrap();
    let keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
    let expected_keys: Vec<&str> = expected.keys().map(String::as_str).collect();
    assert_eq!(keys, expected_keys, "keys and their order");
    for (key, value) in metadata.iter() {
        check_value(key, value, &expected[key]);
    }
    for (file_type, recipe) in [(15, "Q4_K_M 2023-11"), (15, "Q4_K_M current")] {
        let metadata = checkpoint.output_metadata(file_type, false);
        let expected = golden[recipe].as_object().unwrap();
        assert_eq!(metadata.len(), expected.len(), "{recipe}");
        for (key, value) in metadata.iter() {
            check_value(key, value, &expected[key]);
        }
    }
}

#[test]
fn names_go_into_metadata_and_merges_only_where_asked() {
    let c = notus_mini();
    let text = |m: &Metadata<'_>, key: &str| m.str(key).unwrap().map(str::to_owned);
    assert_eq!(c.name, "notus-mini");
    assert_eq!(text(&c.metadata, "general.name").unwrap(), "Notus Mini");
    assert_eq!(text(&c.metadata, "general.basename").unwrap(), "notus");
    assert_eq!(text(&c.metadata, "general.finetune").unwrap(), "mini");
    assert_eq!(text(&c.metadata, "general.size_label").unwrap(), "8.1M");
    assert_eq!(c.merges.as_ref().unwrap().len(), 6010);
    assert!(c.metadata.get("tokenizer.ggml.merges").is_none());
    let with = c.output_metadata(15, true);
    let keys: Vec<&str> = with.iter().map(|(key, _)| key).collect();
    let at = keys
        .iter()
        .position(|key| *key == "tokenizer.ggml.merges")
        .unwrap();
    assert_eq!(keys[at - 1], "tokenizer.ggml.token_type");
    let array = with.array("tokenizer.ggml.merges").unwrap().unwrap();
    assert_eq!(Some(array), c.merges.as_ref());

    let options = OpenOptions {
        name: Some("my model".into()),
        ..OpenOptions::default()
    };
    let c = open(&fixtures().join("notus-mini/config.json"), &options).unwrap();
    assert_eq!(c.name, "my model");
    assert_eq!(text(&c.metadata, "general.name").unwrap(), "my model");
}

/// A tensor's weights in output order, as f32.
fn weights(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.ty, TensorType::BF16);
    let (cols, rows) = (tensor.shape.cols() as usize, tensor.shape.rows() as usize);
    let weights: Vec<f32> = tensor
        .to_bytes()
        .chunks_exact(2)
        .map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())
        .collect();
    assert_eq!(weights.len(), rows * cols);
    weights
}

#[test]
fn tensors_equal_the_reference_conversions() {
    let c = notus_mini();
    let golden = golden("tensors.json");
    for (file, ty) in [("f16", "F16"), ("bf16", "BF16"), ("f32", "F32")] {
        let expected = golden["source"][file].as_object().unwrap();
        let names: Vec<&str> = c.tensors.iter().map(|t| &*t.name).collect();
        let expected_names: Vec<&str> = expected.keys().map(String::as_str).collect();
        assert_eq!(names, expected_names, "names and their order");
        for tensor in &c.tensors {
            let expected = &expected[&tensor.name];
            assert_eq!(
                serde_json::to_value(tensor.shape.dims()).unwrap(),
                expected["shape"]
            );
            let to_bytes: fn(f32) -> Vec<u8> = match expected["type"].as_str().unwrap() {
                "F16" => |x| f16::from_f32(x).to_le_bytes().into(),
                "BF16" => |x| bf16::from_f32(x).to_le_bytes().into(),
                "F32" => |x| x.to_le_bytes().into(),
                other => panic!("{other}"),
            };
            if tensor.shape.dims().len() > 1 {
                assert_eq!(expected["type"], ty);
            }
            let bytes: Vec<u8> = weights(tensor).into_iter().flat_map(to_bytes).collect();
            assert_eq!(
                sha256(&bytes),
                expected["sha256"],
                "{} as {ty}",
                tensor.name
            );
        }
    }
}

#[test]
fn a_forecast_has_the_facts_of_the_checkpoint() {
    let folder = fixtures().join("notus-mini");
    let c = notus_mini();
    let options = OpenOptions::default();
    for path in [folder.clone(), folder.join("config.json")] {
        let f = Forecastable::from_config(&path, &options).unwrap();
        let facts: Vec<TensorFacts> = c.tensors.iter().map(Tensor::facts).collect();
        assert_eq!(f.tensors, facts);
        assert_eq!((&f.name, &f.hyper), (&c.name, &c.hyper));
        assert!(f.metadata == c.metadata && f.merges == c.merges);
        assert!(f.output_metadata(7, true) == c.output_metadata(7, true));
    }
}

#[test]
fn the_real_7b_can_be_forecast_without_weights() {
    let folder = fixtures().join("notus-7b-v1");
    let f = Forecastable::from_config(&folder, &OpenOptions::default()).unwrap();
    assert_eq!(f.tensors.len(), 291);
    let params: u64 = f.tensors.iter().map(|t| t.shape.elems()).sum();
    assert_eq!(params, 7_241_732_096);
    assert!(f.tensors.iter().all(|t| t.ty == TensorType::BF16));
    let golden = golden("types-7b.json");
    let expected = golden["2023-11"]["Q4_K_M"]["tensors"].as_object().unwrap();
    let mut names: Vec<&str> = f.tensors.iter().map(|t| &*t.name).collect();
    assert_eq!(
        names[..3],
        [
            "output.weight",
            "token_embd.weight",
            "blk.0.attn_norm.weight"
        ]
    );
    assert_eq!(names[290], "output_norm.weight");
    names.sort_unstable();
    let mut expected: Vec<&str> = expected.keys().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);

    assert_eq!((f.tokenizer.tokens, f.tokenizer.bos), (32_000, Some(1)));
    // Hashes of the lists that the SentencePiece library (0.2.3) reads, with the three special
    // tokens marked as the reference does.
    for (key, expected) in [
        (
            "tokens",
            "97794d1c73d1bdb931bde327aa909912c6d06b59491ba0a5b81726be619c0b5b",
        ),
        (
            "scores",
            "0bbb7c2d0feea21b42279ef87aa17def51bf4c1075e8cd18b7f3646d304d9880",
        ),
        (
            "token_type",
            "a5debc4eb28ae395c336e54fc782cc4f44f1e232ae75f62b32472b9ce9763793",
        ),
    ] {
        let array = f
            .metadata
            .array(&format!("tokenizer.ggml.{key}"))
            .unwrap()
            .unwrap();
        let items: Vec<Json> = array.iter().map(|item| plain(&item)).collect();
        assert_eq!(sha256(python_list(&items).as_bytes()), expected, "{key}");
    }
    assert_eq!(f.merges.unwrap().len(), 58_980);
    let text = |key| f.metadata.str(key).unwrap();
    assert_eq!(text("general.name"), Some("Notus 7b v1"));
    assert_eq!(text("general.basename"), Some("notus"));
    assert_eq!(text("general.version"), Some("v1"));
    assert_eq!(text("general.size_label"), Some("7B"));
    let error = open(&folder, &OpenOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no weights: looked for"), "{error}");
}

#[test]
fn bytes_are_mapped_and_in_file_order() {
    let c = notus_mini();
    let mut end = (String::new(), 0);
    for tensor in &c.tensors {
        let rows = tensor.shape.rows() as usize;
        let (map, range) = tensor.spans(0..rows).remove(0);
        assert_eq!(range.len() as u64, tensor.size_bytes());
        if tensor.row_map == RowMap::Identity {
            assert_eq!(map[range.clone()], tensor.to_bytes());
        }
        let start = (map.path().display().to_string(), range.start);
        assert!(end <= start, "{}", tensor.name);
        end = (start.0, range.end);
        let heads = match tensor.name.rsplit('.').nth(1) {
            Some("attn_q") => Some(8),
            Some("attn_k") => Some(2),
            _ => None,
        };
        let expected = heads.map_or(RowMap::Identity, |heads| RowMap::Rope {
            heads,
            head_dim: 32,
        });
        assert_eq!(tensor.row_map, expected, "{}", tensor.name);
    }
    c.verify_unchanged().unwrap();
}

#[test]
fn layers_that_carry_a_state_are_no_news() {
    let path = fixtures().join("families/models/tiny/qwen35moe");
    let opened = open(&path, &OpenOptions::default()).unwrap();
    assert!(
        opened
            .notes
            .iter()
            .all(|note| !note.contains("layer_types"))
    );
}
