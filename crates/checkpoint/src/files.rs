//! Small files of a checkpoint folder, read whole within a bound.

use crate::{Error, Limits};
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How a Git LFS pointer begins: what a clone without `git lfs` leaves in place of large files.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The bytes of a file, `None` if there is no such file.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let meta = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta.map_err(Error::io("read", path))?,
    };
    if !meta.is_file() {
        return Err(aeolus_source::Error::NotAFile { path: path.into() }.into());
    }
    let within_limit = |found| match found <= limit {
        true => Ok(()),
        false => Err(Error::Limit {
            path: path.into(),
            what: "bytes of the file",
            found,
            limit,
        }),
    };
    within_limit(meta.len())?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    // One byte more than allowed tells a file that grew meanwhile from one that fits.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    within_limit(bytes.len() as u64)?;
    refuse_lfs_pointer(path, &bytes)?;
    Ok(Some(bytes))
}

/// The text of a UTF-8 file, `None` if there is no such file.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<Option<String>, Error> {
    let Some(bytes) = read(path, limit)? else {
        return Ok(None);
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(Error::tokenizer(
            path,
            format!(
                "not UTF-8: byte {} is no character",
                error.utf8_error().valid_up_to()
            ),
        )),
    }
}

/// A JSON file as `T`, `None` if there is no such file.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(
    path: &Path,
    limit: u64,
) -> Result<Option<T>, Error> {
    let Some(bytes) = read(path, limit)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Json {
            path: path.into(),
            error,
        })
}

/// A JSON file as a tree of values, `None` if there is no such file.
pub(crate) fn read_value(path: &Path, limit: u64, limits: &Limits) -> Result<Option<Value>, Error> {
    let Some(bytes) = read(path, limit)? else {
        return Ok(None);
    };
    let found = aeolus_source::count_json_values(&bytes);
    if found > limits.json_values {
        return Err(Error::Limit {
            path: path.into(),
            what: "values of the JSON text",
            found: found as u64,
            limit: limits.json_values as u64,
        });
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Json {
            path: path.into(),
            error,
        })
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
        assert!(error.contains("3 exceeds the limit of 2"), "{error}");
        let error = read(dir.path(), 9).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let error = read_json::<String>(&path, 9).unwrap_err().to_string();
        assert!(
            error.contains("f.json") && error.contains("line 1"),
            "{error}"
        );
        std::fs::write(&path, b"ab\xff").unwrap();
        let error = read_text(&path, 9).unwrap_err().to_string();
        assert!(error.contains("byte 2"), "{error}");
        std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\noid").unwrap();
        let error = read(&path, 99).unwrap_err();
        assert!(matches!(error, Error::LfsPointer { .. }), "{error}");
    }
}
