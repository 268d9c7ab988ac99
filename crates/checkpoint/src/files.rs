//! Small files of a checkpoint folder, read whole within a bound.

use crate::{Error, Limits};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How a Git LFS pointer begins: what a clone without `git lfs` leaves in place of large files.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The bytes of a file, `None` if there is no such file.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let bytes = match aeolus_source::read_small(path, limit) {
        Err(error) if error.is_not_found() => return Ok(None),
        read => read?,
    };
    refuse_lfs_pointer(path, &bytes)?;
    Ok(Some(bytes))
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
        self.file(name, limit, |path, bytes| {
            serde_json::from_slice(&bytes).map_err(not_json(path))
        })
    }

    /// A JSON file as a tree of values.
    pub(crate) fn value(&self, name: &str, limit: u64) -> Result<(PathBuf, Option<Value>), Error> {
        self.file(name, limit, |path, bytes| value(path, &bytes, self.limits))
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::tokenizer(path, format!("not UTF-8: byte {at} is no character"))
    })
}

fn value(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Value, Error> {
    let found = aeolus_source::count_json_values(bytes);
    if found > limits.json_values {
        return Err(Error::Limit {
            path: path.into(),
            what: "values of the JSON text",
            found: found as u64,
            limit: limits.json_values as u64,
        });
    }
    serde_json::from_slice(bytes).map_err(not_json(path))
}

fn not_json(path: &Path) -> impl FnOnce(serde_json::Error) -> Error {
    move |error| Error::Json {
        path: path.into(),
        error,
    }
}

/// Refuses bytes that are a Git LFS pointer.
pub(crate) fn refuse_lfs_pointer(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if bytes.starts_with(LFS_POINTER) {
        return Err(Error::LfsPointer { path: path.into() });
    }
    Ok(())
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
        let error = read(&path, 99).unwrap_err();
        assert!(matches!(error, Error::LfsPointer { .. }), "{error}");
    }
}
