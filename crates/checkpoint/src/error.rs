//! What can be wrong with a checkpoint.

use aeolus_gguf::ShapeError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a checkpoint cannot be used. Every message names the file; shapes are in the order of
/// that file (row length last for safetensors, first for GGUF).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened, mapped or read, or is larger than such a file may be.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// A GGUF file is malformed.
    #[error(transparent)]
    Gguf(#[from] aeolus_gguf::Error),
    /// The system refused.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// What the model is to be called cannot start a file name.
    #[error("model name {name:?} cannot start a file name: {problem}")]
    Name {
        /// The name as given.
        name: String,
        /// What a file name cannot have.
        problem: String,
    },
    /// The path is no checkpoint.
    #[error("{}: {problem}", path.display())]
    NotACheckpoint {
        /// The path as given.
        path: PathBuf,
        /// What was found and what is expected.
        problem: String,
    },
    /// A file is not the JSON it should be.
    #[error("{}: not the expected JSON: {}", path.display(), Brief(error))]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's answer, with line and column.
        #[source]
        error: serde_json::Error,
    },
    /// A key of a GGUF file's metadata has a value of the wrong type.
    #[error("{}: {error}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key, the type found and the one expected.
        #[source]
        error: aeolus_gguf::MetadataError,
    },
    /// A key of a JSON file, or of a GGUF file's metadata, is missing or has a useless value.
    #[error("{}: {}: {problem}", path.display(), Brief(key))]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, nested keys joined by dots.
        key: String,
        /// What was found and what is expected.
        problem: String,
    },
    /// The checkpoint asks for something that is not supported.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file that asks.
        path: PathBuf,
        /// What it asks for and what is supported.
        what: String,
    },
    /// The header of a safetensors file is malformed.
    #[error("{}: safetensors header: {problem}", path.display())]
    Header {
        /// The shard.
        path: PathBuf,
        /// What was found and what is expected, with offsets in bytes.
        problem: String,
    },
    /// A shard is shorter or longer than its header says.
    #[error("{}: {} the header describes a file of {expected} bytes, found {found}",
        path.display(), if found < expected { "truncated:" } else { "trailing bytes:" })]
    Size {
        /// The shard.
        path: PathBuf,
        /// Bytes of the file that the header describes.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// model.safetensors.index.json contradicts itself or the shards.
    #[error("{}: {problem}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What was found and what is expected.
        problem: String,
    },
    /// A file of the weights does not exist.
    #[error("{}: missing shard ({})", path.display(), Brief(why))]
    MissingShard {
        /// Where the shard should be.
        path: PathBuf,
        /// Why it should be there, or what is there instead.
        why: String,
    },
    /// The same tensor twice.
    #[error("tensor {}: found in {} and again in {}", Brief(tensor), first.display(), second.display())]
    DuplicateTensor {
        /// Name in the source.
        tensor: String,
        /// The file it was first seen in.
        first: PathBuf,
        /// The file it was seen in again.
        second: PathBuf,
    },
    /// A tensor that the model needs is nowhere.
    #[error("{}: missing tensor {}, expected with shape {expected:?}", path.display(), Brief(tensor))]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// Name in the source.
        tensor: String,
        /// The shape that the hyperparameters give.
        expected: Vec<u64>,
    },
    /// A tensor that the model has no place for.
    #[error("{}: unexpected tensor {}: {problem}", path.display(), Brief(tensor))]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// Name in the source.
        tensor: String,
        /// Why it has no place.
        problem: String,
    },
    /// A tensor's shape contradicts the hyperparameters.
    #[error("{}: tensor {}: shape {found:?}, but the hyperparameters give {expected:?}",
        path.display(), Brief(tensor))]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name in the source.
        tensor: String,
        /// The shape that the hyperparameters give.
        expected: Vec<u64>,
        /// The shape in the file.
        found: Vec<u64>,
    },
    /// A tensor's element type is not supported.
    #[error("{}: tensor {}: dtype {found}, supported are F64, F32, F16 and BF16",
        path.display(), Brief(tensor))]
    Dtype {
        /// The file.
        path: PathBuf,
        /// Name in the source.
        tensor: String,
        /// The type in the file.
        found: String,
    },
    /// There is no tokenizer in the folder.
    #[error("{}: no tokenizer: looked for {looked_for}; --no-tokenizer converts without it", path.display())]
    NoTokenizer {
        /// The checkpoint.
        path: PathBuf,
        /// The file names or keys that were tried.
        looked_for: &'static str,
    },
    /// A tokenizer file is malformed or contradicts another file.
    #[error("{}: tokenizer: {problem}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What was found and what is expected.
        problem: String,
    },
    /// Something is larger than the limits allow.
    #[error("{}: {what}: {found} exceeds the limit of {limit}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
}

/// Text from a file as messages show it: control characters escaped, cut where a message would
/// drown in it.
pub(crate) struct Brief<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        let text = self.0.to_string();
        let end = text.char_indices().nth(SHOWN).map(|(end, _)| end);
        let shown = end.and_then(|end| text.get(..end)).unwrap_or(&text);
        for c in shown.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str(if end.is_some() { "..." } else { "" })
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io {
            action,
            path,
            error,
        }
    }

    pub(crate) fn key(path: &Path, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Key {
            path: path.into(),
            key: key.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported {
            path: path.into(),
            what: what.into(),
        }
    }

    pub(crate) fn header(path: &Path, problem: impl Into<String>) -> Self {
        Self::Header {
            path: path.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn index(path: &Path, problem: impl Into<String>) -> Self {
        Self::Index {
            path: path.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn tokenizer(path: &Path, problem: impl Into<String>) -> Self {
        Self::Tokenizer {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

/// The error for a tensor whose shape cannot be.
pub(crate) fn bad_shape<'a>(
    path: &'a Path,
    tensor: &'a str,
) -> impl FnOnce(ShapeError) -> Error + 'a {
    move |error| Error::UnexpectedTensor {
        path: path.into(),
        tensor: tensor.into(),
        problem: error.to_string(),
    }
}
