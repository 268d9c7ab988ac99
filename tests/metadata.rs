//! The metadata is what the reference converter writes.

use crate::support::{arg, fixture, json_fixture, ok};
use aeolus_gguf::{GgufFile, Value};
use serde_json::{Value as Json, json};

/// Differences that `docs/metadata.md` gives reasons for.
fn expected_difference(key: &str) -> bool {
    matches!(
        key,
        // The folder was named hf when the figures were made.
        "general.name" | "general.basename" | "general.finetune"
        // Recipe 2023-11 carries the merges, as the files of that time did.
        | "tokenizer.ggml.merges"
    )
}

fn describe(value: &Value<'_>) -> Json {
    let scalar = |value: &Value<'_>| match value {
        Value::String(s) => json!(s),
        Value::Bool(b) => json!(b),
        Value::F32(_) | Value::F64(_) => json!(value.as_float().unwrap()),
        other => json!(i64::try_from(other.as_integer().unwrap()).unwrap()),
    };
    match value {
        Value::Array(array) => json!({
            "type": ["ARRAY", array.element_type().name()],
            "len": array.len(),
            "head": array.iter().take(8).map(|v| scalar(&v)).collect::<Vec<_>>(),
        }),
        other => json!({ "type": [other.value_type().name()], "value": scalar(other) }),
    }
}

#[test]
fn keys_types_and_values_equal_the_references() {
    let golden = json_fixture("golden/metadata.json");
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    for (group, recipe, ty) in [
        ("f16", "2023-11", "F16"),
        ("Q4_K_M 2023-11", "2023-11", "Q4_K_M"),
        ("Q4_K_M current", "current", "Q4_K_M"),
    ] {
        let path = out.path().join(format!("{recipe}.{ty}.gguf"));
        ok([
            "quantize",
            arg(&model),
            "--type",
            ty,
            "--recipe",
            recipe,
            "-o",
            arg(&path),
        ]);
        let file = GgufFile::open(&path).unwrap();
        let golden = golden[group].as_object().unwrap();
        let mut problems = Vec::new();
        for (key, want) in golden.iter().filter(|(k, _)| !expected_difference(k)) {
            let found = file.metadata().get(key).map(describe);
            let want = if want["value"]["len"].is_number() {
                json!({ "type": want["type"], "len": want["value"]["len"], "head": want["value"]["head"] })
            } else {
                want.clone()
            };
            if found.as_ref() != Some(&want) {
                problems.push(format!("{key}: {found:?}, expected {want}"));
            }
        }
        for (key, _) in file.metadata().iter() {
            if !golden.contains_key(key) && !expected_difference(key) {
                problems.push(format!("{key}: not in the reference"));
            }
        }
        assert!(problems.is_empty(), "{group}\n{}", problems.join("\n"));
        let merges = file.metadata().get("tokenizer.ggml.merges").is_some();
        assert_eq!(merges, recipe == "2023-11", "{group}");
    }
}
