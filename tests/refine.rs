//! `--refine` and `--norms`: interruptions, and what is refused.

use crate::support::{arg, command, fails, fixture};
use safetensors::{SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The bundled model's first two layers, with windows of 32 tokens.
fn model(folder: &Path) -> PathBuf {
    let (from, to) = (fixture("notus-mini"), folder.join("small"));
    std::fs::create_dir(&to).unwrap();
    for name in [
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let config = std::fs::read(from.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["num_hidden_layers"] = 2.into();
    config["max_position_embeddings"] = 32.into();
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let files = [1, 2].map(|part| {
        std::fs::read(from.join(format!("model-0000{part}-of-00002.safetensors"))).unwrap()
    });
    let parts = [&files[0], &files[1]].map(|file| SafeTensors::deserialize(file).unwrap());
    let is_there = |name: &str| {
        let layer = name.strip_prefix("model.layers.");
        layer.is_none_or(|rest| rest.starts_with("0.") || rest.starts_with("1."))
    };
    let tensors: BTreeMap<String, TensorView<'_>> = parts
        .iter()
        .flat_map(|part| part.tensors())
        .filter(|(name, _)| is_there(name))
        .collect();
    let file = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(to.join("model.safetensors"), file).unwrap();
    to
}

/// A text of about twelve windows.
fn text(folder: &Path) -> PathBuf {
    let whole = std::fs::read_to_string(fixture("text/heldout.txt")).unwrap();
    let path = folder.join("calibration.txt");
    std::fs::write(
        &path,
        whole.chars().skip(20_000).take(1_000).collect::<String>(),
    )
    .unwrap();
    path
}

/// What takes most of the time in so small a model, and is tested beside the library, stays as it is.
const PLAIN: [&str; 4] = ["--output-type", "F16", "--embedding-type", "F16"];

/// `quantize` to Q3_K_M with these flags.
fn quantize(model: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = command();
    command.args([
        "quantize",
        arg(model),
        "--type",
        "Q3_K_M",
        "-o",
        arg(out),
        "-q",
    ]);
    command.args(PLAIN).args(more);
    command
}

/// The bytes of what a command makes, which has to succeed.
fn made(mut command: Command, out: &Path) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let left: Vec<_> = crate::support::names(out.parent().unwrap());
    assert!(
        left.iter()
            .all(|name| !name.contains("refined") && !name.contains(".norms")),
        "{left:?}"
    );
    std::fs::read(out).unwrap()
}

#[test]
fn a_run_that_is_killed_after_any_layer_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (model, text) = (model(folder.path()), text(folder.path()));
    let flags = ["--refine=3", "--norms", "--calibrate", arg(&text)];
    let whole = {
        let out = folder.path().join("whole");
        std::fs::create_dir(&out).unwrap();
        let path = out.join("made.gguf");
        made(quantize(&model, &path, &flags), &path)
    };
    let out = folder.path().join("killed");
    std::fs::create_dir(&out).unwrap();
    let path = out.join("made.gguf");
    let journal = out.join("small.refined.partial.journal");
    let known = || {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        text.lines()
            .filter(|line| line.contains(".weight "))
            .count()
    };
    let mut kills = 0;
    // After the first matrix, one layer, the first of the other layer, and both.
    for records in [1, 7, 8, 14] {
        let mut child = quantize(&model, &path, &flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while known() < records && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!path.exists());
        assert!(known() >= records, "{records}");
    }
    assert_eq!(kills, 4);
    assert!(made(quantize(&model, &path, &flags), &path) == whole);
}

#[test]
fn what_has_no_backward_pass_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let text = text(folder.path());
    let model = fixture("families/models/tiny");
    let model = std::fs::read_dir(model)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mixture = model
        .filter(|path| path.to_string_lossy().contains("granitemoe"))
        .min()
        .unwrap();
    let out = folder.path().join("out");
    for flags in [&["--refine=3"][..], &["--refine", "--norms"]] {
        let said = fails(
            [
                &[
                    "quantize",
                    arg(&mixture),
                    "--no-tokenizer",
                    "--type",
                    "Q8_0",
                    "-o",
                    arg(&out),
                    "--calibrate",
                    arg(&text),
                ],
                flags,
            ]
            .concat(),
        );
        assert!(said.contains("no backward pass for"), "{said}");
        assert!(
            said.contains("--norms") || said.contains("--refine=3"),
            "{said}"
        );
        assert!(!out.exists());
    }
    let said = fails([
        "quantize",
        arg(&mixture),
        "--type",
        "Q8_0",
        "-o",
        arg(&out),
        "--norms",
    ]);
    assert!(said.contains("--refine"), "{said}");
}
