//! The vocabulary of a file: pieces, scores, kinds, and the ids with a meaning.

use aeolus_gguf::Metadata;

use super::scheme::Scheme;

use crate::error::{Error, Result};

/// What a token stands for (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// What text becomes that nothing else covers.
    Unknown,
    /// A mark that is not text: begin, end, turn.
    Control,
    /// A piece of text that is always kept whole, and after which the text begins again: a token
    /// that was added beside SentencePiece's.
    UserDefined,
    /// A piece of text that is always kept whole, in the middle of a word too: a user-defined
    /// piece of SentencePiece's own.
    Symbol,
    /// A piece that merging may pass through, but that is never a result.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte(u8),
}

/// A vocabulary as plain data.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Text of every token. A space is written `▁` (U+2581), or as the `Ġ` of GPT-2's alphabet.
    pub pieces: Vec<String>,
    /// Merge priority of every token, higher first. Byte-pair vocabularies do not use it.
    pub scores: Vec<f32>,
    /// Kind of every token.
    pub kinds: Vec<TokenKind>,
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Stands for what cannot be encoded.
    pub unk: Option<u32>,
    /// Whether the model was trained with `bos` before every text.
    pub add_bos: bool,
    /// Whether the model was trained with `eos` after every text.
    pub add_eos: bool,
    /// Whether a space is put before the text, so that a first word looks like any other.
    pub add_space_prefix: bool,
}

/// Key of the token that begins a text.
pub(super) const BOS_KEY: &str = "tokenizer.ggml.bos_token_id";

/// Most tokens a vocabulary may have.
pub const MAX_TOKENS: usize = 1 << 20;
/// Longest piece, in bytes.
pub const MAX_PIECE_BYTES: usize = 512;
/// Most bytes of text in all pieces together.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// Ways to make a piece of two others, which have to be fewer. The largest vocabularies in use have
/// some 600,000; pieces made for it have one at every cut, which takes many times their own size.
pub const MAX_MERGES: usize = 917_504;
/// Different pairs of characters that are neighbours in a piece, which have to be fewer.
pub const MAX_NEIGHBOURS: usize = 917_504;

impl Vocabulary {
    /// Reads the `tokenizer.ggml.*` keys.
    ///
    /// # Errors
    /// A missing or contradictory key, a tokenizer model or pre-tokenizer that is not known, or a
    /// vocabulary beyond the limits of this module.
    pub fn from_metadata(metadata: &Metadata<'_>) -> Result<Self> {
        let scheme = Scheme::from_metadata(metadata)?;
        let tokens = metadata
            .array("tokenizer.ggml.tokens")?
            .ok_or_else(|| Error::missing_key("tokenizer.ggml.tokens", "the vocabulary"))?;
        if tokens.len() > MAX_TOKENS {
            return Err(too_many(tokens.len()));
        }
        let pieces: Vec<String> = tokens
            .strings()
            .ok_or_else(|| {
                bad(
                    "tokenizer.ggml.tokens",
                    "not strings",
                    "an array of strings",
                )
            })?
            .map(str::to_owned)
            .collect();
        let scores = match metadata.array("tokenizer.ggml.scores")? {
            _ if scheme != Scheme::SentencePiece => vec![0.0; pieces.len()],
            Some(scores) => scores.to_f32s().ok_or_else(|| {
                bad(
                    "tokenizer.ggml.scores",
                    "not FLOAT32",
                    "an array of FLOAT32",
                )
            })?,
            None => {
                return Err(Error::missing_key(
                    "tokenizer.ggml.scores",
                    "the order of merges",
                ));
            }
        };
        let kinds = match metadata.array("tokenizer.ggml.token_type")? {
            Some(types) => {
                let types = types.to_i32s().ok_or_else(|| {
                    bad(
                        "tokenizer.ggml.token_type",
                        "not INT32",
                        "an array of INT32",
                    )
                })?;
                same_length("tokenizer.ggml.token_type", types.len(), pieces.len())?;
                same_length("tokenizer.ggml.scores", scores.len(), pieces.len())?;
                types
                    .iter()
                    .zip(&pieces)
                    .zip(&scores)
                    .map(|((&t, piece), &score)| kind(t, piece, score))
                    .collect::<Result<Vec<_>>>()?
            }
            None => vec![TokenKind::Normal; pieces.len()],
        };
        let in_range = |id: i128| {
            let id = u32::try_from(id).ok();
            id.filter(|&id| (id as usize) < pieces.len())
        };
        // An id that is not in the vocabulary is ignored: the default holds, as without the key.
        let id = |key: &str, default: i128| {
            let id = metadata.get(key).and_then(|value| value.as_integer());
            match id {
                Some(id) if means_none(id) => None,
                _ => id.and_then(in_range).or_else(|| in_range(default)),
            }
        };
        let (bos, eos, unk) = (
            id(BOS_KEY, scheme.default_bos()),
            id("tokenizer.ggml.eos_token_id", scheme.default_eos()),
            id("tokenizer.ggml.unknown_token_id", scheme.default_unk()),
        );
        let flag = |key: &str, default: bool| -> Result<bool> {
            Ok(metadata.bool(key)?.unwrap_or(default))
        };
        let vocabulary = Self {
            bos,
            eos,
            unk,
            add_bos: adds_bos(metadata, scheme)?,
            add_eos: flag("tokenizer.ggml.add_eos_token", false)?,
            // Byte-pair vocabularies never have one, whatever the file says.
            add_space_prefix: scheme == Scheme::SentencePiece
                && flag("tokenizer.ggml.add_space_prefix", true)?,
            pieces,
            scores,
            kinds,
        };
        vocabulary.check()?;
        Ok(vocabulary)
    }

