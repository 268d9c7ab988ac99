//! A SentencePiece vocabulary out of tokenizer.json alone.
//!
//! Frameworks write a SentencePiece BPE model as a vocabulary, in the order of the model's, and
//! the merges that follow from its scores. The way back needs care: GGUF's `llama` tokenizer
//! merges any two neighbours whose union is a piece, by the score of that piece, while
//! tokenizer.json merges listed pairs, in the order of the list. So it is checked that both do
//! the same, and what scores cannot say is an error.

use super::hf::{Model as JsonModel, TokenizerJson};
use super::sentencepiece::{Model, Piece, PieceType};
use crate::Error;
use crate::error::Brief;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

/// The mark that stands for a space.
const SPACE: &str = "\u{2581}";
/// Why a tokenizer.json cannot be converted, after what is wrong with it.
const WAY_OUT: &str = "put the tokenizer.model of the base model beside it, or convert without a \
                       tokenizer (--no-tokenizer)";

/// The model that tokenizer.json describes, for a vocabulary of at most `size` tokens. Pieces
/// without text are ids of which the file says nothing.
pub(super) fn model<'a>(
    path: &Path,
    json: &'a TokenizerJson,
    size: u32,
) -> Result<Model<'a>, Error> {
    described(json, size).map_err(|what| Error::unsupported(path, format!("{what}; {WAY_OUT}")))
}

/// How tokenizer.json tokenizes otherwise than the model with the same tokens, in words; `prefix`
/// says whether a space is put before a text. A file without a model says nothing.
pub(super) fn contradiction(
    model: &Model<'_>,
    json: &TokenizerJson,
    size: u32,
    prefix: bool,
) -> Option<String> {
    let kind = json.model().and_then(|model| model.kind.as_deref());
    let is_other = kind.is_some_and(|kind| kind != "BPE");
    // The map of the model's normalizer, which is not compared.
    let mut normalizer = json.normalizer().iter();
    let mapped = model.charsmap.is_some() && normalizer.any(|step| step.kind == "Precompiled");
    if mapped || (json.entries().is_empty() && !is_other) {
        return None;
    }
    let other = match described(json, size) {
        Ok(other) => other,
        Err(what) => return Some(what),
    };
    if let Some(scheme) = other.prepend_scheme {
        return Some(format!(
            "its Metaspace puts a space before a text by the rule \"{scheme}\""
        ));
    }
    if other.add_dummy_prefix != prefix {
        let puts = if prefix { "puts no" } else { "puts a" };
        return Some(format!("it {puts} space before a text"));
    }
    let mut merged = Vec::with_capacity(other.pieces.len());
    for (piece, other) in model.pieces.iter().zip(&other.pieces) {
        match (piece.kind, other.kind) {
            (PieceType::Byte, PieceType::Normal) => {
                return Some("it has no byte_fallback".into());
            }
            (PieceType::Normal, PieceType::Unused) if !other.text.is_empty() => {
                let text = Brief(piece.text);
                return Some(format!("it has no merge that gives the token \"{text}\""));
            }
            // What a merge gives: two characters or more.
            (PieceType::Normal, PieceType::Normal) if piece.text.chars().nth(1).is_some() => {
                merged.push((other.score, piece));
            }
            _ => {}
        }
    }
    merged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let later = merged
        .windows(2)
        .find(|two| two[0].1.score < two[1].1.score)?;
    let [first, second] = [0, 1].map(|at| Brief(later[at].1.text));
    Some(format!(
        "it merges \"{first}\" before \"{second}\", tokenizer.model after it"
    ))
}

