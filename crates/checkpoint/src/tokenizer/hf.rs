//! tokenizer.json as typed data, each list within a bound.
//!
//! The file describes a pipeline: `added_tokens` are cut out of a text first, the `normalizer`
//! changes the rest, the `pre_tokenizer` splits it, the `model` makes tokens of it, the
//! `post_processor` puts special tokens around them, and the `decoder` makes text of tokens.

use super::special::SpecialTokens;
use crate::json::{Bounded, Keyed};
use aeolus_gguf::Array;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Merges of one tokenizer: far above the largest vocabularies.
const MAX_MERGES: usize = 1 << 20;
/// Entries of one vocabulary, likewise.
const MAX_VOCAB: usize = 1 << 20;
/// Added tokens of one tokenizer.
const MAX_ADDED: usize = 1 << 16;
/// Steps of a normalizer, pre-tokenizer, decoder or post-processor, and pieces of its templates.
const MAX_STEPS: usize = 64;

/// What is read of tokenizer.json.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct TokenizerJson {
    #[serde(default)]
    added_tokens: Option<Bounded<Keyed<AddedToken>, MAX_ADDED>>,
    #[serde(default)]
    normalizer: Option<Keyed<Chain>>,
    #[serde(default)]
    pre_tokenizer: Option<Keyed<Chain>>,
    #[serde(default)]
    decoder: Option<Keyed<Chain>>,
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
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

/// The model: what makes tokens of a stretch of text.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Model {
    /// `BPE`, `Unigram`, `WordPiece`, `WordLevel`; files of early versions have none.
    #[serde(rename = "type", default)]
    pub(super) kind: Option<String>,
    /// Texts with their ids, in the order of the file; empty for a kind that has a list.
    #[serde(default)]
    pub(super) vocab: Vocabulary,
    #[serde(default)]
    pub(super) merges: Option<Bounded<Merge, MAX_MERGES>>,
    #[serde(default)]
    pub(super) unk_token: Option<String>,
    /// Characters that are no token become tokens of their bytes.
    #[serde(default)]
    pub(super) byte_fallback: Option<bool>,
    /// A whole word that is a token is one, whatever the merges say.
    #[serde(default)]
    pub(super) ignore_merges: Option<bool>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
}

/// Texts with their ids.
#[derive(Debug, Default)]
pub(super) struct Vocabulary(pub(super) Vec<(String, u32)>);

/// Two pieces that merge, joined by one space.
#[derive(Debug)]
pub(super) struct Merge(String);

/// The steps of a normalizer, pre-tokenizer or decoder: one, or several if it is a `Sequence`.
#[derive(Debug, serde::Deserialize)]
#[serde(from = "Step<Step<IgnoredAny>>")]
pub(super) struct Chain(Vec<Step<IgnoredAny>>);

/// One step, with the settings that any of the known types has. `S` is what a step may consist
/// of: a sequence within a sequence is a step of type `Sequence`, not looked into.
#[derive(Debug, serde::Deserialize)]
#[serde(bound = "S: Deserialize<'de>")]
pub(super) struct Step<S = IgnoredAny> {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(
        alias = "normalizers",
        alias = "pretokenizers",
        alias = "decoders",
        default
    )]
    steps: Option<Bounded<Keyed<S>, MAX_STEPS>>,
    #[serde(default)]
    pub(super) prepend: Option<String>,
    #[serde(default)]
    pattern: Option<Keyed<Pattern>>,
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) replacement: Option<String>,
    #[serde(default)]
    pub(super) prepend_scheme: Option<String>,
    #[serde(default)]
    pub(super) add_prefix_space: Option<bool>,
    /// Whether a `Metaspace` splits its text into words: true unless said.
    #[serde(default)]
    pub(super) split: Option<bool>,
}

/// What a step looks for.
#[derive(Debug, serde::Deserialize)]
struct Pattern {
    #[serde(rename = "String", default)]
    text: Option<String>,
}

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

