//! The same bytes however the work is cut, and the flags that change what is written.

use crate::support::{aeolus, arg, fails, fixture, names, ok};
use aeolus_gguf::{GgufFile, TensorType};
use std::path::Path;

fn table(out: &Path, flags: &[&str]) {
    let model = fixture("notus-mini");
    let mut args = vec!["table", arg(&model), "-o", arg(out)];
    args.extend(flags);
    ok(args);
}

#[test]
fn any_number_of_threads_writes_the_same_files() {
    let reference = tempfile::tempdir().unwrap();
    table(reference.path(), &["-t", "1"]);
    assert_eq!(names(reference.path()).len(), 13, "with their digests");
    for threads in ["2", "3", "7"] {
        let out = tempfile::tempdir().unwrap();
        table(out.path(), &["-t", threads]);
        for name in names(reference.path()) {
            let a = std::fs::read(reference.path().join(&name)).unwrap();
            let b = std::fs::read(out.path().join(&name)).unwrap();
            assert!(a == b, "{name} differs with {threads} threads");
        }
    }
}

#[test]
fn a_file_of_the_table_equals_the_same_file_alone() {
    let out = tempfile::tempdir().unwrap();
    table(out.path(), &[]);
    let alone = out.path().join("alone.gguf");
    let model = fixture("notus-mini");
    ok(["quantize", arg(&model), "--type", "q3_k", "-o", arg(&alone)]);
    let a = std::fs::read(&alone).unwrap();
    let b = std::fs::read(out.path().join("notus-mini.Q3_K_M.gguf")).unwrap();
    assert!(a == b, "q3_k is Q3_K_M");
}

#[test]
fn every_kernel_level_writes_the_same_files() {
    let reference = tempfile::tempdir().unwrap();
    table(reference.path(), &[]);
    let model = fixture("notus-mini");
    let mut levels = Vec::new();
    for level in ["scalar", "portable", "avx2", "avx512", "neon", "i8mm"] {
        let out = tempfile::tempdir().unwrap();
        let run = crate::support::command()
            .env("AEOLUS_CPU", level)
            .args(["table", arg(&model), "-o", arg(out.path())])
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&run.stderr).into_owned();
        if run.status.code() == Some(2) {
            assert!(message.contains(level), "{message}");
            assert!(names(out.path()).is_empty());
            continue;
        }
        assert!(run.status.success(), "{message}");
        levels.push(level);
        for name in names(reference.path()) {
            let a = std::fs::read(reference.path().join(&name)).unwrap();
            let b = std::fs::read(out.path().join(&name)).unwrap();
            assert!(a == b, "{name} differs with AEOLUS_CPU={level}");
        }
    }
    println!("levels of this machine: {levels:?}");
    assert!(levels.contains(&"scalar"));
    if let Ok(required) = std::env::var("AEOLUS_REQUIRE_CPU") {
        assert!(
            levels.contains(&required.as_str()),
            "{required} is required here"
        );
    }
}

#[test]
fn an_unknown_kernel_level_is_an_error() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let run = crate::support::command()
        .env("AEOLUS_CPU", "sse9")
        .args(["table", arg(&model), "-o", arg(out.path())])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(
        message.contains("sse9") && message.contains("portable"),
        "{message}"
    );
}

fn quantize(flags: &[&str]) -> (tempfile::TempDir, GgufFile) {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("x.gguf");
    let model = fixture("notus-mini");
    let mut args = vec!["quantize", arg(&model), "-o", arg(&path)];
    args.extend(flags);
    ok(args);
    let file = GgufFile::open(&path).unwrap();
    (out, file)
}

fn ty(file: &GgufFile, name: &str) -> TensorType {
    file.tensor(name).unwrap().ty
}

#[test]
fn overrides_choose_the_types_they_name() {
    let (_dir, file) = quantize(&[
        "--type",
        "Q4_K_M",
        "--tensor-type",
        "ffn_down=q6_k",
        "--tensor-type",
        r"blk\.[0-3]\.ffn_up=Q5_0",
        "--output-type",
        "q8_0",
        "--embedding-type",
        "Q2_K",
    ]);
    assert_eq!(ty(&file, "blk.7.ffn_down.weight"), TensorType::Q6_K);
    assert_eq!(ty(&file, "blk.3.ffn_up.weight"), TensorType::Q5_0);
    assert_eq!(ty(&file, "blk.4.ffn_up.weight"), TensorType::Q4_K);
    assert_eq!(ty(&file, "output.weight"), TensorType::Q8_0);
    assert_eq!(ty(&file, "token_embd.weight"), TensorType::Q2_K);
    assert_eq!(ty(&file, "output_norm.weight"), TensorType::F32);
}

