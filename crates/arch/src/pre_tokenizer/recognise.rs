//! The name of the way that a tokenizer.json describes.
//!
//! Compared is what the parts do, not how they are written: a `Digits` step is the pattern `\p{N}`, a
//! `ByteLevel` step with its regex is GPT-2's pattern, and some patterns have several spellings.

use std::fmt;

use serde::Deserialize;

use super::patterns::{GPT2, NUMBER, NUMBERS, PUNCTUATION_RUN};
use super::{ALL, Alphabet, PreTokenizer};

/// What of a tokenizer.json tells one pre-tokenizer from another. Other parts of the file are passed
/// over when it is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Structure {
    /// What happens to the characters of a text first.
    #[serde(default)]
    pub normalizer: Option<Normalizer>,
    /// How the text is cut.
    #[serde(default)]
    pub pre_tokenizer: Option<Step>,
    /// How the pieces are merged.
    #[serde(default)]
    pub model: Merging,
    /// Tokens that are found in the text as they are.
    #[serde(default)]
    pub added_tokens: Vec<Added>,
}

/// Flags of the `model` part.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Merging {
    /// Whether a piece that is a token is not merged.
    #[serde(default)]
    pub ignore_merges: Option<bool>,
    /// Whether characters without a token are written in bytes.
    #[serde(default)]
    pub byte_fallback: Option<bool>,
}

/// An entry of `added_tokens`.
#[derive(Clone, Debug, Deserialize)]
pub struct Added {
    /// What it is written as.
    pub content: String,
}

/// A normalizer, or several in sequence.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Normalizer {
    /// `NFC`, `Replace`, `Sequence` or any other.
    #[serde(rename = "type")]
    pub kind: String,
    /// What a `Replace` looks for.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// What it puts there.
    #[serde(default)]
    pub content: Option<String>,
    /// The parts of a `Sequence`.
    #[serde(default)]
    pub normalizers: Vec<Normalizer>,
}

/// A pre-tokenizer, or several in sequence.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Step {
    /// `Split`, `Digits`, `ByteLevel`, `Punctuation`, `Sequence` or any other.
    #[serde(rename = "type")]
    pub kind: String,
    /// What a `Split` looks for.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// What becomes of it.
    #[serde(default)]
    pub behavior: Option<String>,
    /// Whether `Split` takes what does not match for what does.
    #[serde(default)]
    pub invert: Option<bool>,
    /// Whether `ByteLevel` cuts by GPT-2's pattern. It does if this is missing.
    #[serde(default)]
    pub use_regex: Option<bool>,
    /// Whether `ByteLevel` puts a space before the text. It does if this is missing.
    #[serde(default)]
    pub add_prefix_space: Option<bool>,
    /// Whether `Digits` cuts between digits.
    #[serde(default)]
    pub individual_digits: Option<bool>,
    /// The parts of a `Sequence`.
    #[serde(default)]
    pub pretokenizers: Vec<Step>,
}

/// What is looked for in a text.
#[derive(Clone, Debug, Deserialize)]
pub enum Pattern {
    /// This text.
    String(String),
    /// Matches of a regular expression.
    Regex(String),
}

/// A tokenizer.json that cuts text in no way with a name in GGUF files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownPreTokenizer {
    /// What the file does, as [`recognise`] sees it.
    pub found: String,
    /// The name of the way that is most like it.
    pub nearest: &'static str,
    /// What that way does instead.
    pub expected: String,
}

impl fmt::Display for UnknownPreTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GGUF has no name for the way tokenizer.json cuts text: {}. The nearest is {}: {}. \
             If the model was trained with that or another known way, name it with `--pre NAME`",
            self.found, self.nearest, self.expected
        )
    }
}

/// The name under which GGUF files know a tokenizer.json of byte-pair kind.
///
/// Where several names stand for the same way, special tokens of the families decide; without any,
/// the best known name.
///
/// # Errors
/// [`UnknownPreTokenizer`] if no name stands for the same way.
pub fn recognise(structure: &Structure) -> Result<&'static PreTokenizer, UnknownPreTokenizer> {
    let found = Way::of(structure);
    let has_mark = |mark: &&str| {
        let mut added = structure.added_tokens.iter();
        added.any(|added| added.content == *mark)
    };
    let same = ALL.iter().filter(|known| {
        found.is(known) && known.name != "default" && known.marks.iter().all(has_mark)
    });
    // The first of those with most marks.
    let best = same.rev().max_by_key(|known| known.marks.len());
    best.ok_or_else(|| {
        let text = found.to_string();
        let distance = |known: &&PreTokenizer| edits(&text, &Way::known(known).to_string());
        let nearest = ALL.iter().min_by_key(distance).unwrap_or(&ALL[0]);
        UnknownPreTokenizer {
            found: shortened(&text),
            nearest: nearest.name,
            expected: shortened(&Way::known(nearest).to_string()),
        }
    })
}

/// What is compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Way {
    normalizers: Vec<String>,
    splits: Vec<String>,
    byte_splits: Vec<String>,
    /// Whether a space is put before the text, as no known way does.
    prefix_space: bool,
    bytes: bool,
    byte_fallback: bool,
    ignore_merges: bool,
}

impl Way {
    fn of(structure: &Structure) -> Self {
        let mut way = Self {
            ignore_merges: structure.model.ignore_merges.unwrap_or(false),
            byte_fallback: structure.model.byte_fallback.unwrap_or(false),
            ..Self::default()
        };
        if let Some(normalizer) = &structure.normalizer {
            way.normalize(normalizer);
        }
        if let Some(step) = &structure.pre_tokenizer {
            way.step(step);
        }
        way
    }

