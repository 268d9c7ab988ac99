//! Sizes from shapes alone equal what publishers print, and what is written.

use crate::support::{arg, fixture, ok};

/// The published table: type, GB, max RAM in GB.
const PUBLISHED: [(&str, &str, &str); 12] = [
    ("Q2_K", "3.08", "5.58"),
    ("Q3_K_S", "3.17", "5.67"),
    ("Q3_K_M", "3.52", "6.02"),
    ("Q3_K_L", "3.82", "6.32"),
    ("Q4_0", "4.11", "6.61"),
    ("Q4_K_S", "4.14", "6.64"),
    ("Q4_K_M", "4.37", "6.87"),
    ("Q5_0", "5.00", "7.50"),
    ("Q5_K_S", "5.00", "7.50"),
    ("Q5_K_M", "5.13", "7.63"),
    ("Q6_K", "5.94", "8.44"),
    ("Q8_0", "7.70", "10.20"),
];

#[test]
fn notus_7b_v1_has_the_published_sizes() {
    let text = ok(["forecast", arg(&fixture("notus-7b-v1"))]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 13, "{text}");
    for (line, (ty, size, ram)) in lines[1..].iter().zip(PUBLISHED) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], ty, "{line}");
        assert_eq!((words[3], words[4]), (size, "GB"), "{line}");
        assert_eq!((words[5], words[6]), (ram, "GB"), "{line}");
    }
}

#[test]
fn config_json_itself_is_enough_of_a_path() {
    let folder = ok(["forecast", arg(&fixture("notus-7b-v1"))]);
    let config = ok(["forecast", arg(&fixture("notus-7b-v1/config.json"))]);
    assert_eq!(folder, config);
}

#[test]
fn a_type_named_twice_is_one_row() {
    let model = fixture("notus-7b-v1");
    let text = ok(["forecast", arg(&model), "--type", "q4_k,Q4_K_M,Q8_0,q4_k_m"]);
    let types: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(types, ["Q4_K_M", "Q8_0"]);
}

#[test]
fn what_is_forecast_is_what_is_written() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    for recipe in ["2023-11", "current"] {
        let flags = ["--recipe", recipe, "--type", "q2_k,q5_1,f16,q6_k", "--json"];
        let mut forecast = vec!["forecast", arg(&model)];
        forecast.extend(flags);
        let forecast: serde_json::Value = serde_json::from_str(&ok(forecast)).unwrap();
        let mut run = vec!["quantize", arg(&model), "--force", "-o", arg(out.path())];
        run.extend(flags);
        let run: serde_json::Value = serde_json::from_str(&ok(run)).unwrap();
        for (a, b) in forecast["files"]
            .as_array()
            .unwrap()
            .iter()
            .zip(run["files"].as_array().unwrap())
        {
            assert_eq!(a["bytes"], b["bytes"]);
            let path = b["path"].as_str().unwrap();
            assert_eq!(b["bytes"], std::fs::metadata(path).unwrap().len());
        }
    }
}
