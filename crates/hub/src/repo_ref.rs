//! What names a repository, a revision of it, perhaps a file in it: `hf:owner/name[@revision][/path]`,
//! and the other forms that people paste.

use crate::Error;
use crate::name::{check_path, repo_part_fault, revision_fault};
use crate::select::{carries, is_gguf};
use std::fmt;
use std::str::FromStr;

/// The public Hub's hosts.
const HOSTS: [&str; 4] = ["huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co"];
/// Words of the Hub's web addresses that a revision follows.
const BEFORE_REVISION: [&str; 9] = [
    "tree", "blob", "resolve", "raw", "blame", "edit", "commit", "commits", "revision",
];
/// Owners that stand for other kinds of repositories, and what those are.
const OTHER_KINDS: [(&str, &str); 4] = [
    ("datasets", "a dataset"),
    ("spaces", "a space"),
    ("kernels", "a kernel"),
    ("buckets", "a bucket"),
];

/// Hosts of models that are not on the Hub.
const OTHER_HOSTS: [&str; 6] = [
    "ollama.com",
    "www.ollama.com",
    "ollama.ai",
    "registry.ollama.ai",
    "modelscope.cn",
    "www.modelscope.cn",
];

const AFTER_COLON: &str =
    "a colon is followed by the type of one file and nothing else, as in hf:owner/name:Q4_K_M";

/// A model repository on the Hub, at a revision, and a file or folder in it.
///
/// A revision that holds a slash is written `refs/pr/1` or `refs/convert/name` as it is, any other
/// with `%2F` for the slash. If it is written with a slash, [`crate::Hub::settle`] finds out where
/// it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoRef {
    owner: String,
    name: String,
    revision: Option<String>,
    path: Option<String>,
    tag: Option<String>,
}

