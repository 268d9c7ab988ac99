//! tokenizer.model: a SentencePiece model, the fields that matter.
//!
//! The file is one protocol buffers message, `ModelProto` of sentencepiece_model.proto:
//!
//! ```text
//! 1 pieces[]          1 piece: string   2 score: float   3 type: enum, NORMAL if absent
//! 2 trainer_spec      3 model_type: enum, UNIGRAM if absent
//!                     24 treat_whitespace_as_suffix: bool (false)
//!                     40 unk_id (0)   41 bos_id (1)   42 eos_id (2): int32, -1 for none
//! 3 normalizer_spec   2 precompiled_charsmap: bytes
//!                     3 add_dummy_prefix: bool (true)   4 remove_extra_whitespaces: bool (true)
//!                     5 escape_whitespaces: bool (true)
//! 5 denormalizer_spec 2 precompiled_charsmap: bytes
//! ```
//!
//! The character map is the length of a trie in bytes (32-bit, little endian), the trie, and the
//! texts that it maps to.

use super::protobuf::{Field, Fields, Malformed, Wire};
use crate::{Error, foreign};
use std::path::Path;

/// What a piece is. The numbers are SentencePiece's and GGUF's alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum PieceType {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

impl PieceType {
    fn from_id(id: u64) -> Option<Self> {
        use PieceType::{Byte, Control, Normal, Unknown, Unused, UserDefined};
        [Normal, Unknown, Control, UserDefined, Unused, Byte]
            .into_iter()
            .find(|kind| *kind as u64 == id)
    }
}

/// A token of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) score: f32,
    pub(super) kind: PieceType,
}

impl Piece<'_> {
    /// An id of which the model says nothing.
    pub(super) const NONE: Self = Piece {
        text: "",
        score: 0.0,
        kind: PieceType::Unused,
    };
}

/// A model, borrowed from its file.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    /// The pieces are tokenizer.json's.
    pub(super) from_json: bool,
    /// Ids of the trainer: (bos, id), ... without those that are -1.
    pub(super) token_ids: Vec<(&'static str, u32)>,
    /// A space is put before the text.
    pub(super) add_dummy_prefix: bool,
    /// The rule for that space, where it is not SentencePiece's own.
    pub(super) prepend_scheme: Option<&'static str>,
    /// What characters are replaced with before a text is split, in SentencePiece's form.
    pub(super) charsmap: Option<&'a [u8]>,
    /// Generated text is to be changed by a map of the same form.
    pub(super) denormalizes: bool,
    /// Runs of spaces become one, those at the ends none.
    pub(super) remove_extra_whitespaces: bool,
    /// The pre-tokenizer's name where pieces are merged by a list instead of by their scores: what
    /// tokenizer.json describes, and not a SentencePiece model.
    pub(super) pre: Option<&'static str>,
}

/// `ModelType` of the trainer: pieces merged pairwise by score, which is what GGUF's `llama`
/// tokenizer does.
const BPE: u64 = 2;

impl<'a> Model<'a> {
    /// Parses the bytes of tokenizer.model with at most `max_pieces` pieces.
    pub(super) fn parse(path: &Path, bytes: &'a [u8], max_pieces: u32) -> Result<Self, Error> {
        let reader = Reader { path };
        if let Some(what) = foreign::tokenizer_model(bytes) {
            return Err(reader.error(what));
        }
        let mut model = Model {
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            ..Model::default()
        };
        let unsupported = |what: &str| {
            let problem = format!("{what} is not supported; --no-tokenizer converts without it");
            Err(reader.error(problem))
        };
        let mut model_type = 1;
        let mut ids = [("bos", 1i64), ("eos", 2), ("unk", 0)];
        for field in Fields::new(bytes, 0) {
            let field = field.map_err(|e| reader.malformed(&e))?;
            match field.number {
                1 => {
                    if model.pieces.len() == max_pieces as usize {
                        return Err(Error::Limit {
                            path: path.into(),
                            what: "pieces",
                            found: u64::from(max_pieces) + 1,
                            limit: max_pieces.into(),
                        });
                    }
                    let piece = reader.piece(model.pieces.len(), &field)?;
                    model.pieces.push(piece);
                }
                2 => {
                    for inner in reader.message("trainer_spec", &field)? {
                        let inner = inner.map_err(|e| reader.malformed(&e))?;
                        match inner.number {
                            3 => model_type = reader.varint("model_type", &inner)?,
                            24 if reader.varint("treat_whitespace_as_suffix", &inner)? != 0 => {
                                return unsupported(
                                    "a space after each word (treat_whitespace_as_suffix)",
                                );
                            }
                            40 => ids[2].1 = reader.varint("unk_id", &inner)? as i64,
                            41 => ids[0].1 = reader.varint("bos_id", &inner)? as i64,
                            42 => ids[1].1 = reader.varint("eos_id", &inner)? as i64,
                            _ => {}
                        }
                    }
                }
                3 => {
                    for inner in reader.message("normalizer_spec", &field)? {
                        let inner = inner.map_err(|e| reader.malformed(&e))?;
                        let flag = |name| Ok::<_, Error>(reader.varint(name, &inner)? != 0);
                        match inner.number {
                            2 => model.charsmap = reader.charsmap(&inner)?,
                            5 if !flag("escape_whitespaces")? => {
                                return unsupported(
                                    "a model that does not mark spaces (escape_whitespaces)",
                                );
                            }
                            3 => model.add_dummy_prefix = flag("add_dummy_prefix")?,
                            4 => model.remove_extra_whitespaces = flag("remove_extra_whitespaces")?,
                            _ => {}
                        }
                    }
                }
                5 => {
                    for inner in reader.message("denormalizer_spec", &field)? {
                        let inner = inner.map_err(|e| reader.malformed(&e))?;
                        model.denormalizes |= inner.number == 2 && inner.value != Wire::Bytes(&[]);
                    }
                }
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(reader.error("no pieces: not a SentencePiece model"));
        }
        if model_type != BPE {
            return Err(reader.error(format!(
                "SentencePiece model type {model_type} is not supported, only {BPE} (BPE) is; \
                 --no-tokenizer converts without it"
            )));
        }
        let pieces = model.pieces.len();
        for (kind, id) in ids {
            match usize::try_from(id) {
                Ok(index) if index < pieces => model.token_ids.push((kind, index as u32)),
                Err(_) if id == -1 => {}
                _ => {
                    let problem = format!("{kind}_id {id} is not a piece: there are {pieces}");
                    return Err(reader.error(problem));
                }
            }
        }
        Ok(model)
    }
}

/// Makes errors that name the file.
struct Reader<'p> {
    path: &'p Path,
}

