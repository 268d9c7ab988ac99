//! What can go wrong with bytes from outside.

use std::io;
use std::path::{Path, PathBuf};

/// An operating-system error with the path it happened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `map`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// The path names something other than a regular file.
    #[error("{}: is not a regular file", path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
    },
    /// A file that is read whole has more bytes than such a file may have.
    #[error("{}: has {found} bytes, at most {limit} are read of such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes; of one that has more than it says, a lower bound.
        found: u64,
        /// The most, in bytes.
        limit: u64,
    },
    /// The file is something else than it should be.
    #[error("{}: {}", path.display(), found.instead_of(expected))]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: crate::Kind,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// The file is not the one that was opened any more.
    #[error("{}: changed while it was being read ({what})", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What differs, with both values.
        what: String,
    },
}

impl Error {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io {
            action,
            path,
            error,
        }
    }
}
