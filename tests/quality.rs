//! Quality as a user measures it: against another framework's figures, itself, and damage.

mod figures;
mod interrupted;
mod refused;
mod verdicts;

use crate::support::{arg, fixture, ok};
use serde_json::Value;
use std::path::PathBuf;

fn heldout() -> PathBuf {
    fixture("text/heldout.txt")
}

/// Writes some of the table's files and gives the folder.
fn table(types: &str) -> tempfile::TempDir {
    table_of("2023-11", types)
}

fn table_of(recipe: &str, types: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let options = ["--recipe", recipe, "--type", types, "-o", arg(out.path())];
    ok(["table", arg(&model), "-q"].into_iter().chain(options));
    out
}

fn convert(ty: &str) -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let dir = arg(out.path());
    ok(["convert", arg(&model), "--type", ty, "-o", dir, "-q"]);
    let path = out
        .path()
        .join(format!("notus-mini.{}.gguf", ty.to_uppercase()));
    (out, path)
}

fn json<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Relative difference.
fn off(found: f64, expected: f64) -> f64 {
    (found / expected - 1.0).abs()
}
