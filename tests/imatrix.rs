//! Importance matrices: how they are collected, the files that they guide, and what is said of them.

use crate::support::{
    aeolus, arg, assert_tensors, fails, fixture, json_fixture, names, ok, refusal, sha256, started,
};
use aeolus_gguf::{GgufFile, Value};
use aeolus_imatrix::{Document, Format, Imatrix, TensorStatistics};
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

/// Characters 453907 to 713907 of heldout.txt: what the reference's matrix was collected over.
fn calibration(folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(fixture("text/heldout.txt")).unwrap();
    let text: String = text.chars().skip(453_907).take(260_000).collect();
    let path = folder.join("calibration.txt");
    std::fs::write(&path, text).unwrap();
    path
}

/// Collects over the calibration text.
fn collect<'a>(model: &'a Path, text: &'a Path, out: &'a Path, flags: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["imatrix", arg(model), "-f", arg(text), "-o", arg(out)];
    args.extend(flags);
    args
}

#[test]
fn a_collected_matrix_is_that_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (f16(dir.path()), calibration(dir.path()));
    let path = dir.path().join("imatrix.gguf");
    let said = ok(collect(&model, &text, &path, &["--chunks", "64", "--json"]));
    let found = Imatrix::open(&path).unwrap();
    let golden = Imatrix::open(&imatrix("imatrix.gguf")).unwrap();
    assert_eq!((found.chunks, found.chunk_tokens), (64, 512));
    assert_eq!(found.datasets, [arg(&text)]);
    assert_eq!(found.entries().len(), golden.entries().len());
    // The reference computed with activations in f16.
    for ((name, found), (other, golden)) in found.entries().zip(golden.entries()) {
        assert_eq!((name, found.counts()), (other, golden.counts()));
        let (mut difference, mut norm) = (0.0, 0.0);
        for (a, b) in found.sums().iter().zip(golden.sums()) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            assert!((a / b - 1.0).abs() < 0.03, "{name}: {a}, expected {b}");
            difference += (a - b) * (a - b);
            norm += b * b;
        }
        assert!((difference / norm).sqrt() < 0.005, "{name}");
    }
    let said: Document = serde_json::from_str(&said).unwrap();
    assert_eq!(said.schema, Document::SCHEMA);
    assert_eq!(said.path.as_deref(), Some(arg(&path)));
    let sha256 = sha256(&std::fs::read(&path).unwrap());
    assert_eq!(said.sha256, Some(sha256));
    let parts = |tensors: &[TensorStatistics]| -> Vec<_> {
        let parts = tensors.iter().map(|t| (t.layer, t.part.clone(), t.values));
        parts.collect()
    };
    assert_eq!(parts(&said.tensors), parts(&found.statistics()));
    assert_eq!(
        names(dir.path()).len(),
        4,
        "nothing is left: {:?}",
        names(dir.path())
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_collection_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let whole = dir.path().join("whole.gguf");
    let flags = ["--chunks", "24", "-c", "256", "--process-output"];
    ok(collect(
        &model,
        &text,
        &whole,
        &[&flags[..], &["-q", "-t", "2"]].concat(),
    ));
    let path = dir.path().join("imatrix.gguf");
    let journal = dir.path().join("imatrix.gguf.partial.journal");
    let args = collect(&model, &text, &path, &[&flags[..], &["-t", "1"]].concat());
    let mut child = started(&args);
    // The journal has its name once the windows are being read.
    while !journal.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let id = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(
        message.contains("kept in ") && message.contains("imatrix.gguf.partial"),
        "{message}"
    );
    ok(&args);
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&whole).unwrap());
    assert_eq!(names(dir.path()), ["imatrix.gguf", "whole.gguf"]);
    let again = fails(&args);
    assert!(
        again.contains("imatrix.gguf: exists already; --force replaces it"),
        "{again}"
    );
    let total = Imatrix::open(&path).unwrap();
    assert_eq!(total.get("output.weight").unwrap().counts(), [24.0 * 256.0]);
}

#[test]
fn matrices_are_merged_converted_and_described() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let convert = |from: &Path, to: &Path| {
        ok(["imatrix", "--in-file", arg(from), "-o", arg(to), "-q"]);
        std::fs::read(to).unwrap()
    };
    let (gguf, dat) = (imatrix("imatrix.gguf"), imatrix("imatrix.dat"));
    let converted = convert(&dat, &at("a.gguf"));
    assert!(converted == std::fs::read(&gguf).unwrap());
    let there = convert(&gguf, &at("b.dat"));
    assert_eq!(there.len(), std::fs::read(&dat).unwrap().len());
    assert!(convert(&at("b.dat"), &at("b.gguf")) == converted);
    assert!(convert(&at("a.gguf"), &at("c.dat")) == there);

    let (path, other) = (at("merged"), at("merged.gguf"));
    let merge = ["imatrix", "--in-file", arg(&gguf), "--in-file", arg(&dat)];
    ok(merge
        .into_iter()
        .chain(["-o", arg(&path), "--output-format", "dat", "-q"]));
    ok(merge.into_iter().chain(["-o", arg(&other), "-q"]));
    let (path, other) = (
        Imatrix::open(&path).unwrap(),
        Imatrix::open(&other).unwrap(),
    );
    assert_eq!((path.chunks, other.chunks), (128, 128));
    assert_eq!(other.datasets, ["calibration.txt"; 2]);
    assert_eq!(path.importance_sha256(), other.importance_sha256());
    // Twice the same is as important as once.
    let once = Imatrix::open(&gguf).unwrap();
    assert_eq!(other.importance_sha256(), once.importance_sha256());

    let table = ok([
        "imatrix",
        "--in-file",
        arg(&gguf),
        "--show-statistics",
        "-q",
    ]);
    let row = table
        .lines()
        .find(|line| line.contains(" ffn_down ") && line.trim_start().starts_with("7 "));
    let cells: Vec<&str> = row.unwrap().split_whitespace().collect();
    let expected =
        "7 ffn_down 742.05 0.0973 30.1138 0.97 1.98 100.00% 768 8.7849 91.65% 2.60% 0.3387";
    assert_eq!(cells.join(" "), expected);
    let json = ok([
        "imatrix",
        "--in-file",
        arg(&gguf),
        "--show-statistics",
        "--json",
    ]);
    let json: Document = serde_json::from_str(&json).unwrap();
    assert_eq!((json.path, json.layers.len()), (None, 8));
    assert!(!Path::new("imatrix.gguf").exists(), "nothing is written");
}

