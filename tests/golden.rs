//! Every tensor of every file equals the reference tools' bytes.

use crate::support::{arg, assert_tensors, fixture, json_fixture, ok};

/// What the reference tools gave of each tensor.
const FACTS: [&str; 4] = ["type", "shape", "bytes", "sha256"];

#[test]
fn conversions_equal_the_reference_converter() {
    let golden = json_fixture("golden/tensors.json");
    let out = tempfile::tempdir().unwrap();
    ok([
        "convert",
        arg(&fixture("notus-mini")),
        "--type",
        "f16,bf16,f32",
        "-o",
        arg(out.path()),
    ]);
    for (ty, tensors) in golden["source"].as_object().unwrap() {
        let path = out
            .path()
            .join(format!("notus-mini.{}.gguf", ty.to_uppercase()));
        assert_tensors(&path, tensors, &FACTS);
    }
}

fn table_equals(group: &str, flags: &[&str]) {
    let golden = json_fixture("golden/tensors.json");
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let mut args = vec!["table", arg(&model), "-o", arg(out.path())];
    args.extend(flags);
    ok(args);
    let files = golden["quantized"][group].as_object().unwrap();
    assert_eq!(files.len(), 12);
    for (ty, tensors) in files {
        let path = out.path().join(format!("notus-mini.{ty}.gguf"));
        assert_tensors(&path, tensors, &FACTS);
    }
}

#[test]
fn the_table_of_2023_11_is_the_default_and_equals_the_reference() {
    table_equals("2023-11/via-f16", &[]);
}

#[test]
fn the_current_table_equals_the_reference_through_f16() {
    table_equals("current/via-f16", &["--recipe", "current", "--via", "f16"]);
}

#[test]
fn the_current_table_equals_the_reference_straight_from_bf16() {
    table_equals(
        "current/via-bf16",
        &["--recipe", "current", "--via", "source"],
    );
}

#[test]
fn an_f16_file_as_source_gives_the_bytes_of_the_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let dir = arg(out.path());
    ok([
        "convert",
        arg(&fixture("notus-mini")),
        "--type",
        "f16",
        "-o",
        dir,
    ]);
    let f16 = out.path().join("notus-mini.F16.gguf");
    ok([
        "quantize",
        arg(&f16),
        "--type",
        "Q4_K_M,Q2_K",
        "--name",
        "notus-mini",
        "-o",
        dir,
    ]);
    let golden = json_fixture("golden/tensors.json");
    for ty in ["Q4_K_M", "Q2_K"] {
        assert_tensors(
            &out.path().join(format!("notus-mini.{ty}.gguf")),
            &golden["quantized"]["2023-11/via-f16"][ty],
            &FACTS,
        );
    }
}