/// The model that tokenizer.json describes, or what of it GGUF cannot say.
fn described(json: &TokenizerJson, size: u32) -> Result<Model<'_>, String> {
    let model = json
        .model()
        .filter(|model| model.kind() == "BPE")
        .ok_or_else(|| {
            let kind = json.model().map_or("unknown", JsonModel::kind);
            format!(
                "a tokenizer of type {} is not supported, only BPE that came from SentencePiece \
                 is",
                Brief(kind)
            )
        })?;
    let ignore_merges = model.ignore_merges == Some(true);
    if let Some(key) = ignore_merges.then_some("ignore_merges").or(model.affix()) {
        return Err(format!("model.{key} is not supported"));
    }
    let spaces = Spaces::of(json)?;
    let pieces = Pieces::new(json, model)?;
    if spaces.split
        && let Some(piece) = pieces.with_inner_space()
    {
        return Err(format!(
            "its pre-tokenizer splits the text into words, but the token \"{}\" is longer",
            Brief(piece)
        ));
    }
    let scores = pieces.scores(model)?;
    Ok(Model {
        pieces: pieces.listed(&scores, size),
        from_json: true,
        token_ids: pieces.unknown.map(|id| ("unk", id)).into_iter().collect(),
        add_dummy_prefix: spaces.prefix,
        prepend_scheme: spaces.scheme,
        ..Model::default()
    })
}

/// What is done to spaces before merging.
#[derive(Default)]
struct Spaces {
    /// They become the mark that pieces have.
    marked: bool,
    /// One is put before a text.
    prefix: bool,
    /// The text is split into words, each with the mark before it.
    split: bool,
    /// The rule by which one is put before a text, where it is not SentencePiece's.
    scheme: Option<&'static str>,
}

impl Spaces {
    /// Reads the combinations that SentencePiece models are written with.
    fn of(json: &TokenizerJson) -> Result<Self, String> {
        let mut spaces = Self::default();
        for step in json.normalizer() {
            match &*step.kind {
                "Prepend" if step.prepend.as_deref() == Some(SPACE) => spaces.prefix = true,
                "Replace"
                    if step.searched() == Some(" ") && step.content.as_deref() == Some(SPACE) =>
                {
                    spaces.marked = true;
                }
                other => return Err(unsupported("normalizer", other)),
            }
        }
        for step in json.pre_tokenizer() {
            match &*step.kind {
                // Of no effect: the normalizer has left no spaces.
                "Split" if spaces.marked && step.searched() == Some(" ") => {}
                "Metaspace"
                    if !spaces.marked
                        && !spaces.prefix
                        && step.replacement.as_deref().is_none_or(|r| r == SPACE) =>
                {
                    spaces.marked = true;
                    spaces.split = step.split != Some(false);
                    spaces.scheme = match step.prepend_scheme.as_deref() {
                        Some("first") => Some("first"),
                        Some("never") => None,
                        None if step.add_prefix_space == Some(false) => None,
                        _ => Some("always"),
                    };
                    spaces.prefix = spaces.scheme.is_some();
                }
                other => return Err(unsupported("pre-tokenizer", other)),
            }
        }
        if !spaces.marked {
            return Err("it does not mark spaces as SentencePiece does".into());
        }
        Ok(spaces)
    }
}

fn unsupported(part: &str, kind: &str) -> String {
    format!(
        "its {part} \"{}\" with these settings is not one that SentencePiece models are written \
         with",
        Brief(kind)
    )
}

/// The tokens by id and by text.
struct Pieces<'a> {
    /// Text and type of each id, in the order of the ids.
    all: Vec<(u32, &'a str, PieceType)>,
    /// The ids of tokens that merging may give.
    ids: HashMap<&'a str, u32>,
    unknown: Option<u32>,
}

