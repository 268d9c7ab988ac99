//! Looking into files and comparing them.

use crate::support::{aeolus, arg, fails, fixture, ok, sha256};
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
        None,
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

/// A file of two tensors: one as given, and a good one at byte 1024 of the data.
fn odd_file(name: &str, dims: &[u64], ty: u32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.gguf");
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    let string = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend([2_u64, 1].map(u64::to_le_bytes).concat());
    string(&mut bytes, "general.architecture");
    bytes.extend(8_u32.to_le_bytes());
    string(&mut bytes, "llama");
    for (name, dims, ty, offset) in [(name, dims, ty, 0_u64), ("good", &[4][..], 0, 1024)] {
        string(&mut bytes, name);
        bytes.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
        bytes.extend(ty.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32) + 1040, 0);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn odd_tensors_are_shown_and_refused_by_name() {
    for (dims, ty, shown, bytes, measured) in [
        (&[0][..], 0, "F32", 0, false),
        (&[4, 0], 1, "F16", 0, false),
        (&[], 0, "F32", 4, false),
        (
            &[256, 2],
            139,
            "type 139 (IQ4_K of ik_llama.cpp)",
            288,
            false,
        ),
        (
            &[256, 2],
            144,
            "type 144 (IQ4_KS of ik_llama.cpp)",
            280,
            false,
        ),
        (
            &[256, 2],
            399,
            "type 399 (Q8_K_R8 of ik_llama.cpp)",
            516,
            false,
        ),
        (
            &[256, 2],
            31,
            "type 31 (Q4_0_4_4, removed from ggml)",
            288,
            false,
        ),
        (
            &[256, 2],
            36,
            "type 36 (I2_S of bitnet.cpp, or IQ4_NL_4_4, removed from ggml)",
            1024,
            true,
        ),
        (&[256, 2], 77, "type 77 (unknown)", 1024, true),
        (&[256, 2], 16, "IQ2_XXS", 132, false),
        (&[256, 2], 39, "MXFP4", 272, false),
        (&[256, 2], 41, "Q1_0", 72, false),
    ] {
        let (_dir, path) = odd_file("odd.weight", dims, ty);
        let path = arg(&path);
        let json: serde_json::Value =
            serde_json::from_str(&ok(["inspect", path, "--json"])).unwrap();
        let tensor = &json["tensors"][0];
        assert_eq!(
            (&tensor["type"], &tensor["bytes"]),
            (&shown.into(), &bytes.into())
        );
        assert_eq!(tensor["bytes_measured"] == true, measured, "{shown}");
        assert_eq!(tensor["shape"].as_array().unwrap().len(), dims.len());
        assert!(ok(["inspect", path]).contains(shown));
        assert!(ok(["inspect", path, "--tensors"]).contains(shown));
        assert!(ok(["hash", path]).contains(shown));
        ok(["hash", path, path]);
        let card = ok(["card", path, "--no-sha256"]);
        assert!(!card.contains("How to run"), "{card}");
        if dims.contains(&0) || ty == 31 || ty > 42 {
            for command in ["run", "quantize"] {
                let more: &[&str] = match command {
                    "run" => &["-p", "x"],
                    _ => &["--type", "Q8_0", "-o", "never.gguf"],
                };
                let message = fails([&[command, path][..], more].concat());
                assert!(message.contains("tensor \"odd.weight\" "), "{message}");
                assert!(
                    message.contains(shown) || message.contains("is empty"),
                    "{message}"
                );
            }
        }
    }
}
