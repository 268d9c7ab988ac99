//! What partial files and logs ask of the system.

use crate::Error;
use aeolus_source::{FileId, write_at};
use std::fs::File;
use std::path::Path;

/// The folder that a path's file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Names that were given or removed in a file's folder are durable once the folder is: best
/// effort, some systems refuse.
pub(crate) fn sync_folder_of(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

/// Opens a file or makes it, and locks it as long as it is open.
///
/// # Errors
/// [`Error::Busy`] if another process has the lock, [`Error::NotAFile`], [`Error::Io`].
pub fn lock(path: &Path) -> Result<File, Error> {
    let there = || path.symlink_metadata();
    loop {
        if there().is_ok_and(|meta| !meta.is_file()) {
            return Err(Error::NotAFile { path: path.into() });
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt;
            // Neither follow a link nor wait for a pipe that appeared just now.
            options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        }
        let file = options.open(path).map_err(Error::write(path))?;
        // File systems without locks are trusted, as most programs do.
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::Busy { path: path.into() });
        }
        let opened = file.metadata().map_err(Error::write(path))?;
        // One that lost its name meanwhile, to a run that finished it under another, is let go.
        if there().is_ok_and(|meta| FileId::of(&meta) == FileId::of(&opened)) {
            return Ok(file);
        }
    }
}

/// Writes all bytes at an offset; in tests, onto a disk that fills up.
pub(crate) fn write_bytes(
    file: &File,
    path: &Path,
    bytes: &[u8],
    offset: u64,
) -> Result<(), Error> {
    #[cfg(any(test, feature = "full-disk"))]
    if let Some(torn) = crate::full_disk::torn(path, bytes) {
        write_at(file, torn, offset).map_err(Error::write(path))?;
        return Err(Error::write(path)(std::io::ErrorKind::StorageFull.into()));
    }
    write_at(file, bytes, offset).map_err(Error::write(path))
}
