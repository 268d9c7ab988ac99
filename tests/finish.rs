//! The folder that `table -f` leaves: whole, made again only where something changed, and never at the cost of
//! what somebody wrote.

use crate::support::{aeolus, arg, fails, fixture, names, ok};
use aeolus_report::documents::{Files, Quality, TensorErrors};
use aeolus_report::{Readme, SourceCard, folder};
use serde_json::Value;
use std::path::Path;

fn args<'a>(out: &'a Path, types: &'a str, model: &'a Path, text: &'a Path) -> Vec<&'a str> {
    let table = ["table", arg(model), "-o", arg(out), "--type", types, "-q"];
    [&table[..], &["-f", arg(text), "--chunks", "2"]].concat()
}

/// Runs it, and gives what it said.
fn table(out: &Path, types: &str, more: &[&str]) -> String {
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let mut all = args(out, types, &model, &text);
    all.extend(more);
    let run = aeolus(all);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{said}");
    said
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// When each file was written.
fn times(folder: &Path) -> Vec<(String, std::time::SystemTime)> {
    let time = |name: String| {
        let at = std::fs::metadata(folder.join(&name)).unwrap().modified();
        (name, at.unwrap())
    };
    names(folder).into_iter().map(time).collect()
}

#[test]
fn a_measured_table_leaves_a_folder_that_can_be_published() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    let said = table(
        out,
        "Q4_0,Q5_0,Q5_K_S",
        &["--repo", "someone/notus-mini-GGUF"],
    );
    let expected = [
        "README.md",
        "SHA256SUMS",
        "errors.json",
        "notus-mini.Q4_0.gguf",
        "notus-mini.Q5_0.gguf",
        "notus-mini.Q5_K_S.gguf",
        "quality.json",
        "report.html",
    ];
    assert_eq!(names(out), expected, "{said}");

    // Figures are those of the commands that do only that.
    let quality = Quality::read(&out.join("quality.json")).unwrap();
    let errors = TensorErrors::read(&out.join("errors.json")).unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let compared = ok([
        "compare",
        arg(&model),
        arg(out),
        "-f",
        arg(&text),
        "--chunks",
        "2",
        "--json",
    ]);
    let compared: Quality = serde_json::from_str(&compared).unwrap();
    let measured = ok(["errors", arg(out), "--against", arg(&model), "--json"]);
    let measured: TensorErrors = serde_json::from_str(&measured).unwrap();
    let opened = folder::open(&[out.to_path_buf()]).unwrap();
    for file in &opened.collection.files {
        assert_eq!(quality.of(file), compared.of(file), "{}", file.name);
        let tensors = |errors: &TensorErrors| errors.of(file).unwrap().tensors.clone();
        assert_eq!(tensors(&errors), tensors(&measured), "{}", file.name);
    }

    let card = read(out, "README.md");
    let front = SourceCard::parse(&card).unwrap();
    assert_eq!(
        front.get("model_name").unwrap().as_text(),
        Some("Notus Mini")
    );
    assert!(Readme::parse(&card).unwrap().has_parts());
    for words in [
        "## Which file to choose",
        "no larger and better: Q5_K_S",
        "99.9% KLD",
        " ±\u{a0}",
        "notus-mini.plan.toml",
        "someone/notus-mini-GGUF",
    ] {
        assert!(card.contains(words), "{words}\n{card}");
    }
    assert!(
        !card.contains(arg(out)),
        "paths on this disk are nobody's business"
    );
    assert!(!read(out, "quality.json").contains(arg(&model)));
    ok(["verify", arg(out)]);
}

#[test]
fn a_second_run_makes_only_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    table(out, "Q4_0,Q8_0", &[]);
    let before = times(out);
    table(out, "Q4_0,Q8_0", &[]);
    assert_eq!(times(out), before, "nothing is written again");

    // One more, and one that is gone.
    std::fs::remove_file(out.join("notus-mini.Q8_0.gguf")).unwrap();
    table(out, "Q8_0,Q5_0", &[]);
    let after = times(out);
    let of = |times: &[(String, std::time::SystemTime)], name: &str| {
        times.iter().find(|(found, _)| found == name).unwrap().1
    };
    let kept = "notus-mini.Q4_0.gguf";
    assert_eq!(of(&before, kept), of(&after, kept));
    let fresh = tempfile::tempdir().unwrap();
    table(fresh.path(), "Q4_0,Q8_0,Q5_0", &[]);
    for name in ["quality.json", "errors.json", "README.md"] {
        let rows = |folder| {
            let text = read(folder, name).replace("Q8_0", "Q5_0");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(rows(out).len(), rows(fresh.path()).len(), "{name}");
    }
    let quality = Quality::read(&out.join("quality.json")).unwrap();
    assert_eq!(quality.files.len(), 3);

    // A file that is not the one of the plan is somebody's.
    std::fs::write(out.join(kept), "mine").unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let message = fails(args(out, "Q4_0", &model, &text));
    assert!(message.contains("exists already"), "{message}");
    table(out, "Q4_0", &["--force"]);
    ok(["verify", arg(out)]);
}