    fn known(known: &PreTokenizer) -> Self {
        let patterns = |patterns: &[&str]| patterns.iter().map(|p| canonical(p)).collect();
        let mut normalizers = Vec::new();
        if known.nfc {
            normalizers.push("NFC".to_owned());
        }
        if known.alphabet == Alphabet::Characters {
            normalizers.push(SPACES_ESCAPED.to_owned());
        }
        Self {
            normalizers,
            splits: patterns(known.splits),
            byte_splits: patterns(known.byte_splits),
            prefix_space: false,
            bytes: known.alphabet == Alphabet::Bytes,
            byte_fallback: known.alphabet == Alphabet::Characters,
            ignore_merges: known.ignore_merges,
        }
    }

    fn is(&self, known: &PreTokenizer) -> bool {
        let mut expected = Self::known(known);
        if known.any_ignore_merges {
            expected.ignore_merges = self.ignore_merges;
        }
        *self == expected
    }

    fn normalize(&mut self, normalizer: &Normalizer) {
        if normalizer.kind == "Sequence" {
            for part in &normalizer.normalizers {
                self.normalize(part);
            }
            return;
        }
        let replaces = match (&normalizer.pattern, &normalizer.content) {
            (Some(Pattern::String(from) | Pattern::Regex(from)), Some(to)) => {
                format!(" {from:?} by {to:?}")
            }
            _ => String::new(),
        };
        self.normalizers
            .push(format!("{}{replaces}", normalizer.kind));
    }

    fn step(&mut self, step: &Step) {
        let behavior = step.behavior.as_deref().unwrap_or_default();
        let invert = step.invert.unwrap_or(false);
        match (step.kind.as_str(), &step.pattern) {
            ("Sequence", _) => {
                for part in &step.pretokenizers {
                    self.step(part);
                }
            }
            ("Split", Some(Pattern::Regex(regex))) => {
                let regex = canonical(regex);
                // A pattern that covers every text leaves nothing else to remove.
                let covers = regex.ends_with(r"|\s+");
                match (behavior, invert) {
                    ("Isolated", _) => self.split(regex),
                    ("Removed", true) if covers => self.split(regex),
                    _ => self.split(format!("{regex} ({behavior}, invert {invert})")),
                }
            }
            // Spaces that a normalizer replaced are found no more.
            ("Split", Some(Pattern::String(text)))
                if text == " " && self.normalizers.iter().any(|n| n == SPACES_ESCAPED) => {}
            ("Split", Some(Pattern::String(text))) => {
                self.split(format!("{text:?} ({behavior}, invert {invert})"));
            }
            ("Digits", _) => self.split(match step.individual_digits {
                Some(true) => NUMBER.to_owned(),
                _ => NUMBERS.to_owned(),
            }),
            ("Punctuation", _) if behavior == "Contiguous" => {
                self.split(canonical(PUNCTUATION_RUN))
            }
            ("ByteLevel", _) => {
                self.prefix_space |= step.add_prefix_space != Some(false);
                if step.use_regex != Some(false) {
                    self.split(canonical(GPT2));
                }
                self.bytes = true;
            }
            (other, _) => self.split(format!("a step of type {other:?}")),
        }
    }

    fn split(&mut self, pattern: String) {
        match self.bytes {
            true => self.byte_splits.push(pattern),
            false => self.splits.push(pattern),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |parts: &[String]| match parts {
            [] => "none".to_owned(),
            parts => parts.join(", then "),
        };
        write!(
            f,
            "normalizers {}; splits {}; {}; ignore_merges {}",
            or_none(&self.normalizers),
            or_none(&self.splits),
            match (self.bytes, self.byte_fallback) {
                (true, _) => "bytes",
                (false, true) => "characters and bytes",
                (false, false) => "characters",
            },
            self.ignore_merges
        )?;
        if self.prefix_space {
            write!(f, "; a space before the text")?;
        }
        if !self.byte_splits.is_empty() {
            write!(f, "; bytes split {}", or_none(&self.byte_splits))?;
        }
        Ok(())
    }
}

/// What a normalizer that writes spaces as `▁` is called here.
const SPACES_ESCAPED: &str = "Replace \" \" by \"▁\"";

/// One spelling of the patterns that have several.
///
/// - Line ends and tabs stand as they are or as escapes.
/// - Possessive quantifiers make no difference where what follows cannot match what they take, as
///   in every pattern known here.
/// - `\s*[\r\n]` takes all up to the last line end of the white space, with or without a `+`.
/// - The last alternative is tried only where one character of white space is left.
fn canonical(pattern: &str) -> String {
    const SPELLINGS: [(&str, &str); 9] = [
        ("\r", r"\r"),
        ("\n", r"\n"),
        ("\t", r"\t"),
        ("?+", "?"),
        ("++", "+"),
        ("*+", "*"),
        (r"{1}", ""),
        (r"'(?i:[sdmt]|ll|ve|re)", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"),
        (r"|\s*[\r\n]|", r"|\s*[\r\n]+|"),
    ];
    let mut text = pattern.to_owned();
    for (from, to) in SPELLINGS {
        text = text.replace(from, to);
    }
    if text.ends_with(r"|\s+(?!\S)|\s") {
        text.push('+');
    }
    if text.ends_with(r"|\s+(?!\S)") {
        text.push_str(r"|\s+");
    }
    text
}

/// Characters of an unknown text that an error shows.
const SHOWN: usize = 300;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Levenshtein distance over the first characters of both.
pub(super) fn edits(a: &str, b: &str) -> usize {
    const COMPARED: usize = 1000;
    let b: Vec<char> = b.chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(COMPARED).enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        row[0] = i + 1;
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(from != *to))
                .min(left + 1)
                .min(*above + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
