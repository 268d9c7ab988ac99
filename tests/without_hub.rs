//! A build without the feature `hub`: everything but the Hub works, and says so.

use crate::support::{arg, fails, fixture, ok};

#[test]
fn references_to_the_hub_get_a_clear_error() {
    let file = "hf:owner/name/model.gguf";
    for args in [
        &["table", "hf:owner/name"][..],
        &["quantize", "hf:owner/name", "--type", "Q8_0"],
        &["convert", "hf:owner/name", "--type", "f16"],
        &["forecast", "hf:owner/name"],
        &["inspect", file],
        &["hash", file],
        &["tokenize", file, "text"],
        &["run", file, "-p", "text"],
        &["logits", file, "--ids", "1", "--out", "/nowhere/x"],
        &["compare", "hf:owner/name", "x.gguf", "-f", "x.txt"],
        &["compare", "x.gguf", file, "-f", "x.txt"],
        &["errors", file, "--against", "x.gguf"],
        &["verify", "x", "--against", "hf:owner/name"],
        &["perplexity", file, "-f", "x.txt"],
        &["tasks", file, "--arc", "x.jsonl"],
        &["card", "hf:owner/name"],
        &["card", "--forecast", "hf:owner/name"],
        &["report", file, "--html", "x.html"],
    ] {
        let message = fails(args);
        assert!(message.contains("without the feature `hub`"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let help = ok(["--help"]);
    for name in ["fetch", "publish"] {
        assert!(!help.contains(&format!("\n  {name} ")), "{help}");
    }
    let model = fixture("notus-mini");
    assert!(ok(["forecast", arg(&model)]).contains("Q4_K_M"));
}
