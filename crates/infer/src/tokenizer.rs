//! Text to token ids and back, from GGUF metadata alone.
//!
//! Two schemes. SentencePiece: characters are replaced where the vocabulary asks for it, spaces become
//! `▁`, a space is put before the text (`normalizer.rs`), pieces are merged by score (`merge.rs`), and
//! characters without a piece fall back to their UTF-8 bytes. Byte pairs: the text is composed and cut
//! as the file's pre-tokenizer says (`normalize.rs`, `pre_tokenize.rs`), pieces are merged by rank
//! (`bpe.rs`).
//!
//! In both, tokens of kind *user-defined* are matched in any text; *control* tokens such as `</s>`
//! only where the caller says that the text may contain them ([`EncodeOptions::parse_special`]),
//! so that a user's words can never end a turn.

mod bpe;
mod bytes;
mod end_tokens;
mod merge;
mod normalize;
mod normalizer;
mod pre_tokenize;
mod scheme;
mod special;
mod stream;
#[cfg(test)]
mod tests;
mod vocab;

use std::borrow::Cow;

use aeolus_arch::pre_tokenizer::PreTokenizer;
use aeolus_gguf::Metadata;

use crate::error::{Error, Result};
use bpe::Bpe;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use bpe::cutter;
use merge::{Merges, Unit};
use normalizer::Normalizer;
use scheme::Scheme;
use special::{Fragment, SpecialTokens};
pub use stream::StreamDecoder;
pub use vocab::{
    MAX_MERGES, MAX_NEIGHBOURS, MAX_PIECE_BYTES, MAX_TEXT_BYTES, MAX_TOKENS, TokenKind, Vocabulary,
};

/// The mark that stands for a space.
const SPACE: char = '\u{2581}';
/// What an unknown token is shown as, as SentencePiece does.
const UNKNOWN_SURFACE: &str = " \u{2047} ";

/// How text becomes ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Put the token before the text that the model was trained with, `<s>`, if it wants one and the
    /// text does not begin with it. What some files want after a text ([`Tokenizer::closing`]) is for
    /// training: a text that is continued or scored never ends with it.
    pub add_special: bool,
    /// Read control tokens that are written out in the text as those tokens.
    pub parse_special: bool,
}

/// A tokenizer made of one file's vocabulary.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    engine: Engine,
    special: SpecialTokens,
    /// Whether white space after a special token belongs to it.
    strips_right: bool,
    /// Byte -> its token.
    bytes: Vec<Option<u32>>,
    /// Tokens that end a generation.
    ends: Vec<u32>,
    /// What is wrong with the file's keys, and was left out.
    notes: Vec<String>,
}

/// What puts pieces together.
#[derive(Debug)]
enum Engine {
    SentencePiece(Box<SentencePiece>),
    Bpe(Box<Bpe>),
}

/// Merging by score.
#[derive(Debug)]
struct SentencePiece {
    merges: Merges,
    normalizer: Normalizer,
}

/// Memory that the engines use again for each fragment of a text.
#[derive(Default)]
struct Scratch {
    merge: merge::Scratch,
    bpe: bpe::Scratch,
    /// A fragment in its normal form.
    normal: String,
}

/// Tokens that do not take the white space after them, in a file whose special tokens do.
const STRIP_NOTHING: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];

impl Tokenizer {
    /// Builds the merge tables of a SentencePiece vocabulary. Begin, end and end-of-turn tokens become
    /// control tokens, whatever their kind was: see `end_tokens.rs`.
    ///
    /// # Errors
    /// [`Error::Vocabulary`], [`Error::BadValue`] or [`Error::TokenOutOfRange`] if the parts
    /// contradict each other or exceed a limit.
    pub fn new(vocabulary: Vocabulary) -> Result<Self> {
        Self::sentence_piece(vocabulary, &[])
    }

