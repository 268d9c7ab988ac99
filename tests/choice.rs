//! Files of a size: types chosen for a model, and their plans.

use crate::support::{arg, fails, fixture, ok};
use aeolus_gguf::GgufFile;
use aeolus_recipe::PlanFile;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A text of three windows.
fn text(folder: &Path) -> PathBuf {
    let whole = std::fs::read_to_string(fixture("text/heldout.txt")).unwrap();
    let path = folder.join("calibration.txt");
    let start = whole.len() / 2;
    let start = (start..).find(|at| whole.is_char_boundary(*at)).unwrap();
    let part: String = whole[start..].chars().take(6_000).collect();
    std::fs::write(&path, part).unwrap();
    path
}

#[test]
fn a_frontier_has_a_file_for_every_size_and_larger_ones_are_better() {
    let folder = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), text(folder.path()));
    let costs = folder.path().join("costs");
    let bits = [3.2, 3.4, 3.7, 4.0, 5.0, 6.0, 7.0, 8.0];
    let bits_text: Vec<String> = bits.iter().map(f64::to_string).collect();
    let run = || {
        let said = ok([
            "forecast",
            arg(&model),
            "--target-bpw",
            &bits_text.join(","),
            "--types",
            "K",
            "--calibrate",
            arg(&text),
            "--sensitivity",
            arg(&costs),
            "--json",
        ]);
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let said = run();
    let files = said["files"].as_array().unwrap();
    let (files, named) = files.split_at(bits.len());
    let named: Vec<&str> = named
        .iter()
        .filter_map(|file| file["file_type"].as_str())
        .collect();
    assert!(
        named.contains(&"Q4_K_M") && !named.contains(&"Q5_0"),
        "{named:?}"
    );
    let mut last = f64::INFINITY;
    for (file, bits) in files.iter().zip(bits) {
        let found = file["bits_per_weight"].as_f64().unwrap();
        assert!(found <= bits && found > 0.995 * bits, "{bits}: {found}");
        let chosen = &file["chosen"];
        let predicted = chosen["predicted_kld"].as_f64().unwrap();
        assert!(predicted < last, "{bits}: {predicted} after {last}");
        last = predicted;
        let types = chosen["tensors"].as_object().unwrap();
        assert_eq!(types.len(), 8 * 7, "all matrices of the layers");
        assert!(types.values().all(|ty| {
            let ty = ty.as_str().unwrap();
            ty.ends_with("_K") || ty == "Q8_0"
        }));
    }
    // As a picture.
    let (forecast, page) = (
        folder.path().join("forecast.json"),
        folder.path().join("f.html"),
    );
    std::fs::write(&forecast, said.to_string()).unwrap();
    ok([
        "report",
        "--forecast",
        arg(&model),
        "--predicted",
        arg(&forecast),
        "--html",
        arg(&page),
    ]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Types chosen for a size") && page.contains("3.7bpw"));
    // Costs are kept.
    let kept = std::fs::read(&costs).unwrap();
    assert_eq!(run(), said);
    assert_eq!(std::fs::read(&costs).unwrap(), kept);
}

#[test]
fn a_file_of_a_size_is_made_again_from_its_plan() {
    let folder = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), text(folder.path()));
    let (out, again) = (folder.path().join("out"), folder.path().join("again"));
    let run = [
        "table",
        arg(&model),
        "--target-size",
        "4.2MB",
        "--like",
        "Q2_K",
        "--types",
        "K",
        "--calibrate",
        arg(&text),
        "-f",
        arg(&text),
        "--chunks",
        "2",
        "-o",
        arg(&out),
        "--json",
    ];
    ok(run);
    let plan = out.join("notus-mini.plan.toml");
    let plan = PlanFile::parse(&std::fs::read_to_string(plan).unwrap()).unwrap();
    let like = GgufFile::open(&out.join("notus-mini.like-Q2_K.gguf")).unwrap();
    let other = GgufFile::open(&out.join("notus-mini.4.2MB.gguf")).unwrap();
    assert!((4_179_000..=4_200_000).contains(&other.file_bytes()));
    assert!(like.file_bytes() < other.file_bytes());
    for entry in &plan.files {
        let (predicted, measured) = (entry.predicted.unwrap(), entry.measured.unwrap());
        assert!(predicted > 0.0 && measured < 4.0 * predicted, "{entry:?}");
        let sum: f64 = entry.costs.values().sum();
        assert!((sum - predicted).abs() < 1e-9);
        assert_eq!(entry.costs.len(), 58, "output and embedding too");
    }
    let path = out.join("notus-mini.plan.toml");
    ok([
        "table",
        arg(&model),
        "--plan",
        arg(&path),
        "-o",
        arg(&again),
    ]);
    for entry in &plan.files {
        let name = entry.file.as_ref().unwrap();
        let bytes = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(bytes(&out) == bytes(&again), "{name}");
    }
}

#[test]
fn a_model_without_a_backward_pass_is_chosen_by_shares_and_its_experts_together() {
    let folder = tempfile::tempdir().unwrap();
    let (model, text) = (
        fixture("families/models/tiny/qwen35moe"),
        text(folder.path()),
    );
    let run = [
        "forecast",
        arg(&model),
        "--target-bpw",
        "6.2,7,9",
        "--calibrate",
        arg(&text),
        "--json",
    ];
    let said: Value = serde_json::from_str(&ok(run)).unwrap();
    let mut last = f64::INFINITY;
    for file in said["files"].as_array().unwrap() {
        let chosen = &file["chosen"];
        assert_eq!(chosen["predicted_kld"], Value::Null, "shares are not nats");
        let costs = chosen["costs"].as_object().unwrap().values();
        let sum: f64 = costs.map(|cost| cost.as_f64().unwrap()).sum();
        assert!(sum < last, "{sum} after {last}");
        last = sum;
        let types = chosen["tensors"].as_object().unwrap();
        let of = |part: &str| &types[&format!("blk.1.{part}_exps.weight")];
        assert_eq!(of("ffn_gate"), of("ffn_up"));
        assert_eq!(of("ffn_gate"), of("ffn_down"));
    }
}

#[test]
fn sizes_that_cannot_be_had_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), text(folder.path()));
    let out = folder.path().join("out");
    let common = ["-o", arg(&out), "--types", "K"];
    let refused = |more: &[&str]| fails([&["quantize", arg(&model)], more, &common].concat());
    let said = refused(&["--target-bpw", "4"]);
    assert!(said.contains("--calibrate"), "{said}");
    let calibrated = ["--calibrate", arg(&text)];
    let said = refused(&[&["--target-size", "2MB"], &calibrated[..]].concat());
    assert!(said.contains("the smallest takes"), "{said}");
    let said = refused(&[&["--fits", "1MB", "-c", "100000"], &calibrated[..]].concat());
    assert!(said.contains("KV cache"), "{said}");
    for bad in ["4XB", "0", "-3GB"] {
        let said = refused(&[&["--target-size", bad], &calibrated[..]].concat());
        assert!(
            said.contains("such as 4.1GB") || said.contains("unexpected"),
            "{said}"
        );
    }
    let said = refused(&["--type", "Q4_K_M", "--target-bpw", "4"]);
    assert!(said.contains("cannot be used with"), "{said}");
}
