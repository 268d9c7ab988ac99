//! The importance matrix of a command: opened, chosen from, and what a user should know of it.

use crate::options::ImatrixArgs;
use crate::output::say;
use aeolus_gguf::Quoted;
use aeolus_imatrix::{Format, Imatrix};
use aeolus_pipeline::{Coverage, Guide, Output};
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Reads the matrix that is asked for, and keeps the entries that are wanted.
pub fn open(args: &ImatrixArgs) -> Result<Option<Guide>> {
    let Some(path) = &args.imatrix else {
        return Ok(None);
    };
    let mut imatrix = Imatrix::open(path)?;
    let file = path.display().to_string();
    if !args.include_weights.is_empty() {
        let chosen = imatrix.include(&args.include_weights);
        chosen.with_context(|| format!("{file}: --include-weights"))?;
    }
    if !args.exclude_weights.is_empty() {
        let chosen = imatrix.exclude(&args.exclude_weights);
        chosen.with_context(|| format!("{file}: --exclude-weights"))?;
    }
    Ok(Some(Guide::new(imatrix, file)))
}

/// Says, before any work, what of the matrix is not used and what goes without it.
pub fn report(guide: &Guide, outputs: &[Output]) -> Coverage {
    let coverage = Coverage::of(guide, outputs);
    let note = |what: &str, names: &[String]| {
        if !names.is_empty() {
            say(format_args!(
                "note: {}: {what}: {}",
                guide.file(),
                some(names)
            ));
        }
    };
    let unused = &guide.imatrix().unused;
    note("statistics that encoders do not use", unused);
    note("entries for no tensor of the model", &coverage.strays);
    note(
        "encoded without importance, since there is no fitting entry",
        &coverage.unguided,
    );
    let blind: Vec<String> = coverage
        .blind
        .iter()
        .map(|blind| match blind.matrices {
            1 => blind.tensor.clone(),
            all => format!("{} ({} of {all} experts)", blind.tensor, blind.without),
        })
        .collect();
    note(
        "all columns count the same, since the calibration text did not reach them",
        &blind,
    );
    if !coverage.is_heeded {
        say(format_args!(
            "note: {}: no encoder of these files heeds importance: they are as without it",
            guide.file()
        ));
    }
    coverage
}

/// The matrix and its coverage, as JSON documents have them.
pub fn to_json(guide: &Guide, coverage: &Coverage) -> Value {
    let imatrix = guide.imatrix();
    let hex = imatrix.sha256.iter().map(|byte| format!("{byte:02x}"));
    let blind = coverage.blind.iter().map(|blind| {
        json!({
            "tensor": blind.tensor,
            "without_data": blind.without,
            "matrices": blind.matrices,
        })
    });
    json!({
        "path": guide.file(),
        "sha256": hex.collect::<String>(),
        "format": match imatrix.format {
            Format::Gguf => "gguf",
            Format::Dat => "dat",
        },
        "entries": imatrix.entries().len(),
        "chunks": imatrix.chunks,
        "datasets": imatrix.datasets,
        "unused_tensors": imatrix.unused,
        "entries_without_tensor": coverage.strays,
        "tensors_without_entry": coverage.unguided,
        "tensors_without_data": blind.collect::<Vec<_>>(),
    })
}

/// The first of some names from a file; of more than three, the others are counted.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names
        .iter()
        .take(SHOWN)
        .map(|name| Quoted(name).to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
