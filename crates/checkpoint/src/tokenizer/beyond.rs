//! Tokens that no row of the embedding belongs to.
//!
//! A token that was added for training, `[PAD]` usually, without a new row in the embedding can
//! never be used: it is left out, and one note names all of them with the files to edit.

use crate::error::Brief;
use crate::notes::Notes;
use std::collections::BTreeMap;
use std::path::Path;

/// Tokens that a note names one by one.
const NAMED: usize = 16;

/// What the files say about ids beyond the vocabulary.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    /// Text and files of each id.
    tokens: BTreeMap<u32, (String, Vec<&'static str>)>,
    /// Keys of special tokens with such an id, each with its file.
    keys: Vec<String>,
}

/// The first ones of many, and how many more there are.
pub(super) fn first_of(mut items: impl Iterator<Item = String>) -> String {
    let first: Vec<String> = items.by_ref().take(NAMED).collect();
    match items.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl Beyond {
    /// A token of a file.
    pub(super) fn token(&mut self, id: u32, text: &str, file: &'static str) {
        let (_, files) = (self.tokens.entry(id)).or_insert_with(|| (text.into(), Vec::new()));
        if !files.contains(&file) {
            files.push(file);
        }
    }

    /// An id that a file gives to a kind of special token.
    pub(super) fn key(&mut self, kind: &str, id: impl std::fmt::Display, file: &str) {
        self.keys.push(format!("{kind}_token_id {id} ({file})"));
    }

    /// Whether one of the tokens has this text.
    pub(super) fn has(&self, text: &str) -> bool {
        self.tokens.values().any(|(token, _)| token == text)
    }

    /// Adds the note about a vocabulary of `size` tokens, if there is anything to say.
    pub(super) fn note(&self, folder: &Path, size: u32, notes: &Notes) {
        let mut parts = Vec::new();
        // The ids of the same files together, in the order of the first of each.
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for (&id, (_, files)) in &self.tokens {
            let mut known = groups.iter_mut();
            match known.find(|ids| self.tokens[&ids[0]].1 == *files) {
                Some(ids) => ids.push(id),
                None => groups.push(vec![id]),
            }
        }
        if !groups.is_empty() {
            let named = groups.iter().map(|ids| {
                let files = self.tokens[&ids[0]].1.join(", ");
                let tokens = ids.iter().map(|id| {
                    let (text, _) = &self.tokens[id];
                    format!("{id} \"{}\"", Brief(text))
                });
                format!("{} ({files})", first_of(tokens))
            });
            let named: Vec<String> = named.collect();
            let noun = if self.tokens.len() == 1 {
                "token"
            } else {
                "tokens"
            };
            parts.push(format!("{noun} {}", named.join(", ")));
        }
        if !self.keys.is_empty() {
            parts.push(self.keys.join(", "));
        }
        if !parts.is_empty() {
            let message = format!(
                "left out, since the embedding has {size} rows (vocab_size in config.json) and \
                 none for: {}",
                parts.join("; ")
            );
            notes.add(folder, message);
        }
    }
}
