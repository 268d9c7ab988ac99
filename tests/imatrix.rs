//! Files that an importance matrix guides, and what is said of the matrix.

use crate::support::{
    aeolus, arg, assert_tensors, fails, fixture, json_fixture, names, ok, refusal,
};
use aeolus_gguf::{GgufFile, Value};
use aeolus_recipe::FileType;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// What the reference tools gave of each tensor.
const FACTS: [&str; 4] = ["type", "shape", "bytes", "sha256"];

/// notus-mini in f16, from which the reference quantized.
fn f16(folder: &Path) -> PathBuf {
    let model = fixture("notus-mini");
    ok([
        "convert",
        arg(&model),
        "--type",
        "f16",
        "-o",
        arg(folder),
        "-q",
    ]);
    folder.join("notus-mini.F16.gguf")
}

fn imatrix(name: &str) -> PathBuf {
    fixture("imatrix").join(name)
}

/// Quantizes notus-mini to every file type of a golden group that can be made, and compares; those
/// that the reference refuses have to be refused.
fn equals_the_reference(group: &str, flags: &[&str]) {
    let golden = json_fixture("golden/imatrix.json");
    let files = golden[group].as_object().unwrap();
    let (known, unknown): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|(ty, _)| FileType::parse(ty).is_ok());
    let unknown: Vec<&str> = unknown.iter().map(|(ty, _)| ty.as_str()).collect();
    println!("{group}: not made: {}", unknown.join(" "));
    let (refused, made): (Vec<_>, Vec<_>) = known
        .into_iter()
        .partition(|(_, tensors)| tensors["refused"] == true);
    assert!(made.len() >= 5, "{group}: {made:?}");
    let folder = tempfile::tempdir().unwrap();
    let source = f16(folder.path());
    let out = tempfile::tempdir().unwrap();
    let quantize = |types: &str| {
        let fixed = [
            "quantize",
            arg(&source),
            "--recipe",
            "current",
            "--type",
            types,
        ];
        let rest = ["-q", "--name", "notus-mini", "-o", arg(out.path())];
        let args = fixed.into_iter().chain(rest).chain(flags.iter().copied());
        args.map(str::to_owned).collect::<Vec<_>>()
    };
    for (ty, _) in refused {
        let message = fails(quantize(ty));
        assert!(message.contains("needs an importance matrix"), "{message}");
        assert!(names(out.path()).is_empty());
    }
    let types: Vec<&str> = made.iter().map(|(ty, _)| ty.as_str()).collect();
    println!("{group}: {}", types.join(" "));
    ok(quantize(&types.join(",")));
    for (ty, tensors) in made {
        let path = out.path().join(format!("notus-mini.{ty}.gguf"));
        assert_tensors(&path, tensors, &FACTS);
    }
}

#[test]
fn files_with_a_gguf_imatrix_equal_the_reference() {
    equals_the_reference("imatrix", &["--imatrix", arg(&imatrix("imatrix.gguf"))]);
}

#[test]
fn files_with_a_dat_imatrix_equal_the_reference() {
    equals_the_reference("imatrix", &["--imatrix", arg(&imatrix("imatrix.dat"))]);
}

#[test]
fn files_without_an_imatrix_equal_the_reference_and_some_are_refused() {
    equals_the_reference("none", &[]);
}

#[test]
fn embedding_and_output_keep_their_types_beside_an_imatrix() {
    let types = ["--embedding-type", "q8_0", "--output-type", "q8_0"];
    let imatrix = imatrix("imatrix.gguf");
    let flags: Vec<&str> = ["--imatrix", arg(&imatrix)]
        .into_iter()
        .chain(types)
        .collect();
    equals_the_reference("imatrix, embedding and output Q8_0", &flags);
}

/// Arguments that quantize notus-mini with a matrix to one file.
fn guided<'a>(out: &'a Path, imatrix: &'a Path, flags: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["quantize", "../fixtures/notus-mini", "--type", "Q4_K_M"];
    args.extend(["--imatrix", arg(imatrix), "-q", "-o", arg(out)]);
    args.extend(flags);
    args
}