#[test]
fn pure_means_one_type() {
    let (_dir, file) = quantize(&["--type", "Q3_K_L", "--pure"]);
    for tensor in file.tensors() {
        let want = if tensor.shape.dims().len() == 1 {
            TensorType::F32
        } else {
            TensorType::Q3_K
        };
        assert_eq!(tensor.ty, want, "{}", tensor.name);
    }
}

#[test]
fn a_rule_that_matches_nothing_is_an_error() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let message = fails([
        "quantize",
        arg(&model),
        "--type",
        "Q4_K_M",
        "--tensor-type",
        "ffn_dwon=Q6_K",
        "-o",
        arg(out.path()),
    ]);
    assert!(message.contains("ffn_dwon"), "{message}");
    assert!(names(out.path()).is_empty());
}

#[test]
fn requantizing_needs_leave() {
    let out = tempfile::tempdir().unwrap();
    let dir = arg(out.path());
    let model = fixture("notus-mini");
    ok(["quantize", arg(&model), "--type", "Q8_0", "-o", dir]);
    let q8 = out.path().join("notus-mini.Q8_0.gguf");
    let message = fails(["quantize", arg(&q8), "--type", "Q4_K_M", "-o", dir]);
    assert!(message.contains("--allow-requantize"), "{message}");
    let target = out.path().join("again.gguf");
    ok([
        "quantize",
        arg(&q8),
        "--type",
        "Q4_K_M",
        "-o",
        arg(&target),
        "--allow-requantize",
    ]);
    let file = GgufFile::open(&target).unwrap();
    assert_eq!(ty(&file, "blk.0.attn_q.weight"), TensorType::Q4_K);
    assert_eq!(file.metadata().u32("general.file_type").unwrap(), Some(15));
}

#[test]
fn several_outputs_need_a_folder() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let target = out.path().join("one.gguf");
    let message = fails([
        "quantize",
        arg(&model),
        "--type",
        "Q4_0,Q8_0",
        "-o",
        arg(&target),
    ]);
    assert!(message.contains("folder"), "{message}");
}

#[test]
fn the_name_is_the_folders_or_the_given_one() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "q4_0",
        "--name",
        "zephyr-tiny",
        "-o",
        arg(out.path()),
    ]);
    assert_eq!(names(out.path()), ["SHA256SUMS", "zephyr-tiny.Q4_0.gguf"]);
    let file = GgufFile::open(&out.path().join("zephyr-tiny.Q4_0.gguf")).unwrap();
    assert_eq!(
        file.metadata().str("general.name").unwrap(),
        Some("zephyr-tiny")
    );
    let bad = aeolus(["quantize", arg(&model), "--type", "q4_0", "--name", "../x"]);
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn versions_and_byte_orders() {
    let (_a, v2) = quantize(&["--type", "Q4_K_M"]);
    assert_eq!(v2.header().version, 2);
    let (_b, v3) = quantize(&["--type", "Q4_K_M", "--gguf-version", "3"]);
    assert_eq!(v3.header().version, 3);
    assert!(aeolus_gguf::differences(&v2, &v3).is_empty());
    let model = fixture("notus-mini");
    let message = fails(["quantize", arg(&model), "--type", "Q4_0", "--endian", "big"]);
    assert!(message.contains("--gguf-version 3"), "{message}");
    let (_c, big) = quantize(&["--type", "Q4_K_M", "--gguf-version", "3", "--endian", "big"]);
    assert_eq!(big.header().endian, aeolus_gguf::Endian::Big);
    for tensor in big.tensors() {
        let mut bytes = big.tensor_bytes(tensor).to_vec();
        aeolus_gguf::swap_rows(tensor.ty, &mut bytes).unwrap();
        let little = v3.tensor(&tensor.name).unwrap();
        assert!(bytes == v3.tensor_bytes(little), "{}", tensor.name);
    }
}

#[test]
fn flags_that_could_do_nothing_are_refused() {
    let model = fixture("notus-mini");
    for flags in [
        ["--via", "f16"].as_slice(),
        &["--pure"],
        &["--allow-requantize"],
    ] {
        let mut args = vec!["quantize", arg(&model), "--type", "F16", "-o", "/nowhere"];
        args.extend(flags);
        let message = fails(args);
        assert!(message.contains(flags[0]), "{message}");
    }
}
