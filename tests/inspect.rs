//! Looking into files and comparing them.

use crate::support::{aeolus, arg, fixture, ok, sha256};
use aeolus_gguf::GgufFile;
use std::path::PathBuf;

fn quantized() -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("notus-mini.Q4_K_M.gguf");
    let model = fixture("notus-mini");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_K_M",
        "-o",
        arg(&path),
    ]);
    (out, path)
}

#[test]
fn the_overview_has_metadata_types_and_bits() {
    let (_dir, path) = quantized();
    let text = ok(["inspect", arg(&path)]);
    for part in [
        "GGUF version 2, little-endian, ",
        "75 tensors",
        "8,130,816 weights",
        "llama.block_count",
        "Q6_K",
        "bits per weight",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let tensors = ok(["inspect", arg(&path), "--tensors"]);
    assert_eq!(tensors.lines().count(), 1 + 75);
    assert!(tensors.contains("blk.0.attn_q.weight"), "{tensors}");
    let keys = ok(["inspect", arg(&path), "--keys"]);
    assert!(
        keys.contains("llama.embedding_length UINT32 = 256\n"),
        "{keys}"
    );
}

#[test]
fn json_holds_everything() {
    let (_dir, path) = quantized();
    let json: serde_json::Value =
        serde_json::from_str(&ok(["inspect", arg(&path), "--json"])).unwrap();
    assert_eq!(json["schema"], "aeolus.inspect/1");
    assert_eq!(json["endian"], "little");
    assert_eq!(json["metadata"]["general.name"]["value"], "Notus Mini");
    assert_eq!(json["tensors"].as_array().unwrap().len(), 75);
    let tokens = &json["metadata"]["tokenizer.ggml.tokens"];
    assert_eq!(tokens["type"], "ARRAY[STRING]");
    assert_eq!(tokens["value"].as_array().unwrap().len(), 4096);
    assert_eq!(json["bytes"], std::fs::metadata(&path).unwrap().len());
}

#[test]
fn hash_gives_the_digest_of_file_and_tensors() {
    let (_dir, path) = quantized();
    let text = ok(["hash", arg(&path)]);
    assert!(
        text.contains(&sha256(&std::fs::read(&path).unwrap())),
        "{text}"
    );
    let file = GgufFile::open(&path).unwrap();
    for tensor in file.tensors() {
        assert!(
            text.contains(&sha256(file.tensor_bytes(tensor))),
            "{}",
            tensor.name
        );
    }
}

#[test]
fn hash_of_two_files_tells_what_differs() {
    let (dir, path) = quantized();
    let copy = dir.path().join("copy.gguf");
    let mut bytes = std::fs::read(&path).unwrap();
    std::fs::write(&copy, &bytes).unwrap();
    let same = aeolus(["hash", arg(&path), arg(&copy)]);
    assert_eq!(same.status.code(), Some(0));
    let text = String::from_utf8(same.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("the same keys and tensors: "), "{text}");

    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&copy, &bytes).unwrap();
    let other = aeolus(["hash", arg(&path), arg(&copy)]);
    assert_eq!(other.status.code(), Some(1));
    let text = String::from_utf8(other.stdout).unwrap();
    assert!(
        text.contains("output_norm.weight") && text.contains("1 of 1024 bytes"),
        "{text}"
    );
    assert!(text.contains("\n1 difference: 0 in"), "{text}");

    let model = fixture("notus-mini");
    let third = dir.path().join("third.gguf");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_K_S",
        "-o",
        arg(&third),
    ]);
    let kinds = aeolus(["hash", arg(&path), arg(&third), "--json"]);
    assert_eq!(kinds.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&kinds.stdout).unwrap();
    assert_eq!(json["equal"], false);
    let names: Vec<&str> = json["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"general.file_type"), "{names:?}");
    assert!(names.contains(&"blk.0.attn_v.weight"), "{names:?}");
}

#[test]
fn hash_of_two_files_tells_how_their_containers_differ() {
    let (dir, path) = quantized();
    let model = fixture("notus-mini");
    let big = dir.path().join("big.gguf");
    let flags = ["--gguf-version", "3", "--endian", "big", "-o", arg(&big)];
    let mut quantize = vec!["quantize", arg(&model), "--type", "Q4_K_M"];
    quantize.extend(flags);
    ok(quantize);
    let lines: Vec<String> = ok(["hash", arg(&path), arg(&big)])
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        lines[0].starts_with("the same keys and tensors: "),
        "{lines:?}"
    );
    assert_eq!(
        lines[1..],
        ["the containers differ: version 2 in A, 3 in B; \
          byte order little-endian in A, big-endian in B"]
    );
    let json: serde_json::Value =
        serde_json::from_str(&ok(["hash", arg(&path), arg(&big), "--json"])).unwrap();
    assert_eq!(
        (&json["equal"], &json["container"]["equal"]),
        (&true.into(), &false.into())
    );
    assert_eq!(json["container"]["a"]["version"], 2);
    assert_eq!(json["container"]["b"]["endian"], "big");
    assert_eq!(json["container"]["b"]["alignment"], 32);
}

#[test]
fn a_sparse_file_of_gigabytes_opens_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.gguf");
    let json: serde_json::Value = serde_json::from_str(&ok([
        "forecast",
        arg(&fixture("notus-7b-v1")),
        "--type",
        "Q4_K_M",
        "--json",
    ]))
    .unwrap();
    let bytes = json["files"][0]["bytes"].as_u64().unwrap();
    // The header of a true 7B file over a hole of the right size.
    let facts =
        aeolus_checkpoint::Forecastable::from_config(&fixture("notus-7b-v1"), &Default::default())
            .unwrap();
    let output = aeolus_pipeline::Output::plan(
        &facts,
        aeolus_recipe::FileType::Q4_K_M,
        &Default::default(),
        Default::default(),
    )
    .unwrap();
    std::fs::write(&path, output.layout().encode_header()).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(bytes)
        .unwrap();
    let text = ok(["inspect", arg(&path)]);
    assert!(text.contains("291 tensors"), "{text}");
}
