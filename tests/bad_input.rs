//! Broken and hostile checkpoints and files: one clear paragraph, exit code 2, output untouched.

use crate::support::{arg, capped, copy_folder, fails, fixture, names, ok, refusal};
use std::path::Path;
use std::process::Stdio;

/// What a header may cost: a second of processor time, and some memory beside the file.
const CPU_SECONDS: u32 = 1;
const MEGABYTES: u64 = 100;
/// Where weights are looked at, the threads at work count together.
const WEIGHTS_SECONDS: u32 = 4;

/// Spoils a copy of the small model, expects `table` to refuse it with all of `words` in the
/// message, soon and in little memory, and to leave the output folder empty.
fn refused(spoil: impl FnOnce(&Path), words: &[&str]) {
    refused_within(CPU_SECONDS, spoil, words);
}

fn refused_within(cpu_seconds: u32, spoil: impl FnOnce(&Path), words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy_folder(&fixture("notus-mini"), &model);
    spoil(&model);
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut table = capped(cpu_seconds, MEGABYTES);
    table.args(["table", arg(&model), "-o", arg(&out)]);
    let message = refusal(table.output().unwrap());
    assert_eq!(message.lines().count(), 1, "one paragraph: {message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(names(&out).is_empty(), "{:?}", names(&out));
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    edit(&mut json);
    std::fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
}

const SHARD: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[test]
fn a_missing_shard() {
    refused(|m| std::fs::remove_file(m.join(SHARD)).unwrap(), &[SHARD]);
}

#[test]
fn a_truncated_shard() {
    refused(
        |m| {
            let file = std::fs::File::options()
                .write(true)
                .open(m.join(SHARD))
                .unwrap();
            file.set_len(7_000_000).unwrap();
        },
        &[SHARD, "7000000", "7546608"],
    );
}

#[test]
fn a_missing_shard_without_an_index() {
    refused(
        |m| {
            std::fs::remove_file(m.join(SHARD)).unwrap();
            std::fs::remove_file(m.join(INDEX)).unwrap();
        },
        &[SHARD, "missing shard"],
    );
}

#[test]
fn an_index_that_leaves_the_folder() {
    for path in ["../secret.safetensors", "/etc/passwd", "a/../../b"] {
        refused(
            |m| {
                edit_json(&m.join(INDEX), |j| {
                    j["weight_map"]["model.norm.weight"] = path.into();
                })
            },
            &[INDEX, path],
        );
    }
}

#[test]
fn an_unknown_architecture() {
    refused(
        |m| {
            edit_json(&m.join("config.json"), |j| {
                j["architectures"][0] = "BertModel".into()
            })
        },
        &["config.json", "BertModel", "MistralForCausalLM"],
    );
}

#[test]
fn shapes_that_contradict_the_configuration() {
    refused(
        |m| {
            edit_json(&m.join("config.json"), |j| {
                j["intermediate_size"] = 1024.into()
            })
        },
        &["mlp.down_proj", "768", "1024"],
    );
    refused(
        |m| {
            edit_json(&m.join("config.json"), |j| {
                j["num_hidden_layers"] = 9.into()
            })
        },
        &["layers.8."],
    );
    refused(
        |m| {
            edit_json(&m.join("config.json"), |j| {
                j["num_attention_heads"] = 0.into()
            })
        },
        &["num_attention_heads"],
    );
}

#[test]
fn no_tokenizer() {
    refused(
        |m| {
            std::fs::remove_file(m.join("tokenizer.model")).unwrap();
            std::fs::remove_file(m.join("tokenizer.json")).unwrap();
        },
        &["tokenizer.model", "--no-tokenizer"],
    );
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy_folder(&fixture("notus-mini"), &model);
    std::fs::remove_file(model.join("tokenizer.model")).unwrap();
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_0",
        "--no-tokenizer",
        "-o",
        arg(dir.path()),
    ]);
}

#[test]
fn weights_that_are_not_numbers() {
    refused_within(
        WEIGHTS_SECONDS,
        |m| set_lm_head(m, 3 * 256 + 7, 0x7fc0),
        &["output.weight", "[3, 7]", "NaN"],
    );
    refused_within(
        WEIGHTS_SECONDS,
        |m| set_lm_head(m, 0, 0xff80),
        &["output.weight", "[0, 0]", "-inf"],
    );
}

/// Sets a weight of lm_head, the first tensor of the first shard, to a bf16 pattern.
fn set_lm_head(model: &Path, index: usize, bits: u16) {
    let path = model.join("model-00001-of-00002.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[start + 2 * index..][..2].copy_from_slice(&bits.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn weights_beyond_f16_suggest_the_other_way() {
    let spoil = |m: &Path| set_lm_head(m, 300, 0x7f00);
    refused_within(
        WEIGHTS_SECONDS,
        spoil,
        &["output.weight", "[1, 44]", "--via source"],
    );
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy_folder(&fixture("notus-mini"), &model);
    spoil(&model);
    let out = arg(dir.path());
    let message = fails(["convert", arg(&model), "--type", "f16", "-o", out]);
    assert!(message.contains("bf16"), "{message}");
    ok(["convert", arg(&model), "--type", "bf16", "-o", out]);
}

#[test]
fn weights_beyond_a_blocks_scale_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy_folder(&fixture("notus-mini"), &model);
    // 1.2e30: its block's scale has no f16, and the block would decode to infinities and NaN.
    set_lm_head(&model, 5 * 256, 0x7172);
    let out = arg(dir.path());
    for ty in ["Q8_0", "Q4_K_M", "Q2_K"] {
        let message = fails([
            "quantize",
            arg(&model),
            "--type",
            ty,
            "--via",
            "source",
            "-o",
            out,
        ]);
        assert!(
            message.contains("output.weight") && message.contains("[5, "),
            "{message}"
        );
    }
    assert_eq!(names(dir.path()), ["model"]);
}

