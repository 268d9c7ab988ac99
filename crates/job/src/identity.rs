//! What the result of a job depends on, and how one identity differs from another.

use std::fmt;

/// The first line of every log.
const MAGIC: &str = "aeolus log 1\n";

/// The longest head that is read: names and sizes of some ten thousand source files.
const MAX_HEAD_BYTES: usize = 1 << 20;

/// Names and values that have to be the same for a job to be continued, in the order in which they
/// are compared. A name may come more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Vec<(String, String)>);

impl Identity {
    /// An identity of these names, which are single words, and values, which may hold anything.
    pub fn new<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        Self(pairs.collect())
    }

    /// Adds one that is compared last.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The head of a log: lines `NAME: VALUE`, and an empty one.
    pub(crate) fn head(&self) -> String {
        let mut text = MAGIC.to_owned();
        for (name, value) in &self.0 {
            text += &format!("{name}: {}\n", value.escape_debug());
        }
        text + "\n"
    }

    /// How a head that is not this one's differs; in words if it is not a head at all.
    pub(crate) fn difference(&self, head: &[u8]) -> Result<Difference, &'static str> {
        let text =
            head.strip_prefix(MAGIC.as_bytes())
                .ok_or(match head.starts_with(b"aeolus ") {
                    true => "it was written by another version of this program",
                    false => "this program did not write it",
                })?;
        if text.len() > MAX_HEAD_BYTES {
            return Err("its head is longer than any that this program writes");
        }
        let own = self.head();
        let (own, found) = (lines(&own.as_bytes()[MAGIC.len()..]), lines(text));
        // In this run's order, each once; then one that this run does not have.
        let mut names: Vec<&[u8]> = Vec::new();
        for (name, _) in &own {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let foreign = found.iter().map(|(name, _)| *name);
        let foreign = foreign.filter(|name| !names.contains(name)).take(1);
        let foreign: Vec<&[u8]> = foreign.collect();
        let differing = names.iter().chain(&foreign).find_map(|name| {
            let mut own = values(&own, name);
            let mut found = values(&found, name);
            loop {
                match (own.next(), found.next()) {
                    (None, None) => return None,
                    (own, found) if own == found => {}
                    (own, found) => {
                        return Some(Difference {
                            name: brief(name),
                            found: found.map(brief),
                            own: own.map(brief),
                        });
                    }
                }
            }
        });
        differing.ok_or("its head is of another form")
    }
}

/// A name and a value.
type Line<'a> = (&'a [u8], &'a [u8]);

fn lines(text: &[u8]) -> Vec<Line<'_>> {
    let lines = text.split(|byte| *byte == b'\n');
    let pairs = lines.filter_map(|line| {
        let end = line.windows(2).position(|pair| pair == b": ")?;
        Some((&line[..end], &line[end + 2..]))
    });
    pairs.collect()
}

fn values<'a>(lines: &[Line<'a>], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let named = lines.iter().filter(move |(n, _)| *n == name);
    named.map(|(_, value)| *value)
}

/// The first name whose values differ between a log and this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name.
    pub name: String,
    /// What the log has; `None` if it has nothing there.
    pub found: Option<String>,
    /// What this run has.
    pub own: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
        let (found, own) = (shown(&self.found), shown(&self.own));
        write!(f, "its {} was {found}, now it is {own}", self.name)
    }
}

/// A value as messages show it: cut, and without control characters, which a log that this program
/// wrote has none of.
fn brief(value: &[u8]) -> String {
    const SHOWN_CHARS: usize = 300;
    let text = String::from_utf8_lossy(value);
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_CHARS) {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown += "...";
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(head: &[u8], own: &Identity) -> String {
        own.difference(head).unwrap().to_string()
    }

    #[test]
    fn what_a_message_quotes_is_cut_and_escaped() {
        let own = Identity::new([("source", "b")]);
        let with = |value: &str| own.head().replace(": b", &format!(": {value}"));
        let text = difference(with("\u{1b}]0;t\u{7}").as_bytes(), &own);
        assert_eq!(text, "its source was \\u{1b}]0;t\\u{7}, now it is b");
        let text = difference(with(&"\u{20ac}".repeat(1000)).as_bytes(), &own);
        let shown = "\u{20ac}".repeat(300);
        assert_eq!(text, format!("its source was {shown}..., now it is b"));
        let mut head = own.head().into_bytes();
        head.splice(head.len() - 3..head.len() - 2, [0xff; 500]);
        let text = difference(&head, &own);
        assert!(text.contains("\u{fffd}...") && text.len() < 2000, "{text}");
        let long = with(&"x".repeat(MAX_HEAD_BYTES));
        assert!(
            own.difference(long.as_bytes())
                .unwrap_err()
                .contains("longer")
        );
    }

    #[test]
    fn values_of_one_name_are_compared_in_order() {
        let own = Identity::new((0..1000).map(|i| ("source", i.to_string())));
        let lines = "source: 0\n".repeat(100_000);
        let text = difference(format!("{MAGIC}{lines}\n").as_bytes(), &own);
        assert_eq!(text, "its source was 0, now it is 1");
        // One more than its own, by a known name and by another.
        let end = own.head().len() - 1;
        for (more, why) in [
            ("source: more\n", "its source was more, now it is none"),
            ("a: b\n", "its a was b, now it is none"),
        ] {
            let mut head = own.head();
            head.insert_str(end, more);
            assert_eq!(difference(head.as_bytes(), &own), why);
        }
        // The first of this run's names that differs is the one that is said.
        let own = Identity::new([("b", "1"), ("a", "2")]);
        let text = difference(format!("{MAGIC}a: 3\nb: 4\n").as_bytes(), &own);
        assert_eq!(text, "its b was 4, now it is 1");
    }
}
