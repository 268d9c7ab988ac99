//! `verify`: a verdict on every file of a table.

use super::{heldout, json, number, table};
use crate::support::{aeolus, arg, fails, fixture, names, refusal, started};
use aeolus_gguf::GgufFile;
use serde_json::Value;
use std::time::Duration;

#[test]
fn a_whole_table_is_verified_and_its_divergence_falls() {
    let out = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), heldout());
    // The table itself ends with quality, in the same figures.
    let written = json([
        "table",
        arg(&model),
        "-o",
        arg(out.path()),
        "-f",
        arg(&text),
        "--chunks",
        "2",
        "--json",
    ]);
    assert_eq!(written["chunks"], 2);
    let beside = [
        "README.md",
        "SHA256SUMS",
        "errors.json",
        "quality.json",
        "report.html",
    ];
    assert_eq!(
        names(out.path()).len(),
        12 + beside.len(),
        "nothing else is left"
    );
    let verify = |more: &[&str]| {
        let mut args = vec!["verify", arg(out.path()), "--against", arg(&model)];
        args.extend(more);
        aeolus(args)
    };
    let run = verify(&["-f", arg(&text), "--chunks", "2", "--json", "-q"]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let verdict: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(verdict["right"], true);
    let files = verdict["files"].as_array().unwrap();
    assert_eq!(files.len(), 12);
    let kld = |file: &Value| number(&file["quality"]["kld_mean"]["value"]);
    assert!(files.windows(2).all(|pair| kld(&pair[1]) < kld(&pair[0])));
    for (file, written) in files.iter().zip(written["files"].as_array().unwrap()) {
        assert_eq!(file["quality"], written["quality"]);
        assert_eq!(file["bytes"], file["forecast_bytes"]);
    }

    // A bit of a weight, and a missing file.
    let path = out.path().join("notus-mini.Q4_0.gguf");
    let file = GgufFile::open(&path).unwrap();
    let info = file.tensor("blk.2.ffn_down.weight").unwrap();
    let place = file.header().data_offset + info.offset + 7;
    drop(file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[place as usize] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(out.path().join("notus-mini.Q6_K.gguf")).unwrap();
    let run = verify(&[]);
    assert_eq!(run.status.code(), Some(1));
    let report = String::from_utf8(run.stdout).unwrap();
    let place = "blk.2.ffn_down.weight: bytes differ from row 0";
    assert!(report.contains(place), "{report}");
    assert!(report.contains("Q6_K is missing"), "{report}");
    assert_eq!(report.matches("WRONG").count(), 1, "{report}");
    let run = verify(&["--type", "Q4_K_M,Q8_0", "-q"]);
    assert_eq!(run.status.code(), Some(0), "those are right: {run:?}");
    let run = verify(&["--type", "Q2_K", "--recipe", "current", "-q"]);
    assert_eq!(run.status.code(), Some(1), "another recipe: {run:?}");
    let none = fails([
        "verify",
        arg(out.path()),
        "--against",
        arg(&model),
        "--type",
        "Q4_1",
    ]);
    assert!(none.contains("no file of the wanted types"), "{none}");
}

#[test]
fn broken_files_get_a_verdict_beside_the_others() {
    let out = table("Q4_0,Q8_0");
    let model = fixture("notus-mini");
    let q4 = out.path().join("notus-mini.Q4_0.gguf");
    let bytes = std::fs::read(&q4).unwrap();
    let verify = |more: &[&str]| {
        let mut args = vec!["verify", arg(out.path()), "--against", arg(&model)];
        args.extend(["--type", "Q4_0,Q8_0"]);
        args.extend(more);
        let run = aeolus(args);
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    // Cut short, it cannot be opened.
    std::fs::write(&q4, &bytes[..bytes.len() / 2]).unwrap();
    let report = verify(&[]);
    assert!(report.contains("Q4_0 is missing"), "{report}");
    assert!(
        report.contains("Q4_0.gguf: does not load:") && report.contains("truncated"),
        "{report}"
    );
    let q8 = report.lines().find(|line| line.contains(" Q8_0 "));
    assert_eq!(q8.unwrap().matches(" ok").count(), 4, "{report}");
    let csv = verify(&["--csv"]);
    assert!(csv.starts_with("path,file_type,bytes,forecast_bytes,loads,problems\n"));
    assert!(
        csv.contains("Q4_0.gguf,,") && csv.contains(",false,"),
        "{csv}"
    );
    // A tensor under another name: it opens, and does not load.
    let name = b"blk.2.ffn_down.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    let mut renamed = bytes.clone();
    renamed[at + 4] = b'9';
    std::fs::write(&q4, renamed).unwrap();
    let report = verify(&[]);
    for problem in [
        "tensor blk.2.ffn_down.weight: is missing",
        "tensor blk.9.ffn_down.weight: is not in the source",
        "does not load: tensor blk.2.ffn_down.weight is missing",
    ] {
        assert!(report.contains(problem), "{problem} is not in:\n{report}");
    }
    // What is no model at all.
    std::fs::write(&q4, "not a model").unwrap();
    let verdict: Value = serde_json::from_str(&verify(&["--json"])).unwrap();
    assert_eq!(verdict["right"], false);
    assert_eq!(verdict["files"][0]["loads"], false);
    assert_eq!(verdict["files"][0]["forecast_bytes"], Value::Null);
    assert_eq!(verdict["files"][1]["problems"], Value::Array(Vec::new()));
}

#[test]
fn a_divergence_that_rises_along_the_table_is_reported() {
    // Two files that say they are each other: bytes and order are wrong, and they still run.
    let out = table("Q2_K,Q8_0");
    for (ty, from, to) in [("Q2_K", 10u8, 7u8), ("Q8_0", 7, 10)] {
        let path = out.path().join(format!("notus-mini.{ty}.gguf"));
        let mut bytes = std::fs::read(&path).unwrap();
        let key = b"general.file_type";
        let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 4;
        assert_eq!(bytes[at], from);
        bytes[at] = to;
        std::fs::write(path, bytes).unwrap();
    }
    let (model, text) = (fixture("notus-mini"), heldout());
    let run = aeolus([
        "verify",
        arg(out.path()),
        "--against",
        arg(&model),
        "--type",
        "Q2_K,Q8_0",
        "-f",
        arg(&text),
        "-c",
        "128",
        "--chunks",
        "2",
    ]);
    assert_eq!(run.status.code(), Some(1));
    let report = String::from_utf8(run.stdout).unwrap();
    assert!(
        report.contains("mean KLD rises from 0.") && report.contains("(Q2_K) to "),
        "{report}"
    );
    assert!(report.contains("the forecast is"), "{report}");
}

/// A file that is written to while it is measured, and one of which a single weight is another, in
/// the middle of a tensor, at the old time: results of it are never taken for the other's.
#[test]
fn results_of_a_file_that_changed_are_not_reused() {
    let out = table("Q8_0");
    let (path, text) = (out.path().join("notus-mini.Q8_0.gguf"), heldout());
    let state = out.path().join("state");
    let args = [
        &["perplexity", arg(&path), "-f", arg(&text), "-c", "64"][..],
        &["--chunks", "100", "--json", "-t", "1"],
    ]
    .concat();
    let with_state = [&args[..], &["--state", arg(&state)]].concat();
    let figures = |run: std::process::Output| {
        assert!(run.status.success(), "{run:?}");
        let value: Value = serde_json::from_slice(&run.stdout).unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        (value["ppl"].clone(), told)
    };
    let (whole, _) = figures(aeolus(&args));

    let size = || std::fs::metadata(&state).map_or(0, |meta| meta.len());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    let mut child = started(&with_state);
    while size() < 400 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let message = refusal(child.wait_with_output().unwrap());
    assert!(
        message.contains(arg(&path)) && message.contains("changed while it was being read"),
        "{message}"
    );
    file.set_modified(before).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    let gguf = GgufFile::open(&path).unwrap();
    let tensor = gguf.tensor("blk.0.ffn_down.weight").unwrap();
    let blocks = gguf.tensor_bytes(tensor).len() / 34;
    // A quant, behind the scale of its block.
    let place = gguf.place(tensor).range.start + blocks / 4 * 34 + 5;
    drop(gguf);
    let mut other = bytes.clone();
    other[place] ^= 0x40;
    std::fs::write(&path, &other).unwrap();
    file.set_modified(before).unwrap();
    let (changed, told) = figures(aeolus(&with_state));
    assert!(
        told.contains("state: nothing in it is of this run"),
        "{told}"
    );
    assert_ne!(changed, whole);

    std::fs::write(&path, &bytes).unwrap();
    let kept = size();
    let (again, told) = figures(aeolus(&with_state));
    assert!(!told.contains("note:"), "{told}");
    assert_eq!(again, whole);
    assert!(size() > kept, "the windows that were missing are new");
}
