//! Special tokens: which text and which id each kind has, and which are added to every text.

use crate::Error;
use crate::config::TOKEN_KINDS;
use crate::json::{Object, describe};
use aeolus_gguf::Metadata;
use serde_json::Value;

/// What is known of the special tokens while files are read.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    /// Text of each kind.
    texts: Vec<(&'static str, String)>,
    /// Id of each kind, in the order they were found.
    ids: Vec<(&'static str, u32)>,
    /// Whether each kind is added to every text, in the order it was found.
    added: Vec<(&'static str, bool)>,
    /// tokenizer_config.json is there, so a template only confirms what it says.
    texts_are_fixed: bool,
}

/// GGUF's name of the id of each kind.
pub(super) fn id_key(kind: &str) -> &'static str {
    match kind {
        "bos" => "tokenizer.ggml.bos_token_id",
        "eos" => "tokenizer.ggml.eos_token_id",
        "unk" => "tokenizer.ggml.unknown_token_id",
        // So spelt in the format.
        "sep" => "tokenizer.ggml.seperator_token_id",
        "pad" => "tokenizer.ggml.padding_token_id",
        "cls" => "tokenizer.ggml.cls_token_id",
        "mask" => "tokenizer.ggml.mask_token_id",
        _ => "tokenizer.ggml.eot_token_id",
    }
}

impl SpecialTokens {
    /// The texts of tokenizer_config.json, and those of special_tokens_map.json for kinds that
    /// the former does not mention.
    pub(super) fn from_configs(
        config: Option<&Object<'_>>,
        map: Option<&Object<'_>>,
    ) -> Result<Self, Error> {
        let mut special = Self {
            texts_are_fixed: config.is_some() || map.is_some(),
            ..Self::default()
        };
        for kind in TOKEN_KINDS {
            let key = format!("{kind}_token");
            for file in [config, map].into_iter().flatten() {
                if let Some(text) = token_text(file, &key)? {
                    special.texts.push((kind, text));
                    break;
                }
            }
        }
        Ok(special)
    }

    /// The text of a kind.
    pub(super) fn text(&self, kind: &str) -> Option<&str> {
        let mut texts = self.texts.iter();
        texts
            .find(|(k, _)| *k == kind)
            .map(|(_, text)| text.as_str())
    }

    /// The text of a kind; `text` becomes it if no configuration file could have said so.
    pub(super) fn text_or_set(&mut self, kind: &'static str, text: &str) -> &str {
        if !self.texts_are_fixed && self.text(kind).is_none() {
            self.texts.push((kind, text.into()));
        }
        self.text(kind).unwrap_or("")
    }

    /// Every text ends with `last`. If the configuration says another end token, that one ends
    /// turns.
    pub(super) fn end_with(&mut self, last: &str) {
        if self.text("eos") == Some(last) {
            return;
        }
        let turn = self.texts.iter().position(|(kind, _)| *kind == "eos");
        if let Some(turn) = turn.map(|index| self.texts.remove(index)) {
            self.texts.push(("eot", turn.1));
        }
        self.texts.push(("eos", last.into()));
    }

    /// Says whether a kind is added to every text. The last word holds.
    pub(super) fn set_added(&mut self, kind: &'static str, added: bool) {
        match self.added.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, old)) => *old = added,
            None => self.added.push((kind, added)),
        }
    }

    /// `add_bos_token` and its like in tokenizer_config.json.
    pub(super) fn read_added(&mut self, config: &Object<'_>) -> Result<(), Error> {
        for kind in ["bos", "eos", "sep"] {
            if let Some(added) = config.bool(&format!("add_{kind}_token"))? {
                self.set_added(kind, added);
            }
        }
        Ok(())
    }

    /// Finds the id of each text by `added_id`, for a vocabulary of `size` tokens of which `token_id`
    /// finds all. Gives the texts that are not those of a special token, with
    /// their kinds.
    pub(super) fn find_ids(
        &mut self,
        size: u32,
        added_id: impl Fn(&str) -> Option<u32>,
        token_id: impl Fn(&str) -> Option<u32>,
    ) -> Vec<(&'static str, String)> {
        let mut unknown = Vec::new();
        for kind in TOKEN_KINDS.into_iter().chain(["eot"]) {
            let Some(text) = self.text(kind) else {
                continue;
            };
            let id = added_id(text);
            if id.or_else(|| token_id(text)).is_none() && !text.is_empty() {
                unknown.push((kind, text.to_owned()));
            }
            if let Some(id) = id.filter(|id| *id < size) {
                self.add_ids(&[(kind, id)]);
            }
        }
        unknown
    }

    /// Takes ids of kinds that have none yet. Each is one of a token: whoever reads a file's ids
    /// checks them against the vocabulary.
    pub(super) fn add_ids(&mut self, ids: &[(&'static str, u32)]) {
        for &(kind, id) in ids {
            if self.ids.iter().all(|(k, _)| *k != kind) {
                self.ids.push((kind, id));
            }
        }
    }

    /// Writes ids and flags as GGUF keys.
    pub(super) fn write(&self, metadata: &mut Metadata<'static>) {
        for &(kind, id) in &self.ids {
            metadata.insert(id_key(kind), id);
        }
        for &(kind, added) in &self.added {
            metadata.insert(format!("tokenizer.ggml.add_{kind}_token"), added);
        }
    }
}

/// A token's text: a string, or an object with `content`.
fn token_text(file: &Object<'_>, key: &str) -> Result<Option<String>, Error> {
    match file.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Object(_)) => {
            let inner = file.object(key)?;
            let text = inner.map(|inner| inner.str("content")).transpose()?;
            Ok(text.flatten().map(str::to_owned))
        }
        Some(other) => {
            let found = describe(other);
            Err(file.error(
                key,
                format!("expected a string or an object, found {found}"),
            ))
        }
    }
}
