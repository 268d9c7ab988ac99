//! `aeolus.fetch/1` and `aeolus.publish/1`: what came from the Hub, and what went there.

use serde::{Deserialize, Serialize};

/// What `fetch` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fetch {
    /// Which document it is: `aeolus.fetch/1`.
    pub schema: String,
    /// `owner/name`.
    pub repo: String,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit.
    pub commit: String,
    /// The folder on this disk.
    pub path: String,
    /// How long it took.
    pub seconds: f64,
    /// The files.
    pub files: Vec<FetchedFile>,
}

/// A file of a repository, on this disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FetchedFile {
    /// Its path in the repository.
    pub name: String,
    /// Where it is on this disk.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// False if it was there already.
    pub fetched: bool,
}

/// What `publish` prints, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Publish {
    /// Which document it is: `aeolus.publish/1`.
    pub schema: String,
    /// `owner/name`.
    pub repo: String,
    /// The branch.
    pub revision: String,
    /// Whether the repository has to be created first.
    pub create: bool,
    /// Whether it is created private.
    pub private: bool,
    /// First line of the commit message.
    pub summary: String,
    /// The rest of it.
    pub description: String,
    /// The folder.
    pub folder: String,
    /// The files, in the order of their paths.
    pub files: Vec<PublishedFile>,
    /// What came of it, after an upload.
    #[serde(flatten)]
    pub outcome: Option<PublishOutcome>,
}

/// A file that is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PublishedFile {
    /// Its path in the repository.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// `store`, `inline` or `unchanged`.
    pub how: String,
}

/// What came of a publication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PublishOutcome {
    /// The commit.
    pub commit: String,
    /// Its page.
    pub url: String,
    /// Whether anything changed.
    pub changed: bool,
    /// Bytes that were sent.
    pub uploaded_bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Fetch {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.fetch/1";
}

impl Publish {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.publish/1";
}
