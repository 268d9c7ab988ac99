//! Watching for texts that end a generation.

use crate::error::{Error, Result};

/// Finds stop texts in text that arrives in pieces.
#[derive(Debug)]
pub(super) struct StopStrings<'s> {
    stops: &'s [String],
    /// The end of the text that may be the beginning of a stop text.
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Text that is certainly no part of a stop text.
    pub(super) text: String,
    /// The stop text that followed it.
    pub(super) stop: Option<String>,
}

impl<'s> StopStrings<'s> {
    pub(super) fn new(stops: &'s [String]) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            return Err(Error::Argument {
                what: "stop text",
                found: "empty".to_owned(),
                expected: "at least one character",
            });
        }
        Ok(Self {
            stops,
            held: String::new(),
        })
    }

    /// Takes the next piece. Of several stop texts the one that starts first counts.
    pub(super) fn push(&mut self, piece: &str) -> Found {
        self.held += piece;
        let places = self
            .stops
            .iter()
            .filter_map(|stop| Some((self.held.find(stop)?, stop)));
        if let Some((at, stop)) = places.min_by_key(|(at, _)| *at) {
            let text = self.held[..at].to_owned();
            self.held.clear();
            return Found {
                text,
                stop: Some(stop.clone()),
            };
        }
        let keep = self.longest_beginning();
        let text = self.held[..self.held.len() - keep].to_owned();
        self.held.drain(..text.len());
        Found { text, stop: None }
    }

    /// What was held back, at the end of the text.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of the held text that some stop text begins with.
    fn longest_beginning(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let first = self.held.len().saturating_sub(longest);
        (first..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| {
                self.stops
                    .iter()
                    .any(|stop| stop.starts_with(&self.held[at..]))
            })
            .map_or(0, |at| self.held.len() - at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let stops: Vec<String> = stops.iter().map(|&s| s.to_owned()).collect();
        let mut watch = StopStrings::new(&stops).unwrap();
        let mut out = String::new();
        for piece in pieces {
            let found = watch.push(piece);
            out += &found.text;
            if found.stop.is_some() {
                return (out, found.stop);
            }
        }
        (out + &watch.finish(), None)
    }

    #[test]
    fn stops_are_found_across_pieces() {
        let text = "one ##é two";
        for stops in [&["##é"][..], &["zzz", "##é t", "##é"], &["é two", "##"]] {
            for step in 1..4 {
                let chars: Vec<char> = text.chars().collect();
                let pieces: Vec<String> = chars.chunks(step).map(|c| c.iter().collect()).collect();
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                let (out, stop) = run(stops, &pieces);
                assert_eq!(out, "one ", "{stops:?} {step}");
                assert!(stop.is_some());
            }
        }
    }

    #[test]
    fn nothing_is_lost_or_held_too_long() {
        assert_eq!(
            run(&["abc"], &["ab", "ab", "x", "ab"]),
            ("ababxab".into(), None)
        );
        assert_eq!(run(&[], &["ab", ""]), ("ab".into(), None));
        let stops = ["abc".to_owned()];
        let mut watch = StopStrings::new(&stops).unwrap();
        assert_eq!(watch.push("xyza").text, "xyz");
        assert_eq!(watch.push("d").text, "ad");
        assert!(StopStrings::new(&[String::new()]).is_err());
    }
}
