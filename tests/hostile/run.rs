//! A case, and what has to happen when the program meets it.

use crate::{checkpoint, gguf, imatrix_cases};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wait4::Wait4;

/// What a refusal may take beside the size of the files.
const MAX_BYTES: u64 = 100_000_000;
/// A run that is still at work then hangs, and is ended.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// Commands of the program, as bits.
pub const INSPECT: u8 = 1;
pub const RUN: u8 = 2;
pub const QUANTIZE: u8 = 4;
pub const PERPLEXITY: u8 = 8;
pub const CHAT: u8 = 16;
/// A good model is quantized, and the file is the importance matrix.
pub const GUIDE: u8 = 32;
/// All that read a GGUF file's header.
pub const ALL: u8 = INSPECT | RUN | QUANTIZE | PERPLEXITY;
/// Those that need a whole model.
pub const MODEL: u8 = RUN | QUANTIZE | PERPLEXITY;
/// Those that compute.
pub const COMPUTE: u8 = RUN | PERPLEXITY;

const COMMANDS: [(u8, &str); 6] = [
    (INSPECT, "inspect"),
    (RUN, "run"),
    (QUANTIZE, "quantize"),
    (PERPLEXITY, "perplexity"),
    (CHAT, "chat"),
    (GUIDE, "guide"),
];

/// What is put into the folder that a case begins with.
pub enum Content {
    Bytes(Vec<u8>),
    /// Many bytes, made when they are needed.
    Made(fn() -> Vec<u8>),
    /// A file of this length: these bytes at these places, and zeros that take no disk.
    Sparse(u64, Vec<(u64, Vec<u8>)>),
    Folder,
    /// A pipe that nobody writes to.
    Pipe,
    /// No such file.
    Gone,
}

