//! Runs the real binary and reads what it wrote.

use aeolus_gguf::GgufFile;
use aeolus_infer::{CacheType, Model, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A file of the `fixtures` folder.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(path)
}

/// A JSON fixture.
pub fn json_fixture(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(path)).unwrap()).unwrap()
}

/// The binary, ready for arguments, away from the user's settings.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aeolus"));
    command.env_remove("AEOLUS_CPU");
    command
}

/// Starts with arguments. Both outputs are pipes, for `wait_with_output`.
pub fn started<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Child {
    command()
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs with arguments and a text on stdin.
pub fn piped<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>, input: &str) -> Output {
    let mut child = command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments reads nothing.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs with arguments.
pub fn aeolus<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    command().args(args).output().unwrap()
}

/// The binary under the kernel's own limits, set by `sh`: seconds of processor time, user and
/// system together, and megabytes of memory of its own (heap and stacks; a mapped file does not
/// count). A run that takes more dies of a signal and has no exit code. Only Linux counts
/// memory.
pub fn capped(cpu_seconds: u32, megabytes: u64) -> Command {
    let mut command = Command::new("sh");
    let script = r#"ulimit -t "$1" && ulimit -d "$2" && shift 2 && exec "$@""#;
    command
        .env_remove("AEOLUS_CPU")
        .args(["-c", script, "sh", &cpu_seconds.to_string()])
        .arg((megabytes * 1000).to_string())
        .arg(env!("CARGO_BIN_EXE_aeolus"));
    command
}

/// Runs, expects success, gives stdout.
pub fn ok<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = aeolus(args);
    assert!(
        output.status.success(),
        "{:?}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs, expects an error (exit code 2, one paragraph on stderr, nothing on stdout), gives the
/// message.
pub fn fails<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    refusal(aeolus(args))
}

/// The message of a run that [`fails`] expects.
pub fn refusal(output: Output) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}: {message}",
        output.status
    );
    assert!(
        output.stdout.is_empty(),
        "{:?}",
        String::from_utf8_lossy(&output.stdout)
    );
    message
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Copies a folder of plain files.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Compares a file's tensors with golden ones: the same names, and of each the same facts, which are
/// those that the reference gave.
pub fn assert_tensors(path: &Path, golden: &Value, facts: &[&str]) {
    let golden = golden.as_object().unwrap();
    let file = GgufFile::open(path).unwrap();
    // Each reference tool has an order of its own; ours is the source's.
    let names: BTreeSet<&str> = file.tensors().iter().map(|t| t.name.as_str()).collect();
    let expected: BTreeSet<&str> = golden.keys().map(String::as_str).collect();
    assert_eq!(names, expected, "{}", path.display());
    let mut wrong = Vec::new();
    for tensor in file.tensors() {
        let want = &golden[&tensor.name];
        let mut found = json!({
            "type": tensor.ty.name(),
            "shape": tensor.shape.dims(),
            "bytes": tensor.bytes(),
            "sha256": sha256(file.tensor_bytes(tensor)),
        });
        let all = found.as_object_mut().unwrap();
        all.retain(|fact, _| facts.contains(&fact.as_str()));
        if found != *want {
            wrong.push(format!("{}: {found}, expected {want}", tensor.name));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", path.display(), wrong.join("\n"));
}

/// The tokens that a model continues a prompt with, in a context that has room for them, but is none
/// that only long ones have.
pub fn greedy(runtime: &Runtime, model: &Model, prompt: &[u32], tokens: usize) -> Vec<u32> {
    let mut next = prompt.to_vec();
    let mut cache = model.cache(256, CacheType::F32).unwrap();
    let mut found: Vec<u32> = Vec::new();
    while found.len() < tokens {
        let last = next.len() - 1;
        let logits = runtime.forward(model, &next, &mut cache, last..last + 1);
        let logits = logits.unwrap();
        let row = logits.row(0);
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        next = vec![best.unwrap() as u32];
        found.extend(&next);
    }
    found
}

/// Digest as lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Names in a folder, sorted, without those of plans, which are beside all that is quantized.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".plan.toml"))
        .collect();
    names.sort();
    names
}

/// Takes all the room of a small file system, as somebody else would, until the file that is named is
/// removed.
pub fn fill(disk: &Path) -> PathBuf {
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let zeros = vec![0; 1 << 20];
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    filler
}
