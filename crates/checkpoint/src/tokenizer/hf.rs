//! tokenizer.json: the parts that say what a SentencePiece file does not.

use super::special::SpecialTokens;
use crate::json::{Bounded, Keyed};
use aeolus_gguf::Array;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Merges of one tokenizer: far above the largest vocabularies.
const MAX_MERGES: usize = 1 << 20;
/// Added tokens of one tokenizer.
const MAX_ADDED: usize = 1 << 16;
/// Steps of a post-processor and pieces of its templates.
const MAX_STEPS: usize = 64;

/// What is read of tokenizer.json; the vocabulary is that of tokenizer.model.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct TokenizerJson {
    #[serde(default)]
    added_tokens: Option<Bounded<Keyed<AddedToken>, MAX_ADDED>>,
    #[serde(default)]
    model: Option<Keyed<Model>>,
    #[serde(default)]
    post_processor: Option<Keyed<PostProcessor>>,
}

/// A token beside the model's own, or one of them marked as special.
#[derive(Debug, serde::Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
}

#[derive(Debug, serde::Deserialize)]
struct Model {
    #[serde(default)]
    merges: Option<Bounded<Merge, MAX_MERGES>>,
}

/// Two pieces that merge, joined by one space.
#[derive(Debug)]
struct Merge(String);

#[derive(Debug, serde::Deserialize)]
struct PostProcessor {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    processors: Option<Bounded<Keyed<PostProcessor>, MAX_STEPS>>,
    #[serde(default)]
    single: Option<Bounded<Keyed<TemplatePiece>, MAX_STEPS>>,
    #[serde(default)]
    pair: Option<Bounded<Keyed<TemplatePiece>, MAX_STEPS>>,
}

#[derive(Debug, serde::Deserialize)]
struct TemplatePiece {
    #[serde(rename = "SpecialToken", default)]
    special: Option<Keyed<PieceId>>,
    #[serde(rename = "Sequence", default)]
    sequence: Option<Keyed<PieceId>>,
}

#[derive(Debug, serde::Deserialize)]
struct PieceId {
    id: String,
}

impl TemplatePiece {
    fn special(&self) -> Option<&str> {
        self.special.as_ref().map(|piece| &*piece.0.id)
    }

    fn is_sequence(&self, id: &str) -> bool {
        self.sequence.as_ref().is_some_and(|piece| piece.0.id == id)
    }
}

impl TokenizerJson {
    /// The merges as GGUF stores them, `None` if the file has none.
    pub(super) fn take_merges(&mut self) -> Option<Array<'static>> {
        let merges = self.model.as_mut()?.0.merges.take()?.0;
        let texts = merges.iter().map(|merge| &merge.0);
        (!merges.is_empty()).then(|| Array::from_strings(texts))
    }

    /// The id of an added token.
    pub(super) fn added_id(&self, content: &str) -> Option<u32> {
        self.added_tokens()
            .find(|token| token.content == content)
            .map(|token| token.id)
    }

    /// The added tokens in order.
    pub(super) fn added_tokens(&self) -> impl Iterator<Item = &AddedToken> {
        let added = self.added_tokens.iter().flat_map(|added| &added.0);
        added.map(|token| &token.0)
    }

    /// Reads out of the post-processor's template whether begin, end and separator tokens are
    /// added to a text.
    ///
    /// A template of one text is like `<s> A </s>`, one of two texts like `<s> A <s> B`: a
    /// special token before A is the begin token, one after it the end token, one between A and
    /// B the separator.
    pub(super) fn read_template(&self, special: &mut SpecialTokens) {
        let Some(Keyed(post_processor)) = &self.post_processor else {
            return;
        };
        let steps: Vec<&PostProcessor> = match &post_processor.processors {
            Some(steps) => steps.0.iter().map(|step| &step.0).collect(),
            None => vec![post_processor],
        };
        for step in steps {
            if step.kind == "TemplateProcessing" {
                step.read_template(special);
            }
        }
    }
}

impl PostProcessor {
    fn read_template(&self, special: &mut SpecialTokens) {
        let (mut first, mut last) = (None, None);
        if let Some([head, .., tail]) = self.single.as_ref().map(|pieces| &*pieces.0) {
            (first, last) = (head.0.special(), tail.0.special());
        }
        if let Some(first) = first {
            let is_bos = special.text_or_set("bos", first) == first;
            special.set_added("bos", is_bos);
        }
        if let Some(last) = last {
            special.end_with(last);
            special.set_added("eos", true);
        }
        let mut pair = self.pair.as_ref().map_or(&[][..], |pieces| &pieces.0);
        if let [head, rest @ ..] = pair
            && first.is_some()
            && head.0.special() == first
        {
            pair = rest;
        }
        if let [rest @ .., tail] = pair
            && last.is_some()
            && tail.0.special() == last
        {
            pair = rest;
        }
        if let [a, middle @ .., b] = pair
            && a.0.is_sequence("A")
            && b.0.is_sequence("B")
            && let Some(entry) = middle.first()
        {
            let is_separator = |piece: &Keyed<TemplatePiece>| {
                piece.0.special().is_some_and(|id| {
                    [special.text("sep"), special.text("eos")].contains(&Some(id))
                })
            };
            let alone = is_separator(entry) && last.is_none();
            let second = middle.len() == 2 && middle.last().is_some_and(is_separator);
            special.set_added("sep", alone || second);
        }
    }
}

/// Joins a merge as GGUF stores it: a space inside a piece is written as `U+0120`, so that the
/// one between the pieces is the only one.
fn join(left: &str, right: &str) -> Merge {
    let mut text = String::with_capacity(left.len() + 1 + right.len());
    for (piece, after) in [(left, " "), (right, "")] {
        if piece.contains(' ') {
            text.push_str(&piece.replace(' ', "\u{120}"));
        } else {
            text.push_str(piece);
        }
        text.push_str(after);
    }
    Merge(text)
}

/// A string, borrowed where the JSON text has it as it is: there are two for each merge.
struct Piece<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Piece<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PieceVisitor;
        impl<'de> Visitor<'de> for PieceVisitor {
            type Value = Piece<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, piece: &'de str) -> Result<Piece<'de>, E> {
                Ok(Piece(Cow::Borrowed(piece)))
            }

            fn visit_str<E: de::Error>(self, piece: &str) -> Result<Piece<'de>, E> {
                Ok(Piece(Cow::Owned(piece.to_owned())))
            }
        }
        deserializer.deserialize_str(PieceVisitor)
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MergeVisitor;
        impl<'de> Visitor<'de> for MergeVisitor {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: a pair of strings, or one string")
            }

            fn visit_str<E: de::Error>(self, merge: &str) -> Result<Merge, E> {
                Ok(Merge(merge.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let missing = |n| move || de::Error::invalid_length(n, &"a pair of strings");
                let left: Piece<'de> = seq.next_element()?.ok_or_else(missing(0))?;
                let right: Piece<'de> = seq.next_element()?.ok_or_else(missing(1))?;
                if seq.next_element::<de::IgnoredAny>()?.is_some() {
                    return Err(missing(3)());
                }
                Ok(join(&left.0, &right.0))
            }
        }
        deserializer.deserialize_any(MergeVisitor)
    }
}
