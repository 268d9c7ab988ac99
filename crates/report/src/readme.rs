//! README.md of a published folder: what of it is generated, and what somebody wrote.
//!
//! Generated parts stand between marks that no reader of the page sees, and each mark has a digest of its part:
//!
//! ```text
//! ---
//! # aeolus:begin front-matter 1f0a9b3c5d7e2468
//! license: mit
//! # aeolus:end front-matter
//! my_key: mine
//! ---
//! # A title of mine
//!
//! <!-- aeolus:begin files 9c3b55aa01de7712 -->
//! | File | ...
//! <!-- aeolus:end files -->
//!
//! A paragraph of mine.
//! ```
//!
//! An [update](Readme::update) replaces the parts, and all else stays as it is. A part whose digest is not its
//! mark's was edited by hand: it stays, too, and so does the absence of one that was taken out. Both are
//! said. A key of the front matter that somebody wrote goes before a generated one of that name.

use crate::{Error, yaml};
use aeolus_source::hex;
use sha2::{Digest, Sha256};

/// The part of the front matter.
const FRONT: &str = "front-matter";
/// The part of a card whose template has no marks: all of it.
const WHOLE: &str = "card";

/// A README.md in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readme {
    front: Option<Vec<Piece>>,
    body: Vec<Piece>,
}

/// A run of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Somebody's.
    Words(String),
    /// Generated.
    Part(Part),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    /// What its mark says that its digest is; none on a card that is new.
    digest: Option<String>,
    text: String,
}

impl Part {
    fn own_digest(&self) -> String {
        let digest = Sha256::digest(self.text.trim().as_bytes());
        hex(&digest[..8])
    }

    fn is_edited(&self) -> bool {
        self.digest
            .as_ref()
            .is_some_and(|digest| *digest != self.own_digest())
    }
}

/// How marks are written in the front matter, and in the Markdown after it.
#[derive(Clone, Copy)]
enum Marks {
    Yaml,
    Markdown,
}

impl Marks {
    fn begin(self, name: &str, digest: &str) -> String {
        match self {
            Self::Yaml => format!("# aeolus:begin {name} {digest}\n"),
            Self::Markdown => format!("<!-- aeolus:begin {name} {digest} -->\n"),
        }
    }

    fn end(self, name: &str) -> String {
        match self {
            Self::Yaml => format!("# aeolus:end {name}\n"),
            Self::Markdown => format!("<!-- aeolus:end {name} -->\n"),
        }
    }

    /// The words of a mark, if a line is one: `begin files 9c3b55aa01de7712`.
    fn words(self, line: &str) -> Option<Vec<&str>> {
        let line = line.trim();
        let inner = match self {
            Self::Yaml => line.strip_prefix("# aeolus:"),
            Self::Markdown => line
                .strip_prefix("<!-- aeolus:")
                .and_then(|rest| rest.strip_suffix("-->")),
        };
        Some(inner?.split_whitespace().collect())
    }
}

/// Text from a stranger that will stand in a part, with nothing in it that could pass for a mark.
pub(crate) fn without_marks(text: &str) -> String {
    text.replace("<!-- aeolus:", "<!-- aeolus :")
}

impl Readme {
    /// A card that was just rendered: its front matter is generated, and so are the parts that its template
    /// marks, or all of it if it marks none.
    ///
    /// # Errors
    /// [`Error::Readme`] if its marks do not match.
    pub fn generated(card: &str) -> Result<Self, Error> {
        let mut readme = Self::parse(card)?;
        let front = readme.front.take().map(|pieces| {
            vec![Piece::Part(Part {
                name: FRONT.into(),
                digest: None,
                text: write(&pieces, Marks::Yaml),
            })]
        });
        readme.front = front;
        if !readme
            .body
            .iter()
            .any(|piece| matches!(piece, Piece::Part(_)))
        {
            readme.body = vec![Piece::Part(Part {
                name: WHOLE.into(),
                digest: None,
                text: write(&readme.body, Marks::Markdown),
            })];
        }
        Ok(readme)
    }

