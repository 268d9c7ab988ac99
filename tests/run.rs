//! Running models from the command line: the original framework's texts, logits and tokens.

use crate::support::{aeolus, arg, command, fails, fixture, json_fixture, ok};
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

#[test]
fn every_type_of_the_table_runs_in_both_modes() {
    let dir = tempfile::tempdir().unwrap();
    let source = fixture("notus-mini");
    ok(["table", arg(&source), "-o", arg(dir.path())]);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
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
