//! The importance matrix of a command: opened, chosen from, and what a user should know of it.

use crate::options::ImatrixArgs;
use crate::output::say;
use aeolus_gguf::Quoted;
use aeolus_imatrix::{Format, Imatrix};
use aeolus_pipeline::{Coverage, Guide, Output};
use aeolus_report::documents::{BlindTensor, ImatrixUse};
use anyhow::{Context, Result};

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
        "encoded without importance, since the matrix has no fitting entry",
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
            "note: {}: the encoders of these files do not use importance: the files are the same without it",
            guide.file()
        ));
    }
    coverage
}

/// The matrix and its coverage, as documents have them.
pub fn document(guide: &Guide, coverage: &Coverage) -> ImatrixUse {
    let imatrix = guide.imatrix();
    let blind = coverage.blind.iter().map(|blind| BlindTensor {
        tensor: blind.tensor.clone(),
        without_data: blind.without as u64,
        matrices: blind.matrices as u64,
    });
    ImatrixUse {
        path: guide.file().into(),
        sha256: aeolus_source::hex(&imatrix.sha256),
        format: match imatrix.format {
            Format::Gguf => "gguf".into(),
            Format::Dat => "dat".into(),
        },
        entries: imatrix.entries().len() as u64,
        chunks: imatrix.chunks,
        datasets: imatrix.datasets.clone(),
        unused_tensors: imatrix.unused.clone(),
        entries_without_tensor: coverage.strays.clone(),
        tensors_without_entry: coverage.unguided.clone(),
        tensors_without_data: blind.collect(),
    }
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
