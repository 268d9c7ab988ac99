//! What a reader should know about a checkpoint that converts all the same.
//!
//! Nothing is dropped in silence: whatever a file says that the output does not carry, or that
//! contradicts another file, becomes a note. A note is one paragraph: the file, what was found,
//! what was done about it.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;

/// Collects notes while a checkpoint is read, each once.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<String>>);

impl Notes {
    /// Adds a note about a file: `path: message`.
    pub(crate) fn add(&self, path: &Path, message: impl Display) {
        let note = format!("{}: {message}", path.display());
        let mut notes = self.0.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// All notes in the order in which they were added.
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0.into_inner()
    }
}
