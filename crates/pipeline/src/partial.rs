//! A finished file is a whole file: outputs grow under `NAME.partial` and get their name last.
//!
//! Beside it, what is finished is recorded in a [journal](crate::journal), so that a run that ends
//! early can be continued.

use crate::journal::{self, Found, Identity, Journal, Prefix, Record};
use crate::{Cancel, Error};
use aeolus_source::FileId;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes that are read at a time to check what an earlier run left.
const PIECE_BYTES: usize = 1 << 20;

/// An output to be opened.
pub(crate) struct Target<'a> {
    /// Its final name.
    pub path: &'a Path,
    /// Its final length.
    pub bytes: u64,
    /// Whether a file of that name may be replaced.
    pub force: bool,
    /// The files that must not be written.
    pub sources: &'a [FileId],
    /// What its bytes depend on; `None` for an output that is never continued.
    pub identity: Option<&'a Identity>,
}

/// An output being written, locked. Dropped before [`name`](Self::name), it removes what it
/// wrote, unless that is to be [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct PartialFile {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    bytes: u64,
    force: bool,
    sources: Vec<FileId>,
    identity: Option<Identity>,
    /// What an earlier run claims to have done.
    found: Vec<Record>,
    /// Why that was nothing, if something was there.
    other: Option<String>,
    state: State,
    journal: Option<Mutex<Journal>>,
    /// Bytes that the journal has.
    recorded: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was changed yet.
    Opened,
    /// Nothing was changed, and there was nothing before.
    Made,
    /// Being written.
    Begun,
    /// Left for another run.
    Kept,
    /// An earlier run gave it its name, and ended before it was through with the others.
    NamedBefore,
    /// It has its name.
    Named,
}

impl PartialFile {
    /// Opens what an earlier run left of an output, or makes the file, and locks it. What is in
    /// it stays until [`begin`](Self::begin).
    ///
    /// # Errors
    /// An existing `target.path` is refused unless `force` (it stays as it is until
    /// [`name`](Self::name) replaces it), and a partial file that is locked by another run, no
    /// regular file or a file of the source.
    pub(crate) fn open(target: &Target<'_>) -> Result<Self, Error> {
        let partial = partial_path(target.path);
        let journal = journal::journal_path(&partial);
        let found = |identity: &Identity| journal::read(&journal, identity).map_err(Error::system);
        let before = match target.identity {
            Some(identity) if is_file(target.path) && partial.symlink_metadata().is_err() => {
                named_before(target, found(identity)?)?
            }
            _ => None,
        };
        let (file, state, found, other) = match before {
            Some((file, record)) => (file, State::NamedBefore, vec![record], None),
            None => {
                let file = aeolus_source::open_locked(&partial, false).map_err(Error::system)?;
                let file = file.ok_or_else(|| Error::Busy {
                    path: partial.clone(),
                })?;
                let meta = file.metadata().map_err(|e| Error::write(&partial, e))?;
                if FileId::of(&meta).is_some_and(|id| target.sources.contains(&id)) {
                    return Err(Error::IsSource { path: partial });
                }
                let state = match meta.len() {
                    0 => State::Made,
                    _ => State::Opened,
                };
                let found = match (target.identity, state) {
                    (Some(identity), State::Opened) => found(identity)?,
                    _ => Found::Nothing,
                };
                match found {
                    Found::Records(records) => (file, state, records, None),
                    Found::Other(why) => (file, state, Vec::new(), Some(why)),
                    Found::Nothing => (file, state, Vec::new(), None),
                }
            }
        };
        // Until it is begun, what an earlier run claims.
        let claimed = found.last().map_or(0, |record| record.bytes);
        let this = Self {
            file,
            partial,
            path: target.path.into(),
            bytes: target.bytes,
            force: target.force,
            sources: target.sources.into(),
            identity: target.identity.cloned(),
            found,
            other,
            state,
            journal: None,
            recorded: AtomicU64::new(claimed),
        };
        // Again, now that no other run can be about to finish it.
        if this.state != State::NamedBefore {
            check_target(target.path, target.force)?;
        }
        Ok(this)
    }

