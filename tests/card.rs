//! Model cards of real files and forecasts, and the report's files.

use crate::support::{aeolus, arg, fails, fixture, names, ok, sha256};
use std::path::Path;

/// The published table: type, size, max RAM.
const PUBLISHED: [(&str, &str, &str); 12] = [
    ("Q2_K", "3.08 GB", "5.58 GB"),
    ("Q3_K_S", "3.17 GB", "5.67 GB"),
    ("Q3_K_M", "3.52 GB", "6.02 GB"),
    ("Q3_K_L", "3.82 GB", "6.32 GB"),
    ("Q4_0", "4.11 GB", "6.61 GB"),
    ("Q4_K_S", "4.14 GB", "6.64 GB"),
    ("Q4_K_M", "4.37 GB", "6.87 GB"),
    ("Q5_0", "5.00 GB", "7.50 GB"),
    ("Q5_K_S", "5.00 GB", "7.50 GB"),
    ("Q5_K_M", "5.13 GB", "7.63 GB"),
    ("Q6_K", "5.94 GB", "8.44 GB"),
    ("Q8_0", "7.70 GB", "10.20 GB"),
];

/// The cells of the table row that has `text`.
fn row<'a>(card: &'a str, text: &str) -> Vec<&'a str> {
    let line = card
        .lines()
        .find(|line| line.starts_with('|') && line.contains(text))
        .unwrap_or_else(|| panic!("no row with {text} in\n{card}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn table(out: &Path, flags: &[&str]) {
    let model = fixture("notus-mini");
    let mut args = vec!["table", arg(&model), "-o", arg(out)];
    args.extend(flags);
    ok(args);
}

#[test]
fn the_card_of_a_forecast_has_the_published_figures() {
    let model = fixture("notus-7b-v1");
    let card = ok(["card", "--forecast", arg(&model), "--style", "2023"]);
    for (ty, size, ram) in PUBLISHED {
        let row = row(&card, &format!("notus-7b-v1.{ty}.gguf"));
        assert_eq!((row[1], row[4], row[5]), (ty, size, ram));
    }
    assert!(card.starts_with("---\n"), "{card}");
    assert!(card.contains("\nmodel_type: mistral\n"), "{card}");
    assert!(card.contains("## Prompt template: Zephyr"), "{card}");
    // Weights and a KV cache of 4096 tokens: 4.37 GB and 0.54 GB.
    assert_eq!(row(&card, "Q4_K_M.gguf")[6], "4.91 GB");
    assert!(!card.contains("sha256"), "nothing to hash yet");
    let config = fixture("notus-7b-v1/config.json");
    assert_eq!(
        card,
        ok(["card", "--forecast", arg(&config), "--style", "2023"])
    );
}

#[test]
fn the_card_of_files_has_their_digests_and_the_quality_beside_them() {
    let out = tempfile::tempdir().unwrap();
    table(out.path(), &["--type", "q4_k_m,q8_0"]);
    let bare = ok(["card", arg(out.path())]);
    for ty in ["Q4_K_M", "Q8_0"] {
        let name = format!("notus-mini.{ty}.gguf");
        let digest = sha256(&std::fs::read(out.path().join(&name)).unwrap());
        assert!(bare.contains(&digest), "{name}");
    }
    assert!(!bare.contains("KLD"), "{bare}");
    let quality = r#"{"schema": "aeolus.compare/1", "text": "a/book.txt", "n_ctx": 512, "chunks": 64,
        "base": {"ppl": {"value": 54.9242, "error": 1.2}},
        "files": [{"path": "x/notus-mini.Q4_K_M.gguf", "file_type": "Q4_K_M", "quality":
          {"ppl": {"value": 55.0925, "error": 1.2}, "kld_mean": {"value": 0.003428, "error": 0.0001},
           "same_top": {"value": 0.9534, "error": 0.002}}}]}"#;
    std::fs::write(out.path().join("quality.json"), quality).unwrap();
    let card = ok(["card", arg(out.path()), "--no-sha256", "--style", "2023"]);
    let measured = row(&card, "notus-mini.Q4_K_M.gguf");
    assert_eq!(measured[7..10], ["55.0925", "0.003428", "95.34%"]);
    assert_eq!(row(&card, "notus-mini.Q8_0.gguf")[7..10], ["–", "–", "–"]);
    assert!(
        card.contains("Measured on book.txt, 64 chunks of 512 tokens"),
        "{card}"
    );
    assert!(!card.contains("sha256"));
}

