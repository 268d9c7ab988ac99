//! Interruptions and refusing systems: nothing half-made under a final name, nothing lost.

use crate::support::{arg, command, fails, fixture, names, ok};
#[cfg(unix)]
use std::process::{Child, Output};
#[cfg(unix)]
use std::time::{Duration, Instant};

/// The end of a run that was told to end; one that does not obey is killed, and fails the test.
#[cfg(unix)]
fn unless_it_hangs(mut child: Child) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("the run did not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn existing_outputs_are_kept_without_force() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let path = out.path().join("notus-mini.Q4_0.gguf");
    std::fs::write(&path, b"precious").unwrap();
    let message = fails([
        "quantize",
        arg(&model),
        "--type",
        "Q4_0,Q8_0",
        "-o",
        arg(out.path()),
    ]);
    assert!(
        message.contains("--force") && message.contains("notus-mini.Q4_0.gguf"),
        "{message}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(
        names(out.path()),
        ["notus-mini.Q4_0.gguf"],
        "nothing else was begun"
    );
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q4_0",
        "-o",
        arg(out.path()),
        "--force",
    ]);
    assert_ne!(std::fs::read(&path).unwrap(), b"precious");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_recorded_and_exits_130() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    // Signals sent before the handler exists or after the end prove nothing: try moments until
    // one falls into the run.
    let mut interrupted = 0;
    for delay in (0..60).map(|i| Duration::from_millis(5 * i)) {
        let child = command()
            .env("AEOLUS_CPU", "scalar")
            .args([
                "table",
                arg(&model),
                "-o",
                arg(out.path()),
                "--force",
                "-t",
                "1",
            ])
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(delay);
        let started = out.path().join("notus-mini.Q2_K.gguf.partial").exists();
        std::process::Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        let run = unless_it_hangs(child);
        if started && run.status.code() == Some(130) {
            interrupted += 1;
            let message = String::from_utf8_lossy(&run.stderr).into_owned();
            let left = names(out.path());
            assert!(left.iter().all(|n| n.contains(".partial")), "{left:?}");
            assert_eq!(message.contains("are kept"), !left.is_empty(), "{message}");
            ok(["table", arg(&model), "-o", arg(out.path())]);
            let left = names(out.path());
            assert!(left.iter().all(|n| !n.contains(".partial")), "{left:?}");
            break;
        }
        for name in names(out.path()) {
            std::fs::remove_file(out.path().join(name)).unwrap();
        }
    }
    assert_eq!(interrupted, 1, "no signal fell into a run");
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_that_fails_leaves_nothing() {
    // A limit on file sizes makes writes fail where no small disk can be mounted.
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let run = std::process::Command::new("bash")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_aeolus"),
            "quantize",
            arg(&model),
            "--type",
            "Q8_0",
            "-o",
            arg(out.path()),
        ])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{message}");
    assert!(message.contains("notus-mini.Q8_0.gguf"), "{message}");
    assert!(names(out.path()).is_empty(), "{:?}", names(out.path()));
}

