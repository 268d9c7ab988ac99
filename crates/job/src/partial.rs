//! A finished file is a whole file: it grows under another name and gets its own last.

use crate::file::{lock, sync_folder_of, write_bytes};
use crate::{Error, Found, Identity, Log};
use aeolus_source::{FileId, read_at};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a file that another process has is looked at.
const BUSY_POLL: Duration = Duration::from_millis(20);

/// Where a file is, and what belongs to it while it grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The finished file.
    pub path: PathBuf,
    /// What it is until then.
    pub partial: PathBuf,
    /// The log of what is done of it.
    pub log: PathBuf,
}

impl Names {
    /// `NAME`, `NAME.partial` and `NAME.partial.journal`.
    pub fn of(path: &Path) -> Self {
        Self::with_partial(path, with_suffix(path, ".partial"))
    }

    /// The same with another name for the growing file.
    pub fn with_partial(path: &Path, partial: PathBuf) -> Self {
        Self {
            path: path.into(),
            log: with_suffix(&partial, ".journal"),
            partial,
        }
    }

    /// Whether the file has its name, its log is still there and nothing is partial: the run that
    /// made it was killed before it was through.
    pub fn is_named_and_logged(&self) -> bool {
        let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_file());
        is_file(&self.path) && is_file(&self.log) && self.partial.symlink_metadata().is_err()
    }

    /// Removes the log.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(&self.log);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A file that is being made, locked.
///
/// When it is dropped without its name, it stays if its log has a record, for another run to
/// continue from, and goes if not. [`discard`](Self::discard) removes it in any case.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    names: Names,
    /// `None` for a file that is never continued.
    log: Option<Mutex<Log>>,
    state: State,
}

/// What a kill at this moment leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All that an earlier run left: nothing was changed yet.
    Found,
    /// A file of which the log says what is done.
    Begun,
    /// The whole file under its name, and a log that says so.
    Named,
}

impl PartialFile {
    /// Opens what an earlier run left, or makes an empty file, without a log.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::NotAFile`], [`Error::Io`].
    pub fn open(names: Names) -> Result<Self, Error> {
        Ok(Self {
            file: lock(&names.partial)?,
            names,
            log: None,
            state: State::Found,
        })
    }

    /// The same for a small file: one that another process has is waited for.
    ///
    /// # Errors
    /// [`Error::NotAFile`], [`Error::Io`].
    pub fn open_waiting(names: Names) -> Result<Self, Error> {
        loop {
            match Self::open(names.clone()) {
                Err(Error::Busy { .. }) => std::thread::sleep(BUSY_POLL),
                opened => return opened,
            }
        }
    }