impl RepoRef {
    /// The reference in `owner/name` as commands take it, with or without `hf:`, or in an address
    /// of the public Hub.
    ///
    /// # Errors
    /// [`Error::Reference`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_at(text, "https://huggingface.co")
    }

    /// The same where addresses of this Hub are understood, too.
    ///
    /// # Errors
    /// [`Error::Reference`] with the rule that is broken.
    pub fn parse_at(text: &str, endpoint: &str) -> Result<Self, Error> {
        let short = text.trim();
        let short = match short.split_at_checked(3) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("hf:") => rest,
            _ => short,
        };
        let parsed = web_path(short, endpoint).and_then(|path| match path {
            Some(path) => Self::from_web(path),
            None => Self::from_short(short.strip_prefix("//").unwrap_or(short)),
        });
        parsed.map_err(|why| Error::Reference {
            text: without_user(text),
            why,
        })
    }

    /// The host that a text like `ollama.com/library/llama3` begins with, if its models are not on
    /// the Hub.
    #[must_use]
    pub fn other_host(text: &str) -> Option<&str> {
        let host = text.split('/').next().unwrap_or_default();
        OTHER_HOSTS
            .iter()
            .any(|other| other.eq_ignore_ascii_case(host))
            .then_some(host)
    }

    /// `owner/name[@revision][/path][:type]`.
    fn from_short(text: &str) -> Result<Self, String> {
        let (text, tag) = match text.rsplit_once(':') {
            // The name of a file may have a colon in it; a type has no dot, unless it is a name.
            Some((rest, tag))
                if !tag.contains(['/', '@'])
                    && (!tag.contains('.') || rest.matches('/').count() == 1) =>
            {
                (rest, Some(tag))
            }
            _ => (text, None),
        };
        let (mut parsed, rest) = Self::repository(text, &['@', '/'])?;
        let path = match rest.strip_prefix('@') {
            None => rest,
            Some(rest) => {
                let (revision, path) = split_revision(rest);
                parsed.set_revision(&revision.replace("%2F", "/").replace("%2f", "/"))?;
                path
            }
        };
        parsed.set_path(path)?;
        let file = parsed.path.as_deref().filter(|path| is_gguf(path));
        match (tag, file) {
            (Some(""), _) => return Err(AFTER_COLON.to_owned()),
            (Some(tag), Some(file)) if !carries(file, tag) => {
                return Err(format!(
                    "{file} is a file, and not of type {tag}: leave out :{tag}, or the file"
                ));
            }
            // The file is named already.
            (Some(_), Some(_)) => {}
            _ => parsed.tag = tag.map(str::to_owned),
        }
        Ok(parsed)
    }

    /// The path of a web address, with its query.
    fn from_web(text: &str) -> Result<Self, String> {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let path = path.trim_matches('/');
        let path = path.strip_prefix("api/models/").unwrap_or(path);
        let (repository, rest) = Self::repository(path, &['@', '/']).or_else(|why| {
            // A type after the name; what is wrong with the rest is told below.
            Self::repository(path, &[':']).map_err(|_| why)
        })?;
        let words = rest.strip_prefix('/').unwrap_or_default();
        let (word, rest) = words.split_once('/').unwrap_or((words, ""));
        let mut parsed = match BEFORE_REVISION.contains(&word) {
            true => {
                let (revision, rest) = split_revision(rest);
                let mut parsed = repository;
                parsed.set_revision(&decoded(revision)?)?;
                parsed.set_path(&decoded(rest)?)?;
                parsed
            }
            // What only begins like an address: hf.co/owner/name:Q4_K_M.
            false => Self::from_short(&decoded(path)?)?,
        };
        // The page that describes a GGUF file is a view of its folder's.
        let shown = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("show_file_info="));
        if let Some(file) = shown {
            parsed.set_path(&decoded(file)?)?;
        }
        Ok(parsed)
    }

    /// Owner and name, and what follows from one of `ends` on.
    fn repository<'t>(text: &'t str, ends: &[char]) -> Result<(Self, &'t str), String> {
        let (owner, rest) = text
            .split_once('/')
            .ok_or("there is no slash between owner and name")?;
        if let Some((_, kind)) = OTHER_KINDS.iter().find(|(word, _)| *word == owner) {
            return Err(format!("this is {kind}, and only models are read here"));
        }
        let (name, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        // As `git clone` has it; no name on the Hub ends so.
        let name = name.strip_suffix(".git").unwrap_or(name);
        if let Some(why) = repo_part_fault(owner).or_else(|| repo_part_fault(name)) {
            return Err(if name.contains(':') { AFTER_COLON } else { why }.to_owned());
        }
        let parsed = Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: None,
            path: None,
            tag: None,
        };
        Ok((parsed, rest))
    }

    fn set_revision(&mut self, revision: &str) -> Result<(), String> {
        match revision_fault(revision) {
            Some(why) => Err(why.to_owned()),
            None => {
                self.revision = Some(revision.to_owned());
                Ok(())
            }
        }
    }

    fn set_path(&mut self, path: &str) -> Result<(), String> {
        let path = path.trim_matches('/');
        if !path.is_empty() {
            check_path(path).map_err(|_| "the path leaves the repository")?;
            self.path = Some(path.to_owned());
        }
        Ok(())
    }

    /// The same if the first part of the path belonged to the revision.
    pub(crate) fn with_longer_revision(&self) -> Option<Self> {
        let (revision, path) = self.revision.as_ref().zip(self.path.as_ref())?;
        let (part, path) = path.split_once('/').unwrap_or((path, ""));
        let revision = format!("{revision}/{part}");
        Some(Self {
            revision: Some(revision),
            path: Some(path.to_owned()).filter(|path| !path.is_empty()),
            ..self.clone()
        })
    }

    /// The same with this file instead of a type.
    pub(crate) fn with_file(self, path: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            tag: None,
            ..self
        }
    }

    /// The folder of the file, if the reference names a file of this name.
    #[must_use]
    pub fn folder_of(mut self, file: &str) -> Self {
        if let Some(folder) = self.path.as_deref().and_then(|p| p.strip_suffix(file)) {
            match folder.strip_suffix('/') {
                Some(folder) => self.path = Some(folder.to_owned()),
                None if folder.is_empty() => self.path = None,
                None => {}
            }
        }
        self
    }

    /// The same with another revision.
    ///
    /// # Errors
    /// [`Error::Reference`] if it cannot be a branch, tag or commit.
    pub fn at(mut self, revision: &str) -> Result<Self, Error> {
        if let Some(why) = revision_fault(revision) {
            return Err(Error::Reference {
                text: revision.to_owned(),
                why: why.to_owned(),
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

    /// Whether it names a revision.
    #[must_use]
    pub fn names_revision(&self) -> bool {
        self.revision.is_some()
    }

    /// The file or folder in the repository.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The type of the one file that is meant, as in `hf:owner/name:Q4_K_M`.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
}

/// The path of a web address of the Hub; `None` if the text is none.
fn web_path<'t>(text: &'t str, endpoint: &str) -> Result<Option<&'t str>, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    // How git writes the address of an account: git@hf.co:owner/name.
    let by_ssh = scheme.as_deref() == Some("ssh") || (scheme.is_none() && rest.starts_with("git@"));
    let rest = if by_ssh {
        rest.strip_prefix("git@").unwrap_or(rest)
    } else {
        rest
    };
    match scheme.as_deref() {
        None | Some("http" | "https" | "ssh") => {}
        Some("hf") => return Ok(None),
        Some(other) => return Err(format!("the Hub is asked by https, not by {other}")),
    }
    let home = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, home)| home);
    for host in HOSTS.iter().copied().chain([home]) {
        let starts = rest
            .get(..host.len())
            .is_some_and(|r| r.eq_ignore_ascii_case(host));
        let after = rest.get(host.len()..).unwrap_or_default();
        let end = if by_ssh { ":/" } else { "/" };
        if starts && (after.is_empty() || after.starts_with(|c| end.contains(c))) {
            return Ok(Some(after.get(1..).unwrap_or_default()));
        }
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match scheme {
        None if !by_ssh && RepoRef::other_host(rest).is_none() => Ok(None),
        _ if host.contains('@') => Err("others can read a user name or token on a command line: \
             leave it out and set HF_TOKEN"
            .to_owned()),
        _ => Err(format!(
            "{host} is not the Hub, which is {endpoint}: for a mirror set HF_ENDPOINT, else write \
             hf:owner/name"
        )),
    }
}

