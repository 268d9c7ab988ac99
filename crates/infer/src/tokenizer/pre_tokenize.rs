//! Cutting a text into the pieces that byte pairs are merged in.
//!
//! The patterns come from `aeolus_arch::pre_tokenizer`. They run in an engine whose time grows with
//! the text whatever it holds, which has no lookahead: the few forms of it that occur are done by hand
//! around the matches.

use aeolus_arch::pre_tokenizer::{
    DIGITS_FROM_THE_RIGHT, DIGITS_TO_WORD_END, HALVING_SPACES, NUMBERS_FROM_THE_RIGHT,
    SPACES_BEFORE_THE_LAST,
};
use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::{Anchored, Input};

/// Memory in which one pattern keeps the states that it has met. With less, texts in many scripts make
/// the engine start over and over.
const CACHE_BYTES: usize = 8 << 20;

/// One step of the cutting.
#[derive(Debug)]
pub(super) enum Split {
    /// Each match is a piece.
    Matches(Regex),
    /// The same; matches of the second pattern are runs of white space, of which one piece takes
    /// as much as `Spaces` says.
    Words(Regex, Spaces),
    /// Runs of digits, which are the matches of the last pattern, cut into threes from their right end.
    /// One before it matches what is left whole.
    Threes(Regex, Threes),
}

/// How much of a run of white space is one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    /// All but the last character.
    BeforeTheLast,
    /// The greatest power of two up to 512 of it.
    Halving,
}

/// What becomes of the threes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threes {
    /// They are pieces, and so is what is left over on the left.
    Pieces,
    /// Pieces begin where they begin.
    Beginnings,
}

impl Split {
    /// # Errors
    /// A pattern that the engine cannot take.
    pub(super) fn new(pattern: &str) -> Result<Self, Box<BuildError>> {
        let regex = |patterns: &[&str]| {
            let config = Config::new().hybrid_cache_capacity(CACHE_BYTES);
            let regex = Regex::builder().configure(config).build_many(patterns);
            regex.map_err(Box::new)
        };
        for (tail, spaces) in [
            (SPACES_BEFORE_THE_LAST, Spaces::BeforeTheLast),
            (HALVING_SPACES, Spaces::Halving),
        ] {
            if let Some(words) = pattern.strip_suffix(tail) {
                return Ok(Self::Words(regex(&[words, r"\s+"])?, spaces));
            }
        }
        Ok(match pattern {
            DIGITS_TO_WORD_END => Self::Threes(regex(&[r"\d+[\w--\d]", r"\d+"])?, Threes::Pieces),
            DIGITS_FROM_THE_RIGHT => Self::Threes(regex(&[r"\d+"])?, Threes::Beginnings),
            NUMBERS_FROM_THE_RIGHT => Self::Threes(regex(&[r"\p{N}+"])?, Threes::Pieces),
            _ => Self::Matches(regex(&[pattern])?),
        })
    }

    /// Hands the pieces of `text` to `emit` in order. None is empty.
    fn each<'t>(&self, text: &'t str, emit: &mut dyn FnMut(&'t str)) {
        let mut pieces = Pieces {
            text,
            start: 0,
            emit,
        };
        match self {
            Self::Matches(regex) => {
                let mut at = 0;
                while let Some((_, start, end)) = next(regex, text, at) {
                    pieces.take(start, end);
                    at = end;
                }
            }
            Self::Words(regex, spaces) => {
                let mut at = 0;
                while let Some((pattern, start, mut end)) = next(regex, text, at) {
                    if pattern == 1 {
                        end = spaces.take(text, start, end, &mut pieces);
                    } else {
                        pieces.take(start, end);
                    }
                    at = end;
                }
            }
            Self::Threes(regex, threes) => {
                let mut at = 0;
                while let Some((pattern, start, end)) = next(regex, text, at) {
                    at = end;
                    if pattern + 1 < regex.pattern_len() {
                        continue;
                    }
                    let starts: Vec<usize> = text[start..end]
                        .char_indices()
                        .map(|(i, _)| start + i)
                        .collect();
                    let over = starts.len() % 3;
                    if *threes == Threes::Pieces && over > 0 {
                        pieces.take(start, starts.get(over).copied().unwrap_or(end));
                    }
                    for three in starts[over..].chunks(3) {
                        pieces.cut(three[0]);
                        if *threes == Threes::Pieces {
                            let last = three[three.len() - 1];
                            let bytes = text[last..].chars().next().map_or(0, char::len_utf8);
                            pieces.take(three[0], last + bytes);
                        }
                    }
                }
            }
        }
        pieces.cut(text.len());
    }
}

