//! A byte-pair vocabulary out of tokenizer.json: GGUF's `gpt2` tokenizer, and its `gemma4`.
//!
//! Tokens and merges are taken as they are. What GGUF has no room for is how a text is cut before
//! its pieces are merged: a file only names the way, and the name is found by comparing what
//! tokenizer.json describes with the ways that have one.

use super::JSON;
use super::hf::TokenizerJson;
use super::sentencepiece::{Model, Piece, PieceType};
use crate::error::Brief;
use crate::files::Folder;
use crate::json::Keyed;
use crate::{Error, Limits};
use aeolus_arch::pre_tokenizer::{self, PreTokenizer, Structure};
use std::path::Path;

/// GGUF's name of a tokenizer whose merges run over characters.
pub(super) const OF_CHARACTERS: &str = "gemma4";
/// The score of tokens of such a tokenizer: nothing is merged by it.
const UNSCORED: f32 = -1000.0;

/// The model that tokenizer.json describes, for a vocabulary of at most `size` tokens. Pieces
/// without text are ids of which the file says nothing.
pub(super) fn model<'a>(
    folder: &Folder<'_>,
    json: &'a TokenizerJson,
    size: u32,
    pre: Option<&str>,
) -> Result<Model<'a>, Error> {
    let path = folder.path.join(JSON);
    Ok(Model {
        pieces: pieces(&path, json, size)?,
        from_json: true,
        pre: Some(named(folder, &path, pre)?.name),
        ..Model::default()
    })
}

/// The same of a tokenizer whose merges run over the characters of the whole text, with a mark for
/// spaces: it looks like a SentencePiece model's. What no token covers is written in bytes.
pub(super) fn of_characters<'a>(
    folder: &Folder<'_>,
    json: &'a TokenizerJson,
    size: u32,
) -> Result<Model<'a>, Error> {
    let mut pieces = pieces(&folder.path.join(JSON), json, size)?;
    for piece in &mut pieces {
        piece.score = UNSCORED;
        if is_byte(piece.text) {
            piece.kind = PieceType::Byte;
        }
    }
    Ok(Model {
        pieces,
        from_json: true,
        add_dummy_prefix: false,
        ..Model::default()
    })
}

/// `<0x0A>` stands for a byte.
fn is_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// The vocabulary, by id.
fn pieces<'a>(path: &Path, json: &'a TokenizerJson, size: u32) -> Result<Vec<Piece<'a>>, Error> {
    let Some(model) = json.model().filter(|model| model.merges.is_some()) else {
        return Err(Error::unsupported(
            path,
            "a tokenizer of bytes or characters without merges is not supported, only BPE is; \
             --no-tokenizer converts without it",
        ));
    };
    if let Some(key) = model.affix() {
        let problem =
            format!("model.{key} is not supported; --no-tokenizer converts without a tokenizer");
        return Err(Error::unsupported(path, problem));
    }
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for (text, id) in model.vocab.0.iter().filter(|(_, id)| *id < size) {
        let index = *id as usize;
        if text.is_empty() {
            return Err(Error::tokenizer(path, format!("token {id} is empty")));
        }
        if pieces.len() <= index {
            pieces.resize(index + 1, Piece::NONE);
        }
        if !pieces[index].text.is_empty() {
            let (first, second) = (Brief(pieces[index].text), Brief(text));
            let problem = format!("tokens \"{first}\" and \"{second}\" have the same id {id}");
            return Err(Error::tokenizer(path, problem));
        }
        pieces[index] = Piece {
            text,
            score: 0.0,
            kind: PieceType::Normal,
        };
    }
    Ok(pieces)
}

/// The pre-tokenizer that the user names, or the one whose way the file describes.
fn named(
    folder: &Folder<'_>,
    path: &Path,
    pre: Option<&str>,
) -> Result<&'static PreTokenizer, Error> {
    if let Some(name) = pre {
        return pre_tokenizer::named(name).ok_or_else(|| {
            let nearest = pre_tokenizer::nearest_name(name);
            let name = Brief(name);
            let problem = format!(
                "--pre {name} is not the name of a pre-tokenizer; the nearest one is {nearest}"
            );
            Error::unsupported(path, problem)
        });
    }
    let Limits {
        tokenizer_bytes, ..
    } = *folder.limits;
    let (_, structure) = folder.json::<Keyed<Structure>>(JSON, tokenizer_bytes)?;
    let structure = structure.map(|structure| structure.0).unwrap_or_default();
    pre_tokenizer::recognise(&structure).map_err(|unknown| {
        Error::unsupported(
            path,
            format!("{unknown}; --no-tokenizer converts without a tokenizer"),
        )
    })
}