/// Files that mean harm.
pub struct Case {
    pub name: String,
    /// By name; the first is what commands are given, or for a folder, what replaces or joins
    /// the files of a good checkpoint.
    pub files: Vec<(&'static str, Content)>,
    /// The commands are given the folder.
    pub is_folder: bool,
    /// Commands that have to refuse it. The others may: they must end well or be refused.
    pub refused_by: u8,
    /// What each refusal says.
    pub words: Vec<String>,
}

/// One GGUF file.
pub fn file(name: impl Into<String>, bytes: Vec<u8>, refused_by: u8, words: &[&str]) -> Case {
    files(
        name,
        vec![("bad.gguf", Content::Bytes(bytes))],
        refused_by,
        words,
    )
}

/// Several files, of which the first is given to the commands.
pub fn files(
    name: impl Into<String>,
    files: Vec<(&'static str, Content)>,
    refused_by: u8,
    words: &[&str],
) -> Case {
    Case {
        name: name.into(),
        files,
        is_folder: false,
        refused_by,
        words: words.iter().map(|&word| word.to_owned()).collect(),
    }
}

/// A good checkpoint with one file replaced or added.
pub fn folder(
    name: impl Into<String>,
    file: &'static str,
    content: Content,
    words: &[&str],
) -> Case {
    Case {
        is_folder: true,
        ..files(name, vec![(file, content)], QUANTIZE | PERPLEXITY, words)
    }
}

impl Case {
    /// The same with another file.
    pub fn with(mut self, file: &'static str, content: Content) -> Self {
        self.files.push((file, content));
        self
    }

    /// Makes the files; gives what the commands are to read.
    fn write(&self, dir: &Path) -> PathBuf {
        let base = dir.join("model");
        std::fs::create_dir(&base).unwrap();
        if self.is_folder {
            for (name, bytes) in checkpoint::good() {
                std::fs::write(base.join(name), bytes).unwrap();
            }
        }
        for (name, content) in &self.files {
            let path = base.join(name);
            if self.is_folder {
                let _ = std::fs::remove_file(&path);
            }
            match content {
                Content::Bytes(bytes) => std::fs::write(path, bytes).unwrap(),
                Content::Made(make) => std::fs::write(path, make()).unwrap(),
                Content::Sparse(len, parts) => {
                    let mut file = File::create(path).unwrap();
                    file.set_len(*len).unwrap();
                    for (at, bytes) in parts {
                        file.seek(SeekFrom::Start(*at)).unwrap();
                        file.write_all(bytes).unwrap();
                    }
                }
                Content::Folder => std::fs::create_dir(path).unwrap(),
                Content::Pipe => {
                    let made = Command::new("mkfifo").arg(path).status().unwrap();
                    assert!(made.success(), "mkfifo: {made}");
                }
                Content::Gone => {}
            }
        }
        if self.is_folder {
            base
        } else {
            base.join(self.files[0].0)
        }
    }

    /// Which commands meet the case at all.
    fn commands(&self) -> u8 {
        if self.is_folder || self.refused_by == GUIDE {
            self.refused_by
        } else {
            ALL | self.refused_by
        }
    }
}

/// How one run ended.
struct Ran {
    /// `None` if a signal ended it.
    code: Option<i32>,
    stdout: String,
    message: String,
    /// Peak of resident memory.
    bytes: u64,
    seconds: f64,
}

/// What the [`supervise`]d process is told, and what it answers.
const TASK: &str = "AEOLUS_HOSTILE_TASK";

/// Runs a command on files, with the kernel's own limits behind it.
fn run(command: &str, model: &Path, dir: &Path) -> Ran {
    let text = dir.join("text");
    std::fs::write(&text, "a b c d e f g h ".repeat(8)).unwrap();
    std::fs::write(dir.join("said"), "hello\n").unwrap();
    let text = text.to_str().unwrap();
    let (model, quants) = (model.to_str().unwrap(), dir.join("out"));
    let quants = quants.to_str().unwrap();
    let good = dir.join("good.gguf");
    if command == "guide" {
        std::fs::write(&good, gguf::good().bytes()).unwrap();
    }
    let good = good.to_str().unwrap();
    let to_quantize = ["--type", "Q4_0", "-o", quants];
    let args: Vec<&str> = match command {
        "guide" => [&[good, "--imatrix", model], &to_quantize[..]].concat(),
        "inspect" => vec![model, "--json"],
        "run" => vec![model, "-p", "a b", "-n", "2", "--temp", "0"],
        "quantize" => [&[model], &to_quantize[..]].concat(),
        "perplexity" => vec![model, "-f", text, "-c", "16", "--chunks", "1", "--quiet"],
        "chat" => vec![model, "-n", "2", "--temp", "0"],
        other => panic!("no command {other}"),
    };
    let command = match command {
        "guide" => "quantize",
        command => command,
    };
    let task = json!({ "folder": dir, "command": command, "args": args });
    let supervised = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "supervise", "--ignored"])
        .env(TASK, task.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(supervised.success(), "{supervised}");
    let read = |name| String::from_utf8_lossy(&std::fs::read(dir.join(name)).unwrap()).into_owned();
    let ended: Value = serde_json::from_str(&read("ended")).unwrap();
    Ran {
        code: ended["code"].as_i64().map(|code| code as i32),
        stdout: read("stdout"),
        message: read("stderr"),
        bytes: ended["bytes"].as_u64().unwrap(),
        seconds: ended["seconds"].as_f64().unwrap(),
    }
}

/// Runs one command and writes down what it took; in a process that has nothing else to do,
/// because a child's peak of memory begins with that of its parent.
pub fn supervise() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let task: Value = serde_json::from_str(&task).unwrap();
    let dir = Path::new(task["folder"].as_str().unwrap());
    let command = task["command"].as_str().unwrap();
    let args = task["args"].as_array().unwrap();
    // A bomb must not hurt the machine: more than this ends a run by a signal.
    let script = r#"ulimit -t 60 && ulimit -d 2000000 && exec "$@""#;
    let mut shell = Command::new("sh");
    shell
        .env_remove("AEOLUS_CPU")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_aeolus"), command])
        .args(args.iter().filter_map(Value::as_str))
        .stdin(File::open(dir.join("said")).unwrap())
        .stdout(File::create(dir.join("stdout")).unwrap())
        .stderr(File::create(dir.join("stderr")).unwrap());
    let started = Instant::now();
    let mut child = shell.spawn().unwrap();
    let (done, is_done) = mpsc::channel::<()>();
    let id = child.id().to_string();
    let watch = std::thread::spawn(move || {
        if is_done.recv_timeout(HANGS_AFTER) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &id]).status();
        }
    });
    let usage = child.wait4().unwrap();
    let ended = json!({
        "code": usage.status.code(),
        "bytes": usage.rusage.maxrss,
        "seconds": started.elapsed().as_secs_f64(),
    });
    drop(done);
    watch.join().unwrap();
    std::fs::write(dir.join("ended"), ended.to_string()).unwrap();
}