/// Writes a GGUF file's first bytes and expects `inspect` to refuse it.
fn gguf_refused(bytes: &[u8], words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.gguf");
    std::fs::write(&path, bytes).unwrap();
    for args in [
        vec!["inspect", arg(&path)],
        vec!["hash", arg(&path)],
        vec![
            "quantize",
            arg(&path),
            "--type",
            "Q4_0",
            "-o",
            arg(dir.path()),
        ],
    ] {
        let mut command = capped(CPU_SECONDS, MEGABYTES);
        let message = refusal(command.args(args).output().unwrap());
        assert_eq!(message.lines().count(), 1, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
    }
    assert_eq!(names(dir.path()), ["bad.gguf"]);
}

fn header(version: u32, tensors: u64, keys: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(keys.to_le_bytes());
    bytes
}

#[test]
fn files_that_are_no_gguf() {
    gguf_refused(
        b"PK\x03\x04 a zip archive, not a model",
        &["bad.gguf: an archive (zip), not a GGUF file; "],
    );
    gguf_refused(b"", &["bad.gguf: an empty file, not a GGUF file; "]);
    gguf_refused(
        b"<!DOCTYPE html><html><head><title>Blocked</title>",
        &["bad.gguf: a web page (HTML) titled \"Blocked\", not a GGUF file; "],
    );
    gguf_refused(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:2\nsize 5\n",
        &["bad.gguf: a Git LFS pointer, not a GGUF file; `git lfs pull`"],
    );
    gguf_refused(b"tjgg\x03\0\0\0", &["GGML file (GGJT) from before GGUF"]);
    gguf_refused(b"\x02\0\0\0\0\0\0\0{}", &["a safetensors file"]);
    gguf_refused(&header(0, 0, 0), &["version 0"]);
    gguf_refused(&header(4, 0, 0), &["version 4"]);
    gguf_refused(&header(3, u64::MAX, 0), &["tensor"]);
    gguf_refused(&header(3, 0, u64::MAX), &["metadata count"]);
}

#[test]
fn every_truncation_of_a_small_file_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let path = out.path().join("whole.gguf");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_0",
        "--no-tokenizer",
        "-o",
        arg(&path),
    ]);
    let whole = std::fs::read(&path).unwrap();
    let cut = out.path().join("cut.gguf");
    for keep in [
        1,
        4,
        8,
        23,
        100,
        1000,
        4000,
        whole.len() / 2,
        whole.len() - 2000,
    ] {
        std::fs::write(&cut, &whole[..keep]).unwrap();
        let message = fails(["inspect", arg(&cut)]);
        assert!(message.contains("cut.gguf"), "{message}");
    }
}

const UINT8: u32 = 0;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Appends a key with the start of its array.
fn array_key(bytes: &mut Vec<u8>, key: &str, item_type: u32, items: u64) {
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(ARRAY.to_le_bytes());
    bytes.extend(item_type.to_le_bytes());
    bytes.extend(items.to_le_bytes());
}

/// Looks into a file in every way; memory beyond the file's size stays small.
fn looked_into(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.gguf");
    std::fs::write(&path, bytes).unwrap();
    let megabytes = MEGABYTES + bytes.len() as u64 / 1_000_000;
    for way in [None, Some("--keys"), Some("--json"), Some("--tensors")] {
        let mut inspect = capped(20, megabytes);
        inspect.args(["inspect", arg(&path)]).args(way);
        let output = inspect.stdout(Stdio::null()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{way:?}: {}: {message}",
            output.status
        );
    }
}

#[test]
fn headers_of_millions_of_numbers() {
    let mut bytes = header(3, 0, 1);
    array_key(&mut bytes, "numbers", UINT8, 1 << 24);
    bytes.resize(bytes.len() + (1 << 24), 200);
    looked_into(&bytes);
}

#[test]
fn headers_of_millions_of_empty_strings() {
    let mut bytes = header(3, 0, 1);
    array_key(&mut bytes, "strings", STRING, 4_000_000);
    bytes.resize(bytes.len() + 8 * 4_000_000, 0);
    looked_into(&bytes);
}

#[test]
fn headers_of_long_keys() {
    let mut bytes = header(3, 0, 600);
    for i in 0..600 {
        array_key(&mut bytes, &format!("{i:060000}"), UINT8, 0);
    }
    looked_into(&bytes);
}

#[test]
fn headers_of_long_tensor_names() {
    let mut bytes = header(3, 600, 0);
    for i in 0..600u64 {
        bytes.extend(60_000u64.to_le_bytes());
        bytes.extend(format!("{i:060000}").as_bytes());
        // One dimension of 8 F32, 32 bytes from the last.
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(8u64.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend((32 * i).to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32) + 600 * 32, 0);
    looked_into(&bytes);
}
