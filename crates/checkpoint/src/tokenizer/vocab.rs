//! The list of tokens: the pieces of tokenizer.model, then what other files add or change.

use super::hf::TokenizerJson;
use super::sentencepiece::{Model, PieceType};
use crate::Error;
use crate::error::Brief;
use crate::json::{Object, describe};
use aeolus_gguf::{Array, Metadata};
use std::path::Path;

/// The score of tokens that no trainer scored.
const ADDED_SCORE: f32 = -1000.0;
/// The score of ids without a token.
const PADDING_SCORE: f32 = -10_000.0;

/// Texts, scores and types of all ids.
#[derive(Debug)]
pub(super) struct Vocab {
    texts: Vec<String>,
    scores: Vec<f32>,
    types: Vec<PieceType>,
    /// Ids that no file has given a token yet.
    padding: Vec<bool>,
}

impl Vocab {
    /// The pieces of the model, and `[PADn]` for the ids from there to `size`.
    pub(super) fn new(path: &Path, model: &Model<'_>, size: u32) -> Result<Self, Error> {
        let pieces = model.pieces.len();
        if pieces > size as usize {
            return Err(Error::tokenizer(
                path,
                format!("it has {pieces} tokens, but vocab_size in config.json is {size}"),
            ));
        }
        let size = size as usize;
        let mut vocab = Self {
            texts: Vec::with_capacity(size),
            scores: Vec::with_capacity(size),
            types: Vec::with_capacity(size),
            padding: vec![false; pieces],
        };
        for piece in &model.pieces {
            vocab.texts.push(piece.text.into());
            vocab.scores.push(piece.score);
            // The reference knows no user-defined pieces of the model itself.
            vocab.types.push(match piece.kind {
                PieceType::UserDefined => PieceType::Normal,
                kind => kind,
            });
        }
        vocab
            .texts
            .extend((pieces..size).map(|id| format!("[PAD{id}]")));
        vocab.scores.resize(size, PADDING_SCORE);
        vocab.types.resize(size, PieceType::Unused);
        vocab.padding.resize(size, true);
        Ok(vocab)
    }

    pub(super) fn len(&self) -> u32 {
        self.texts.len() as u32
    }

    fn set(&mut self, id: usize, text: String, kind: PieceType) {
        self.texts[id] = text;
        self.scores[id] = ADDED_SCORE;
        self.types[id] = kind;
        self.padding[id] = false;
    }

    /// The index of an id that a file gives to a token.
    fn index(&self, id: u32, text: &str) -> Result<usize, String> {
        if id >= self.len() {
            return Err(format!(
                "token \"{}\" has id {id}, but vocab_size in config.json is {}",
                Brief(text),
                self.len()
            ));
        }
        Ok(id as usize)
    }

    /// added_tokens.json: text to id, all user-defined.
    pub(super) fn add_tokens(&mut self, added: &Object<'_>) -> Result<(), Error> {
        for (text, id) in added.iter() {
            let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let index = number
                .ok_or_else(|| format!("expected a token id, found {}", describe(id)))
                .and_then(|id| self.index(id, text))
                .map_err(|problem| added.error(text, problem))?;
            self.set(index, text.into(), PieceType::UserDefined);
        }
        Ok(())
    }

    /// `added_tokens_decoder` of tokenizer_config.json: id to text, special or user-defined.
    pub(super) fn decode_added(&mut self, decoder: &Object<'_>) -> Result<(), Error> {
        for (id, _) in decoder.iter() {
            let number: u32 = id
                .parse()
                .map_err(|_| decoder.error(id, "expected a token id as key"))?;
            let Some(token) = decoder.object(id)? else {
                continue;
            };
            let text = token.required("content", token.str("content")?)?;
            let index = self
                .index(number, text)
                .map_err(|problem| decoder.error(id, problem))?;
            let special = token.bool("special")?.unwrap_or(false);
            self.add(index, text, special);
        }
        Ok(())
    }

    /// `added_tokens` of tokenizer.json, for ids that are still padding.
    pub(super) fn fill_from(&mut self, path: &Path, json: &TokenizerJson) -> Result<(), Error> {
        for token in json.added_tokens() {
            let index = self
                .index(token.id, &token.content)
                .map_err(|problem| Error::tokenizer(path, problem))?;
            if self.padding[index] {
                self.add(index, &token.content, token.special);
            }
        }
        Ok(())
    }

    fn add(&mut self, index: usize, text: &str, special: bool) {
        if special || looks_special(text) {
            self.set(index, text.into(), PieceType::Control);
        } else {
            // Such tokens are matched in the text as it is written, with true spaces.
            let text = text.replace('\u{2581}', " ");
            self.set(index, text, PieceType::UserDefined);
        }
    }

    /// The id of a token that is not an ordinary piece.
    pub(super) fn special_id(&self, text: &str) -> Option<u32> {
        let is_special = |kind| {
            use PieceType::{Control, Unknown, UserDefined};
            matches!(kind, Control | Unknown | UserDefined)
        };
        let mut tokens = self.texts.iter().zip(&self.types);
        let index = tokens.position(|(t, kind)| t == text && is_special(*kind))?;
        u32::try_from(index).ok()
    }

    /// Writes the three lists as GGUF keys.
    pub(super) fn write(&self, metadata: &mut Metadata<'static>) {
        let types: Vec<i32> = self.types.iter().map(|kind| *kind as i32).collect();
        metadata.insert("tokenizer.ggml.tokens", Array::from_strings(&self.texts));
        metadata.insert("tokenizer.ggml.scores", Array::from_f32s(&self.scores));
        metadata.insert("tokenizer.ggml.token_type", Array::from_i32s(&types));
    }
}

/// True for texts that only special tokens have, even where a file does not mark them.
fn looks_special(text: &str) -> bool {
    let between = |start, end| text.starts_with(start) && text.ends_with(end);
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || between("<|", "|>")
        || between("<\u{ff5c}", "\u{ff5c}>")
        || between("<unused", ">")
}
