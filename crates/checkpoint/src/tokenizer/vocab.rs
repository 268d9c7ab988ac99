//! The list of tokens: the pieces of tokenizer.model, then what other files add or change.

use super::beyond::{Beyond, first_of};
use super::hf::TokenizerJson;
use super::sentencepiece::{Model, Piece, PieceType};
use super::{ADDED, CONFIG, JSON, MODEL};
use crate::Error;
use crate::error::Brief;
use crate::json::{Object, describe};
use crate::notes::Notes;
use aeolus_gguf::{Array, Metadata};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// The score of tokens that no trainer scored.
const ADDED_SCORE: f32 = -1000.0;
/// The score of ids without a token.
const PADDING_SCORE: f32 = -10_000.0;
/// What an added token may do to the text beside it, and what becomes of it without.
const FLAGS: [(&str, &str); 3] = [
    ("lstrip", "spaces before them are kept"),
    ("rstrip", "spaces after them are kept"),
    ("single_word", "they are found inside words, too"),
];

/// Texts, scores and types of all ids.
#[derive(Debug)]
pub(super) struct Vocab {
    texts: Vec<String>,
    scores: Vec<f32>,
    types: Vec<PieceType>,
    /// The file that gave each id its token, `None` for padding.
    files: Vec<Option<&'static str>>,
    /// The tokens, each with its file, that lost their id to another one.
    clashes: BTreeMap<usize, Vec<String>>,
    /// Ids of the tokens with each of the [`FLAGS`].
    flagged: [BTreeMap<usize, String>; 3],
}

impl Vocab {
    /// The pieces of the model, and `[PADn]` for the ids up to `size` that it has none for.
    pub(super) fn new(model: &Model<'_>, size: u32, beyond: &mut Beyond) -> Self {
        let file = if model.from_json { JSON } else { MODEL };
        for (id, piece) in (0..).zip(&model.pieces).skip(size as usize) {
            beyond.token(id, piece.text, file);
        }
        let size = size as usize;
        let mut vocab = Self {
            texts: Vec::with_capacity(size),
            scores: Vec::with_capacity(size),
            types: Vec::with_capacity(size),
            files: Vec::with_capacity(size),
            clashes: BTreeMap::new(),
            flagged: Default::default(),
        };
        let pieces = model.pieces.iter().copied();
        let pieces = pieces.chain(std::iter::repeat(Piece::NONE)).take(size);
        for (id, piece) in pieces.enumerate() {
            let is_padding = piece.text.is_empty();
            vocab.files.push((!is_padding).then_some(file));
            vocab.types.push(piece.kind);
            if is_padding {
                vocab.texts.push(format!("[PAD{id}]"));
                vocab.scores.push(PADDING_SCORE);
                continue;
            }
            vocab.scores.push(piece.score);
            vocab.texts.push(piece.text.into());
        }
        vocab
    }

    pub(super) fn len(&self) -> u32 {
        self.texts.len() as u32
    }

    fn set(&mut self, id: usize, text: String, kind: PieceType, file: &'static str) {
        let old = std::mem::replace(&mut self.texts[id], text);
        if let Some(old_file) = self.files[id].replace(file)
            && !same(&old, &self.texts[id])
        {
            self.lose(id, &old, old_file);
        }
        self.scores[id] = ADDED_SCORE;
        self.types[id] = kind;
    }

    fn lose(&mut self, id: usize, text: &str, file: &str) {
        let lost = format!("\"{}\" ({file})", Brief(text));
        self.clashes.entry(id).or_default().push(lost);
    }

    fn flag(&mut self, id: usize, text: &str, flags: [bool; 3]) {
        for (flagged, _) in self.flagged.iter_mut().zip(flags).filter(|(_, set)| *set) {
            flagged.insert(id, format!("\"{}\"", Brief(text)));
        }
    }

    /// The index of an id that a file gives to a token, `None` if there is no row for it.
    fn index(&self, id: u32, text: &str, file: &'static str, beyond: &mut Beyond) -> Option<usize> {
        if id >= self.len() {
            beyond.token(id, text, file);
            return None;
        }
        Some(id as usize)
    }