impl Spaces {
    /// Takes pieces of the run of white space at `start..end`, and says where to go on.
    fn take(self, text: &str, start: usize, end: usize, pieces: &mut Pieces<'_, '_>) -> usize {
        let last = text[start..end]
            .chars()
            .next_back()
            .map_or(0, char::len_utf8);
        // All of it at the end of the text, and if it is one character.
        let until = match end - last {
            before if end == text.len() || before == start => end,
            before => before,
        };
        if self == Self::BeforeTheLast {
            pieces.take(start, until);
            return until;
        }
        let mut chars = text[start..until].char_indices();
        let mut left = chars.clone().count();
        let mut at = start;
        for size in [512, 256, 128, 64, 32, 16, 8, 4, 2, 1] {
            while left >= size {
                left -= size;
                chars.nth(size - 1);
                let piece_end = start + chars.offset();
                pieces.take(at, piece_end);
                at = piece_end;
            }
        }
        until
    }
}

/// The first match from `at` on: its pattern, start and end.
fn next(regex: &Regex, text: &str, at: usize) -> Option<(usize, usize, usize)> {
    // Most patterns match everywhere, and one that begins here is found in one go.
    let here = Input::new(text).range(at..).anchored(Anchored::Yes);
    let found = regex.search(&here).or_else(|| {
        let from_here = Input::new(text).range(at..);
        regex.search(&from_here)
    })?;
    // None of the patterns matches nothing; one that did would end the search.
    (!found.is_empty()).then(|| (found.pattern().as_usize(), found.start(), found.end()))
}

/// Pieces of a text, the gaps between matches among them.
struct Pieces<'t, 'e> {
    text: &'t str,
    /// Where the next piece starts.
    start: usize,
    emit: &'e mut dyn FnMut(&'t str),
}

impl Pieces<'_, '_> {
    /// A piece ends at `at`.
    fn cut(&mut self, at: usize) {
        if self.start < at {
            (self.emit)(&self.text[self.start..at]);
            self.start = at;
        }
    }

    /// `start..end` is a piece.
    fn take(&mut self, start: usize, end: usize) {
        self.cut(start);
        self.cut(end);
    }
}

/// Hands the pieces that are left after all `splits` to `emit`, in order.
pub(super) fn cut<'t>(splits: &[Split], text: &'t str, emit: &mut dyn FnMut(&'t str)) {
    match splits.split_first() {
        None if text.is_empty() => {}
        None => emit(text),
        Some((first, rest)) => first.each(text, &mut |piece| cut(rest, piece, emit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
        let mut out = Vec::new();
        cut(&[Split::new(pattern).unwrap()], text, &mut |piece| {
            out.push(piece)
        });
        out
    }

    #[test]
    fn lookahead_is_done_by_hand() {
        let words = r"\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+";
        let halving = format!(r"\p{{L}}+| ?[^\s\p{{L}}]+{HALVING_SPACES}");
        let seven = " ".repeat(7);
        let cases: [(&str, &str, &[&str]); 14] = [
            (words, "", &[]),
            (words, "a   b", &["a", "  ", " ", "b"]),
            (words, "a   !b", &["a", "  ", " !", "b"]),
            (words, "a b", &["a", " ", "b"]),
            (words, "a \u{a0}\n", &["a", " \u{a0}\n"]),
            (&halving, &seven, &["    ", "  ", " "]),
            (&halving, "a       !", &["a", "    ", "  ", " !"]),
            (&halving, " a", &[" ", "a"]),
            (
                DIGITS_TO_WORD_END,
                "a1234 12345b 123",
                &["a", "1", "234", " 12345b ", "123"],
            ),
            (DIGITS_TO_WORD_END, "12", &["12"]),
            (DIGITS_FROM_THE_RIGHT, "a1234b", &["a1", "234b"]),
            (DIGITS_FROM_THE_RIGHT, "123456", &["123", "456"]),
            (NUMBERS_FROM_THE_RIGHT, "x1²34y", &["x", "1", "²34", "y"]),
            (r"\p{N}", "a12", &["a", "1", "2"]),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(pieces(pattern, text), expected, "{pattern} {text:?}");
        }
    }

    #[test]
    fn every_pattern_can_be_built() {
        for known in aeolus_arch::pre_tokenizer::ALL {
            for pattern in known.splits.iter().chain(known.byte_splits) {
                let split = Split::new(pattern).unwrap_or_else(|e| panic!("{}: {e}", known.name));
                let text =
                    "It's 12345 \u{4f60}\u{597d}!\r\n\n  x\u{301}\u{a0} \u{2581}<sentinel:1>";
                let mut joined = String::new();
                cut(&[split], text, &mut |piece| joined += piece);
                assert_eq!(joined, text, "{}", known.name);
            }
        }
    }
}