#[cfg(unix)]
#[test]
fn too_little_room_is_refused_before_work_with_the_numbers() {
    use aeolus_gguf::{HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType};
    // A model of many times the room that is free, without its bytes: a sparse file.
    let dir = tempfile::tempdir().unwrap();
    let free = aeolus_source::available_bytes(dir.path()).unwrap();
    let (hidden, ff) = (65_536u64, 1u64 << 20);
    let layers = (4 * free / (hidden * ff * 2 * 3) + 1) as u32;
    let mut tensors = Vec::new();
    let mut add = |name: String, dims: &[u64]| {
        let ty = if dims.len() == 1 {
            TensorType::F32
        } else {
            TensorType::F16
        };
        let shape = Shape::from_gguf(dims).unwrap();
        tensors.push(TensorSpec { name, shape, ty });
    };
    add("token_embd.weight".into(), &[hidden, 32]);
    add("output_norm.weight".into(), &[hidden]);
    add("output.weight".into(), &[hidden, 32]);
    for i in 0..layers {
        for (name, dims) in [
            ("attn_norm", &[hidden][..]),
            ("ffn_norm", &[hidden]),
            ("attn_q", &[hidden, hidden]),
            ("attn_k", &[hidden, hidden]),
            ("attn_v", &[hidden, hidden]),
            ("attn_output", &[hidden, hidden]),
            ("ffn_gate", &[hidden, ff]),
            ("ffn_up", &[hidden, ff]),
            ("ffn_down", &[ff, hidden]),
        ] {
            add(format!("blk.{i}.{name}.weight"), dims);
        }
    }
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.name", "vast");
    for (key, value) in [
        ("block_count", layers),
        ("context_length", 32),
        ("embedding_length", hidden as u32),
        ("feed_forward_length", ff as u32),
        ("attention.head_count", 512),
        ("vocab_size", 32),
    ] {
        metadata.insert(format!("llama.{key}"), value);
    }
    metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: aeolus_gguf::Endian::Little,
        metadata,
        tensors,
    })
    .unwrap();
    let source = dir.path().join("vast.gguf");
    std::fs::write(&source, layout.encode_header()).unwrap();
    let file = std::fs::File::options().write(true).open(&source).unwrap();
    file.set_len(layout.file_bytes()).unwrap();

    let out = dir.path().join("out");
    let message = fails([
        "quantize",
        arg(&source),
        "--no-tokenizer",
        "--type",
        "Q8_0",
        "-o",
        arg(&out),
    ]);
    assert!(
        message.contains("need") && message.contains("are free"),
        "{message}"
    );
    assert!(!out.exists(), "a refused run makes no folder");
}

#[test]
fn two_runs_on_one_output_do_not_mix() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let start = || {
        command()
            .args(["table", arg(&model), "-o", arg(out.path()), "--force", "-q"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let runs: Vec<_> = (0..4).map(|_| start()).collect();
    let mut whole = 0;
    for run in runs {
        let run = run.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&run.stderr).into_owned();
        match run.status.code() {
            Some(0) => whole += 1,
            _ => assert!(message.contains("another run"), "{message}"),
        }
    }
    assert!(whole >= 1);
    let alone = tempfile::tempdir().unwrap();
    ok(["table", arg(&model), "-o", arg(alone.path())]);
    assert_eq!(names(out.path()), names(alone.path()));
    for name in names(alone.path()) {
        let a = std::fs::read(alone.path().join(&name)).unwrap();
        assert!(
            a == std::fs::read(out.path().join(&name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_source_named_like_the_partial_file_survives() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let source = dir.path().join("w.gguf.partial");
    ok([
        "convert",
        arg(&model),
        "--type",
        "f16",
        "-o",
        arg(&dir.path().join("f16.gguf")),
    ]);
    std::fs::rename(dir.path().join("f16.gguf"), &source).unwrap();
    let before = std::fs::read(&source).unwrap();
    let out = dir.path().join("w.gguf");
    let message = fails(["quantize", arg(&source), "--type", "Q4_0", "-o", arg(&out)]);
    assert!(message.contains("source"), "{message}");
    assert!(std::fs::read(&source).unwrap() == before);
}

#[cfg(unix)]
#[test]
fn a_closed_stderr_changes_nothing() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let mut child = command()
        .args([
            "quantize",
            arg(&model),
            "--type",
            "Q4_0",
            "-o",
            arg(out.path()),
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(names(out.path()), ["SHA256SUMS", "notus-mini.Q4_0.gguf"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let model = fixture("notus-mini");
    let target = file.join("sub");
    let message = fails([
        "quantize",
        arg(&model),
        "--type",
        "Q8_0",
        "-o",
        arg(&target),
    ]);
    assert!(
        message.contains("/file: is a file, a folder was expected"),
        "{message}"
    );
}
