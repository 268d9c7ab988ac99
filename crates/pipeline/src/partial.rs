//! A finished file is a whole file: outputs grow under `NAME.partial` and get their name last.

use crate::Error;
use aeolus_source::FileId;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// An output being written. Dropped before [`name`](Self::name), it removes what it wrote.
#[derive(Debug)]
pub(crate) struct PartialFile {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    force: bool,
    named: bool,
}

impl PartialFile {
    /// Starts `path` with its final length in bytes (not yet allocated on disk).
    ///
    /// An existing `path` is refused unless `force`; it stays as it is until
    /// [`name`](Self::name) replaces it. A leftover partial file of a crash is started over; one
    /// that is locked by another run, is no regular file, or is a file of the source is refused
    /// and untouched.
    pub(crate) fn create(
        path: &Path,
        bytes: u64,
        force: bool,
        sources: &[FileId],
    ) -> Result<Self, Error> {
        let partial = partial_path(path);
        let file = open_locked(&partial)?;
        let write = |error| Error::write(&partial, error);
        let id = FileId::of(&file.metadata().map_err(write)?);
        if id.is_some_and(|id| sources.contains(&id)) {
            return Err(Error::IsSource { path: partial });
        }
        let this = Self {
            file,
            path: path.into(),
            force,
            named: false,
            partial: partial.clone(),
        };
        // Again, now that no other run can be about to finish it.
        check_target(path, force)?;
        this.file.set_len(0).map_err(write)?;
        this.file.set_len(bytes).map_err(write)?;
        Ok(this)
    }

    /// Writes `bytes` at `offset` bytes from the start of the file.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        aeolus_source::write_at(&self.file, bytes, offset)
            .map_err(|error| Error::write(&self.partial, error))
    }

    /// Makes the bytes durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(|error| Error::write(&self.partial, error))
    }

    /// Gives the synced file its name. A file that took the name meanwhile stays, unless
    /// `force` was given.
    pub(crate) fn name(&mut self) -> io::Result<()> {
        if self.force {
            std::fs::rename(&self.partial, &self.path)?;
        } else {
            rename_new(&self.partial, &self.path)?;
        }
        self.named = true;
        // The rename itself is durable once the folder is: best effort, some systems refuse.
        if let Ok(folder) = File::open(folder_of(&self.path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// The final name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.named {
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// `NAME.partial`.
pub(crate) fn partial_path(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    PathBuf::from(partial)
}

/// The folder that a path's file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Refuses a target that exists (unless `force`) or is a folder.
pub(crate) fn check_target(path: &Path, force: bool) -> Result<(), Error> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Err(Error::TargetIsFolder { path: path.into() }),
        Ok(_) if !force => Err(Error::TargetExists { path: path.into() }),
        _ => Ok(()),
    }
}

/// Opens or makes the partial file and locks it, without changing what is in it.
fn open_locked(partial: &Path) -> Result<File, Error> {
    let write = |error| Error::write(partial, error);
    loop {
        match std::fs::symlink_metadata(partial) {
            Ok(meta) if !meta.is_file() => {
                return Err(Error::NotAFile {
                    path: partial.into(),
                });
            }
            _ => {}
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt;
            // Neither follow a link nor wait for a pipe that appeared just now.
            options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        }
        let file = options.open(partial).map_err(write)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::Busy {
                    path: partial.into(),
                });
            }
            // File systems without locks: go on, as most programs do.
            Err(std::fs::TryLockError::Error(_)) => {}
        }
        // Between opening and locking, a run that held the lock may have given this very file
        // its final name: then it is no partial file any more, and not ours to change.
        let opened = file.metadata().map_err(write)?;
        match std::fs::symlink_metadata(partial) {
            Ok(there) if FileId::of(&there) == FileId::of(&opened) => return Ok(file),
            _ => {}
        }
    }
}

/// Renames without replacing.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system or kernel does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path, bytes: u64, force: bool) -> Result<PartialFile, Error> {
        PartialFile::create(path, bytes, force, &[])
    }

    #[test]
    fn the_name_appears_with_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let mut file = create(&path, 6, false).unwrap();
        file.write_at(b"def", 3).unwrap();
        assert!(!path.exists());
        file.write_at(b"abc", 0).unwrap();
        file.sync().unwrap();
        file.name().unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        std::fs::write(&path, b"old").unwrap();
        let refused = create(&path, 6, false).unwrap_err();
        assert!(matches!(refused, Error::TargetExists { .. }), "{refused}");
        let file = create(&path, 6, true).unwrap();
        let busy = create(&path, 6, true).unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }), "{busy}");
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_stale_partial_is_started_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        std::fs::write(partial_path(&path), b"left by a crash").unwrap();
        create(&path, 2, false).unwrap().name().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0, 0]);
    }

    #[test]
    fn a_name_taken_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let mut file = create(&path, 2, false).unwrap();
        std::fs::write(&path, b"precious").unwrap();
        let error = file.name().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_file_of_the_source_is_never_begun() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let source = partial_path(&path);
        std::fs::write(&source, b"weights").unwrap();
        let id = FileId::of(&std::fs::metadata(&source).unwrap()).unwrap();
        let error = PartialFile::create(&path, 2, true, &[id]).unwrap_err();
        assert!(matches!(error, Error::IsSource { .. }), "{error}");
        assert_eq!(std::fs::read(&source).unwrap(), b"weights");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_in_its_place_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, b"precious").unwrap();
        let path = dir.path().join("a.gguf");
        std::os::unix::fs::symlink(&victim, partial_path(&path)).unwrap();
        let error = create(&path, 2, true).unwrap_err();
        assert!(matches!(error, Error::NotAFile { .. }), "{error}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");

        let pipe = dir.path().join("b.gguf");
        std::process::Command::new("mkfifo")
            .arg(partial_path(&pipe))
            .status()
            .unwrap();
        let error = create(&pipe, 2, true).unwrap_err();
        assert!(matches!(error, Error::NotAFile { .. }), "{error}");
    }
}
