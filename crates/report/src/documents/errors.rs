//! `aeolus.errors/1`: how far each tensor is from its source, as `errors` prints it and `table` leaves it
//! beside its files as errors.json.

use super::{find, null, read, some};
use crate::{Error, File};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Errors of each tensor against the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TensorErrors {
    /// Which document it is: `aeolus.errors/1`.
    pub schema: String,
    /// What the files were made from.
    #[serde(deserialize_with = "null")]
    pub source: String,
    /// One for each file.
    pub files: Vec<FileErrors>,
}

/// Errors of one file's tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct FileErrors {
    /// Where the file was.
    #[serde(deserialize_with = "null")]
    pub path: String,
    /// SHA-256 of the file in hex, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its type's name, `Q4_K_M`; null if the file names none of ours.
    pub file_type: Option<String>,
    /// One for each tensor, the worst relative error first.
    pub tensors: Vec<TensorError>,
}

/// How far a tensor is from its source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TensorError {
    /// GGUF name.
    pub name: String,
    /// Its type in the file.
    #[serde(rename = "type", deserialize_with = "null")]
    pub ty: String,
    /// Its weights (elements).
    pub weights: Option<u64>,
    /// Root mean square of the differences.
    pub rmse: Option<f64>,
    /// The largest difference.
    pub max: Option<f64>,
    /// Root mean square of the differences over that of the weights; null if the source is all
    /// zeros and the file is not.
    pub relative: Option<f64>,
    /// Cosine of the angle between both.
    pub cosine: Option<f64>,
}

impl TensorErrors {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.errors/1";

    /// Reads what `errors --json` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus errors`";
        let errors: Self = read(path, WHAT)?;
        some(&errors.files, path, WHAT)?;
        Ok(errors)
    }

    /// What was measured of a file.
    pub fn of(&self, file: &File) -> Option<&FileErrors> {
        find(&self.files, file, |e| {
            (e.path.as_str(), e.file_type.as_deref().unwrap_or_default())
        })
    }
}