    /// Takes a README.md apart.
    ///
    /// # Errors
    /// [`Error::Readme`] if a part has no end, or an end no beginning.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n");
        let is_rule = |line: &str| line.trim_end() == "---";
        let mut lines = text.split_inclusive('\n');
        if lines.next().is_some_and(is_rule) {
            let start = text.find('\n').map_or(text.len(), |at| at + 1);
            let mut at = start;
            for line in lines {
                if is_rule(line) {
                    return Ok(Self {
                        front: Some(pieces(&text[start..at], Marks::Yaml)?),
                        body: pieces(&text[at + line.len()..], Marks::Markdown)?,
                    });
                }
                at += line.len();
            }
        }
        Ok(Self {
            front: None,
            body: pieces(&text, Marks::Markdown)?,
        })
    }

    /// Whether any part of it is generated.
    pub fn has_parts(&self) -> bool {
        self.all().any(|piece| matches!(piece, Piece::Part(_)))
    }

    /// Its text, with the digest of each part in its mark. Those of edited parts stay, so that they are
    /// known as edited the next time.
    pub fn text(&self) -> String {
        let body = write(&self.body, Marks::Markdown);
        match &self.front {
            Some(front) => format!("---\n{}---\n{body}", write(front, Marks::Yaml)),
            None => body,
        }
    }

    /// This card with the parts of `new` in the place of its own, and what has to be said of it.
    ///
    /// # Errors
    /// [`Error::FrontMatter`] if what somebody wrote into the front matter is not YAML.
    pub fn update(&self, new: &Self) -> Result<(Self, Vec<String>), Error> {
        let mut notes = Vec::new();
        let mut replaced = |piece: &Piece, keys: &[String]| match piece {
            Piece::Words(words) => Piece::Words(words.clone()),
            Piece::Part(old) if old.is_edited() => {
                notes.push(format!(
                    "the part {:?} was edited by hand and stays as it is; take it out with its marks, or \
                     move the file away, to have it generated again",
                    old.name
                ));
                Piece::Part(old.clone())
            }
            Piece::Part(old) => {
                let found = new.parts().find(|part| part.name == old.name);
                Piece::Part(Part {
                    name: old.name.clone(),
                    digest: None,
                    text: found.map_or(String::new(), |part| without_keys(&part.text, keys)),
                })
            }
        };
        let keys = self.keys()?;
        let front = self.front.as_ref();
        let front = front.map(|pieces| pieces.iter().map(|p| replaced(p, &keys)).collect());
        let body = self.body.iter().map(|piece| replaced(piece, &[])).collect();
        for part in new.parts().filter(|part| !part.text.trim().is_empty()) {
            if self.parts().all(|old| old.name != part.name) {
                notes.push(format!(
                    "has no part {:?} (any more): it is left out; move the file away to have all parts",
                    part.name
                ));
            }
        }
        Ok((Self { front, body }, notes))
    }

    /// The keys that somebody wrote into the front matter.
    fn keys(&self) -> Result<Vec<String>, Error> {
        let words = self.front.iter().flatten().filter_map(|piece| match piece {
            Piece::Words(words) => Some(words.as_str()),
            Piece::Part(_) => None,
        });
        let words: String = words.collect();
        let entries = yaml::parse(&words)?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    fn all(&self) -> impl Iterator<Item = &Piece> {
        self.front.iter().flatten().chain(&self.body)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.all().filter_map(|piece| match piece {
            Piece::Part(part) => Some(part),
            Piece::Words(_) => None,
        })
    }
}

/// Generated YAML without the entries of some keys. Entries begin with their key at the start of a line.
fn without_keys(yaml: &str, keys: &[String]) -> String {
    let mut out = String::new();
    let mut is_kept = true;
    for line in yaml.split_inclusive('\n') {
        if !line.starts_with([' ', '-']) {
            let key = line.split_once(':').map_or(line, |(key, _)| key);
            is_kept = !keys.iter().any(|other| other == key);
        }
        if is_kept {
            out += line;
        }
    }
    out
}

fn pieces(text: &str, marks: Marks) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut words = String::new();
    let mut open: Option<Part> = None;
    let wrong = |problem: String| Err(Error::Readme(problem));
    for line in text.split_inclusive('\n') {
        let mark = marks.words(line);
        match (mark.as_deref(), &mut open) {
            (Some(["begin", name, rest @ ..]), None) => {
                if !words.is_empty() {
                    pieces.push(Piece::Words(std::mem::take(&mut words)));
                }
                open = Some(Part {
                    name: (*name).into(),
                    digest: rest.first().map(|digest| (*digest).into()),
                    text: String::new(),
                });
            }
            (Some(["begin", name, ..]), Some(part)) => {
                return wrong(format!("the part {name:?} begins within {:?}", part.name));
            }
            (Some(["end", name]), Some(part)) if *name == part.name => {
                pieces.extend(open.take().map(Piece::Part));
            }
            (Some(["end", name, ..]), _) => {
                return wrong(format!(
                    "there is an end of the part {name:?} and no beginning"
                ));
            }
            (_, Some(part)) => part.text += line,
            (_, None) => words += line,
        }
    }
    if let Some(part) = open {
        return wrong(format!("the part {:?} has no end", part.name));
    }
    if !words.is_empty() {
        pieces.push(Piece::Words(words));
    }
    Ok(pieces)
}

