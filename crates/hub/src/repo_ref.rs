//! `hf:owner/name[@revision][/path]`: a repository, a revision of it, perhaps a file in it.

use crate::Error;
use crate::name::{check_path, repo_part_fault, revision_fault};
use std::fmt;
use std::str::FromStr;

/// A model repository on the Hub, at a revision, and a file or folder in it.
///
/// A revision that holds a slash is written `refs/pr/1` or `refs/convert/name` as it is, any other
/// with `%2F` for the slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoRef {
    owner: String,
    name: String,
    revision: Option<String>,
    path: Option<String>,
}

impl RepoRef {
    /// The reference in `owner/name` as commands take it, with or without `hf:`.
    ///
    /// # Errors
    /// [`Error::Reference`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why| Error::Reference {
            text: text.to_owned(),
            why,
        };
        let rest = text.strip_prefix("hf:").unwrap_or(text);
        let (owner, rest) = rest
            .split_once('/')
            .ok_or_else(|| bad("there is no slash between owner and name"))?;
        let end = rest.find(['@', '/']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if let Some(why) = repo_part_fault(owner).or_else(|| repo_part_fault(name)) {
            return Err(bad(why));
        }
        let (revision, path) = match rest.strip_prefix('@') {
            None => (None, rest.strip_prefix('/')),
            Some(rest) => {
                // refs/pr/1 and refs/convert/x are one revision with slashes in it.
                let slashes =
                    match rest.starts_with("refs/pr/") || rest.starts_with("refs/convert/") {
                        true => 2,
                        false => 0,
                    };
                match rest.match_indices('/').nth(slashes) {
                    None => (Some(rest), None),
                    Some((at, _)) => (Some(&rest[..at]), Some(&rest[at + 1..])),
                }
            }
        };
        let mut parsed = Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: None,
            path: None,
        };
        if let Some(revision) = revision {
            let revision = revision.replace("%2F", "/").replace("%2f", "/");
            if let Some(why) = revision_fault(&revision) {
                return Err(bad(why));
            }
            parsed.revision = Some(revision);
        }
        let path = path
            .map(|p| p.trim_end_matches('/'))
            .filter(|p| !p.is_empty());
        if let Some(path) = path {
            check_path(path).map_err(|_| bad("the path leaves the repository"))?;
            parsed.path = Some(path.to_owned());
        }
        Ok(parsed)
    }

    /// Whether a command-line argument names something on the Hub rather than on this disk.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("hf:")
    }

    /// The same with another revision.
    ///
    /// # Errors
    /// [`Error::Reference`] if it cannot be a branch, tag or commit.
    pub fn at(mut self, revision: &str) -> Result<Self, Error> {
        if let Some(why) = revision_fault(revision) {
            return Err(Error::Reference {
                text: revision.to_owned(),
                why,
            });
        }
        self.revision = Some(revision.to_owned());
        Ok(self)
    }

    /// `owner/name`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The user or organization.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name without the owner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Branch, tag or commit: `main` unless said otherwise.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The file or folder in the repository.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

impl FromStr for RepoRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for RepoRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.name)?;
        if let Some(revision) = &self.revision {
            match revision.starts_with("refs/pr/") || revision.starts_with("refs/convert/") {
                true => write!(f, "@{revision}")?,
                false => write!(f, "@{}", revision.replace('/', "%2F"))?,
            }
        }
        match &self.path {
            Some(path) => write!(f, "/{path}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_and_printed_back() {
        let cases = [
            ("hf:o/n", "main", None),
            ("hf:o/n@v1", "v1", None),
            ("hf:o/n/a/b.gguf", "main", Some("a/b.gguf")),
            ("hf:o/n@v1/a b", "v1", Some("a b")),
            ("hf:o/n@refs/pr/7", "refs/pr/7", None),
            ("hf:o/n@refs/pr/7/x@y", "refs/pr/7", Some("x@y")),
            ("hf:o/n@f%2Fx/y", "f/x", Some("y")),
        ];
        for (text, revision, path) in cases {
            let parsed = RepoRef::parse(text).unwrap();
            assert_eq!(
                (parsed.id().as_str(), parsed.revision(), parsed.path()),
                ("o/n", revision, path),
                "{text}"
            );
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!(RepoRef::parse("o/n/dir/").unwrap().path(), Some("dir"));
    }

    #[test]
    fn what_is_not_a_reference_says_why() {
        for text in [
            "hf:",
            "hf:gpt2",
            "hf:o/",
            "hf:/n",
            "hf:o/n@",
            "hf:o/n/../x",
            "hf:o/n@../x",
            "hf:o--p/n",
        ] {
            let error = RepoRef::parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(": "), "{error}");
        }
        assert!(RepoRef::parse("o/n").unwrap().at("a b").is_err());
    }
}