#[test]
fn a_file_says_what_guided_it_as_the_reference_does() {
    let out = tempfile::tempdir().unwrap();
    let long = out.path().join(format!("{}.imatrix.gguf", "x".repeat(150)));
    std::fs::copy(imatrix("imatrix.gguf"), &long).unwrap();
    for (matrix, flags, entries) in [
        (&imatrix("imatrix.dat"), &[][..], 56u32),
        (&long, &["--exclude-weights", "ffn_"], 32),
        (
            &long,
            &["--include-weights", "blk.0.", "--include-weights", "attn_q"],
            14,
        ),
    ] {
        let path = out.path().join("guided.gguf");
        ok(guided(&path, matrix, &[flags, &["--force"]].concat()));
        let file = GgufFile::open(&path).unwrap();
        let keys: Vec<(&str, &Value<'_>)> = file
            .metadata()
            .iter()
            .filter(|(key, _)| key.starts_with("quantize."))
            .collect();
        let name = &arg(matrix)[..arg(matrix).len().min(127)];
        let expected = [
            ("quantize.imatrix.file", Value::from(name)),
            ("quantize.imatrix.dataset", Value::from("calibration.txt")),
            ("quantize.imatrix.entries_count", Value::from(entries)),
            ("quantize.imatrix.chunks_count", Value::from(64u32)),
        ];
        let expected: Vec<_> = expected.iter().map(|(key, value)| (*key, value)).collect();
        assert_eq!(keys, expected);
    }
}

#[test]
fn unquantized_files_of_a_table_say_nothing_of_it() {
    let out = tempfile::tempdir().unwrap();
    let matrix = imatrix("imatrix.gguf");
    let model = fixture("notus-mini");
    let types = "F16,Q4_0";
    ok([
        "table",
        arg(&model),
        "--type",
        types,
        "--imatrix",
        arg(&matrix),
        "-q",
        "-o",
        arg(out.path()),
    ]);
    for (ty, says) in [("F16", false), ("Q4_0", true)] {
        let path = out.path().join(format!("notus-mini.{ty}.gguf"));
        let file = GgufFile::open(&path).unwrap();
        assert_eq!(
            file.metadata().get("quantize.imatrix.file").is_some(),
            says,
            "{ty}"
        );
    }
}

#[test]
fn what_does_not_fit_together_is_said() {
    let out = tempfile::tempdir().unwrap();
    let source = imatrix("imatrix.dat");
    // The same with another name for an entry, and one whose columns are all alike.
    let mut bytes = std::fs::read(&source).unwrap();
    let at = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).position(|w| w == name).unwrap();
    let attn_q = b"blk.2.attn_q.weight";
    let renamed = at(&bytes, attn_q);
    bytes[renamed..renamed + attn_q.len()].copy_from_slice(b"blk.9.attn_q.weight");
    let up = b"blk.3.ffn_up.weight";
    let values = at(&bytes, up) + up.len() + 8;
    for value in bytes[values..values + 4 * 256].as_chunks_mut().0 {
        *value = 64f32.to_le_bytes();
    }
    let matrix = out.path().join("odd.dat");
    std::fs::write(&matrix, bytes).unwrap();
    let run = aeolus(guided(out.path(), &matrix, &["--json"]));
    assert!(run.status.success());
    let said = String::from_utf8(run.stderr).unwrap();
    for expected in [
        r#"odd.dat: entries for no tensor of the model: "blk.9.attn_q.weight""#,
        r#"no fitting entry: "output.weight", "token_embd.weight", "blk.2.attn_q.weight""#,
        r#"the calibration text did not reach them: "blk.3.ffn_up.weight""#,
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let json: Json = serde_json::from_slice(&run.stdout).unwrap();
    let json = &json["imatrix"];
    assert_eq!(json["entries"], 56);
    assert_eq!(json["format"], "dat");
    assert_eq!(json["datasets"][0], "calibration.txt");
    assert_eq!(json["entries_without_tensor"][0], "blk.9.attn_q.weight");
    assert_eq!(json["tensors_without_entry"].as_array().unwrap().len(), 3);
    assert_eq!(
        json["tensors_without_data"][0]["tensor"],
        "blk.3.ffn_up.weight"
    );
}

#[test]
fn a_matrix_of_another_model_is_refused_before_any_work() {
    let out = tempfile::tempdir().unwrap();
    let write = |entries: &[(&str, i32, &[f32])]| {
        let path = out.path().join("other.dat");
        std::fs::write(&path, aeolus_testkit::imatrix::dat(entries)).unwrap();
        path
    };
    let files = out.path().join("files");
    for (entry, expected) in [
        (
            ("blk.0.attn_q.weight", 1, &[1.0; 512][..]),
            "entry blk.0.attn_q.weight has 512 values, expected 256",
        ),
        (
            ("model.layers.0.weight", 1, &[1.0; 256][..]),
            "has no entry for any tensor",
        ),
        (("blk.0.attn_q.weight", 1, &[f32::NAN][..]), "is NaN"),
    ] {
        let matrix = write(&[entry]);
        let message = fails(guided(&files, &matrix, &[]));
        assert!(
            message.contains("other.dat") && message.contains(expected),
            "{message}"
        );
        assert!(!files.exists(), "{message}");
        let forecast = [
            "forecast",
            "../fixtures/notus-mini",
            "--imatrix",
            arg(&matrix),
        ];
        assert!(fails(forecast).contains(expected));
    }
    // The embedding is not guided: whatever its entry is, as llama-quantize has it.
    let matrix = write(&[
        ("blk.0.attn_q.weight", 1, &[1.0; 256]),
        ("token_embd.weight", 1, &[1.0; 4096]),
    ]);
    ok(guided(&files, &matrix, &[]));
}

#[test]
fn flags_of_a_matrix_that_do_nothing_are_errors() {
    let out = tempfile::tempdir().unwrap();
    let matrix = imatrix("imatrix.gguf");
    for (flags, expected) in [
        (
            &["--include-weights", "attn_z"][..],
            "no entry's name contains \"attn_z\"",
        ),
        (
            &["--exclude-weights", "attn_q", "--exclude-weights", "x"],
            "contains \"x\"",
        ),
        (&["--exclude-weights", "weight"], "has no entries"),
        (
            &["--include-weights", "q", "--exclude-weights", "k"],
            "cannot be used with",
        ),
    ] {
        let message = fails(guided(out.path(), &matrix, flags));
        assert!(message.contains(expected), "{message}");
    }
    let model = fixture("notus-mini");
    let fixed = ["quantize", arg(&model), "-o", arg(out.path()), "--type"];
    let message = fails(fixed.into_iter().chain(["F16", "--imatrix", arg(&matrix)]));
    assert!(
        message.contains("--imatrix concerns quantized files"),
        "{message}"
    );
    let message = refusal(aeolus(fixed.into_iter().chain([
        "Q4_0",
        "--include-weights",
        "q",
    ])));
    assert!(message.contains("--imatrix"), "{message}");
    assert!(names(out.path()).is_empty());
}

#[test]
fn guided_files_are_verified_with_their_matrix() {
    let out = tempfile::tempdir().unwrap();
    let matrix = imatrix("imatrix.gguf");
    ok(guided(out.path(), &matrix, &[]));
    let verify = |matrix: Option<&Path>| {
        let mut args = vec![
            "verify",
            arg(out.path()),
            "--against",
            "../fixtures/notus-mini",
        ];
        args.extend(["--type", "Q4_K_M", "-q"]);
        args.extend(matrix.iter().flat_map(|matrix| ["--imatrix", arg(matrix)]));
        aeolus(args)
    };
    let run = verify(Some(&matrix));
    assert_eq!(
        run.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&run.stdout)
    );
    // The other format has the same importance, under another name.
    let run = verify(Some(&imatrix("imatrix.dat")));
    assert_eq!(
        run.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&run.stdout)
    );
    let message = refusal(verify(None));
    assert!(
        message.contains("was made with an importance matrix"),
        "{message}"
    );
    assert!(message.contains("--imatrix"), "{message}");

    let mut bytes = std::fs::read(&matrix).unwrap();
    let last = bytes.len() - 32 - 4 * 200;
    bytes[last + 2] ^= 0x40;
    let other = out.path().join("other.imatrix");
    std::fs::write(&other, bytes).unwrap();
    let run = verify(Some(&other));
    assert_eq!(run.status.code(), Some(1));
    let found = String::from_utf8(run.stdout).unwrap();
    assert!(found.contains("bytes differ from row"), "{found}");
}
