//! `aeolus.inspect/1`, `aeolus.hash/1`, `aeolus.hash-compare/1` and `aeolus.tokenize/1`: what is in a file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `inspect` prints. The command writes it value by value, since a header of some megabytes may hold
/// tens of millions of items; this is for readers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Inspect {
    /// Which document it is: `aeolus.inspect/1`.
    pub schema: String,
    /// The file.
    pub file: String,
    /// GGUF version.
    pub version: u32,
    /// `little` or `big`.
    pub endian: String,
    /// Tensors begin at multiples of so many bytes.
    pub alignment: u64,
    /// Files of a split model.
    pub parts: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Weights of all tensors.
    pub weights: u64,
    /// Bits of a weight, scales included.
    pub bits_per_weight: f64,
    /// What each type takes.
    pub types: BTreeMap<String, TypeUse>,
    /// The metadata, by key.
    pub metadata: BTreeMap<String, TypedValue>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<InspectTensor>,
}

/// What a tensor type takes of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TypeUse {
    /// Tensors of the type.
    pub tensors: u64,
    /// Their weights.
    pub weights: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TypedValue {
    /// `UINT32`, `STRING`, `ARRAY[STRING]`.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value; infinite and NaN floats as text.
    pub value: serde_json::Value,
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InspectTensor {
    /// GGUF name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Row length first.
    pub shape: Vec<u64>,
    /// Its bytes.
    pub bytes: u64,
    /// Where they begin, in bytes from the start of the data section.
    pub offset: u64,
    /// Present and true where the bytes reach up to the next tensor, since the layout of the type is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_measured: Option<bool>,
}

/// What `hash` prints of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hash {
    /// Which document it is: `aeolus.hash/1`.
    pub schema: String,
    /// The file, or the parts of a split one.
    pub files: Vec<HashedFile>,
    /// Its tensors.
    pub tensors: Vec<HashedTensor>,
}

/// A file and its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HashedFile {
    /// Where it is.
    pub path: String,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// A tensor and its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HashedTensor {
    /// GGUF name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Row length first.
    pub shape: Vec<u64>,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// What `hash` prints of two files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HashCompare {
    /// Which document it is: `aeolus.hash-compare/1`.
    pub schema: String,
    /// The first file.
    pub a: String,
    /// The second file.
    pub b: String,
    /// Both have the same keys and tensors.
    pub equal: bool,
    /// The containers.
    pub container: Containers,
    /// What differs.
    pub differences: Vec<Differing>,
}

/// The containers of two files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Containers {
    /// Both are alike.
    pub equal: bool,
    /// The first.
    pub a: Container,
    /// The second.
    pub b: Container,
}

/// What a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Container {
    /// GGUF version.
    pub version: u32,
    /// `little` or `big`.
    pub endian: String,
    /// Tensors begin at multiples of so many bytes.
    pub alignment: u64,
    /// Files of a split model.
    pub parts: u64,
}

/// A difference between two files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Differing {
    /// `metadata` or `tensor`.
    pub kind: String,
    /// The key, or the tensor's name.
    pub name: String,
    /// What differs, in words.
    pub text: String,
}

/// What `tokenize` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tokenize {
    /// Which document it is: `aeolus.tokenize/1`.
    pub schema: String,
    /// The text, encoded or decoded.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// What each token of an encoded text is in the vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Vec<String>>,
}

impl Inspect {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.inspect/1";
}

impl Hash {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.hash/1";
}

impl HashCompare {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.hash-compare/1";
}

impl Tokenize {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.tokenize/1";
}
