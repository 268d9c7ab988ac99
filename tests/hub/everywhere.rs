//! `hf:` in the commands that measure, and in those that make pages.

use super::{Scene, quantized};
use crate::support::{arg, fixture, ok, sha256};
use serde_json::Value;

const REPO: &str = "hf:test/mini-GGUF";
const FILE: &str = "hf:test/mini-GGUF/notus-mini.Q4_K_M.gguf";
const MODEL: &str = "hf:test/notus-mini";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_measures_takes_references() {
    let scene = Scene::with_model();
    let path = quantized(&scene);
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let cut = ["-f", arg(&text), "-c", "64", "--chunks", "1", "--json"];

    let perplexity = |file| json(&scene.ok(["perplexity", file].iter().chain(&cut)));
    assert_eq!(perplexity(FILE)["ppl"], perplexity(arg(&path))["ppl"]);

    let compare = |base, files| json(&scene.ok(["compare", base, files].iter().chain(&cut)));
    let (ours, local) = (compare(MODEL, REPO), compare(arg(&model), arg(&path)));
    assert_eq!(ours["base"]["ppl"], local["base"]["ppl"]);
    assert_eq!(ours["files"][0]["quality"], local["files"][0]["quality"]);
    assert_eq!(ours["files"].as_array().unwrap().len(), 1);

    let errors = |files, source| json(&scene.ok(["errors", files, "--against", source, "--json"]));
    let (ours, local) = (errors(REPO, MODEL), errors(arg(&path), arg(&model)));
    assert_eq!(ours["files"][0]["tensors"], local["files"][0]["tensors"]);

    // The cache's folder is called by a commit, which is not the model's name.
    let verify = [
        "verify",
        REPO,
        "--against",
        MODEL,
        "--type",
        "Q4_K_M",
        "--json",
    ];
    assert_eq!(json(&scene.ok(verify))["right"], true);
    assert!(scene.downloads() > 0);
}

#[test]
fn pages_of_remote_files_read_their_headers_only() {
    let scene = Scene::with_model();
    let path = quantized(&scene);
    let bytes = std::fs::read(&path).unwrap();
    let card = scene.ok(["card", REPO, "--source", MODEL]);
    for part in [
        "base_model: test/notus-mini\n",
        "hf download test/mini-GGUF notus-mini.Q4_K_M.gguf",
        "(https://huggingface.co/test/mini-GGUF/blob/main/notus-mini.Q4_K_M.gguf)",
        &sha256(&bytes),
    ] {
        assert!(card.contains(part), "{part} in\n{card}");
    }
    assert!(!scene.ok(["card", FILE, "--no-sha256"]).contains("sha256"));
    let (theirs, ours) = (scene.path("theirs.html"), scene.path("ours.html"));
    scene.ok(["report", REPO, "--html", arg(&theirs)]);
    ok(["report", arg(&path), "--html", arg(&ours)]);
    let read = |path| std::fs::read_to_string(path).unwrap();
    assert!(read(theirs) == read(ours));
    assert!(!scene.blobs("test/mini-GGUF").exists(), "nothing is kept");

    // What is planned, from the configuration alone.
    let forecast = scene.ok(["card", "--forecast", MODEL]);
    let model = fixture("notus-mini");
    let local = ok([
        "card",
        "--forecast",
        arg(&model),
        "--base-model",
        "test/notus-mini",
    ]);
    // But for where the source is, which only the Hub says.
    let without_source = |card: &str| {
        let of_provenance =
            |line: &&str| line.contains("provenance") || line.starts_with("- Source:");
        let lines = card
            .lines()
            .filter(|line| !of_provenance(line) && !line.is_empty());
        lines
            .filter(|line| *line != "## Provenance")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(
        forecast.contains("- Source: test/notus-mini at revision"),
        "{forecast}"
    );
    assert_eq!(without_source(&forecast), without_source(&local));

    let mixed = scene.fails(["card", FILE, arg(&path)]);
    assert!(mixed.contains("files of one place"), "{mixed}");
    let none = scene.fails(["card", MODEL]);
    assert!(none.contains("*.gguf"), "{none}");

    // Offline from the cache, once it has the file.
    scene.ok(["hash", FILE]);
    let offline = scene
        .command(["card", FILE])
        .env("HF_HUB_OFFLINE", "1")
        .output();
    assert!(super::succeeded(offline.unwrap()).contains(&sha256(&bytes)));
}
