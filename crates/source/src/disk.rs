//! The writing side: positioned writes and the room that is left.

use crate::Error;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Writes all of `bytes` at `offset` (bytes from the start of the file), whatever the file's
/// own position is, so that threads can write one file at once.
///
/// # Errors
/// The system's error, as it came: the caller knows the path.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let (mut bytes, mut offset) = (bytes, offset);
        while !bytes.is_empty() {
            match file.seek_write(bytes, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => {
                    bytes = &bytes[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// Reads as many bytes as `buffer` has from `offset` (bytes from the start of the file).
///
/// # Errors
/// The system's error, as it came; `UnexpectedEof` where the file ends before.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset);
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let (mut buffer, mut offset) = (buffer, offset);
        while !buffer.is_empty() {
            match file.seek_read(buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    buffer = &mut buffer[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// Opens a file for reading and writing, or makes it, and locks it; what is in it stays. With
/// `wait` it waits for a run that has the lock, without it gives `None` then.
///
/// The file is the one that has the name when the lock is held: one that lost it meanwhile, to a
/// run that finished it under another name, is let go. Neither links nor pipes are opened.
///
/// # Errors
/// [`Error::NotAFile`] for what is no regular file, [`Error::Io`].
pub fn open_locked(path: &Path, wait: bool) -> Result<Option<File>, Error> {
    let io = |error| Error::io("write", path)(error);
    loop {
        match std::fs::symlink_metadata(path) {
            Ok(meta) if !meta.is_file() => return Err(Error::NotAFile { path: path.into() }),
            _ => {}
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
        let file = options.open(path).map_err(io)?;
        if wait {
            // File systems without locks: go on, as most programs do.
            let _ = file.lock();
        } else if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Ok(None);
        }
        let opened = file.metadata().map_err(io)?;
        match std::fs::symlink_metadata(path) {
            Ok(there) if FileId::of(&there) == FileId::of(&opened) => return Ok(Some(file)),
            _ => {}
        }
    }
}

/// Which file a path or a handle means, whatever names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file behind metadata; `None` where the system has no such numbers.
    pub fn of(meta: &Metadata) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(Self {
                device: meta.dev(),
                inode: meta.ino(),
            })
        }
        #[cfg(not(unix))]
        {
            let _ = meta;
            None
        }
    }
}

/// Bytes that an unprivileged user can still write on the file system that holds `folder`.
///
/// # Errors
/// [`Error::Io`] if the file system does not answer.
pub fn available_bytes(folder: &Path) -> Result<u64, Error> {
    #[cfg(unix)]
    {
        let stat = rustix::fs::statvfs(folder)
            .map_err(|e| Error::io("ask the free space of", folder)(e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
    #[cfg(not(unix))]
    {
        // No portable call: the write itself will say when the disk is full.
        let _ = folder;
        Ok(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_land_at_their_offsets_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = File::create(&path).unwrap();
        write_at(&file, b"world", 6).unwrap();
        write_at(&file, b"hello ", 0).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"hello world");
    }

    #[test]
    fn free_space_of_a_missing_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(available_bytes(dir.path()).unwrap() > 0);
        let error = available_bytes(&dir.path().join("no/such")).unwrap_err();
        assert!(error.to_string().contains("no/such"), "{error}");
    }
}
