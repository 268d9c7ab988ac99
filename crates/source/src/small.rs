//! Small files, read whole within a bound.

use crate::Error;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

/// The bytes of a file that is small if it is what it should be.
///
/// # Errors
/// [`Error::Io`], which [`is_not_found`](Error::is_not_found) if there is no such file;
/// [`Error::NotAFile`]; [`Error::TooLarge`] for one of more than `limit` bytes.
pub fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read_with_metadata(path, limit).map(|(bytes, _)| bytes)
}

/// As [`read_small`], and what the system said of the file before it was read.
pub(crate) fn read_with_metadata(path: &Path, limit: u64) -> Result<(Vec<u8>, Metadata), Error> {
    let within_limit = |found| match found <= limit {
        true => Ok(()),
        false => Err(Error::TooLarge {
            path: path.into(),
            found,
            limit,
        }),
    };
    // Asked by name first: opening a pipe would wait for somebody to write.
    let named = std::fs::metadata(path).map_err(Error::io("read", path))?;
    if !named.is_file() {
        return Err(Error::NotAFile { path: path.into() });
    }
    within_limit(named.len())?;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let meta = file.metadata().map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    // It may have grown meanwhile, and some files have more bytes than they say: one byte more
    // than allowed tells.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    within_limit(bytes.len() as u64)?;
    Ok((bytes, meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        assert!(read_small(&path, 3).unwrap_err().is_not_found());
        std::fs::write(&path, [1, 2, 3]).unwrap();
        assert_eq!(read_small(&path, 3).unwrap(), [1, 2, 3]);
        assert_eq!(read_small(&path, u64::MAX).unwrap(), [1, 2, 3]);
        let error = read_small(&path, 2).unwrap_err();
        assert!(matches!(
            error,
            Error::TooLarge {
                found: 3,
                limit: 2,
                ..
            }
        ));
        assert!(!error.is_not_found());
    }

    #[test]
    fn folders_pipes_and_devices_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let not_a_file = |path: &Path| {
            let error = read_small(path, 9).unwrap_err();
            assert!(matches!(error, Error::NotAFile { .. }), "{error}");
        };
        not_a_file(dir.path());
        #[cfg(unix)]
        {
            let pipe = dir.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            not_a_file(&pipe);
            not_a_file(Path::new("/dev/zero"));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_says_it_is_empty_is_bounded_too() {
        let path = Path::new("/proc/self/status");
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
        let error = read_small(path, 10).unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { found: 11, .. }),
            "{error}"
        );
        assert!(read_small(path, 1 << 20).unwrap().len() > 10);
    }
}