    /// added_tokens.json: text to id, all user-defined.
    pub(super) fn add_tokens(
        &mut self,
        added: &Object<'_>,
        beyond: &mut Beyond,
    ) -> Result<(), Error> {
        for (text, id) in added.iter() {
            let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let number = number.ok_or_else(|| {
                let problem = format!("expected a token id, found {}", describe(id));
                added.error(text, problem)
            })?;
            if let Some(index) = self.index(number, text, ADDED, beyond) {
                if text.is_empty() {
                    return Err(added.error("\"\"", format!("token {number} is empty")));
                }
                self.set(index, text.into(), PieceType::UserDefined, ADDED);
            }
        }
        Ok(())
    }

    /// `added_tokens_decoder` of tokenizer_config.json: id to text, special or user-defined.
    pub(super) fn decode_added(
        &mut self,
        decoder: &Object<'_>,
        beyond: &mut Beyond,
    ) -> Result<(), Error> {
        for (id, _) in decoder.iter() {
            let number: u32 = id
                .parse()
                .map_err(|_| decoder.error(id, "expected a token id as key"))?;
            let Some(token) = decoder.object(id)? else {
                continue;
            };
            let text = token.required("content", token.str("content")?)?;
            let special = token.bool("special")?.unwrap_or(false);
            let mut flags = [false; 3];
            for (flag, (key, _)) in flags.iter_mut().zip(FLAGS) {
                *flag = token.bool(key)?.unwrap_or(false);
            }
            if let Some(index) = self.index(number, text, CONFIG, beyond) {
                if text.is_empty() {
                    return Err(token.error("content", format!("token {number} is empty")));
                }
                self.add(index, text, special, CONFIG);
                self.flag(index, text, flags);
            }
        }
        Ok(())
    }

    /// `added_tokens` of tokenizer.json: for ids that are still padding, or for `all`. What its
    /// vocabulary has beyond the rows is noted; the rest of it is the model's.
    pub(super) fn fill_from(
        &mut self,
        path: &Path,
        json: &TokenizerJson,
        all: bool,
        beyond: &mut Beyond,
    ) -> Result<(), Error> {
        for token in json.added_tokens() {
            let text = &*token.content;
            let Some(index) = self.index(token.id, text, JSON, beyond) else {
                continue;
            };
            if text.is_empty() {
                let problem = format!("the added token {} is empty", token.id);
                return Err(Error::tokenizer(path, problem));
            }
            if all || self.files[index].is_none() {
                self.add(index, text, token.special, JSON);
            } else if !same(&self.texts[index], text) {
                self.lose(index, text, JSON);
            }
            self.flag(index, text, token.flags());
        }
        for (text, id) in json.entries() {
            self.index(*id, text, JSON, beyond);
        }
        Ok(())
    }

    /// Types tokens as the reference does where tokenizer.json alone is read: those that
    /// tokenizer_config.json names (`eot_token`) are special. Parts of an answer's structure are not,
    /// since programs want to see them.
    pub(super) fn type_as_named(&mut self, config: &Object<'_>) -> Result<(), Error> {
        const VISIBLE: [&str; 7] = [
            "<|channel>",
            "<channel|>",
            "<|tool_call>",
            "<tool_call|>",
            "<|tool_response>",
            "<tool_response|>",
            "<|\"|>",
        ];
        let mut named: HashSet<&str> = HashSet::new();
        for (key, value) in config.iter() {
            let listed = matches!(key, "additional_special_tokens" | "extra_special_tokens");
            if !listed && !key.ends_with("_token") {
                continue;
            }
            let values: Vec<&serde_json::Value> = match value {
                serde_json::Value::Array(items) => items.iter().collect(),
                serde_json::Value::Object(map) if listed => map.values().collect(),
                one => vec![one],
            };
            named.extend(values.into_iter().filter_map(token_text));
        }
        for (text, kind) in self.texts.iter().zip(&mut self.types) {
            if VISIBLE.contains(&&**text) {
                *kind = PieceType::UserDefined;
            } else if named.contains(&**text) {
                *kind = PieceType::Control;
            }
        }
        Ok(())
    }

