//! The original model's card: its front matter and its text.

use crate::Error;
use crate::error::read_text;
use crate::yaml::{self, Yaml};
use std::path::Path;

/// Longest card that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A README.md as the Hub has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCard {
    /// The front matter's entries; none without front matter.
    pub front_matter: Vec<(String, Yaml)>,
    /// The Markdown after it.
    pub body: String,
}

impl SourceCard {
    /// Takes a card apart.
    ///
    /// # Errors
    /// [`Error::FrontMatter`] if it is not a YAML mapping.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n");
        let Some(rest) = text.strip_prefix("---\n") else {
            return Ok(Self {
                front_matter: Vec::new(),
                body: text.trim().into(),
            });
        };
        let is_end = |line: &str| line.trim_end() == "---";
        let mut front = 0;
        for line in rest.split_inclusive('\n') {
            if is_end(line) {
                return Ok(Self {
                    front_matter: yaml::parse(&rest[..front])?,
                    body: rest[front + line.len()..].trim().into(),
                });
            }
            front += line.len();
        }
        Err(Error::FrontMatter("no line --- ends it".into()))
    }

    /// Reads README.md of a folder, or the file itself. `None` if a folder has none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`] and [`Error::FrontMatter`].
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let file = match path.is_dir() {
            true => path.join("README.md"),
            false => path.to_path_buf(),
        };
        if path.is_dir() && !file.exists() {
            return Ok(None);
        }
        let text = read_text(&file, MAX_BYTES)?;
        Self::parse(&text).map(Some).map_err(|error| match error {
            Error::FrontMatter(problem) => {
                Error::FrontMatter(format!("{}: {problem}", file.display()))
            }
            other => other,
        })
    }

    /// The value of a front matter key.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        self.front_matter
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value)
    }
}

/// The Hub's id of a model whose folder lies in the Hub's cache
/// (`models--OWNER--NAME/snapshots/REVISION`).
pub fn hub_id(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let id = path.ancestors().find_map(|folder| {
        let rest = folder.file_name()?.to_str()?.strip_prefix("models--")?;
        rest.split_once("--")
            .map(|(owner, name)| format!("{owner}/{name}"))
    })?;
    crate::card::is_repo_id(&id).then_some(id)
}

/// The revision of such a folder: the commit's hash.
pub fn hub_revision(path: &Path) -> Option<String> {
    hub_id(path)?;
    let path = path.canonicalize().ok()?;
    let mut folders = path.ancestors();
    let commit = folders.find(|folder| {
        let parent = folder.parent().and_then(Path::file_name);
        parent.is_some_and(|name| name == "snapshots")
    })?;
    let commit = commit.file_name()?.to_str()?;
    let is_hex = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| commit.to_owned())
}

/// The architecture in the words of config.json, in a folder or beside a file; `None` if there
/// is no such file, or the file does not say.
pub fn model_type(path: &Path) -> Option<String> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let text = read_text(&folder.join("config.json"), 1 << 20).ok()?;
    let text = aeolus_source::standard_json(text.as_bytes());
    let config: serde_json::Value = serde_json::from_slice(&text).ok()?;
    Some(config.get("model_type")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_come_apart() {
        let card =
            SourceCard::parse("---\r\nlicense: mit\r\n---\r\n\r\n# Title\n---\nmore\n").unwrap();
        assert_eq!(card.get("license").unwrap().as_text(), Some("mit"));
        assert_eq!(card.body, "# Title\n---\nmore");
        let plain = SourceCard::parse("# Only text\n").unwrap();
        assert!(plain.front_matter.is_empty());
        assert_eq!(plain.body, "# Only text");
        assert_eq!(SourceCard::parse("").unwrap(), SourceCard::default());
        assert!(SourceCard::parse("---\nlicense: mit\n").is_err());
    }

    #[test]
    fn folders_of_the_hub_tell_their_model() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir
            .path()
            .join("models--argilla--notus-7b-v1/snapshots/abc");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(hub_id(&folder).as_deref(), Some("argilla/notus-7b-v1"));
        assert_eq!(hub_id(dir.path()), None);
        let odd = dir.path().join("models--a--<b>");
        std::fs::create_dir_all(&odd).unwrap();
        assert_eq!(hub_id(&odd), None);

        std::fs::write(folder.join("config.json"), r#"{"model_type": "mistral"}"#).unwrap();
        assert_eq!(model_type(&folder).as_deref(), Some("mistral"));
        assert_eq!(
            model_type(&folder.join("config.json")).as_deref(),
            Some("mistral")
        );
        assert_eq!(model_type(dir.path()), None);
    }
}
