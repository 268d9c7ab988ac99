//! Running models from the command line: the original framework's texts, logits and tokens.

use crate::support::{aeolus, arg, command, fails, fixture, json_fixture, ok, started};
use aeolus_gguf::{Array, Endian, HeaderSpec, Layout, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The small model in its own type, or quantized.
fn model(ty: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let source = fixture("notus-mini");
    ok(["quantize", arg(&source), "--type", ty, "-o", arg(&path)]);
    (dir, path)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn greedy_texts_are_the_frameworks_token_for_token() {
    let (_dir, path) = model("bf16");
    for (prompt, want) in json_fixture("golden/greedy.json").as_object().unwrap() {
        let count = want["new_ids"].as_array().unwrap().len().to_string();
        let run = json(&ok([
            "run",
            arg(&path),
            "-p",
            prompt,
            "-n",
            &count,
            "--temp",
            "0",
            "--mode",
            "exact",
            "--cache-type",
            "f32",
            "--json",
        ]));
        assert_eq!(run["prompt_ids"], want["prompt_ids"], "{prompt}");
        assert_eq!(run["ids"], want["new_ids"], "{prompt}");
    }
}

#[test]
fn logits_are_the_frameworks() {
    let (dir, path) = model("f32");
    for (golden, flags) in [
        ("golden/logits.safetensors", &[][..]),
        (
            "golden/logits-window64.safetensors",
            &["--sliding-window", "64"],
        ),
    ] {
        let bytes = std::fs::read(fixture(golden)).unwrap();
        let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let ids: Vec<String> = golden
            .tensor("ids")
            .unwrap()
            .data()
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()).to_string())
            .collect();
        let out = dir.path().join("logits.safetensors");
        let ids = ids.join(",");
        let mut args = vec![
            "logits",
            arg(&path),
            "--ids",
            &ids,
            "--force",
            "--out",
            arg(&out),
        ];
        args.extend(flags);
        ok(args);
        let bytes = std::fs::read(&out).unwrap();
        let ours = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let read = |file: &safetensors::SafeTensors<'_>| -> Vec<f32> {
            let floats = file.tensor("logits").unwrap();
            assert_eq!(floats.shape(), [192, 4096]);
            let floats = floats.data().chunks_exact(4);
            floats
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect()
        };
        let (ours, theirs) = (read(&ours), read(&golden));
        let best = |row: &[f32]| {
            (0..row.len())
                .max_by(|a, b| row[*a].total_cmp(&row[*b]))
                .unwrap()
        };
        for (position, (a, b)) in ours.chunks(4096).zip(theirs.chunks(4096)).enumerate() {
            let off = a
                .iter()
                .zip(b)
                .map(|(x, y)| (x - y).abs())
                .fold(0f32, f32::max);
            assert!(off < 2e-3, "position {position}: {off}");
            assert_eq!(best(a), best(b), "position {position}");
        }
    }
}

#[test]
fn texts_become_sentencepieces_tokens_and_back() {
    let (_dir, path) = model("q4_0");
    let golden = json_fixture("text/tokenize-notus-mini.json");
    // Each case is a process: a spread of them stands for the library's own test of all.
    for case in golden.as_array().unwrap().iter().step_by(17) {
        let text = case["text"].as_str().unwrap();
        if text.contains('\0') {
            continue;
        }
        let out = json(&ok([
            "tokenize",
            arg(&path),
            "--no-bos",
            "--json",
            "--",
            text,
        ]));
        assert_eq!(out["ids"], case["ids"], "{text:?}");
    }
    assert_eq!(
        ok(["tokenize", arg(&path), "The old man", "--ids"]),
        "1,397,633,453\n"
    );
    assert_eq!(
        ok(["tokenize", arg(&path), "--decode", "397,633,453"]),
        "The old man\n"
    );
    let special = json(&ok([
        "tokenize",
        arg(&path),
        "a</s>",
        "--special",
        "--json",
    ]));
    assert_eq!(special["ids"].as_array().unwrap().last().unwrap(), 2);
    let plain = json(&ok(["tokenize", arg(&path), "a</s>", "--json"]));
    assert_ne!(plain["ids"].as_array().unwrap().last().unwrap(), 2);
}

