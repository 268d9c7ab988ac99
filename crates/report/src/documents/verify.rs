//! `aeolus.verify/1` and `aeolus.verify-sums/1`: whether files are what they should be.

use super::{Figures, Measured};
use serde::{Deserialize, Serialize};

/// What `verify` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verify {
    /// Which document it is: `aeolus.verify/1`.
    pub schema: String,
    /// What the files were made from.
    pub source: String,
    /// Nothing is wrong.
    pub right: bool,
    /// File types that are not there.
    pub missing: Vec<String>,
    /// Where divergence does not fall along the table, in words.
    pub rises: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// What the files were measured on, if they were.
    #[serde(flatten)]
    pub measured: Option<Measured>,
    /// The files.
    pub files: Vec<VerifiedFile>,
}

/// A file that was verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifiedFile {
    /// Where it is.
    pub path: String,
    /// Its type; null if it cannot be opened.
    pub file_type: Option<String>,
    /// Its bytes.
    pub bytes: Option<u64>,
    /// The bytes that it should have; null if it cannot be opened.
    pub forecast_bytes: Option<u64>,
    /// How many of its tensors were refined and so judged by their error; null if it cannot be opened.
    pub judged_by_error: Option<usize>,
    /// Whether it can be run.
    pub loads: bool,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// What was measured of it.
    pub quality: Option<Figures>,
}

/// What `verify` prints without a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifySums {
    /// Which document it is: `aeolus.verify-sums/1`.
    pub schema: String,
    /// Nothing is wrong.
    pub right: bool,
    /// How long it took.
    pub seconds: f64,
    /// The files.
    pub files: Vec<ListedFile>,
}

/// A file and what the list says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedFile {
    /// Where it is.
    pub path: String,
    /// Its SHA-256 in the list, if it is listed.
    pub listed: Option<String>,
    /// Its SHA-256 as found; null for a file that is missing or not listed.
    pub sha256: Option<String>,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

impl Verify {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.verify/1";
}

impl VerifySums {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.verify-sums/1";
}
