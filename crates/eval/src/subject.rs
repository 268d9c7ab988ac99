//! Files that are checked, and what they say of themselves.

use crate::Error;
use aeolus_gguf::GgufFile;
use aeolus_recipe::FileType;
use std::path::{Path, PathBuf};

/// A file and what it should be.
#[derive(Debug)]
pub struct Subject {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is.
    pub file_type: FileType,
    /// It.
    pub file: GgufFile,
}

impl Subject {
    /// Opens a file and reads its file type.
    ///
    /// # Errors
    /// [`Error::Gguf`]; [`Error::Format`] if it does not say its type.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = GgufFile::open(path)?;
        let file_type = says_file_type(&file, path).ok_or_else(|| Error::Format {
            what: "file of a known type",
            path: path.into(),
            problem: match file.metadata().get("general.file_type") {
                Some(found) => format!("its general.file_type is {found:?}"),
                None => "it has no general.file_type".into(),
            },
        })?;
        Ok(Self {
            path: path.into(),
            file_type,
            file,
        })
    }
}

/// The type that a file says it is; `None` if it does not, or cannot be opened.
pub fn file_type(path: &Path) -> Option<FileType> {
    says_file_type(&GgufFile::open(path).ok()?, path)
}

fn says_file_type(file: &GgufFile, path: &Path) -> Option<FileType> {
    let id = file.metadata().u32("general.file_type").ok()??;
    FileType::of_file(id, path)
}

/// Whether any of some files keeps the block that predicts a second token: their source is to be opened
/// with it, too. Files that cannot be opened do not count.
pub fn keep_predict_layers(paths: &[PathBuf]) -> bool {
    let keeps = |file: GgufFile| {
        let mut keys = file.metadata().iter();
        keys.any(|(key, _)| key.ends_with(".nextn_predict_layers"))
    };
    paths
        .iter()
        .any(|path| GgufFile::open(path).is_ok_and(keeps))
}