    /// The same with a log, whose records `parse` reads.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_logged<R>(
        names: Names,
        identity: &Identity,
        parse: impl FnMut(&str) -> Option<R>,
    ) -> Result<(Self, Found<R>), Error> {
        let mut this = Self::open(names)?;
        let (log, found) = Log::open(&this.names.log, identity, parse)?;
        this.log = Some(Mutex::new(log));
        Ok((this, found))
    }

    /// Opens a file that has its name already, for reading, and its log, which is of a run that was
    /// killed before it was through. Whether the file is what the log says is for the caller to find
    /// out.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_named<R>(
        names: Names,
        identity: &Identity,
        parse: impl FnMut(&str) -> Option<R>,
    ) -> Result<(Self, Found<R>), Error> {
        let (log, found) = Log::open(&names.log, identity, parse)?;
        let this = Self {
            file: File::open(&names.path).map_err(Error::io("open", &names.path))?,
            names,
            log: Some(Mutex::new(log)),
            state: State::Named,
        };
        Ok((this, found))
    }

    /// Its names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Whether it has its name.
    pub fn is_named(&self) -> bool {
        self.state == State::Named
    }

    /// The first of its files that is one of these.
    pub fn is_one_of(&self, others: &[FileId]) -> Option<&Path> {
        let is_other = |file: &File| {
            let id = file.metadata().ok().as_ref().and_then(FileId::of);
            id.is_some_and(|id| others.contains(&id))
        };
        if is_other(&self.file) {
            return Some(&self.names.partial);
        }
        let log = self.log().is_some_and(|log| is_other(log.file()));
        log.then_some(self.names.log.as_path())
    }

    /// Its length on the disk, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn len(&self) -> Result<u64, Error> {
        let meta = self.file.metadata();
        Ok(meta.map_err(Error::io("measure", self.place()))?.len())
    }

    /// Whether it has no byte.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Reads as many bytes as `buffer` has, from `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`]; a file that ends before is one.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        read_at(&self.file, buffer, offset).map_err(Error::io("read", self.place()))
    }

    /// Begins to write: the file is cut to `bytes`, the log to its first `records`; what they say is
    /// done stays where it is. A file that has its name is left alone.
    ///
    /// # Errors
    /// [`Error::Io`]. What was kept is still there then.
    pub fn begin(&mut self, bytes: u64, records: usize) -> Result<(), Error> {
        if self.is_named() {
            return Ok(());
        }
        self.state = State::Begun;
        // Without a record the bytes are nobody's; with some, the log must not say more than there
        // is.
        self.set_len(bytes)?;
        self.log().map_or(Ok(()), |mut log| log.resume(records))
    }

    /// Gives it a length, of which the disk need not have the bytes yet.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_len(&self, bytes: u64) -> Result<(), Error> {
        // On a disk that tests fill up this takes a byte.
        #[cfg(any(test, feature = "full-disk"))]
        if crate::full_disk::torn(self.place(), &[0]).is_some() {
            return Err(Error::write(self.place())(
                io::ErrorKind::StorageFull.into(),
            ));
        }
        self.file.set_len(bytes).map_err(Error::write(self.place()))
    }

    /// Writes bytes at an offset, from any thread.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        write_bytes(&self.file, self.place(), bytes, offset)
    }

    /// Appends a record of what was written. After a kill both are there; after a power failure the
    /// record may be there without the bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn note(&self, record: &str) -> Result<(), Error> {
        self.log().map_or(Ok(()), |mut log| log.append(record))
    }

    /// Waits for the disk, then appends a record of what was written before, and waits for that: a
    /// power failure leaves no record without its bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn record(&self, record: &str) -> Result<(), Error> {
        self.sync()?;
        self.note(record)?;
        self.log().map_or(Ok(()), |mut log| log.sync())
    }

    /// Waits until the disk has what was written and noted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::write(self.place()))?;
        self.log().map_or(Ok(()), |mut log| log.sync())
    }

    /// Gives the whole file its name. With `replace` a file of that name is replaced, without it
    /// stays, which is an error. Its log is there until [`forget`](Self::forget).
    ///
    /// # Errors
    /// The system's, or in words: another file took the place of the one that was written.
    pub fn name(&mut self, replace: bool) -> io::Result<()> {
        if !self.is_in_place() {
            let name = self.place().file_name().unwrap_or_default().display();
            let problem = format!("{name} is not the file that was written any more");
            return Err(io::Error::other(problem));
        }
        if self.is_named() {
            return Ok(());
        }
        self.file.sync_all()?;
        match replace {
            true => std::fs::rename(&self.names.partial, &self.names.path)?,
            false => rename_new(&self.names.partial, &self.names.path)?,
        }
        self.state = State::Named;
        sync_folder_of(&self.names.path);
        Ok(())
    }

    /// Removes the log of a file that has its name, and whose run is through.
    pub fn forget(self) {
        self.names.forget();
    }

    /// Removes it and its log, begun or not: no run is to continue from it. A file that has its name
    /// stays.
    pub fn discard(self) {
        self.remove();
    }

    fn remove(&self) {
        // One that took its place is somebody else's.
        if !self.is_named() && self.is_in_place() {
            let _ = std::fs::remove_file(&self.names.partial);
            self.names.forget();
        }
    }

    fn log(&self) -> Option<MutexGuard<'_, Log>> {
        let log = self.log.as_ref()?;
        Some(log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where it is now.
    fn place(&self) -> &Path {
        match self.is_named() {
            true => &self.names.path,
            false => &self.names.partial,
        }
    }

    fn is_in_place(&self) -> bool {
        match (self.file.metadata(), self.place().symlink_metadata()) {
            (Ok(own), Ok(there)) => there.is_file() && FileId::of(&own) == FileId::of(&there),
            _ => false,
        }
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        let is_empty = |file: &File| file.metadata().is_ok_and(|meta| meta.len() == 0);
        match self.state {
            State::Begun if self.log().is_none_or(|log| log.records() == 0) => self.remove(),
            // Made, and nothing came of it.
            State::Found if is_empty(&self.file) && self.is_in_place() => {
                let _ = std::fs::remove_file(&self.names.partial);
            }
            _ => {}
        }
        if self.log().is_some_and(|log| is_empty(log.file())) {
            self.names.forget();
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
    use crate::full_disk::FullDisk;

    fn identity() -> Identity {
        Identity::new([("program", "1.0")])
    }

    fn begun(path: &Path) -> PartialFile {
        let mut file = PartialFile::open(Names::of(path)).unwrap();
        file.begin(0, 0).unwrap();
        file
    }

    fn logged(path: &Path) -> (PartialFile, Found<u64>) {
        let parse = |record: &str| record.parse().ok();
        PartialFile::open_logged(Names::of(path), &identity(), parse).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |e: io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string();
        let mut names: Vec<String> = entries.map(|e| name(e).unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_appears_with_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let (mut file, _) = logged(&path);
        file.begin(0, 0).unwrap();
        file.set_len(6).unwrap();
        file.write_at(b"def", 3).unwrap();
        assert_eq!(names(dir.path()), ["a.partial", "a.partial.journal"]);
        file.write_at(b"abc", 0).unwrap();
        file.name(false).unwrap();
        assert_eq!(names(dir.path()), ["a", "a.partial.journal"]);
        assert!(Names::of(&path).is_named_and_logged());
        file.forget();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    }

    #[test]
    fn what_has_a_record_stays_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"old").unwrap();
        let none = [""; 0];
        // Opened only; begun, without a record.
        drop(logged(&path));
        assert_eq!(names(dir.path()), ["a"]);
        let (mut file, _) = logged(&path);
        file.begin(0, 0).unwrap();
        file.write_at(b"abc", 0).unwrap();
        drop(file);
        assert_eq!(names(dir.path()), ["a"]);
        // With records; then discarded.
        let (mut file, _) = logged(&path);
        file.begin(0, 0).unwrap();
        file.write_at(b"abcdef", 0).unwrap();
        file.record("3").unwrap();
        file.record("6").unwrap();
        drop(file);
        assert_eq!(names(dir.path()).len(), 3);
        let (file, found) = logged(&path);
        assert_eq!(found, Found::Records(vec![3, 6]));
        drop(file);
        assert_eq!(names(dir.path()).len(), 3, "opened, not begun");
        let (mut file, _) = logged(&path);
        file.begin(3, 1).unwrap();
        assert_eq!(file.len().unwrap(), 3);
        file.discard();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(names(dir.path()), none);
    }

    #[test]
    fn a_second_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let held = begun(&path);
        let busy = PartialFile::open(Names::of(&path)).unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }), "{busy}");
        drop(held);
        begun(&path);
    }

    #[test]
    fn a_name_taken_meanwhile_is_replaced_only_if_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = begun(&path);
        std::fs::write(&path, b"precious").unwrap();
        let error = file.name(false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        file.name(true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_in_its_place_gets_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let partial = Names::of(&path).partial;
        for replace in [false, true] {
            let mut file = begun(&path);
            std::fs::rename(&partial, dir.path().join("elsewhere")).unwrap();
            std::fs::write(&partial, b"precious").unwrap();
            let error = file.name(replace).unwrap_err().to_string();
            assert!(error.contains("a.partial is not the file"), "{error}");
            assert!(!path.exists());
            drop(file);
            assert_eq!(std::fs::read(&partial).unwrap(), b"precious");
            std::fs::remove_file(&partial).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_in_its_place_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, b"precious").unwrap();
        let path = dir.path().join("a");
        let Names { partial, log, .. } = Names::of(&path);
        for place in [&partial, &log] {
            std::os::unix::fs::symlink(&victim, place).unwrap();
            let parse = |record: &str| Some(record.len());
            let refused = PartialFile::open_logged(Names::of(&path), &identity(), parse);
            assert!(matches!(refused, Err(Error::NotAFile { .. })));
            std::fs::remove_file(place).unwrap();
            assert_eq!(names(dir.path()), ["victim"]);
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        let pipe = std::process::Command::new("mkfifo").arg(&partial).status();
        assert!(pipe.unwrap().success());
        let refused = PartialFile::open(Names::of(&path));
        assert!(matches!(refused, Err(Error::NotAFile { .. })));
    }

    #[test]
    fn files_that_must_not_be_written_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for source in [Names::of(&path).partial, Names::of(&path).log] {
            std::fs::write(&source, b"weights").unwrap();
            let id = FileId::of(&std::fs::metadata(&source).unwrap()).unwrap();
            let (file, _) = logged(&path);
            assert_eq!(file.is_one_of(&[id]), Some(source.as_path()));
            drop(file);
            assert_eq!(std::fs::read(&source).unwrap(), b"weights");
            std::fs::remove_file(&source).unwrap();
        }
    }

    #[test]
    fn a_file_that_was_named_before_a_kill_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let (mut file, _) = logged(&path);
        file.begin(0, 0).unwrap();
        file.write_at(b"abc", 0).unwrap();
        file.record("3").unwrap();
        file.name(false).unwrap();
        // As if killed here.
        drop(file);
        assert!(Names::of(&path).is_named_and_logged());
        // Another run may be at it.
        std::fs::write(Names::of(&path).partial, "abc").unwrap();
        assert!(!Names::of(&path).is_named_and_logged());
        std::fs::remove_file(Names::of(&path).partial).unwrap();
        let parse = |record: &str| record.parse().ok();
        let (mut file, found) =
            PartialFile::open_named(Names::of(&path), &identity(), parse).unwrap();
        assert_eq!(found, Found::Records(vec![3u64]));
        let mut bytes = [0; 3];
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"abc");
        file.begin(0, 0).unwrap();
        file.name(false).unwrap();
        file.forget();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn a_disk_that_is_full_at_any_moment_leaves_what_was_recorded() {
        let dir = tempfile::tempdir().unwrap();
        for space in (0..280).step_by(7) {
            let path = dir.path().join("a");
            let full = FullDisk::after(dir.path(), space);
            let mut kept = 0;
            let run = |kept: &mut u64| {
                let (mut file, _) = logged(&path);
                file.begin(0, 0)?;
                for at in 0..9 {
                    file.write_at(b"0123456789", 10 * at)?;
                    file.record(&(10 * at + 10).to_string())?;
                    *kept = at + 1;
                }
                Ok::<(), Error>(())
            };
            run(&mut kept).unwrap_err();
            drop(full);
            let (file, found) = logged(&path);
            let (records, why) = found.records_or_why();
            assert_eq!(why, None, "{space}");
            assert_eq!(records.len() as u64, kept, "{space}");
            assert!(file.len().unwrap() >= 10 * kept);
            drop(file);
            let left = if kept > 0 { 2 } else { 0 };
            assert_eq!(names(dir.path()).len(), left, "{space}");
            for name in names(dir.path()) {
                std::fs::remove_file(dir.path().join(name)).unwrap();
            }
        }
    }
}