impl Reader<'_> {
    fn error(&self, problem: impl Into<String>) -> Error {
        Error::tokenizer(self.path, problem)
    }

    fn malformed(&self, e: &Malformed) -> Error {
        self.error(format!("malformed at byte {}: {}", e.offset, e.problem))
    }

    fn wrong_type(&self, what: &str, offset: usize) -> Error {
        self.error(format!(
            "malformed at byte {offset}: {what} has the wrong wire type"
        ))
    }

    fn message<'a>(&self, what: &str, field: &Field<'a>) -> Result<Fields<'a>, Error> {
        match field.value {
            Wire::Bytes(message) => Ok(Fields::new(message, field.offset)),
            _ => Err(self.wrong_type(what, field.offset)),
        }
    }

    fn varint(&self, what: &str, field: &Field<'_>) -> Result<u64, Error> {
        match field.value {
            Wire::Varint(value) => Ok(value),
            _ => Err(self.wrong_type(what, field.offset)),
        }
    }

    /// The bytes of a character map, `None` for an empty one.
    fn charsmap<'a>(&self, field: &Field<'a>) -> Result<Option<&'a [u8]>, Error> {
        let Wire::Bytes(bytes) = field.value else {
            return Err(self.wrong_type("precompiled_charsmap", field.offset));
        };
        let trie = bytes.first_chunk().map(|size| u32::from_le_bytes(*size));
        match trie {
            _ if bytes.is_empty() => Ok(None),
            Some(trie) if trie % 4 == 0 && (4..bytes.len()).contains(&(trie as usize)) => {
                Ok(Some(bytes))
            }
            _ => Err(self.error(format!(
                "precompiled_charsmap of {} bytes does not begin with the length of a trie within \
                 it",
                bytes.len()
            ))),
        }
    }

    fn piece<'a>(&self, id: usize, field: &Field<'a>) -> Result<Piece<'a>, Error> {
        let mut piece = Piece {
            text: "",
            score: 0.0,
            kind: PieceType::Normal,
        };
        for inner in self.message("piece", field)? {
            let inner = inner.map_err(|e| self.malformed(&e))?;
            match (inner.number, inner.value) {
                (1, Wire::Bytes(text)) => {
                    piece.text = std::str::from_utf8(text)
                        .map_err(|_| self.error(format!("the text of piece {id} is not UTF-8")))?;
                }
                (2, Wire::Fixed32(score)) => piece.score = f32::from_le_bytes(score),
                (3, Wire::Varint(kind)) => {
                    piece.kind = PieceType::from_id(kind).ok_or_else(|| {
                        self.error(format!("piece {id} has type {kind}, expected 1 to 6"))
                    })?;
                }
                (1..=3, _) => return Err(self.wrong_type("a field of a piece", inner.offset)),
                _ => {}
            }
        }
        if piece.text.is_empty() {
            return Err(self.error(format!("piece {id} is empty")));
        }
        if !piece.score.is_finite() {
            return Err(self.error(format!("piece {id} has the score {}", piece.score)));
        }
        Ok(piece)
    }
}
