//! Real clients open what we write. Runs where `AEOLUS_INTEROP` names a Python environment made
//! by `tests/interop/venv.sh`; see `tests/interop/README.md`.

use crate::support::{arg, fixture, ok};
use aeolus_gguf::GgufFile;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a client script on a file and reads its one line of JSON.
fn client(venv: &Path, script: &str, file: &Path) -> serde_json::Value {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop");
    let run = Command::new(venv.join("bin/python"))
        .arg(scripts.join(script))
        .arg(file)
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
    let Some(venv) = std::env::var_os("AEOLUS_INTEROP").map(PathBuf::from) else {
        println!("not run: AEOLUS_INTEROP names no Python environment");
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

    let listed = client(&venv, "client_gguf.py", &path);
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
        let answer = client(&venv, script, &path);
        let text = answer["text"].as_str().unwrap();
        assert!(!text.trim().is_empty(), "{script}: {answer}");
        println!("{script}: {text:?}");
    }
}
