//! Text to token ids and back, from GGUF metadata alone.
//!
//! The scheme is SentencePiece BPE: spaces become `▁`, a space is put before the text, pieces
//! are merged by score (`merge.rs`), and characters without a piece fall back to their UTF-8
//! bytes. Tokens of kind *user-defined* are matched in any text; *control* tokens such as `</s>`
//! only where the caller says that the text may contain them ([`EncodeOptions::parse_special`]),
//! so that a user's words can never end a turn.

mod merge;
mod special;
mod stream;
#[cfg(test)]
mod tests;
mod vocab;

use aeolus_gguf::Metadata;

use crate::error::{Error, Result};
use merge::{Merges, Scratch, Unit};
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
    /// Put the tokens around the text that the model was trained with: `<s>` before it (and, for
    /// the rare model that wants it, `</s>` after it).
    pub add_special: bool,
    /// Read control tokens that are written out in the text as those tokens.
    pub parse_special: bool,
}

/// A tokenizer made of one file's vocabulary.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    merges: Merges,
    special: SpecialTokens,
    /// Byte -> its token.
    bytes: Vec<Option<u32>>,
    /// Tokens that end a generation.
    ends: Vec<u32>,
}

/// Control tokens that end a turn under these names, whatever `eos` is.
const END_NAMES: [&str; 6] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
];

impl Tokenizer {
    /// Builds the merge tables of a vocabulary.
    ///
    /// # Errors
    /// [`Error::Vocabulary`], [`Error::BadValue`] or [`Error::TokenOutOfRange`] if the parts
    /// contradict each other or exceed a limit.
    pub fn new(vocabulary: Vocabulary) -> Result<Self> {
        vocabulary.check()?;
        let mut bytes = vec![None; 256];
        let mut ends: Vec<u32> = vocabulary.eos.into_iter().collect();
        for (id, kind) in vocabulary.kinds.iter().enumerate() {
            let id = id as u32;
            match kind {
                TokenKind::Byte(byte) => bytes[*byte as usize] = Some(id),
                TokenKind::Control | TokenKind::UserDefined
                    if END_NAMES.contains(&vocabulary.pieces[id as usize].as_str())
                        && !ends.contains(&id) =>
                {
                    ends.push(id);
                }
                _ => {}
            }
        }
        Ok(Self {
            merges: Merges::new(&vocabulary)?,
            special: SpecialTokens::new(&vocabulary),
            bytes,
            ends,
            vocabulary,
        })
    }

    /// The tokenizer of a GGUF file.
    ///
    /// # Errors
    /// As [`Vocabulary::from_metadata`] and [`Tokenizer::new`].
    pub fn from_metadata(metadata: &Metadata<'_>) -> Result<Self> {
        let mut tokenizer = Self::new(Vocabulary::from_metadata(metadata)?)?;
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            if let Some(id) = metadata.u32(key)?
                && (id as usize) < tokenizer.len()
                && !tokenizer.ends.contains(&id)
            {
                tokenizer.ends.push(id);
            }
        }
        Ok(tokenizer)
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

    /// Whether generation stops at this token: `eos`, or an end of turn.
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
        if options.add_special && vocabulary.add_bos {
            ids.extend(vocabulary.bos);
        }
        let mut scratch = Scratch::default();
        let mut escaped = String::new();
        // The space goes before the text, and before text that follows a special token.
        let mut prefix = vocabulary.add_space_prefix;
        let emit = |fragment: Fragment<'_>| match fragment {
            Fragment::Token(id) => {
                ids.push(id);
                prefix = vocabulary.add_space_prefix;
            }
            Fragment::Text(text) => {
                escaped.clear();
                if prefix {
                    escaped.push(SPACE);
                }
                prefix = false;
                let chars = text.chars().filter(|c| Some(*c) != shield);
                escaped.extend(chars.map(|c| if c == ' ' { SPACE } else { c }));
                let merges = &self.merges;
                merges.encode(vocabulary, &escaped, &mut scratch, |unit| match unit {
                    Unit::Token(id) => ids.push(id),
                    Unit::Text(run) => self.fall_back(run, &mut ids),
                });
            }
        };
        self.special
            .split(vocabulary, text, options.parse_special, shield, emit);
        if options.add_special && vocabulary.add_eos {
            ids.extend(vocabulary.eos);
        }
        ids
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
                // User-defined tokens are text like any other.
                if self.vocabulary.kinds[id] == TokenKind::UserDefined {
                    return out.push_str(piece);
                }
                out.extend(piece.chars().flat_map(|c| [shield, c]));
            });
        out
    }

    /// Bytes of a character without a piece; the unknown token where a byte has none either.
    fn fall_back(&self, run: &str, ids: &mut Vec<u32>) {
        let bytes = run.bytes().map(|b| self.bytes[b as usize]);
        match bytes.collect::<Option<Vec<u32>>>() {
            Some(bytes) => ids.extend(bytes),
            None => ids.extend(self.vocabulary.unk),
        }
    }

    /// Text of `ids`, without the space that encoding put before the text. Control tokens have
    /// no text; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut bytes = Vec::new();
        for &id in ids {
            self.token_bytes_into(id, false, &mut bytes)?;
        }
        let text = match bytes.strip_prefix(b" ") {
            Some(text) if self.vocabulary.add_space_prefix => text,
            _ => &bytes,
        };
        Ok(String::from_utf8_lossy(text).into_owned())
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
            TokenKind::Control if !show_control => {}
            TokenKind::Unknown if !show_control => out.extend(UNKNOWN_SURFACE.as_bytes()),
            TokenKind::Control | TokenKind::Unknown => out.extend(piece.as_bytes()),
            TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused => {
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