    /// The same with further tokens that end a generation.
    fn sentence_piece(mut vocabulary: Vocabulary, ends: &[u32]) -> Result<Self> {
        vocabulary.check()?;
        let ends = end_tokens::find(&mut vocabulary, ends);
        let engine = Engine::SentencePiece(Box::new(SentencePiece {
            merges: Merges::new(&vocabulary)?,
            normalizer: Normalizer::plain(&vocabulary),
        }));
        Ok(Self::with_engine(vocabulary, engine, ends))
    }

    /// The tokenizer of a byte-pair vocabulary. Each merge is two tokens with a space between, in the
    /// order in which they are tried.
    ///
    /// # Errors
    /// As [`Tokenizer::new`], and [`Error::Vocabulary`] for merges that are not such a list.
    pub fn byte_pairs(
        vocabulary: Vocabulary,
        merges: &[&str],
        pre: &'static PreTokenizer,
    ) -> Result<Self> {
        Self::pairs(vocabulary, &[], merges, pre)
    }

    fn pairs(
        mut vocabulary: Vocabulary,
        ends: &[u32],
        merges: &[&str],
        pre: &'static PreTokenizer,
    ) -> Result<Self> {
        vocabulary.check()?;
        // SentencePiece alone has symbols that stand inside words.
        for kind in &mut vocabulary.kinds {
            if *kind == TokenKind::Symbol {
                *kind = TokenKind::UserDefined;
            }
        }
        let ends = end_tokens::find(&mut vocabulary, ends);
        let bpe = Bpe::new(&vocabulary, merges, pre)?;
        bpe.find_kept_whole(&mut vocabulary);
        Ok(Self::with_engine(
            vocabulary,
            Engine::Bpe(Box::new(bpe)),
            ends,
        ))
    }

    fn with_engine(vocabulary: Vocabulary, engine: Engine, ends: Vec<u32>) -> Self {
        let mut bytes = vec![None; 256];
        for (id, kind) in (0..).zip(&vocabulary.kinds) {
            if let TokenKind::Byte(byte) = kind {
                bytes[*byte as usize] = Some(id);
            }
        }
        Self {
            engine,
            special: SpecialTokens::new(&vocabulary),
            strips_right: false,
            bytes,
            ends,
            notes: Vec::new(),
            vocabulary,
        }
    }

    /// The tokenizer of a GGUF file.
    ///
    /// # Errors
    /// As [`Vocabulary::from_metadata`], [`Tokenizer::new`] and [`Tokenizer::byte_pairs`].
    pub fn from_metadata(metadata: &Metadata<'_>) -> Result<Self> {
        let scheme = Scheme::from_metadata(metadata)?;
        let vocabulary = Vocabulary::from_metadata(metadata)?;
        let keys = end_tokens::Keys::read(metadata, vocabulary.pieces.len());
        let mut tokenizer = match scheme.pre_tokenizer() {
            None => Self::sentence_piece(vocabulary, &keys.ends)?,
            Some(pre) => {
                let key = "tokenizer.ggml.merges";
                let merges = metadata.array(key)?;
                let merges =
                    merges.ok_or_else(|| Error::missing_key(key, "the order of merges"))?;
                let strings = merges
                    .strings()
                    .ok_or_else(|| vocab::bad(key, "not strings", "an array of strings"))?;
                let merges: Vec<&str> = strings.collect();
                Self::pairs(vocabulary, &keys.ends, &merges, pre)?
            }
        };
        tokenizer.notes = keys.notes;
        if let Engine::SentencePiece(engine) = &mut tokenizer.engine {
            engine.normalizer.read(metadata)?;
            // The family's SentencePiece vocabularies were made so, and the file cannot say it.
            tokenizer.strips_right = metadata.str("general.architecture")? == Some("phi3");
        }
        Ok(tokenizer)
    }

    /// What was found wrong with the file's keys and left out, a sentence each, for whoever uses the
    /// file.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the model wants a token before every text, and `text` begins with that token where
    /// control tokens are read: then one is enough.
    pub fn begins_by_itself(&self, text: &str) -> bool {
        let wanted = self.vocabulary.bos.filter(|_| self.vocabulary.add_bos);
        wanted.is_some() && self.special.first(&self.vocabulary, text) == wanted
    }

