//! What can go wrong between files and a page.

use std::path::PathBuf;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A GGUF file cannot be read.
    #[error(transparent)]
    Gguf(#[from] aeolus_gguf::Error),
    /// A file cannot be read for its digest.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// The operating system refused.
    #[error("{}: cannot {what}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: `read`.
        what: &'static str,
        /// Its answer.
        #[source]
        error: std::io::Error,
    },
    /// A folder without GGUF files.
    #[error("{}: no .gguf file in this folder", path.display())]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// Files that are not quantizations of one model.
    #[error(
        "files of two models: {first} and {second} differ in {key} ({found_first}, {found_second})"
    )]
    TwoModels {
        /// A file.
        first: String,
        /// Another.
        second: String,
        /// What differs: a metadata key, or `the number of weights`.
        key: String,
        /// Its value in the first.
        found_first: String,
        /// Its value in the second.
        found_second: String,
    },
    /// A results file that is not what it should be.
    #[error("{}: expected {expected}: {problem}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What was expected: `results of compare or table`.
        expected: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A text file that is too large to be what it should be.
    #[error("{}: found {found} bytes, expected at most {max} in such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A README.md whose marks of generated parts do not match.
    #[error("README.md: {0}")]
    Readme(String),
    /// Front matter that is not a YAML mapping.
    #[error("front matter: {0}")]
    FrontMatter(String),
    /// A card template that cannot be used.
    #[error("card template: {0}")]
    Template(String),
    /// A chart that cannot be made a picture.
    #[error("cannot make a PNG of the chart: {0}")]
    Picture(String),
}

impl Error {
    /// For `map_err`: `what` was tried with `path`.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, what, error }
    }

    /// A template error with its line and causes, in one line.
    pub(crate) fn template(error: &minijinja::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self::Template(text)
    }
}

/// Reads a text file of at most `max` bytes, or a pipe: users name them. What is not UTF-8 is
/// replaced.
pub(crate) fn read_text(path: &std::path::Path, max: u64) -> Result<String, Error> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    if bytes.len() as u64 > max {
        let found = std::fs::metadata(path).map_or(bytes.len() as u64, |meta| meta.len());
        return Err(Error::TooLarge {
            path: path.into(),
            found,
            max,
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