    /// Lengths that agree, ids in range, sizes within the limits.
    pub(super) fn check(&self) -> Result<()> {
        let n = self.pieces.len();
        if n > MAX_TOKENS {
            return Err(too_many(n));
        }
        same_length("tokenizer.ggml.scores", self.scores.len(), n)?;
        same_length("tokenizer.ggml.token_type", self.kinds.len(), n)?;
        let mut text_bytes = 0_usize;
        for (id, piece) in self.pieces.iter().enumerate() {
            text_bytes = text_bytes.saturating_add(piece.len());
            if piece.len() > MAX_PIECE_BYTES {
                return Err(Error::Vocabulary(format!(
                    "token {id} has {} bytes, at most {MAX_PIECE_BYTES} are supported",
                    piece.len()
                )));
            }
        }
        if text_bytes > MAX_TEXT_BYTES {
            return Err(Error::Vocabulary(format!(
                "the tokens have {text_bytes} bytes, at most {MAX_TEXT_BYTES} are supported"
            )));
        }
        for id in [self.bos, self.eos, self.unk].into_iter().flatten() {
            if id as usize >= n {
                return Err(Error::TokenOutOfRange { id, vocab: n });
            }
        }
        Ok(())
    }
}

/// Whether the model was trained with a beginning token before every text.
pub(super) fn adds_bos(metadata: &Metadata<'_>, scheme: Scheme) -> Result<bool> {
    let own = metadata.bool("tokenizer.ggml.add_bos_token")?;
    Ok(own.unwrap_or_else(|| scheme.default_add_bos()) || scheme.always_adds_bos())
}

/// Whether a file says with this id that there is no such token: -1, also as 32 bits without a sign.
pub(super) fn means_none(id: i128) -> bool {
    id == -1 || id == i128::from(u32::MAX)
}

/// The score that converters give to tokens which were added beside SentencePiece's own.
const ADDED_SCORE: f32 = -1000.0;

fn kind(id: i32, piece: &str, score: f32) -> Result<TokenKind> {
    Ok(match id {
        // 0 is "undefined": the reference treats it as text.
        0 | 1 => TokenKind::Normal,
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        4 if score == ADDED_SCORE => TokenKind::UserDefined,
        4 => TokenKind::Symbol,
        5 => TokenKind::Unused,
        6 => TokenKind::Byte(byte_of(piece).ok_or_else(|| {
            Error::Vocabulary(format!(
                "byte token is written {piece:?}, expected the form <0x0A>"
            ))
        })?),
        _ => {
            return Err(bad(
                "tokenizer.ggml.token_type",
                &id.to_string(),
                "1 (normal) to 6 (byte)",
            ));
        }
    })
}

/// `<0x0A>` is 10.
fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

fn same_length(key: &str, found: usize, tokens: usize) -> Result<()> {
    if found == tokens {
        return Ok(());
    }
    Err(bad(
        key,
        &format!("an array of {found}"),
        &format!("one for each of {tokens} tokens"),
    ))
}

pub(super) fn bad(key: &str, found: &str, expected: &str) -> Error {
    Error::BadValue {
        key: key.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}

fn too_many(found: usize) -> Error {
    Error::Vocabulary(format!(
        "there are {found} tokens, at most {MAX_TOKENS} are supported"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_tokens_are_read_strictly() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        assert_eq!(byte_of("<0xff>"), Some(255));
        for bad in ["<0x+1>", "<0xA>", "<0x0A", "0x0A", "<0x00A>", "a"] {
            assert_eq!(byte_of(bad), None, "{bad}");
        }
        assert!(kind(6, "a", 0.0).is_err());
        assert!(kind(7, "a", 0.0).is_err());
    }
}