#[test]
fn experts_that_no_token_reached_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("experts.gguf");
    let mut experts = Imatrix::collected(512);
    for name in ["blk.4.ffn_gate_exps.weight", "blk.4.ffn_down_exps.weight"] {
        for (expert, seen) in [600, 0, 400, 0].into_iter().enumerate() {
            experts
                .entry(name, 2, 4)
                .add(expert, &[1.0, seen as f64], seen);
        }
    }
    std::fs::write(&path, experts.encode(Format::Gguf).unwrap()).unwrap();
    let run = aeolus(["imatrix", "--in-file", arg(&path), "--show-statistics"]);
    let said = String::from_utf8(run.stderr).unwrap();
    let expected = "no token reached 2 of 4 experts: 1, 3";
    assert_eq!(
        said.matches(expected).count(),
        1,
        "once for the layer: {said}"
    );
    let table = String::from_utf8(run.stdout).unwrap();
    assert!(
        table.contains("0 to 600") && table.contains("2 of 4"),
        "{table}"
    );
    let dat = dir.path().join("experts.dat");
    let run = aeolus(["imatrix", "--in-file", arg(&path), "-o", arg(&dat)]);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(said.contains("one count for all experts"), "{said}");
}

#[test]
fn conversations_are_read_as_the_chat_template_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let (model, path) = (fixture("notus-mini"), dir.path().join("imatrix.gguf"));
    let lines = dir.path().join("talk.jsonl");
    let line = r#"{"messages": [{"role": "user", "content": "Who was he?"}, {"role": "assistant", "content": "The old man of the sea."}]}"#;
    std::fs::write(&lines, format!("{line}\n").repeat(30)).unwrap();
    let run = aeolus(collect(&model, &lines, &path, &["-c", "64"]));
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{said}");
    assert!(
        said.contains("30 conversations by the model's chat template: "),
        "{said}"
    );
    let talk = Imatrix::open(&path).unwrap();
    let windows = talk.chunks;
    assert!(windows > 5, "{windows}");
    let message = fails(collect(
        &model,
        &lines,
        &path,
        &["--parse-special", "--force"],
    ));
    assert!(
        message.contains("the chat template writes control tokens"),
        "{message}"
    );
    std::fs::write(&lines, "{\"messages\": 3}\n").unwrap();
    let message = fails(collect(&model, &lines, &path, &["--force"]));
    assert!(
        message.contains("talk.jsonl") && message.contains("line 1: expected"),
        "{message}"
    );
}

#[test]
fn collections_that_cannot_be_say_why_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let (model, path) = (fixture("notus-mini"), dir.path().join("imatrix.gguf"));
    let text = fixture("text/heldout.txt");
    let message = fails(["imatrix"]);
    assert!(
        message.contains("give a model and a text (-f), or files"),
        "{message}"
    );
    let short = dir.path().join("short.txt");
    std::fs::write(&short, "It was the best of times").unwrap();
    let message = fails(collect(&model, &short, &path, &[]));
    assert!(message.contains("one window needs 512"), "{message}");
    let other = dir.path().join("other.dat");
    let entry = ("blk.0.attn_q.weight", 1, &[1.0; 512][..]);
    std::fs::write(&other, aeolus_testkit::imatrix::dat(&[entry])).unwrap();
    let message = fails(collect(
        &model,
        &text,
        &path,
        &["--in-file", arg(&other), "-q"],
    ));
    assert!(message.contains("it is of another model"), "{message}");
    let message = fails(["imatrix", "--in-file", arg(&text), "-o", arg(&path)]);
    assert!(message.contains("heldout.txt: "), "{message}");
    assert!(!path.exists());
}

#[test]
fn experts_are_counted_by_the_tokens_that_were_sent_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (
        fixture("families/models/tiny/qwen35moe"),
        fixture("text/heldout.txt"),
    );
    let config: Json =
        serde_json::from_slice(&std::fs::read(model.join("config.json")).unwrap()).unwrap();
    // The text model's own, where there is a vision model beside it.
    let config = config.get("text_config").unwrap_or(&config);
    let number = |key: &str| config[key].as_u64().unwrap() as usize;
    let (experts, used) = (number("num_experts"), number("num_experts_per_tok"));
    let path = dir.path().join("imatrix.gguf");
    ok(collect(
        &model,
        &text,
        &path,
        &["-c", "32", "--chunks", "3", "-q"],
    ));
    let found = Imatrix::open(&path).unwrap();
    let mut stacks = 0;
    for (name, entry) in found.entries() {
        let seen: f32 = entry.counts().iter().sum();
        if name.ends_with("_exps.weight") {
            stacks += 1;
            assert_eq!(entry.counts().len(), experts, "{name}");
            assert_eq!(seen, (3 * 32 * used) as f32, "{name}");
        } else {
            assert_eq!((entry.counts().len(), seen), (1, 96.0), "{name}");
        }
    }
    assert!(stacks > 0);
}