/// An address as it may be shown: a user name before the host may be a token.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let host = rest.find('/').unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// The revision at the start of a text, and the path behind it.
fn split_revision(text: &str) -> (&str, &str) {
    // refs/pr/1 and refs/convert/x are one revision with slashes in it.
    let slashes = match text.starts_with("refs/pr/") || text.starts_with("refs/convert/") {
        true => 2,
        false => 0,
    };
    match text.match_indices('/').nth(slashes) {
        None => (text, ""),
        Some((at, _)) => (&text[..at], &text[at + 1..]),
    }
}

/// A part of a web address without its escapes.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after
            .get(..2)
            .filter(|_| first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escape.unwrap_or(first));
        rest = &after[if escape.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8(bytes).map_err(|_| "its escapes are not UTF-8".to_owned())
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
        if let Some(path) = &self.path {
            write!(f, "/{path}")?;
        }
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
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
    fn what_people_paste_is_understood() {
        let cases = [
            ("hf:o/n:Q4_K_M", "hf:o/n:Q4_K_M"),
            ("o/n@v1:q4_k_m", "hf:o/n@v1:q4_k_m"),
            ("o/n@f/x:Q4_K_M", "hf:o/n@f/x:Q4_K_M"),
            ("o/n/sub:Q4_K_M", "hf:o/n/sub:Q4_K_M"),
            ("o/n:a.gguf", "hf:o/n:a.gguf"),
            ("hf:o/n@refs/pr/1:Q8_0", "hf:o/n@refs/pr/1:Q8_0"),
            ("HF:o/n:Q4_K_M", "hf:o/n:Q4_K_M"),
            ("Hf://o/n/a.gguf", "hf:o/n/a.gguf"),
            ("hf:o/n/a.Q4_K_M.gguf:q4_k_m", "hf:o/n/a.Q4_K_M.gguf"),
            ("hf://o/n@v1/a.gguf", "hf:o/n@v1/a.gguf"),
            ("hf.co/o/n", "hf:o/n"),
            ("hf.co/o/n:Q4_K_M", "hf:o/n:Q4_K_M"),
            ("hf.co/o/n/a.gguf", "hf:o/n/a.gguf"),
            ("huggingface.co/o/n/", "hf:o/n"),
            ("https://huggingface.co/o/n", "hf:o/n"),
            ("http://www.huggingface.co/o/n/tree/main/", "hf:o/n@main"),
            (
                "HTTPS://HuggingFace.co/o/n/tree/main/sub/dir",
                "hf:o/n@main/sub/dir",
            ),
            (
                "https://huggingface.co/o/n/blob/main/a%20b.gguf",
                "hf:o/n@main/a b.gguf",
            ),
            (
                "https://huggingface.co/o/n/resolve/v1/x/a.gguf?download=true",
                "hf:o/n@v1/x/a.gguf",
            ),
            (
                "https://huggingface.co/o/n/tree/feature%2Fx/y",
                "hf:o/n@feature%2Fx/y",
            ),
            (
                "https://huggingface.co/o/n/tree/refs%2Fpr%2F1",
                "hf:o/n@refs/pr/1",
            ),
            (
                "https://huggingface.co/o/n/tree/refs/pr/1/y",
                "hf:o/n@refs/pr/1/y",
            ),
            ("https://huggingface.co/o/n/commit/abc", "hf:o/n@abc"),
            (
                "https://huggingface.co/o/n?library=transformers#usage",
                "hf:o/n",
            ),
            (
                "https://huggingface.co/o/n?show_file_info=a.gguf",
                "hf:o/n/a.gguf",
            ),
            (
                "https://huggingface.co/api/models/o/n/revision/v1",
                "hf:o/n@v1",
            ),
            ("https://huggingface.co/o/n.git", "hf:o/n"),
            ("git@hf.co:o/n.git", "hf:o/n"),
            ("ssh://git@hf.co/o/n", "hf:o/n"),
            ("hf:https://hf.co/o/n", "hf:o/n"),
            (" o/n ", "hf:o/n"),
            ("http://mirror:8/hub/o/n/tree/v1", "hf:o/n@v1"),
            ("mirror:8/hub/o/n", "hf:o/n"),
        ];
        for (text, meant) in cases {
            match RepoRef::parse_at(text, "http://mirror:8/hub") {
                Ok(parsed) => assert_eq!(parsed.to_string(), meant, "{text}"),
                Err(error) => panic!("{text}: {error}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_says_why() {
        for (text, part) in [
            ("https://huggingface.co/datasets/o/n", "a dataset"),
            ("hf://spaces/o/n", "a space"),
            ("https://huggingface.co/gpt2", "no slash"),
            ("https://huggingface.co", "no slash"),
            (
                "https://huggingface.co/o/n/blob/main/%2e%2e/x",
                "leaves the repository",
            ),
            ("https://huggingface.co/o/n/tree", "a revision has"),
            ("https://mirror.example/o/n", "HF_ENDPOINT"),
            ("s3://bucket/n", "by https"),
            ("hf:o/n:", "Q4_K_M"),
            ("hf:o/n:Q8_0/a.gguf", "Q4_K_M"),
            (
                "hf:o/n/a.Q4_K_M.gguf:Q8_0",
                "a.Q4_K_M.gguf is a file, and not of type Q8_0",
            ),
            ("ollama.com/library/llama3", "ollama.com is not the Hub"),
            ("hf:modelscope.cn/o/n", "modelscope.cn is not the Hub"),
            ("https://me:hf_secret@huggingface.co/o/n", "HF_TOKEN"),
        ] {
            let error = RepoRef::parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_revision_may_take_parts_of_the_path() {
        let parsed = RepoRef::parse("o/n@a/b/c").unwrap();
        let longer = parsed.with_longer_revision().unwrap();
        assert_eq!(longer.to_string(), "hf:o/n@a%2Fb/c");
        let longest = longer.with_longer_revision().unwrap();
        assert_eq!((longest.revision(), longest.path()), ("a/b/c", None));
        assert_eq!(longest.with_longer_revision(), None);
        assert_eq!(
            RepoRef::parse("o/n/a").unwrap().with_longer_revision(),
            None
        );
    }

    #[test]
    fn a_folder_is_named_by_a_file_in_it() {
        for (text, folder) in [
            ("o/n/config.json", None),
            ("o/n/a/config.json", Some("a")),
            ("o/n/a", Some("a")),
            ("o/n/xconfig.json", Some("xconfig.json")),
        ] {
            let parsed = RepoRef::parse(text).unwrap().folder_of("config.json");
            assert_eq!(parsed.path(), folder, "{text}");
        }
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