    /// The token that the model was trained with after every text, `</s>`, if the file asks for one
    /// (`tokenizer.ggml.add_eos_token`). No text gets it by itself: it would end what is to be
    /// continued.
    pub fn closing(&self) -> Option<u32> {
        self.vocabulary.eos.filter(|_| self.vocabulary.add_eos)
    }

    /// The vocabulary it was made of.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.pieces.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.pieces.is_empty()
    }

    /// Whether generation stops at this token: the end of a text, of a turn or of a message.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Ids of `text`. An empty text has none (besides those of `add_special`).
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        self.encode_shielded(text, options, None)
    }

    /// The same for a text in which no token that is written out may begin where a `shield`
    /// stands before it. Shields themselves are no text.
    pub(crate) fn encode_shielded(
        &self,
        text: &str,
        options: EncodeOptions,
        shield: Option<char>,
    ) -> Vec<u32> {
        let vocabulary = &self.vocabulary;
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        let begun = options.parse_special && self.begins_by_itself(text);
        if options.add_special && vocabulary.add_bos && !begun {
            ids.extend(vocabulary.bos);
        }
        let mut scratch = Scratch::default();
        // The space goes before the text, and before text that follows a special token.
        let mut is_first = true;
        let mut strip = false;
        let emit = |fragment: Fragment<'_>| {
            match fragment {
                Fragment::Token(id) => {
                    ids.push(id);
                    strip = self.strips_right
                        && !STRIP_NOTHING.contains(&vocabulary.pieces[id as usize].as_str());
                }
                Fragment::Text(text) => {
                    let text = if strip { text.trim_start() } else { text };
                    if text.is_empty() {
                        return;
                    }
                    let bare: Cow<'_, str> = match shield {
                        Some(shield) => text.chars().filter(|c| *c != shield).collect(),
                        None => text.into(),
                    };
                    match &self.engine {
                        Engine::SentencePiece(engine) => {
                            self.merge(engine, &bare, is_first, &mut scratch, &mut ids);
                        }
                        Engine::Bpe(bpe) => bpe.encode(&bare, &mut scratch.bpe, &mut ids),
                    }
                }
            }
            is_first = false;
        };
        self.special
            .split(vocabulary, text, options.parse_special, shield, emit);
        ids
    }

    /// Appends the ids of a text by score.
    fn merge(
        &self,
        engine: &SentencePiece,
        text: &str,
        is_first: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let vocabulary = &self.vocabulary;
        let Scratch { merge, normal, .. } = scratch;
        let SentencePiece { merges, normalizer } = engine;
        normalizer.normalize(vocabulary, text, is_first, normal);
        normalizer.cut(vocabulary, normal, |fragment| match fragment {
            Fragment::Token(id) => ids.push(id),
            Fragment::Text(text) => {
                let mut after_unknown = false;
                merges.encode(vocabulary, text, merge, |unit| {
                    let is_unknown = match unit {
                        Unit::Token(id) => {
                            ids.push(id);
                            false
                        }
                        Unit::Text(run) => self.fall_back(run, after_unknown, ids),
                    };
                    after_unknown = is_unknown;
                });
            }
        });
    }

    /// `text` with a `shield` before every character of the control tokens that are written out
    /// in it.
    pub(crate) fn shield(&self, text: &str, shield: char) -> String {
        let mut out = String::with_capacity(text.len());
        self.special
            .split(&self.vocabulary, text, true, None, |fragment| {
                let id = match fragment {
                    Fragment::Text(text) => return out.push_str(text),
                    Fragment::Token(id) => id as usize,
                };
                let piece = &self.vocabulary.pieces[id];
                // User-defined tokens are text like any other, unless they frame a turn.
                let is_text = self.vocabulary.kinds[id] == TokenKind::UserDefined;
                if is_text && !end_tokens::frames_turns(piece) {
                    return out.push_str(piece);
                }
                out.extend(piece.chars().flat_map(|c| [shield, c]));
            });
        out
    }

    /// Bytes of a character without a piece; the unknown token where a byte has none either, once
    /// for a run of such characters. Says whether it is unknown.
    fn fall_back(&self, run: &str, after_unknown: bool, ids: &mut Vec<u32>) -> bool {
        let bytes = run.bytes().map(|b| self.bytes[b as usize]);
        let bytes = bytes.collect::<Option<Vec<u32>>>();
        match &bytes {
            Some(bytes) => ids.extend(bytes),
            None if after_unknown => {}
            None => ids.extend(self.vocabulary.unk),
        }
        bytes.is_none()
    }

    /// Text of `ids`, without the space that encoding put before the text. Control tokens have
    /// no text; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decode_with(ids, false)
    }

    /// The same, with control tokens by their names if `show_control`.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn decode_with(&self, ids: &[u32], show_control: bool) -> Result<String> {
        let mut bytes = Vec::new();
        for run in ids.chunk_by(|a, b| self.is_byte(*a) && self.is_byte(*b)) {
            let start = bytes.len();
            for &id in run {
                self.token_bytes_into(id, show_control, &mut bytes)?;
            }
            // The original framework's mark for a run of byte tokens that is not UTF-8.
            if self.is_byte(run[0])
                && matches!(self.engine, Engine::Bpe(_))
                && std::str::from_utf8(&bytes[start..]).is_err()
            {
                bytes.truncate(start);
                bytes.extend("\u{fffd}".repeat(run.len()).as_bytes());
            }
        }
        let spaces = match bytes.iter().position(|byte| *byte != b' ') {
            spaces if self.removes_extra_spaces() => spaces.unwrap_or(bytes.len()),
            spaces => usize::from(self.vocabulary.add_space_prefix && spaces != Some(0)),
        };
        let text = bytes.get(spaces..).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn is_byte(&self, id: u32) -> bool {
        matches!(
            self.vocabulary.kinds.get(id as usize),
            Some(TokenKind::Byte(_))
        )
    }

    fn removes_extra_spaces(&self) -> bool {
        matches!(&self.engine, Engine::SentencePiece(engine) if engine.normalizer.remove_extra_spaces)
    }

    /// Bytes of one token in the middle of a text: spaces as they are, a byte token as its byte.
    /// Control tokens have none unless `show_control`, which gives their name.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn token_bytes(&self, id: u32, show_control: bool) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.token_bytes_into(id, show_control, &mut bytes)?;
        Ok(bytes)
    }

    fn token_bytes_into(&self, id: u32, show_control: bool, out: &mut Vec<u8>) -> Result<()> {
        let vocab = self.len();
        let (Some(piece), Some(kind)) = (
            self.vocabulary.pieces.get(id as usize),
            self.vocabulary.kinds.get(id as usize),
        ) else {
            return Err(Error::TokenOutOfRange { id, vocab });
        };
        match kind {
            TokenKind::Byte(byte) => out.push(*byte),
            _ if let Engine::Bpe(bpe) = &self.engine => {
                if *kind != TokenKind::Control || show_control {
                    bpe.piece_bytes(piece, out);
                }
            }
            TokenKind::Control if !show_control => {}
            TokenKind::Unknown if !show_control => out.extend(UNKNOWN_SURFACE.as_bytes()),
            TokenKind::Control | TokenKind::Unknown => out.extend(piece.as_bytes()),
            TokenKind::Normal | TokenKind::UserDefined | TokenKind::Symbol | TokenKind::Unused => {
                let mut buffer = [0; 4];
                for c in piece.chars() {
                    let c = if c == SPACE { ' ' } else { c };
                    out.extend(c.encode_utf8(&mut buffer).as_bytes());
                }
            }
        }
        Ok(())
    }
}