impl<'a> Pieces<'a> {
    fn new(json: &'a TokenizerJson, model: &'a JsonModel) -> Result<Self, String> {
        let added: HashSet<u32> = json.added_tokens().map(|token| token.id).collect();
        let mut all = Vec::with_capacity(model.vocab.0.len());
        let mut ids = HashMap::with_capacity(model.vocab.0.len());
        let mut unknown = None;
        for (text, id) in &model.vocab.0 {
            let kind = if model.unk_token.as_ref() == Some(text) {
                unknown = Some(*id);
                PieceType::Unknown
            } else if added.contains(id) {
                // The list of added tokens says what it is.
                continue;
            } else if model.byte_fallback == Some(true) && is_byte(text) {
                PieceType::Byte
            } else {
                if ids.insert(text.as_str(), *id).is_some() {
                    return Err(format!("token \"{}\" is there twice", Brief(text)));
                }
                PieceType::Normal
            };
            if text.is_empty() {
                return Err(format!("token {id} is empty"));
            }
            all.push((*id, text.as_str(), kind));
        }
        all.sort_by_key(|(id, ..)| *id);
        if let Some([(id, first, _), (_, second, _)]) =
            all.windows(2).find(|pair| pair[0].0 == pair[1].0)
        {
            return Err(format!(
                "tokens \"{}\" and \"{}\" have the same id {id}",
                Brief(first),
                Brief(second)
            ));
        }
        Ok(Self { all, ids, unknown })
    }

    /// A piece that no word is, since it has a space in it.
    fn with_inner_space(&self) -> Option<&'a str> {
        let mut texts = self.ids.keys().copied();
        texts.find(|text| {
            text.char_indices()
                .any(|(at, _)| at > 0 && text[at..].starts_with(SPACE))
        })
    }

    /// The scores by which merging does what the merges say, by text, and the pieces that only
    /// scores would make: `None` for their score.
    ///
    /// A SentencePiece model has -1 for the second piece, -2 for the third and so on, which is
    /// what comes out wherever the merges keep that order.
    fn scores(&self, model: &'a JsonModel) -> Result<HashMap<&'a str, Option<f32>>, String> {
        let first = self.ids.values().min().copied().unwrap_or(0);
        let merges = model.merges.as_ref().map_or(0, |merges| merges.0.len());
        // The pieces that merges give, each with the place where the left part ends.
        let mut listed: HashSet<(u32, usize)> = HashSet::with_capacity(merges);
        // The place of each piece among the results, in the order of their merges.
        let mut ranks: HashMap<u32, usize> = HashMap::with_capacity(self.ids.len());
        let mut last = None;
        let mut in_order_of_ids = true;
        for merge in model.merges.iter().flat_map(|merges| &merges.0) {
            let Some((left, right)) = merge.pieces() else {
                return Err("a merge is not two pieces joined by a space".into());
            };
            let whole = [left, right].concat();
            // Tokens that are cut out of the text before are no matter of merging.
            let Some(&id) = self.ids.get(&*whole) else {
                continue;
            };
            listed.insert((id, left.len()));
            if last == Some(id) {
                continue;
            }
            let before = last.replace(id);
            in_order_of_ids &= before.is_none_or(|before| before < id);
            let rank = ranks.len();
            if ranks.insert(id, rank).is_some() {
                return Err(format!(
                    "the merges that give the token \"{}\" do not follow each other, which \
                     scores cannot say",
                    Brief(&whole)
                ));
            }
        }
        let mut texts: Vec<(&'a str, u32)> =
            self.ids.iter().map(|(text, id)| (*text, *id)).collect();
        // Of two pieces that a piece is made of, both come before it.
        texts.sort_by_key(|(text, _)| (text.len(), *text));
        let mut made: HashSet<&str> = HashSet::with_capacity(texts.len());
        let mut scores = HashMap::with_capacity(texts.len());
        for (text, id) in texts {
            let whole_is_char = text.chars().nth(1).is_none();
            let rank = ranks.get(&id).copied();
            let is_part = |part: &str| part.chars().nth(1).is_none() || made.contains(part);
            let mut is_made = rank.is_some();
            for (at, _) in text.char_indices().skip(1) {
                let (left, right) = text.split_at(at);
                if listed.contains(&(id, at)) || !is_part(left) || !is_part(right) {
                    continue;
                }
                is_made = true;
                if rank.is_some() {
                    return Err(format!(
                        "no merge joins \"{}\" and \"{}\" though \"{}\" is a token, which scores \
                         cannot say",
                        Brief(left),
                        Brief(right),
                        Brief(text)
                    ));
                }
            }
            if is_made {
                made.insert(text);
            }
            let score = match rank {
                None if is_made && !whole_is_char => None,
                Some(rank) if !in_order_of_ids => Some(-(rank as f32)),
                _ => Some(-((id - first) as f32)),
            };
            scores.insert(text, score);
        }
        Ok(scores)
    }

    /// The pieces of all ids below `size`.
    fn listed(&self, scores: &HashMap<&str, Option<f32>>, size: u32) -> Vec<Piece<'a>> {
        let mut pieces = Vec::with_capacity(self.all.len());
        for &(id, text, kind) in self.all.iter().take_while(|(id, ..)| *id < size) {
            pieces.resize(id as usize, Piece::NONE);
            let (score, kind) = match (kind, scores.get(text)) {
                // Merging comes to it last of all, and takes it apart again.
                (PieceType::Normal, Some(None)) => (f32::MIN, PieceType::Unused),
                (PieceType::Normal, Some(Some(score))) => (*score, kind),
                _ => (0.0, kind),
            };
            pieces.push(Piece { text, score, kind });
        }
        pieces
    }
}