    fn add(&mut self, index: usize, text: &str, special: bool, file: &'static str) {
        if special || looks_special(text) {
            self.set(index, text.into(), PieceType::Control, file);
        } else {
            // Such tokens are matched in the text as it is written, with true spaces.
            let text = text.replace('\u{2581}', " ");
            self.set(index, text, PieceType::UserDefined, file);
        }
    }

    /// Gives padding a text that no token has, and notes what of the files the list does not carry.
    pub(super) fn finish(&mut self, folder: &Path, notes: &Notes) {
        let mut first: HashMap<&str, usize> = HashMap::with_capacity(self.texts.len());
        let mut twice = Vec::new();
        let tokens = self.texts.iter().zip(&self.files).enumerate();
        for (id, (text, _)) in tokens.filter(|(_, (_, file))| file.is_some()) {
            match first.entry(text) {
                Entry::Vacant(entry) => {
                    entry.insert(id);
                }
                Entry::Occupied(entry) => {
                    twice.push(format!("\"{}\" ({} and {id})", Brief(text), entry.get()));
                }
            }
        }
        let taken: HashSet<&str> = first.into_keys().collect();
        let mut renamed = Vec::new();
        for (id, text) in self.texts.iter().enumerate() {
            if self.files[id].is_none() && taken.contains(&**text) {
                let mut text = format!("{text}_");
                while taken.contains(&*text) {
                    text.push('_');
                }
                renamed.push((id, text));
            }
        }
        for (id, text) in renamed {
            self.texts[id] = text;
        }
        if !twice.is_empty() {
            let message = format!(
                "more than one id has the text {}; llama.cpp does not load such a file",
                first_of(twice.into_iter())
            );
            notes.add(folder, message);
        }
        if !self.clashes.is_empty() {
            let clashes = self.clashes.iter().map(|(&id, lost)| {
                let (text, file) = (Brief(&self.texts[id]), self.files[id].unwrap_or(MODEL));
                format!("{id} is \"{text}\" ({file}), not {}", lost.join(" or "))
            });
            let clashes = first_of(clashes);
            notes.add(
                folder,
                format_args!("the files disagree about tokens: {clashes}"),
            );
        }
        let flagged = FLAGS.into_iter().zip(&self.flagged);
        let flagged = flagged.filter(|(_, tokens)| !tokens.is_empty());
        let flagged: Vec<String> = flagged
            .map(|((flag, effect), tokens)| {
                let tokens = first_of(tokens.values().cloned());
                format!("{flag} of {tokens} ({effect})")
            })
            .collect();
        if !flagged.is_empty() {
            let message = format!(
                "left out, since GGUF has no place for these flags of added tokens: {}",
                flagged.join("; ")
            );
            notes.add(folder, message);
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

    /// Writes the lists as GGUF keys, scores only where pieces are merged by them.
    pub(super) fn write(&self, scored: bool, metadata: &mut Metadata<'static>) {
        let types: Vec<i32> = self.types.iter().map(|kind| *kind as i32).collect();
        metadata.insert("tokenizer.ggml.tokens", Array::from_strings(&self.texts));
        if scored {
            metadata.insert("tokenizer.ggml.scores", Array::from_f32s(&self.scores));
        }
        metadata.insert("tokenizer.ggml.token_type", Array::from_i32s(&types));
    }
}

/// A token's text: a string, or an object with `content`.
fn token_text(value: &serde_json::Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// True for two spellings of one token: with true spaces, or with one of the marks for them.
fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.replace(['\u{2581}', '\u{120}'], " ");
    a == b || plain(a) == plain(b)
}

/// True for texts that only special tokens have, even where a file does not mark them.
fn looks_special(text: &str) -> bool {
    let between = |start, end| text.starts_with(start) && text.ends_with(end);
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || between("<|", "|>")
        || between("<\u{ff5c}", "\u{ff5c}>")
        || between("<unused", ">")
}