/// Only the vocabulary is looked at: the file is of an architecture that nothing here runs, and has no
/// tensors.
#[test]
fn a_vocabulary_alone_is_enough_to_tokenize() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocabulary.gguf");
    let bytes = "abcĠĊ".chars().map(String::from);
    let tokens: Vec<String> = bytes
        .chain(["ab", "Ġab", "<|end|>"].map(String::from))
        .collect();
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "grape");
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", "llama-bpe");
    metadata.insert("tokenizer.ggml.tokens", Array::from_strings(&tokens));
    let kinds = Array::from_i32s(&[1, 1, 1, 1, 1, 1, 1, 3]);
    metadata.insert("tokenizer.ggml.token_type", kinds);
    metadata.insert(
        "tokenizer.ggml.merges",
        Array::from_strings(["a b", "Ġ ab"]),
    );
    metadata.insert("tokenizer.ggml.bos_token_id", 7_u32);
    let spec = HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata,
        tensors: Vec::new(),
    };
    let layout = Layout::new(spec).unwrap();
    let mut file = layout.encode_header();
    file.resize(layout.file_bytes() as usize, 0);
    std::fs::write(&path, file).unwrap();
    let text = "ab ab\nc<|end|>";
    let ids = ok(["tokenize", arg(&path), text, "--ids", "--special"]);
    assert_eq!(ids, "7,5,6,4,2,7\n");
    assert_eq!(
        ok(["tokenize", arg(&path), "ab", "--ids", "--no-bos"]),
        "5\n"
    );
    assert_eq!(
        ok(["tokenize", arg(&path), "--decode", "5,6,4,2"]),
        "ab ab\nc\n"
    );
}

#[test]
fn every_type_of_the_table_runs_in_both_modes() {
    let dir = tempfile::tempdir().unwrap();
    let source = fixture("notus-mini");
    ok(["table", arg(&source), "-o", arg(dir.path())]);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "gguf") {
            continue;
        }
        for mode in ["exact", "fast"] {
            let run = json(&ok([
                "run",
                arg(&path),
                "-p",
                "The old man said",
                "-n",
                "8",
                "--temp",
                "0",
                "--mode",
                mode,
                "--json",
            ]));
            let text = run["text"].as_str().unwrap();
            assert!(
                text.is_ascii() && text.len() > 8,
                "{} {mode}: {text:?}",
                path.display()
            );
        }
    }
}

