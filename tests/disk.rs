//! Saved states and kept bases. On disks that fill up or cannot be written, as `resume` has it for
//! files: what was finished is gone on from, to the same figures. And what is no regular file, or has
//! too long a description, is refused.

use crate::resume::Mount;
use crate::support::{aeolus, arg, command, fill, fixture, names, ok, refusal};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Two files to be measured, and the text.
struct Scene {
    folder: tempfile::TempDir,
    q8: PathBuf,
    q4: PathBuf,
    text: PathBuf,
    /// Windows that are scored.
    chunks: &'static str,
}

impl Scene {
    /// Enough windows for some to be left when a disk is full.
    fn new() -> Self {
        Self::of("24")
    }

    fn of(chunks: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (fixture("notus-mini"), arg(folder.path()));
        ok([
            "quantize",
            arg(&model),
            "--type",
            "Q8_0,Q4_0",
            "-o",
            out,
            "-q",
        ]);
        let file = |ty: &str| folder.path().join(format!("notus-mini.{ty}.gguf"));
        Self {
            q8: file("Q8_0"),
            q4: file("Q4_0"),
            text: fixture("text/heldout.txt"),
            chunks,
            folder,
        }
    }

    /// `compare BASE Q4_0` with more arguments.
    fn compare<'a>(&'a self, base: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let args = ["compare", arg(base), arg(&self.q4)];
        [&args[..], &self.cut(), more].concat()
    }

    fn perplexity<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let args = ["perplexity", arg(&self.q4)];
        [&args[..], &self.cut(), more].concat()
    }

    fn cut(&self) -> [&str; 8] {
        let (text, chunks) = (arg(&self.text), self.chunks);
        ["-f", text, "-c", "128", "--chunks", chunks, "--json", "-q"]
    }
}

/// The figures of a run.
fn figures(text: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(text).unwrap();
    for unstable in ["seconds", "base"] {
        value.as_object_mut().unwrap().remove(unstable);
    }
    value
}

/// Runs while no file can have more than so many KiB.
fn limited(kib: u64, args: &[&str]) -> Output {
    Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\""])
        .args(["bash", &kib.to_string(), env!("CARGO_BIN_EXE_aeolus")])
        .args(args)
        .env_remove("AEOLUS_CPU")
        .output()
        .unwrap()
}