    /// Reads what is claimed to be done and gives the longest beginning that is: at least `least`
    /// bytes, or nothing. `None` if a file under the final name is not what its journal says.
    ///
    /// # Errors
    /// [`Error::Write`] for a file that cannot be measured, [`Error::Cancelled`].
    pub(crate) fn check(&self, least: u64, cancel: &Cancel) -> Result<Option<Prefix>, Error> {
        let mut hash = Sha256::new();
        let (mut good, mut read) = (Prefix::default(), 0);
        let length = self.file.metadata().map_err(|e| self.wrong(e))?.len();
        let mut buffer = vec![0; PIECE_BYTES];
        'records: for record in &self.found {
            if record.bytes > self.bytes.min(length) {
                break;
            }
            while read < record.bytes {
                if cancel.is_set() {
                    return Err(Error::Cancelled);
                }
                let piece = &mut buffer[..(record.bytes - read).min(PIECE_BYTES as u64) as usize];
                if aeolus_source::read_at(&self.file, piece, read).is_err() {
                    // What a disk has lost is made again.
                    break 'records;
                }
                hash.update(&piece);
                read += piece.len() as u64;
            }
            if <[u8; 32]>::from(hash.clone().finalize()) != record.sha256 {
                break;
            }
            if record.bytes >= least {
                good = Prefix {
                    bytes: record.bytes,
                    hash: hash.clone(),
                };
            }
        }
        let strange = self.state == State::NamedBefore && good.bytes != self.bytes;
        Ok((!strange).then_some(good))
    }

    /// Cuts the file to `prefix` and gives it its final length (not yet allocated on disk) and, if
    /// nothing was there, its header; starts its journal.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::NotAFile`] for a journal that is none. The bytes of `prefix` and
    /// their records are still there then.
    pub(crate) fn begin(&mut self, prefix: &Prefix, header: &[u8]) -> Result<(), Error> {
        // Known before anything is touched: what fails from here on leaves it to be kept.
        self.recorded.store(prefix.bytes, Ordering::Relaxed);
        if self.state != State::NamedBefore {
            self.state = State::Begun;
            let cut = self.resize(prefix.bytes);
            let cut = cut.and_then(|()| self.resize(self.bytes));
            cut.map_err(|e| self.wrong(e))?;
            if prefix.bytes == 0 {
                self.write_at(header, 0)?;
            }
        }
        if let Some(identity) = &self.identity {
            let record = (prefix.bytes > 0).then(|| prefix.record());
            let path = journal::journal_path(&self.partial);
            let journal = Journal::open(&path, identity, record, &self.sources);
            self.journal = Some(Mutex::new(journal.map_err(Error::system)?));
        }
        Ok(())
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        #[cfg(test)]
        if aeolus_testkit::full_disk::torn(&self.partial, &[0]).is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.set_len(bytes)
    }

    /// Writes `bytes` at `offset` bytes from the start of the file.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        #[cfg(test)]
        if let Some(torn) = aeolus_testkit::full_disk::torn(&self.partial, bytes) {
            aeolus_source::write_at(&self.file, torn, offset).map_err(|e| self.wrong(e))?;
            return Err(self.wrong(io::ErrorKind::StorageFull.into()));
        }
        aeolus_source::write_at(&self.file, bytes, offset).map_err(|e| self.wrong(e))
    }

    /// Makes the bytes durable that were written before the call, and records `prefix`, which is
    /// among them.
    pub(crate) fn record(&self, prefix: &Prefix) -> Result<(), Error> {
        let new = prefix.bytes > self.recorded.load(Ordering::Relaxed);
        if self.is_named() || !new {
            return Ok(());
        }
        self.file.sync_data().map_err(|e| self.wrong(e))?;
        if let Some(journal) = &self.journal {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let written = journal.record(&prefix.record());
            written.map_err(|e| Error::write(journal.path(), e))?;
            self.recorded.store(prefix.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes the whole file durable, and records that it is whole if `whole` says how.
    pub(crate) fn finish(&self, whole: Option<&Prefix>) -> Result<(), Error> {
        if self.is_named() {
            return Ok(());
        }
        self.file.sync_all().map_err(|e| self.wrong(e))?;
        whole.map_or(Ok(()), |prefix| self.record(prefix))
    }

    /// Bytes that another run can go on from.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Removes a journal that does not belong to the file under the final name.
    pub(crate) fn disown(&self) {
        let _ = std::fs::remove_file(journal::journal_path(&self.partial));
    }

    /// Leaves what is recorded for another run.
    pub(crate) fn keep(&mut self) {
        if self.state == State::Begun {
            self.state = State::Kept;
        }
    }

    /// Gives the synced file its name. A file that took the name meanwhile stays, unless
    /// `force` was given; one that took the place of the partial file never gets the name.
    pub(crate) fn name(&mut self) -> io::Result<()> {
        let place = match self.is_named() {
            true => &self.path,
            false => &self.partial,
        };
        if !self.is_at(place) {
            let name = place.file_name().unwrap_or_default().display();
            let problem = format!("{name} is not the file that was written any more");
            return Err(io::Error::other(problem));
        }
        if self.is_named() {
            return Ok(());
        }
        if self.force {
            std::fs::rename(&self.partial, &self.path)?;
        } else {
            rename_new(&self.partial, &self.path)?;
        }
        self.state = State::Named;
        // The rename itself is durable once the folder is: best effort, some systems refuse.
        if let Ok(folder) = File::open(folder_of(&self.path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Removes the journal of a file that has its name, and of its run's other files, too.
    pub(crate) fn forget(self) {
        if let Some(journal) = &self.journal {
            let journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = std::fs::remove_file(journal.path());
        }
    }

    /// The final name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name before.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Its final length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why nothing of what an earlier run left is kept, if it left something and `known` bytes are
    /// kept.
    pub(crate) fn started_over(&self, known: u64) -> Option<&str> {
        match &self.other {
            Some(why) => Some(why),
            None if known == 0 && !self.found.is_empty() => {
                Some("its bytes are not those that its journal has")
            }
            None if self.state == State::Opened && self.found.is_empty() => {
                Some("nothing of it was recorded")
            }
            None => None,
        }
    }

    /// Whether the file that is held open has this name, and not one that took its place.
    fn is_at(&self, path: &Path) -> bool {
        match (self.file.metadata(), path.symlink_metadata()) {
            (Ok(held), Ok(there)) => there.is_file() && FileId::of(&held) == FileId::of(&there),
            _ => false,
        }
    }

    fn is_named(&self) -> bool {
        matches!(self.state, State::Named | State::NamedBefore)
    }

    fn wrong(&self, error: io::Error) -> Error {
        let path = match self.is_named() {
            true => &self.path,
            false => &self.partial,
        };
        Error::write(path, error)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        let own = self.is_at(&self.partial);
        if matches!(self.state, State::Begun | State::Made) && own {
            let _ = std::fs::remove_file(&self.partial);
        }
        // One that was refused is somebody else's, perhaps a file of the source.
        if self.state == State::Begun && self.journal.is_some() {
            let _ = std::fs::remove_file(journal::journal_path(&self.partial));
        }
    }
}

/// A file that has its final name already, but whose run ended before all had theirs.
fn named_before(target: &Target<'_>, found: Found) -> Result<Option<(File, Record)>, Error> {
    let Found::Records(records) = found else {
        return Ok(None);
    };
    let whole = records.last().filter(|r| r.bytes == target.bytes);
    let Some(whole) = whole else {
        return Ok(None);
    };
    let file = File::open(target.path).map_err(|e| Error::write(target.path, e))?;
    Ok(Some((file, *whole)))
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
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

    fn open(
        path: &Path,
        bytes: u64,
        force: bool,
        sources: &[FileId],
    ) -> Result<PartialFile, Error> {
        PartialFile::open(&Target {
            path,
            bytes,
            force,
            sources,
            identity: None,
        })
    }

    fn create(path: &Path, bytes: u64, force: bool) -> Result<PartialFile, Error> {
        let mut file = open(path, bytes, force, &[])?;
        file.begin(&Prefix::default(), &[])?;
        Ok(file)
    }

    #[test]
    fn the_name_appears_with_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let mut file = create(&path, 6, false).unwrap();
        file.write_at(b"def", 3).unwrap();
        assert!(!path.exists());
        file.write_at(b"abc", 0).unwrap();
        file.finish(None).unwrap();
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

    #[cfg(unix)]
    #[test]
    fn a_file_in_its_place_gets_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        for force in [false, true] {
            let mut file = create(&path, 2, force).unwrap();
            std::fs::rename(partial_path(&path), dir.path().join("elsewhere")).unwrap();
            std::fs::write(partial_path(&path), b"precious").unwrap();
            let error = file.name().unwrap_err().to_string();
            assert!(error.contains("a.gguf.partial is not the file"), "{error}");
            assert!(!path.exists());
            drop(file);
            assert_eq!(std::fs::read(partial_path(&path)).unwrap(), b"precious");
            std::fs::remove_file(partial_path(&path)).unwrap();
        }
    }

    #[test]
    fn a_file_of_the_source_is_never_begun() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let source = partial_path(&path);
        std::fs::write(&source, b"weights").unwrap();
        let id = FileId::of(&std::fs::metadata(&source).unwrap()).unwrap();
        let error = open(&path, 2, true, &[id]).unwrap_err();
        assert!(matches!(error, Error::IsSource { .. }), "{error}");
        assert_eq!(std::fs::read(&source).unwrap(), b"weights");
    }

    #[test]
    fn a_journal_that_is_a_file_of_the_source_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let source = journal::journal_path(&partial_path(&path));
        std::fs::write(&source, b"weights").unwrap();
        let id = FileId::of(&std::fs::metadata(&source).unwrap()).unwrap();
        let identity = Identity::new(vec![("program", "1.0".into())]);
        let mut file = PartialFile::open(&Target {
            path: &path,
            bytes: 2,
            force: false,
            sources: &[id],
            identity: Some(&identity),
        })
        .unwrap();
        let error = file.begin(&Prefix::default(), &[]).unwrap_err();
        assert!(
            error.to_string().contains("a file of the source"),
            "{error}"
        );
        drop(file);
        assert_eq!(std::fs::read(&source).unwrap(), b"weights");
        assert!(!partial_path(&path).exists());
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
