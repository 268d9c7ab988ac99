//! The report in a real browser. Opt-in: `AEOLUS_BROWSER` names a Chromium (Debian's is
//! `/usr/bin/chromium`); `AEOLUS_BROWSER_SHOTS` a folder for screenshots.

use crate::support::{arg, fixture, json_fixture, ok};
use serde_json::{Value, json};
use std::path::Path;

/// What the field calls the twelve files.
const TYPES: [&str; 12] = [
    "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_0", "Q5_K_S", "Q5_K_M",
    "Q6_K", "Q8_0",
];

/// Opens a page as readers do, and expects nothing wrong.
fn look(page: &Path, what: &str) {
    let Some(browser) = std::env::var_os("AEOLUS_BROWSER") else {
        println!("AEOLUS_BROWSER names no browser: the page was not looked at");
        return;
    };
    let mut command = std::process::Command::new("python3");
    command
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/browser/check.py"
        ))
        .arg(browser)
        .args([arg(page), &json!(TYPES).to_string()]);
    if let Some(folder) = std::env::var_os("AEOLUS_BROWSER_SHOTS") {
        command.arg(Path::new(&folder).join(what));
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{what}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("charts").count(), 6, "{log}");
}

/// Golden quality as `compare --json` writes it.
fn quality(name: &str) -> Value {
    let golden = json_fixture("golden/quality-exact.json");
    let files: Vec<Value> = TYPES
        .iter()
        .map(|ty| {
            json!({
                "path": format!("{name}.{ty}.gguf"),
                "quality": golden["results"][format!("2023-11/{ty}")],
            })
        })
        .collect();
    json!({
        "schema": "aeolus.compare/1", "text": "heldout.txt", "n_ctx": 512, "chunks": 64,
        "base": { "ppl": golden["results"]["base"]["ppl"] }, "files": files,
    })
}

/// Errors as `errors --json` writes them, made up from the types in the files.
fn errors(folder: &Path, name: &str) -> Value {
    let files: Vec<Value> = TYPES
        .iter()
        .map(|ty| {
            let path = folder.join(format!("{name}.{ty}.gguf"));
            let file = aeolus_gguf::GgufFile::open(&path).unwrap();
            let tensors: Vec<Value> = file
                .tensors()
                .iter()
                .enumerate()
                .map(|(i, t)| {
                    let relative = 2f64.powf(-t.ty.bits_per_weight()) * (1.0 + i as f64 / 40.0);
                    json!({ "name": t.name, "type": t.ty.name(), "relative": relative })
                })
                .collect();
            json!({ "path": path, "tensors": tensors })
        })
        .collect();
    json!({ "schema": "aeolus.errors/1", "files": files })
}

/// Speeds as `run --json` writes them, one document after the other.
fn speed(name: &str) -> String {
    TYPES
        .iter()
        .enumerate()
        .map(|(i, ty)| {
            let timings = json!({
                "prompt_tokens_per_second": 900.0 - 31.0 * i as f64,
                "generation_tokens_per_second": 120.5 - 7.0 * i as f64,
            });
            let file = format!("out/{name}.{ty}.gguf");
            json!({ "schema": "aeolus.run/1", "file": file, "timings": timings }).to_string()
        })
        .collect()
}

fn full_report(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path();
    let model = fixture("notus-mini");
    ok(["table", arg(&model), "--name", name, "-o", arg(folder)]);
    std::fs::write(folder.join("quality.json"), quality(name).to_string()).unwrap();
    std::fs::write(folder.join("errors.json"), errors(folder, name).to_string()).unwrap();
    std::fs::write(folder.join("speed.json"), speed(name)).unwrap();
    let page = folder.join("report.html");
    ok(["report", arg(folder), "--html", arg(&page)]);
    (out, page)
}

#[test]
fn a_report_with_everything_reads_well() {
    let (_dir, page) = full_report("notus-mini");
    let text = std::fs::read_to_string(&page).unwrap();
    for part in [
        "Size against quality",
        "Errors of each tensor",
        "Worst tensors",
        "Speed",
    ] {
        assert!(text.contains(part), "{part}");
    }
    look(&page, "full");
}

#[test]
fn a_forecast_of_7b_reads_well() {
    let out = tempfile::tempdir().unwrap();
    let page = out.path().join("report.html");
    let model = fixture("notus-7b-v1");
    ok(["report", "--forecast", arg(&model), "--html", arg(&page)]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("4.37 GB") && text.contains("6.87 GB"),
        "sizes"
    );
    assert!(!text.contains("Mean KLD"));
    look(&page, "forecast");
}

#[test]
fn a_hostile_name_neither_runs_nor_breaks_the_page() {
    let name = "<img src=x onerror=alert(1)>|`x`\"'&lt;{{7*7}}";
    let (_dir, page) = full_report(name);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(!text.contains("<img"));
    assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;|`x`"));
    look(&page, "hostile");
}