/// How the tokens of tokenizer.json differ from those of tokenizer.model.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Tokens that tokenizer.model does not have.
    more: usize,
    /// Ids at which the two have different tokens, with the first of them in words.
    other: usize,
    example: String,
    /// Tokens of tokenizer.model that tokenizer.json does not have.
    missing: usize,
}

impl Difference {
    /// Compares the tokens below `size`. A file without a vocabulary says nothing.
    pub(super) fn of(model: &Model<'_>, json: &TokenizerJson, size: u32) -> Self {
        let mut difference = Self::default();
        if json.entries().is_empty() {
            return difference;
        }
        let added: HashSet<u32> = json.added_tokens().map(|token| token.id).collect();
        let mut known = added.clone();
        for (text, id) in json.entries().iter().filter(|(_, id)| *id < size) {
            known.insert(*id);
            match model.pieces.get(*id as usize) {
                Some(piece) if piece.text == text => {}
                Some(piece) => {
                    difference.other += 1;
                    if difference.other == 1 {
                        let (text, piece) = (Brief(text), Brief(piece.text));
                        difference.example = format!(" (id {id}: \"{text}\", there \"{piece}\")");
                    }
                }
                None => difference.more += usize::from(!added.contains(id)),
            }
        }
        let pieces = (0..size).zip(&model.pieces);
        difference.missing = pieces.filter(|(id, _)| !known.contains(id)).count();
        difference
    }

    /// The files agree.
    pub(super) fn is_none(&self) -> bool {
        self.more + self.other + self.missing == 0
    }

    /// tokenizer.json has less than tokenizer.model, and nothing else.
    pub(super) fn is_less(&self) -> bool {
        self.more + self.other == 0
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example = &self.example;
        let parts = [
            (
                self.more,
                ["token", "tokens"],
                "that tokenizer.model does not have",
                "",
            ),
            (
                self.other,
                ["id with another token", "ids with other tokens"],
                "than in tokenizer.model",
                example,
            ),
            (
                self.missing,
                ["token", "tokens"],
                "fewer than tokenizer.model",
                "",
            ),
        ];
        let mut before = "";
        for (count, [one, many], what, example) in parts.into_iter().filter(|part| part.0 > 0) {
            let noun = if count == 1 { one } else { many };
            write!(f, "{before}{count} {noun} {what}{example}")?;
            before = ", ";
        }
        Ok(())
    }
}

/// True for the spelling of a byte token, `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}
