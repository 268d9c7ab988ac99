//! Sources of every kind: element types, odd row lengths, tied embeddings, byte orders.

use crate::support::{aeolus, arg, fails, fixture, names, ok};
use crate::tiny::Tiny;
use aeolus_gguf::{GgufFile, TensorType};
use safetensors::Dtype;

const ODD: Tiny = Tiny {
    hidden: 320,
    heads: 5,
    ff: 640,
    dtype: Dtype::BF16,
    tied: false,
};

/// Quantizes a tiny model; gives the types of ffn_up and output, and what was said.
fn types(tiny: &Tiny, flags: &[&str]) -> (TensorType, TensorType, String) {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out.gguf"));
    tiny.write(&model);
    let mut args = vec!["quantize", arg(&model), "--no-tokenizer", "-o", arg(&out)];
    args.extend(flags);
    let run = aeolus(args);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{said}");
    let file = GgufFile::open(&out).unwrap();
    let ty = |name: &str| file.tensor(name).unwrap().ty;
    (ty("blk.0.ffn_up.weight"), ty("output.weight"), said)
}

#[test]
fn rows_that_are_no_multiple_of_256_fall_back_as_the_references_do() {
    use TensorType::*;
    for (ty, old, new) in [
        ("Q2_K", Q4_1, Q4_0),
        ("Q3_K_S", Q4_1, Q4_0),
        ("Q4_K_S", Q5_0, Q5_0),
        ("Q5_K_S", Q5_1, Q5_1),
        ("Q6_K", Q8_0, Q8_0),
        ("Q4_0", Q4_0, Q4_0),
    ] {
        let (found, _, said) = types(&ODD, &["--type", ty]);
        assert_eq!(found, old, "2023-11 {ty}");
        assert!(
            said.contains(": Q8_0 instead of Q6_K (a row of 320"),
            "{said}"
        );
        let (found, _, _) = types(&ODD, &["--type", ty, "--recipe", "current"]);
        assert_eq!(found, new, "current {ty}");
    }
    let pure = types(&ODD, &["--type", "Q2_K", "--pure"]);
    assert_eq!(pure.0, Q4_0, "Q2_K itself falls back to Q4_0");
}

#[test]
fn no_fallback_makes_it_an_error_that_counts_the_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    ODD.write(&model);
    let message = fails([
        "quantize",
        arg(&model),
        "--no-tokenizer",
        "--no-fallback",
        "--type",
        "Q4_K_M",
        "-o",
        arg(&out),
    ]);
    assert!(
        message.starts_with("error: Q4_K_M: 9 tensors would need a fallback"),
        "{message}"
    );
    assert!(
        message.contains("3 tensors from Q6_K to Q8_0 (such as output.weight, whose row of 320"),
        "{message}"
    );
    assert!(!out.exists(), "nothing is made for a plan that fails");
}

#[test]
fn rows_that_fit_no_block_stay_f16() {
    let tiny = Tiny {
        hidden: 40,
        heads: 2,
        ff: 80,
        ..ODD
    };
    for recipe in ["2023-11", "current"] {
        let (up, output, _) = types(&tiny, &["--type", "Q4_K_M", "--recipe", recipe]);
        assert_eq!((up, output), (TensorType::F16, TensorType::F16), "{recipe}");
    }
}

#[test]
fn every_source_type_converts_to_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let mut converted = Vec::new();
    for (name, dtype) in [
        ("f32", Dtype::F32),
        ("f16", Dtype::F16),
        ("bf16", Dtype::BF16),
    ] {
        let model = dir.path().join(name);
        Tiny { dtype, ..ODD }.write(&model);
        let out = dir.path().join(format!("{name}.gguf"));
        ok([
            "convert",
            arg(&model),
            "--no-tokenizer",
            "--type",
            "f32",
            "--name",
            "tiny",
            "-o",
            arg(&out),
        ]);
        converted.push(std::fs::read(out).unwrap());
    }
    assert!(converted[0] == converted[1] && converted[0] == converted[2]);
}

#[test]
fn tied_embeddings_need_no_output_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out.gguf"));
    let tiny = Tiny {
        hidden: 256,
        heads: 4,
        ff: 256,
        tied: true,
        ..ODD
    };
    tiny.write(&model);
    for (recipe, ty) in [("2023-11", TensorType::Q4_K), ("current", TensorType::Q6_K)] {
        ok([
            "quantize",
            arg(&model),
            "--no-tokenizer",
            "--type",
            "Q4_K_S",
            "--recipe",
            recipe,
            "--force",
            "-o",
            arg(&out),
        ]);
        let file = GgufFile::open(&out).unwrap();
        assert!(file.tensor("output.weight").is_none());
        assert_eq!(file.tensor("token_embd.weight").unwrap().ty, ty, "{recipe}");
    }
}

#[test]
fn a_big_endian_file_is_a_source_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let [little, big, from_little, from_big] =
        ["little.gguf", "big.gguf", "a.gguf", "b.gguf"].map(|name| dir.path().join(name));
    let convert = [
        "convert",
        arg(&model),
        "--type",
        "bf16",
        "--gguf-version",
        "3",
    ];
    ok(convert.iter().copied().chain(["-o", arg(&little)]));
    ok(convert
        .iter()
        .copied()
        .chain(["--endian", "big", "-o", arg(&big)]));
    assert_ne!(
        std::fs::read(&little).unwrap(),
        std::fs::read(&big).unwrap()
    );
    for (source, out) in [(&little, &from_little), (&big, &from_big)] {
        ok(["quantize", arg(source), "--type", "Q3_K_M", "-o", arg(out)]);
    }
    assert!(std::fs::read(from_little).unwrap() == std::fs::read(from_big).unwrap());
}

#[test]
fn types_that_stay_are_copied_without_leave_to_requantize() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let first = dir.path().join("first.gguf");
    ok(["quantize", arg(&model), "--type", "Q8_0", "-o", arg(&first)]);
    let again = dir.path().join("again.gguf");
    ok(["quantize", arg(&first), "--type", "Q8_0", "-o", arg(&again)]);
    let same = aeolus(["hash", arg(&first), arg(&again)]);
    assert_eq!(
        same.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&same.stdout)
    );
    assert_eq!(
        names(dir.path()),
        ["SHA256SUMS", "again.gguf", "first.gguf"]
    );
}