/// Bytes of what a case is made of.
fn file_bytes(path: &Path) -> u64 {
    let meta = std::fs::symlink_metadata(path).unwrap();
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .map(|entry| file_bytes(&entry.unwrap().path()))
        .sum()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// What is wrong with how a run ended, if anything is.
fn fault(case: &Case, command: (u8, &str), ran: &Ran, file_bytes: u64) -> Option<String> {
    let message = &ran.message;
    if ran.bytes > MAX_BYTES + file_bytes {
        return Some(format!(
            "took {} bytes for {file_bytes} of files",
            ran.bytes
        ));
    }
    if ran.code != Some(2) {
        let ended_well = case.refused_by & command.0 == 0 && ran.code == Some(0);
        return (!ended_well).then(|| format!("ended with {:?}: {message}", ran.code));
    }
    if message.contains("panicked") {
        return Some(message.clone());
    }
    if case.refused_by & command.0 == 0 {
        return None;
    }
    // What a command says of itself comes before, in lines of its own.
    let error: Vec<&str> = message
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    let [error] = error[..] else {
        return Some(format!("no one paragraph: {message}"));
    };
    if command.0 != CHAT && !ran.stdout.is_empty() {
        return Some(format!("wrote to stdout: {}", ran.stdout));
    }
    if error.len() > 2000 {
        return Some(format!("a message of {} bytes", error.len()));
    }
    if error.chars().any(char::is_control) {
        return Some(format!("control characters: {error:?}"));
    }
    let missing = case
        .words
        .iter()
        .find(|word| !error.contains(word.as_str()));
    missing.map(|word| format!("{word:?} is not in: {error}"))
}

/// Runs every case by every command it concerns; tells all that went wrong, not the first alone.
pub fn check(group: &str, cases: Vec<Case>) {
    let (mut faults, mut runs, mut peak, mut slowest) = (Vec::new(), 0, 0, 0.0_f64);
    let count = cases.len();
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let model = case.write(dir.path());
        let bytes = file_bytes(&dir.path().join("model"));
        for command in COMMANDS {
            if case.commands() & command.0 == 0 {
                continue;
            }
            std::fs::create_dir(&out).unwrap();
            let ran = run(command.1, &model, dir.path());
            runs += 1;
            peak = peak.max(ran.bytes.saturating_sub(bytes));
            slowest = slowest.max(ran.seconds);
            if ran.seconds > 2.0 {
                println!("{} by {}: {:.1} s", case.name, command.1, ran.seconds);
            }
            let mut fault = fault(&case, command, &ran, bytes);
            if fault.is_none() && ran.code == Some(2) && !is_empty(&out) {
                fault = Some("left something in the output folder".into());
            }
            std::fs::remove_dir_all(&out).unwrap();
            if let Some(fault) = fault {
                faults.push(format!("{} by {}: {fault}", case.name, command.1));
            }
        }
    }
    println!(
        "{group}: {count} cases, {runs} runs, slowest {slowest:.2} s, peak {:.1} MB beside the file",
        peak as f64 / 1e6
    );
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// The files that cases are spoilt from are good ones.
pub fn accepted() {
    let good = |model: &Path, dir: &Path, commands: u8| {
        for command in COMMANDS {
            if commands & command.0 != 0 {
                let ran = run(command.1, model, dir);
                assert_eq!(ran.code, Some(0), "{}: {}", command.1, ran.message);
            }
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("good.gguf");
    std::fs::write(&path, gguf::good().bytes()).unwrap();
    good(&path, dir.path(), ALL | CHAT);
    for bytes in [imatrix_cases::old(), imatrix_cases::new().bytes()] {
        let path = dir.path().join("good.imatrix");
        std::fs::write(&path, bytes).unwrap();
        std::fs::remove_dir_all(dir.path().join("out")).unwrap();
        good(&path, dir.path(), GUIDE);
    }
    let case = Case {
        name: "good".into(),
        files: Vec::new(),
        is_folder: true,
        refused_by: 0,
        words: Vec::new(),
    };
    let dir = tempfile::tempdir().unwrap();
    let model = case.write(dir.path());
    good(&model, dir.path(), QUANTIZE | PERPLEXITY);
}