impl From<Step<Step<IgnoredAny>>> for Chain {
    fn from(step: Step<Step<IgnoredAny>>) -> Self {
        if let Some(steps) = step.steps {
            return Self(steps.0.into_iter().map(|step| step.0).collect());
        }
        Self(vec![Step {
            kind: step.kind,
            steps: None,
            prepend: step.prepend,
            pattern: step.pattern,
            content: step.content,
            replacement: step.replacement,
            prepend_scheme: step.prepend_scheme,
            add_prefix_space: step.add_prefix_space,
            split: step.split,
        }])
    }
}

impl Step {
    /// The text that the step looks for, if it is not a regular expression.
    pub(super) fn searched(&self) -> Option<&str> {
        self.pattern.as_ref()?.0.text.as_deref()
    }
}

impl AddedToken {
    /// Whether it takes the spaces before it, those after it, and is found as a word only.
    pub(super) fn flags(&self) -> [bool; 3] {
        [self.lstrip, self.rstrip, self.single_word]
    }
}

impl Merge {
    /// The two pieces; a piece does not begin with the space that joins them.
    pub(super) fn pieces(&self) -> Option<(&str, &str)> {
        let first = self.0.chars().next()?.len_utf8();
        let at = first + self.0[first..].find(' ')?;
        Some((&self.0[..at], &self.0[at + 1..]))
    }
}

impl Model {
    /// The kind, guessed where the file is too old to have one.
    pub(super) fn kind(&self) -> &str {
        let guess = if self.merges.is_some() {
            "BPE"
        } else {
            "unknown"
        };
        self.kind.as_deref().unwrap_or(guess)
    }

    /// The key of an addition to the pieces inside or at the end of a word, which GGUF cannot say.
    pub(super) fn affix(&self) -> Option<&'static str> {
        let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if set(&self.continuing_subword_prefix) {
            return Some("continuing_subword_prefix");
        }
        set(&self.end_of_word_suffix).then_some("end_of_word_suffix")
    }
}

impl TokenizerJson {
    pub(super) fn model(&self) -> Option<&Model> {
        self.model.as_ref().map(|model| &model.0)
    }

    pub(super) fn normalizer(&self) -> &[Step] {
        self.normalizer.as_ref().map_or(&[], |chain| &chain.0.0)
    }

    pub(super) fn pre_tokenizer(&self) -> &[Step] {
        self.pre_tokenizer.as_ref().map_or(&[], |chain| &chain.0.0)
    }

    /// Whether the model's pieces are spelled in the byte alphabet of GPT-2.
    pub(super) fn is_byte_level(&self) -> bool {
        let decoder = self.decoder.as_ref().map_or(&[][..], |chain| &chain.0.0);
        let steps = [self.normalizer(), self.pre_tokenizer(), decoder];
        let mut steps = steps.into_iter().flatten();
        steps.any(|step| step.kind == "ByteLevel")
    }

    /// The texts of the model's vocabulary with their ids.
    pub(super) fn entries(&self) -> &[(String, u32)] {
        self.model().map_or(&[], |model| &model.vocab.0)
    }

    /// The merges as GGUF stores them, `None` if the file has none.
    pub(super) fn merges(&self) -> Option<Array<'static>> {
        let merges = &self.model.as_ref()?.0.merges.as_ref()?.0;
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
            match &*step.kind {
                "TemplateProcessing" => step.read_template(special),
                // Byte-level tokenizers add nothing but what a template says.
                "ByteLevel" => {
                    special.set_added("bos", false);
                    special.set_added("eos", false);
                }
                _ => {}
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

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary: an object of ids, or an array")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if entries.len() == MAX_VOCAB {
                        return Err(de::Error::custom(format_args!(
                            "vocabulary of more than {MAX_VOCAB} tokens"
                        )));
                    }
                    entries.push(entry);
                }
                Ok(Vocabulary(entries))
            }

            // That of a kind which is not supported.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocabulary, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Vocabulary::default())
            }

            fn visit_unit<E: de::Error>(self) -> Result<Vocabulary, E> {
                Ok(Vocabulary::default())
            }
        }
        deserializer.deserialize_any(Entries)
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
