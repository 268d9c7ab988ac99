//! README.md of a folder, of which only the generated parts are ours.

use crate::output::say;
use aeolus_report::Readme;
use anyhow::{Context, Result};
use std::path::Path;

/// The text of README.md: the new card, or the one that is at `path` with its generated parts replaced.
/// `None` where nothing of what is there is generated.
pub fn updated(path: &Path, card: &Readme) -> Result<Option<String>> {
    if !path.exists() {
        return Ok(Some(card.text()));
    }
    let cannot = || format!("{}: cannot be updated", path.display());
    let old = Readme::parse(&read(path)?).with_context(cannot)?;
    if !old.has_parts() {
        say(format_args!(
            "note: {}: has no part that is marked as generated and stays as it is; move it away to have a \
             card made",
            path.display()
        ));
        return Ok(None);
    }
    let (updated, notes) = old.update(card).with_context(cannot)?;
    for note in notes {
        say(format_args!("note: {}: {note}", path.display()));
    }
    Ok(Some(updated.text()))
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))
}