fn write(pieces: &[Piece], marks: Marks) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Words(words) => out += words,
            Piece::Part(part) => {
                let own = part.own_digest();
                out += &marks.begin(&part.name, part.digest.as_deref().unwrap_or(&own));
                out += &part.text;
                if !part.text.is_empty() && !part.text.ends_with('\n') {
                    out.push('\n');
                }
                out += &marks.end(&part.name);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "---\nlicense: mit\ntags:\n- a\n---\n\n# Title\n\n<!-- aeolus:begin files -->\n| 1 |\n\
        <!-- aeolus:end files -->\n\n<!-- aeolus:begin use -->\nuse 1\n<!-- aeolus:end use -->\n";

    fn card(text: &str) -> Readme {
        Readme::generated(text).unwrap()
    }

    #[test]
    fn what_somebody_wrote_survives_an_update() {
        let first = card(CARD).text();
        let edited = first.replace("# Title", "# My title\n\nMy words.").replace(
            "# aeolus:end front-matter\n",
            "# aeolus:end front-matter\nlicense: apache-2.0\nmine: 1\n",
        );
        let new = card(&CARD.replace("| 1 |", "| 2 |").replace("\n- a\n", "\n- b\n"));
        let old = Readme::parse(&edited).unwrap();
        let (updated, notes) = old.update(&new).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        let text = updated.text();
        for kept in [
            "# My title\n\nMy words.\n",
            "license: apache-2.0\nmine: 1\n---",
            "| 2 |",
            "- b",
            "use 1",
        ] {
            assert!(text.contains(kept), "{kept:?} in\n{text}");
        }
        assert!(
            !text.contains("license: mit") && !text.contains("| 1 |"),
            "{text}"
        );
        // Twice is once.
        let again = Readme::parse(&text).unwrap();
        assert_eq!(again.update(&new).unwrap().0.text(), text);
    }

    #[test]
    fn an_edited_part_stays_and_a_removed_one_does_not_come_back() {
        let first = card(CARD).text();
        let edited = first.replace("| 1 |", "| mine |");
        let start = edited.find("<!-- aeolus:begin use").unwrap();
        let new = card(&CARD.replace("| 1 |", "| 2 |"));
        let old = Readme::parse(&edited[..start]).unwrap();
        for old in [old.clone(), old.update(&new).unwrap().0] {
            let (updated, notes) = old.update(&new).unwrap();
            let text = updated.text();
            assert!(
                text.contains("| mine |") && !text.contains("use 1"),
                "{text}"
            );
            assert!(notes[0].contains("\"files\" was edited"), "{notes:?}");
            assert!(notes[1].contains("no part \"use\""), "{notes:?}");
        }
    }

    #[test]
    fn line_ends_of_other_systems_are_no_edits() {
        let windows = card(CARD).text().replace('\n', "\r\n");
        let (updated, notes) = Readme::parse(&windows)
            .unwrap()
            .update(&card(CARD))
            .unwrap();
        assert_eq!((updated.text(), notes), (card(CARD).text(), Vec::new()));
    }

    #[test]
    fn a_card_without_marks_is_one_part() {
        let plain = card("---\na: 1\n---\n# Title\nwords\n");
        assert!(plain.text().contains("begin card"));
        assert!(Readme::parse(&plain.text()).unwrap().has_parts());
        assert!(!Readme::parse("# Mine\n").unwrap().has_parts());
    }

    #[test]
    fn marks_that_do_not_match_are_errors() {
        for (bad, problem) in [
            ("<!-- aeolus:begin a -->\nx\n", "has no end"),
            ("<!-- aeolus:end a -->\n", "no beginning"),
            (
                "<!-- aeolus:begin a -->\n<!-- aeolus:begin b -->\n",
                "begins within",
            ),
        ] {
            let message = Readme::parse(bad).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
        assert!(!without_marks("<!-- aeolus:end a -->").contains("aeolus:end"));
    }
}