#[test]
fn the_source_card_is_copied_and_appended() {
    let out = tempfile::tempdir().unwrap();
    let source = out
        .path()
        .join("models--argilla--notus-mini/snapshots/0123");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(
        source.join("README.md"),
        "---\nlicense: mit\nlanguage: [en]\n---\n# Notus\n\nTrained with care.\n",
    )
    .unwrap();
    std::fs::write(source.join("config.json"), r#"{"model_type": "mistral"}"#).unwrap();
    table(out.path(), &["--type", "q4_0"]);
    let card = ok(["card", arg(out.path()), "--source", arg(&source)]);
    for line in [
        "base_model: argilla/notus-mini",
        "base_model_relation: quantized",
        "license: mit",
        "model_type: mistral",
        "## Original model card: Notus Mini",
    ] {
        assert!(card.lines().any(|l| l == line), "{line} in\n{card}");
    }
    assert!(card.contains("\n\nTrained with care.\n"), "{card}");
}

#[test]
fn templates_and_their_errors() {
    let out = tempfile::tempdir().unwrap();
    table(out.path(), &["--type", "q4_0"]);
    let template = out.path().join("mine.md");
    let built_in = ok(["card", "--print-template"]);
    std::fs::write(&template, &built_in).unwrap();
    let same = ok(["card", arg(out.path()), "--template", arg(&template)]);
    assert_eq!(same, ok(["card", arg(out.path())]));
    std::fs::write(&template, "{{ model.nome }}").unwrap();
    let message = fails(["card", arg(out.path()), "--template", arg(&template)]);
    assert!(message.contains("card template"), "{message}");
    let message = fails(["card", arg(out.path()), "--repo", "no slash"]);
    assert!(message.contains("OWNER/NAME"), "{message}");
}

#[test]
fn bad_folders_and_results_are_errors() {
    let out = tempfile::tempdir().unwrap();
    let message = fails(["card", arg(out.path())]);
    assert!(message.contains("no .gguf file"), "{message}");
    table(out.path(), &["--type", "q4_0"]);
    table(out.path(), &["--type", "q8_0", "--name", "another"]);
    let message = fails(["card", arg(out.path())]);
    assert!(message.contains("two models"), "{message}");
    let one = out.path().join("another.Q8_0.gguf");
    ok(["card", arg(&one)]);
    let results = out.path().join("results.json");
    std::fs::write(&results, r#"{"files": []}"#).unwrap();
    let message = fails(["card", arg(&one), "--quality", arg(&results)]);
    assert!(
        message.contains("results.json") && message.contains("compare"),
        "{message}"
    );
}

#[test]
fn reports_are_whole_files_and_nobody_elses() {
    let out = tempfile::tempdir().unwrap();
    table(out.path(), &["--type", "q4_k_m,q8_0"]);
    let charts = out.path().join("charts");
    let page = out.path().join("report.html");
    let args = [
        "report",
        arg(out.path()),
        "--html",
        arg(&page),
        "--svg",
        arg(&charts),
        "--png",
        arg(&charts),
    ];
    ok(args);
    assert_eq!(
        names(&charts),
        [
            "bits-Q4_K_M.png",
            "bits-Q4_K_M.svg",
            "bits-Q8_0.png",
            "bits-Q8_0.svg",
            "types.png",
            "types.svg"
        ]
    );
    let first = std::fs::read(&page).unwrap();
    let message = fails(args);
    assert!(message.contains("--force"), "{message}");
    let mut again = args.to_vec();
    again.push("--force");
    ok(again);
    assert_eq!(std::fs::read(&page).unwrap(), first);
    let nothing = aeolus(["report", arg(out.path())]);
    assert_eq!(nothing.status.code(), Some(2));
}
