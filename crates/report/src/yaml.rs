//! The YAML of a model card's front matter: read with a parser, written so that any parser reads
//! back the same.

use crate::Error;
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::fmt::Write;

/// Longest front matter that is read, in bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// A value. Numbers and words are text: front matter is copied, not computed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yaml {
    /// `true` or `false`.
    Bool(bool),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Yaml>),
    /// A mapping, in order.
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// The text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list, or of one scalar.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(items) => items.iter().filter_map(Self::as_text).collect(),
            other => other.as_text().into_iter().collect(),
        }
    }
}

/// What is being read: a list, or a map with the key that waits for its value.
enum Open {
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>, Option<String>),
}

/// Reads one document that is a mapping.
///
/// # Errors
/// [`Error::FrontMatter`] if it is not a YAML mapping, has aliases (which can grow without bound),
/// keys that are not text, or is longer than [`MAX_BYTES`].
pub fn parse(text: &str) -> Result<Vec<(String, Yaml)>, Error> {
    let error = |problem: &str| Error::FrontMatter(problem.into());
    if text.len() > MAX_BYTES {
        return Err(error(&format!(
            "{} bytes, at most {MAX_BYTES} are read",
            text.len()
        )));
    }
    let mut stack: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| error(&e.to_string()))?;
        let done = match event {
            Event::Alias(_) => {
                return Err(error(&format!(
                    "line {}: aliases are not read",
                    span.start.line()
                )));
            }
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Vec::new(), None));
                None
            }
            Event::Scalar(text, style, ..) => Some(scalar(&text, style)),
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::List(items)) => Some(Yaml::List(items)),
                Some(Open::Map(pairs, None)) => Some(Yaml::Map(pairs)),
                _ => return Err(error("a key without a value")),
            },
            _ => None,
        };
        if stack.len() > MAX_DEPTH {
            return Err(error("nested too deeply"));
        }
        let Some(value) = done else { continue };
        match stack.last_mut() {
            None => {
                return match value {
                    Yaml::Map(pairs) => Ok(pairs),
                    _ => Err(error("no mapping of keys to values")),
                };
            }
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(pairs, key)) => match key.take() {
                Some(key) => pairs.push((key, value)),
                None => {
                    let Yaml::Text(text) = value else {
                        return Err(error("a key that is not text"));
                    };
                    *key = Some(text);
                }
            },
        }
    }
    Ok(Vec::new())
}

fn scalar(text: &str, style: ScalarStyle) -> Yaml {
    match (style, text) {
        (ScalarStyle::Plain, "true" | "True" | "TRUE") => Yaml::Bool(true),
        (ScalarStyle::Plain, "false" | "False" | "FALSE") => Yaml::Bool(false),
        (ScalarStyle::Plain, "~" | "null" | "Null" | "NULL") => Yaml::Text(String::new()),
        _ => Yaml::Text(text.into()),
    }
}

/// Writes a mapping in block style, one line end after each entry.
pub fn write(pairs: &[(String, Yaml)]) -> String {
    let mut out = String::new();
    write_map(&mut out, pairs, 0);
    out
}

fn write_map(out: &mut String, pairs: &[(String, Yaml)], indent: usize) {
    for (key, value) in pairs {
        let _ = write!(out, "{:indent$}{}:", "", quote(key));
        write_value(out, value, indent);
    }
}

/// The value after `key:` or `-`.
fn write_value(out: &mut String, value: &Yaml, indent: usize) {
    match value {
        Yaml::Bool(b) => {
            let _ = writeln!(out, " {b}");
        }
        Yaml::Text(text) => {
            let _ = writeln!(out, " {}", quote(text));
        }
        Yaml::List(items) if items.is_empty() => out.push_str(" []\n"),
        Yaml::Map(pairs) if pairs.is_empty() => out.push_str(" {}\n"),
        Yaml::List(items) => {
            out.push('\n');
            for item in items {
                let _ = write!(out, "{:indent$}-", "");
                write_value(out, item, indent + 2);
            }
        }
        Yaml::Map(pairs) => {
            out.push('\n');
            write_map(out, pairs, indent + 2);
        }
    }
}

/// A scalar that every YAML reads as this text: plain if it is a simple word, else in double
/// quotes.
pub fn quote(text: &str) -> String {
    const WORDS: [&str; 13] = [
        "true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "none", "x",
    ];
    let simple = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        // 1e5 is a number to some readers, and so is anything like it.
        && text.len() <= 200;
    if simple {
        return text.into();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            ' '..='~' => out.push(c),
            c if (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Yaml {
        Yaml::Text(s.into())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let hostile = [
            "",
            "true",
            "NO",
            "null",
            "~",
            "12",
            "0x1f",
            "1e5",
            "- a",
            "a: b",
            "# c",
            "'q'",
            "\"q\"",
            "{a}",
            "[b]",
            "*x",
            "&y",
            "!t",
            "%d",
            "@e",
            "`f`",
            "|",
            ">",
            "a\nb\r\n\tc",
            "tail ",
            " lead",
            "---",
            "...",
            "é ü 漢字 🦙",
            "\u{0}\u{7f}\u{85}\u{2028}\u{feff}",
            "a\\b",
            "a #b",
            "<script>",
            "key:",
            "a/b.c-d_e",
        ];
        let list = Yaml::List(hostile.iter().map(|s| text(s)).collect());
        let mut pairs = vec![("list".to_owned(), list)];
        pairs.push(("empty".into(), Yaml::List(Vec::new())));
        pairs.push(("yes".into(), Yaml::Bool(true)));
        pairs.push((
            "map".into(),
            Yaml::Map(
                hostile
                    .iter()
                    .skip(1)
                    .map(|s| ((*s).to_owned(), text(s)))
                    .collect(),
            ),
        ));
        pairs.push((
            "deep".into(),
            Yaml::List(vec![Yaml::List(vec![text("x: y")])]),
        ));
        assert_eq!(parse(&write(&pairs)).unwrap(), pairs, "{}", write(&pairs));
    }

    #[test]
    fn a_hub_card_is_read() {
        let pairs = parse("license: mit\nlanguage:\n- en\n- de\ntags: [a, 'b c']\ninference: false\nx: >-\n  folded\n  text\n").unwrap();
        assert_eq!(pairs[0], ("license".into(), text("mit")));
        assert_eq!(pairs[1].1.texts(), ["en", "de"]);
        assert_eq!(pairs[2].1.texts(), ["a", "b c"]);
        assert_eq!(pairs[3].1, Yaml::Bool(false));
        assert_eq!(pairs[4].1, text("folded text"));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn bad_documents_are_errors() {
        for (bad, problem) in [
            ("a: &x [1]\nb: *x", "aliases"),
            ("- a\n- b", "no mapping"),
            ("a: [", ""),
            ("? [a]\n: b", "key that is not text"),
            (&"[".repeat(100), ""),
            (&"a".repeat(MAX_BYTES + 1), "at most"),
        ] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
