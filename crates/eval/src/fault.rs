//! Writing to the files that outlive a run; in tests, onto a disk that fills up.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes all of `bytes` at the file's position. The path is for tests.
pub(crate) fn write_all(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    if let Some(torn) = aeolus_testkit::full_disk::torn(path, bytes) {
        file.write_all(torn)?;
        return Err(io::ErrorKind::StorageFull.into());
    }
    let _ = path;
    file.write_all(bytes)
}
