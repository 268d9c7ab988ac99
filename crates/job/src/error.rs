//! What can go wrong with the files of a job.

use std::io;
use std::path::{Path, PathBuf};

/// An error, with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// A link, a pipe or a folder has the name of a file that is to be written.
    #[error("{}: is not a regular file, remove it first", path.display())]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
    },
    /// Another process has the file.
    #[error("{}: another run is writing this file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            action,
            path: path.into(),
            error,
        }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io("write", path)
    }
}
