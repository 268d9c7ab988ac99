//! Small files of a checkpoint folder, read whole within a bound.

use crate::{Error, Limits};
use aeolus_source::{Class, refuse_other_kinds};
use serde::de::{self, Deserialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The bytes of a file, `None` if there is no such file. A link to nothing is an error: a file was
/// meant to be there.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let bytes = match aeolus_source::read_small(path, limit) {
        Err(error) if error.is_not_found() => {
            return match std::fs::read_link(path) {
                Ok(target) => Err(dangling(path, &target)),
                Err(_) => Ok(None),
            };
        }
        read => read?,
    };
    let ending = path.extension().and_then(|ending| ending.to_str());
    let (expected, fine) = match ending {
        Some("json") => ("a JSON file", &[Class::Empty, Class::Json, Class::Text][..]),
        Some("model") => (
            "a tokenizer's model",
            &[Class::Empty, Class::SentencePiece, Class::Json, Class::Text][..],
        ),
        _ => (
            "the file itself",
            &[Class::Empty, Class::Json, Class::Text][..],
        ),
    };
    refuse_other_kinds(path, &bytes, expected, fine)?;
    Ok(Some(bytes))
}

/// What a link is that leads to no file.
pub(crate) fn dangling(path: &Path, target: &Path) -> Error {
    Error::NotACheckpoint {
        path: path.into(),
        problem: format!(
            "is a link to {}, where no file is. A download was interrupted, or the file it led to \
             was removed: fetch it again",
            target.display()
        ),
    }
}

/// A JSON file as a tree of values, `None` if there is no such file.
pub(crate) fn read_value(path: &Path, limit: u64, limits: &Limits) -> Result<Option<Value>, Error> {
    let bytes = read(path, limit)?;
    bytes.map(|bytes| value(path, &bytes, limits)).transpose()
}

/// Gives a file's bytes within a bound, as [`read`] does.
pub(crate) type ReadFile<'a> = dyn Fn(&Path, u64) -> Result<Option<Vec<u8>>, Error> + 'a;

/// The small files that lie beside each other in a folder.
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
    pub(crate) limits: &'a Limits,
    /// Where their bytes come from.
    pub(crate) read: &'a ReadFile<'a>,
}

impl<'a> Folder<'a> {
    /// A folder on a disk.
    pub(crate) fn new(path: &'a Path, limits: &'a Limits) -> Self {
        Self {
            path,
            limits,
            read: &read,
        }
    }

    /// What a file holds, with its path; `None` if there is no such file.
    fn file<T>(
        &self,
        name: &str,
        limit: u64,
        parse: impl FnOnce(&Path, Vec<u8>) -> Result<T, Error>,
    ) -> Result<(PathBuf, Option<T>), Error> {
        let path = self.path.join(name);
        let bytes = (self.read)(&path, limit)?;
        let parsed = bytes.map(|bytes| parse(&path, bytes)).transpose()?;
        Ok((path, parsed))
    }

    /// The text of a UTF-8 file.
    pub(crate) fn text(&self, name: &str, limit: u64) -> Result<Option<String>, Error> {
        Ok(self.file(name, limit, text)?.1)
    }

    /// A JSON file as `T`.
    pub(crate) fn json<T: for<'de> Deserialize<'de>>(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<(PathBuf, Option<T>), Error> {
        self.file(name, limit, |path, bytes| parse(path, &bytes))
    }

    /// A JSON file as a tree of values.
    pub(crate) fn value(&self, name: &str, limit: u64) -> Result<(PathBuf, Option<Value>), Error> {
        self.file(name, limit, |path, bytes| value(path, &bytes, self.limits))
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::tokenizer(
            path,
            format!("not UTF-8: byte {at} does not begin a character"),
        )
    })
}

/// The bytes of a JSON file as a tree of values.
pub(crate) fn value(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Value, Error> {
    let bytes = aeolus_source::standard_json(bytes);
    let found = aeolus_source::count_json_values(&bytes);
    if found > limits.json_values {
        return Err(Error::Limit {
            path: path.into(),
            what: "values of the JSON text",
            found: found as u64,
            limit: limits.json_values as u64,
        });
    }
    parse(path, &bytes)
}

/// The bytes of a JSON file as `T`. Every JSON file of a checkpoint is read here, and may hold
/// what Python's `json` takes for JSON: see [`aeolus_source::standard_json`].
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    let parsed = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        Err(de::Error::custom("the text is UTF-16, expected UTF-8"))
    } else {
        serde_json::from_slice(&aeolus_source::standard_json(bytes))
    };
    parsed.map_err(|error| Error::Json {
        path: path.into(),
        error,
    })
}

/// True for the name of a file in the same folder, on every system: no separator of any kind,
/// no drive letter, not `.` or `..`.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !matches!(name, "." | "..")
        && !name.contains(['/', '\\', ':'])
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_kinds_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        assert!(read(&path, 4).unwrap().is_none());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", &path).unwrap();
            let error = read(&path, 4).unwrap_err().to_string();
            assert!(error.contains("f.json: is a link to nowhere"), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::write(&path, b"[1]").unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"[1]");
        let error = read(&path, 2).unwrap_err().to_string();
        assert!(error.contains("3 bytes, at most 2"), "{error}");
        let error = read(dir.path(), 9).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let limits = Limits::default();
        let folder = Folder::new(dir.path(), &limits);
        let error = folder.json::<String>("f.json", 9).unwrap_err().to_string();
        assert!(
            error.contains("f.json") && error.contains("line 1"),
            "{error}"
        );
        std::fs::write(&path, b"ab\xff").unwrap();
        let error = folder.text("f.json", 9).unwrap_err().to_string();
        assert!(error.contains("byte 2"), "{error}");
        std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\noid").unwrap();
        let error = read(&path, 99).unwrap_err().to_string();
        assert!(
            error.contains("a Git LFS pointer, not a JSON file"),
            "{error}"
        );
    }
}