/// At each of these sizes, in KiB, a file cannot grow any more; then the same command goes on.
fn check_limits(args: &[&str], sizes: &[u64], folder: &Path, name: &str) {
    let clear = || {
        for name in names(folder) {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
    };
    clear();
    let undisturbed = figures(ok(args).as_bytes());
    for kib in sizes {
        clear();
        let message = refusal(limited(*kib, args));
        let known = message.contains("File too large") && message.contains(name);
        assert!(known, "{kib} KiB: {message}");
        assert!(!folder.join("base").exists(), "a base that is not whole");
        let kept: u64 = names(folder)
            .iter()
            .map(|name| folder.join(name).metadata().unwrap().len())
            .sum();
        assert!(kept > 1000 * (kib - 1), "{kib} KiB: {kept} bytes are kept");
        assert!(figures(ok(args).as_bytes()) == undisturbed, "{kib} KiB");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn states_and_bases_that_cannot_grow_are_gone_on_from() {
    let scene = Scene::new();
    let kept = scene.folder.path().join("q8.base");
    ok(scene.compare(&scene.q8, &["--save-base", arg(&kept)]));
    let dir = tempfile::tempdir().unwrap();
    let (state, base) = (dir.path().join("state"), dir.path().join("base"));
    // A record of a comparison has some 400 bytes, one of a perplexity 52.
    let args = scene.compare(&kept, &["--state", arg(&state)]);
    check_limits(&args, &[1, 2, 3, 5, 7], dir.path(), "state: cannot write");
    let args = scene.perplexity(&["--state", arg(&state)]);
    check_limits(&args, &[1], dir.path(), "state: cannot write");
    for format in ["aeolus", "llama.cpp"] {
        let save = ["--save-base", arg(&base), "--base-format", format];
        let args = scene.compare(&scene.q8, &save);
        check_limits(&args, &[1000, 3000], dir.path(), "base.partial: cannot");
    }
}

#[test]
fn a_real_disk_that_fills_up_under_a_base_is_told_of_and_gone_on_from() {
    let Some(disk) = Mount::new("size=64m") else {
        return;
    };
    let scene = Scene::new();
    let undisturbed = figures(ok(scene.compare(&scene.q8, &[])).as_bytes());
    let (base, state) = (disk.path().join("base"), disk.path().join("state"));
    let args = scene.compare(
        &scene.q8,
        &["--save-base", arg(&base), "--state", arg(&state)],
    );
    let mut filled = 0;
    for delay in [0, 150, 600, 1500] {
        let mut slow = command();
        slow.args(&args).args(["-t", "1"]).stdout(Stdio::piped());
        let mut child = slow.stderr(Stdio::piped()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && !base.with_extension("partial").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(delay));
        let filler = fill(disk.path());
        let run = child.wait_with_output().unwrap();
        std::fs::remove_file(&filler).unwrap();
        if run.status.code() == Some(2) {
            filled += 1;
            let message = refusal(run);
            let known = ["No space left on device", "are free"];
            assert!(known.iter().any(|text| message.contains(text)), "{message}");
        } else {
            assert!(run.status.success(), "{run:?}");
        }
        assert!(figures(ok(&args).as_bytes()) == undisturbed);
        let left = names(disk.path());
        assert_eq!(left, ["base", "state"], "nothing else is left");
        for name in left {
            std::fs::remove_file(disk.path().join(name)).unwrap();
        }
    }
    println!("{filled} of 4 runs met the full disk");
    assert!(filled > 0);
}

#[test]
fn states_and_bases_in_a_folder_that_cannot_be_written_are_named() {
    let Some(disk) = Mount::new("size=1m,ro") else {
        return;
    };
    let scene = Scene::of("2");
    let (state, base) = (disk.path().join("state"), disk.path().join("base"));
    for args in [
        scene.perplexity(&["--state", arg(&state)]),
        scene.compare(&scene.q8, &["--state", arg(&state)]),
        scene.compare(&scene.q8, &["--save-base", arg(&base)]),
    ] {
        let message = refusal(aeolus(args));
        assert!(message.contains("Read-only file system"), "{message}");
        assert!(message.contains(arg(disk.path())), "{message}");
    }
}

#[test]
fn descriptions_of_bases_end_somewhere() {
    const MOST: usize = 64 << 10;
    let scene = Scene::of("2");
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    ok(scene.compare(&scene.q8, &["--save-base", arg(&base)]));
    let args = scene.compare(&base, &[]);
    let bytes = std::fs::read(&base).unwrap();
    let (head, rest) = bytes.split_at(12);
    let length = u32::from_le_bytes(head[8..].try_into().unwrap()) as usize;
    let (description, rest) = rest.split_at(length);
    // Blanks mean nothing in it.
    let padded = |to: usize| {
        let blanks = vec![b' '; to - length];
        let head = [&head[..8], &(to as u32).to_le_bytes()].concat();
        [&head, description, &blanks, rest].concat()
    };
    std::fs::write(&base, padded(MOST)).unwrap();
    ok(&args);
    std::fs::write(&base, padded(MOST + 1)).unwrap();
    let message = refusal(aeolus(&args));
    let cause = message.contains("its description has 65537 bytes");
    assert!(cause && message.contains(arg(&base)), "{message}");
}

#[test]
fn states_of_other_runs_and_other_files_are_refused_and_stay() {
    let scene = Scene::of("2");
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let args = scene.perplexity(&["--state", arg(&state)]);
    ok(&args);
    let own = std::fs::read_to_string(&state).unwrap();
    let with =
        |bytes: usize| own.replacen("\n\n", &format!("\nmore: {}\n\n", "x".repeat(bytes)), 1);
    for (text, why) in [
        (with(3), "its more is xxx, this run's is unknown"),
        (
            with(1 << 20),
            "its head is longer than any that this program writes",
        ),
        (
            own.replacen("n_ctx: 128\n", "n_ctx: 64\n", 1),
            "its n_ctx is 64, this run's is 128",
        ),
        (
            "AEOLEVA1 and what follows".into(),
            "this program did not write it",
        ),
        (
            own.replacen("log 1", "journal 1", 1),
            "another version of this program",
        ),
    ] {
        std::fs::write(&state, &text).unwrap();
        let message = refusal(aeolus(&args));
        assert!(
            message.contains(why) && message.contains(arg(&state)),
            "{message}"
        );
        assert!(std::fs::read_to_string(&state).unwrap() == text, "{why}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_no_state() {
    let scene = Scene::of("2");
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    // Reading the one would never begin, reading the other never end.
    for path in [&pipe, Path::new("/dev/zero"), dir.path()] {
        let state = ["--state", arg(path)];
        for args in [scene.perplexity(&state), scene.compare(&scene.q8, &state)] {
            let message = refusal(aeolus(args));
            let cause = format!("{}: is not a regular file", arg(path));
            assert!(message.contains(&cause), "{message}");
        }
    }
}