#[test]
fn what_somebody_wrote_survives_a_second_run() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    table(out, "Q4_0", &[]);
    let card = read(out, "README.md");
    let mine = card
        .replace(
            "# Notus Mini - GGUF\n",
            "# My files\n\nA paragraph of *mine*.\n",
        )
        .replace(
            "# aeolus:end front-matter\n",
            "# aeolus:end front-matter\nlicense: mit\n",
        );
    std::fs::write(out.join("README.md"), &mine).unwrap();
    table(out, "Q4_0,Q8_0", &[]);
    let updated = read(out, "README.md");
    for words in [
        "# My files\n\nA paragraph of *mine*.\n",
        "license: mit\n---\n",
        "notus-mini.Q8_0.gguf",
    ] {
        assert!(updated.contains(words), "{words}\n{updated}");
    }
    // Within a part, too, though it is not made again then.
    let edited = updated.replace("## Files\n", "## The files\n");
    std::fs::write(out.join("README.md"), &edited).unwrap();
    let said = table(out, "Q4_0,Q8_0,Q5_0", &[]);
    assert!(said.contains("\"files\" was edited by hand"), "{said}");
    assert!(read(out, "README.md").contains("## The files\n"));
    // One that is all somebody's.
    std::fs::write(out.join("README.md"), "# Mine\n").unwrap();
    let said = table(out, "Q4_0,Q8_0,Q5_0", &[]);
    assert!(said.contains("stays as it is"), "{said}");
    assert_eq!(read(out, "README.md"), "# Mine\n");
}

#[test]
fn folders_of_other_versions_and_models_are_upgraded_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    // As the versions before this one: files and sums, a plan, and figures without digests.
    ok(["table", arg(&model), "-o", arg(out), "--type", "Q4_0", "-q"]);
    let old = ok([
        "compare",
        arg(&model),
        arg(out),
        "-f",
        arg(&text),
        "--chunks",
        "1",
        "--json",
    ]);
    let mut old: Value = serde_json::from_str(&old).unwrap();
    old.as_object_mut().unwrap().remove("text_sha256");
    std::fs::write(out.join("quality.json"), old.to_string()).unwrap();
    std::fs::write(out.join("README.md"), "# By hand\n").unwrap();
    table(out, "Q4_0", &[]);
    let quality = Quality::read(&out.join("quality.json")).unwrap();
    assert_eq!(quality.measured.chunks, Some(2));
    assert!(quality.files[0].sha256.is_some());
    assert_eq!(read(out, "README.md"), "# By hand\n");

    for (name, bytes, problem) in [
        (
            "quality.json",
            "{\"schema\": \"aeolus.compare/9\"}",
            "found aeolus.compare/9",
        ),
        (
            "errors.json",
            "my notes",
            "expected the schema aeolus.errors/1",
        ),
        ("report.html", "<p>mine", "is not a report of this program"),
        ("README.md", "<!-- aeolus:begin a -->\n", "has no end"),
    ] {
        let kept = std::fs::read(out.join(name)).unwrap();
        std::fs::write(out.join(name), bytes).unwrap();
        let message = fails(args(out, "Q4_0,Q5_0", &model, &text));
        assert!(
            message.contains(problem) && message.contains(name),
            "{message}"
        );
        assert_eq!(read(out, name), bytes);
        assert!(!out.join("notus-mini.Q5_0.gguf").exists());
        std::fs::write(out.join(name), kept).unwrap();
    }
    let plan = read(out, "notus-mini.plan.toml");
    let line = plan
        .lines()
        .find(|line| line.starts_with("weights = "))
        .unwrap();
    let other = plan.replace(line, &format!("weights = \"{}\"", "0".repeat(64)));
    std::fs::write(out.join("other.plan.toml"), other).unwrap();
    let message = fails(args(out, "Q5_0", &model, &text));
    assert!(message.contains("files of another model"), "{message}");
}

#[test]
fn the_table_as_json_is_what_its_type_says() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let mut all = args(dir.path(), "Q4_0,Q8_0", &model, &text);
    all.push("--json");
    let printed = ok(all);
    let files: Files = serde_json::from_str(&printed).unwrap();
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(serde_json::to_value(&files).unwrap(), found);
    assert_eq!(files.files.len(), 2);
}
