//! Structures of published tokenizer.json files, and the names that they go by.

use super::*;
use crate::pre_tokenizer::named;

const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same in the spelling of newer tiktoken releases.
const CL100K_POSSESSIVE: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const QWEN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn structure(json: serde_json::Value) -> Structure {
    serde_json::from_value(json).unwrap()
}

/// A split by one pattern, then bytes.
fn split(regex: &str, normalizer: Option<&str>, ignore_merges: bool, added: &[&str]) -> Structure {
    structure(serde_json::json!({
        "version": "1.0",
        "normalizer": normalizer.map(|kind| serde_json::json!({"type": kind})),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "model": {"type": "BPE", "ignore_merges": ignore_merges, "vocab": {"a": 0}, "merges": []},
        "added_tokens": added.iter().map(|content| serde_json::json!({"content": content, "id": 1})).collect::<Vec<_>>(),
    }))
}

fn steps(normalizer: serde_json::Value, steps: serde_json::Value, added: &[&str]) -> Structure {
    structure(serde_json::json!({
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {"type": "BPE"},
        "added_tokens": added.iter().map(|content| serde_json::json!({"content": content})).collect::<Vec<_>>(),
    }))
}

fn digits_then_bytes() -> serde_json::Value {
    serde_json::json!([
        {"type": "Digits", "individual_digits": true},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    ])
}

#[test]
fn published_structures_have_their_names() {
    let null = serde_json::Value::Null;
    let nfc = serde_json::json!({"type": "NFC"});
    let removed = structure(serde_json::json!({
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": CL100K}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
        ]},
    }));
    let byte_level = structure(serde_json::json!({
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    }));
    let falcon = steps(
        null.clone(),
        serde_json::json!([
            {"type": "Punctuation", "behavior": "Contiguous"},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
            {"type": "Digits", "individual_digits": false},
            {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": false},
        ]),
        &[],
    );
    let gemma = structure(serde_json::json!({
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
        "model": {"byte_fallback": true, "ignore_merges": false},
    }));
    let qwen35 = QWEN
        .replace(r"?\p{L}+", r"?[\p{L}\p{M}]+")
        .replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]");
    let cases = [
        (
            "llama-bpe",
            split(CL100K, None, true, &["<|begin_of_text|>"]),
        ),
        ("llama-bpe", split(CL100K_POSSESSIVE, None, true, &[])),
        ("glm4", split(CL100K, None, true, &["[gMASK]", "<sop>"])),
        (
            "chatglm-bpe",
            split(CL100K, None, false, &["[gMASK]", "<sop>"]),
        ),
        (
            "lfm2",
            split(
                CL100K,
                None,
                true,
                &["<|startoftext|>", "<|tool_list_start|>"],
            ),
        ),
        ("dbrx", split(CL100K, None, false, &["<|endoftext|>"])),
        ("dbrx", removed),
        ("qwen2", split(QWEN, Some("NFC"), false, &["<|im_start|>"])),
        (
            "deepseek-r1-qwen",
            split(QWEN, Some("NFC"), false, &["<｜User｜>", "<｜Assistant｜>"]),
        ),
        ("hunyuan", split(QWEN, None, false, &[])),
        ("qwen35", split(&qwen35, Some("NFC"), false, &[])),
        (
            "starcoder",
            steps(
                null.clone(),
                digits_then_bytes(),
                &["<fim_prefix>", "<repo_name>"],
            ),
        ),
        (
            "refact",
            steps(
                null.clone(),
                digits_then_bytes(),
                &["<fim_prefix>", "<filename>"],
            ),
        ),
        (
            "smollm",
            steps(
                null,
                digits_then_bytes(),
                &["<|im_start|>", "<repo_name>", "<filename>"],
            ),
        ),
        (
            "command-r",
            steps(nfc, digits_then_bytes(), &["<BOS_TOKEN>"]),
        ),
        ("gpt-2", byte_level),
        ("falcon", falcon),
        ("gemma4", gemma),
    ];
    for (name, structure) in cases {
        assert_eq!(
            recognise(&structure).map(|known| known.name),
            Ok(name),
            "{structure:?}"
        );
    }
}

#[test]
fn every_way_of_the_table_is_recognised_by_its_own_steps() {
    for known in ALL.iter().filter(|known| known.name != "default") {
        let mut found = Way::known(known);
        assert!(found.is(known), "{}", known.name);
        found.splits.push("x".to_owned());
        assert!(!found.is(known), "{}", known.name);
        assert_eq!(named(known.name), Some(known), "names are unique");
    }
}

#[test]
fn unknown_ways_are_errors_with_the_nearest_name() {
    let changed = QWEN.replace(r"?\p{L}+", r"?\p{L}{1,9}");
    let cases = [
        ("qwen2", split(&changed, Some("NFC"), false, &[])),
        ("qwen2", split(QWEN, Some("NFKC"), false, &[])),
        ("llama-bpe", split(CL100K, Some("NFC"), true, &[])),
        (
            "gpt-2",
            structure(serde_json::json!({"pre_tokenizer": {"type": "ByteLevel"}})),
        ),
    ];
    for (nearest, structure) in cases {
        let error = recognise(&structure).unwrap_err();
        assert_eq!(error.nearest, nearest, "{error}");
        assert!(error.to_string().contains("--pre"), "{error}");
    }
    // However long a pattern is, the answer is short and comes at once.
    let error = recognise(&split(&"(a|b)".repeat(1 << 18), None, false, &[])).unwrap_err();
    assert!(error.to_string().len() < 2000);
    assert!(recognise(&Structure::default()).is_err());
}

/// The tiny checkpoints go by the name that was given to the reference's converter.
#[test]
fn reference_checkpoints_have_their_names() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: no checkpoint is compared");
        return;
    };
    let reference = std::path::Path::new(&reference);
    let mut compared = 0;
    for entry in std::fs::read_dir(reference.join("models/tiny")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let golden = std::fs::read(reference.join(format!("golden/arch/{name}.json"))).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
        let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
        let structure: Structure = serde_json::from_slice(&json).unwrap();
        let model = golden["metadata"]["tokenizer.ggml.model"]["value"]
            .as_str()
            .unwrap();
        let found = recognise(&structure).map(|known| known.name);
        match golden["pre_tokenizer"].as_str() {
            Some(expected) => assert_eq!(found, Ok(expected), "{name}"),
            None if model == "gemma4" => assert_eq!(found, Ok("gemma4"), "{name}"),
            // SentencePiece vocabularies have no name.
            None => continue,
        }
        compared += 1;
    }
    assert!(compared > 25, "{compared}");
}