#[test]
fn a_pasted_llama_cpp_command_works() {
    let (_dir, path) = model("q4_k_m");
    let text = ok([
        "run",
        "-ngl",
        "32",
        "-m",
        arg(&path),
        "--color",
        "-fa",
        "-c",
        "2048",
        "--temp",
        "0.7",
        "--repeat_penalty",
        "1.1",
        "-n",
        "-1",
        "--seed",
        "1",
        "-e",
        "-p",
        r"<|system|>\nBe brief.</s>\n<|user|>\nWho are you?</s>\n<|assistant|>",
    ]);
    assert!(!text.trim().is_empty());
    // The same with a chat instead of a prompt, and underscores throughout.
    let mut child = command()
        .args(["run", "-ngl", "32", "-m", arg(&path), "--color"])
        .args(["--ctx_size", "2048", "--temp", "0", "--repeat_last_n", "-1"])
        .args(["--n_predict", "12", "--top_k", "-1", "-i", "-ins"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Who are you?\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert!(message.contains("-ngl is ignored"), "{message}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.trim().is_empty());
    // A prompt is what is said first.
    let first = ["run", arg(&path), "-i", "-p", "Who are you?"];
    let first = command()
        .args(first)
        .args(["--temp", "0", "-n", "12"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(first.stdout).unwrap(), said);
    let idle = fails(["run", arg(&path), "-i", "--json"]);
    assert!(
        idle.contains("--interactive") && idle.contains("--json"),
        "{idle}"
    );
}

/// A prompt from a file, from stdin and from the command line.
#[test]
fn a_prompt_is_the_same_wherever_it_comes_from() {
    let (dir, path) = model("q4_0");
    let file = dir.path().join("prompt.txt");
    std::fs::write(&file, "The old man\n").unwrap();
    let greedy = ["--temp", "0", "-n", "8", "--json"];
    let run = |more: &[&str]| json(&ok([&["run", arg(&path)], more, &greedy[..]].concat()));
    let given = run(&["-p", "The old man"]);
    assert_eq!(run(&["-f", arg(&file)])["ids"], given["ids"]);
    let mut child = command()
        .args(["run", arg(&path)])
        .args(greedy)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"The old man\n").unwrap();
    drop(stdin);
    let piped = child.wait_with_output().unwrap().stdout;
    assert_eq!(
        json(&String::from_utf8(piped).unwrap())["ids"],
        given["ids"]
    );
    // Escapes count in stop texts, too.
    let text = given["text"].as_str().unwrap();
    let last = text.chars().last().unwrap();
    let stop = format!("\\x{:02x}", last as u32);
    let stopped = run(&["-p", "The old man", "-e", "--stop", &stop]);
    assert_eq!(stopped["stop_reason"], "stop_text");
    assert_eq!(stopped["text"], text.split(last).next().unwrap());
}

/// Without this the run would go on for as long as the context is.
#[test]
fn a_run_that_nobody_reads_ends() {
    let (_dir, path) = model("q4_0");
    let mut child = started([
        "run",
        arg(&path),
        "-p",
        "Once",
        "--ignore-eos",
        "-c",
        "300000",
    ]);
    let mut some = [0; 4];
    let stdout = child.stdout.as_mut().unwrap();
    std::io::Read::read_exact(stdout, &mut some).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("a context of 300000 tokens") && !message.contains("error"),
        "{message}"
    );
}

#[test]
fn folders_and_missing_files_are_named_once() {
    let folder = fixture("notus-mini");
    let folder = arg(&folder);
    for args in [
        vec!["run", folder, "-p", "x"],
        vec!["chat", folder],
        vec!["tokenize", folder, "x"],
        vec!["logits", folder, "--ids", "1", "-o", "/nowhere/x"],
    ] {
        let message = fails(args);
        assert!(message.contains("is a folder"), "{message}");
    }
    for args in [
        vec!["run", "no/such.gguf", "-p", "x"],
        vec!["chat", "no/such.gguf"],
        vec!["tokenize", "no/such.gguf", "x"],
        vec!["logits", "no/such.gguf", "--ids", "1", "-o", "/nowhere/x"],
    ] {
        let message = fails(args);
        assert!(message.starts_with("error: no/such.gguf: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_seed_gives_the_same_text_again() {
    let (_dir, path) = model("q4_k_m");
    let run = |seed: &str| ok(["run", arg(&path), "-p", "Once", "-n", "24", "-s", seed]);
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn a_full_context_is_said_clearly() {
    let (_dir, path) = model("q4_0");
    let run = aeolus([
        "run",
        arg(&path),
        "-p",
        "Once upon",
        "-c",
        "12",
        "--ignore-eos",
    ]);
    assert!(run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).contains("context of 12 tokens is full"));
    let long = "word ".repeat(100);
    let message = fails(["run", arg(&path), "-p", &long, "-c", "12"]);
    assert!(
        message.contains("context") && message.contains("12"),
        "{message}"
    );
}

/// A conversation over pipes; gives what the model said.
fn chat(path: &Path, turns: &str) -> String {
    let mut child = command()
        .args(["chat", arg(path), "--temp", "0", "-n", "12", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(turns.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn conversations_go_on_and_start_over() {
    let (_dir, path) = model("q8_0");
    let one = chat(&path, "Good morning.\n");
    assert!(!one.trim().is_empty());
    let again = chat(
        &path,
        "Good morning.\n/reset\nGood morning.\n/quit\nnever read\n",
    );
    assert_eq!(again, format!("{one}{one}"));
}

#[test]
fn files_that_cannot_run_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let source = fixture("notus-mini");
    let big = dir.path().join("big.gguf");
    ok([
        "convert",
        arg(&source),
        "--type",
        "f16",
        "--gguf-version",
        "3",
        "--endian",
        "big",
        "-o",
        arg(&big),
    ]);
    let message = fails(["run", arg(&big), "-p", "x"]);
    assert!(
        message.contains("big-endian") && message.contains("convert"),
        "{message}"
    );
    let mute = dir.path().join("mute.gguf");
    ok([
        "quantize",
        arg(&source),
        "--type",
        "q4_0",
        "--no-tokenizer",
        "-o",
        arg(&mute),
    ]);
    let message = fails(["run", arg(&mute), "-p", "x"]);
    assert!(
        message.contains("mute.gguf") && message.contains("tokenizer"),
        "{message}"
    );
    let message = fails([
        "logits",
        arg(&mute),
        "--ids",
        "1,4096",
        "--out",
        "/nowhere/x",
    ]);
    assert!(message.contains("4096"), "{message}");
}
