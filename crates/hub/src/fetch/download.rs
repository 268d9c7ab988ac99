//! One file on its way: its names, its partial file, its hash, its end.

use super::journal::{Intervals, Journal};
use crate::cache::RepoCache;
use crate::checksum::{Checksum, Hasher};
use crate::http::Shortcut;
use crate::{Error, name};
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes hashed at a time.
const HASH_PIECE: usize = 256 << 10;

/// A file that is to be fetched.
pub(super) struct Job {
    /// Path in the repository.
    pub path: String,
    pub bytes: u64,
    pub check: Checksum,
    pub names: Names,
    /// Where the finished file is linked to, and by which name of the blob.
    pub cache: Option<(RepoCache, String)>,
    /// Paths in the repository that are links to it.
    pub links: Vec<String>,
    /// Whether a first try ended with the wrong hash, perhaps through an earlier run's bytes.
    pub second_try: bool,
    /// Whether another process was seen to work on it.
    pub waited: bool,
}

/// Where a file and its traces lie.
pub(super) struct Names {
    /// The finished file.
    pub place: PathBuf,
    pub partial: PathBuf,
    pub journal: PathBuf,
    pub lock: PathBuf,
}

impl Names {
    /// For a blob of the cache: its name with a suffix.
    pub fn beside(place: &Path, lock: &Path) -> Self {
        let name = place
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::from(place, &format!("{name}.partial"), Some(lock))
    }

    /// For a file in the user's folder: hidden, and with a part of its hash, so that a newer
    /// version does not continue an older one.
    pub fn hidden(place: &Path, hash: &str) -> Self {
        let name = place
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let most = name
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at < 180)
            .last()
            .unwrap_or(0);
        let stem = if name.len() < 180 {
            &name
        } else {
            &name[..most]
        };
        let hash = hash.get(..16).unwrap_or(hash);
        Self::from(place, &format!(".{stem}.{hash}.partial"), None)
    }

    /// Where a file of the cache is copied to before it gets its name.
    pub fn copy(&self) -> PathBuf {
        self.partial.with_extension("copy")
    }

    fn from(place: &Path, partial: &str, lock: Option<&Path>) -> Self {
        let partial_path = place.with_file_name(partial);
        Self {
            place: place.to_path_buf(),
            journal: place.with_file_name(format!("{partial}.journal")),
            lock: lock.map_or_else(|| partial_path.clone(), Path::to_path_buf),
            partial: partial_path,
        }
    }
}

impl Job {
    pub fn new(path: &str, bytes: u64, check: Checksum, names: Names) -> Result<Self, Error> {
        name::check_path(path)?;
        let path = path.to_owned();
        Ok(Self {
            path,
            bytes,
            check,
            names,
            cache: None,
            links: Vec::new(),
            second_try: false,
            waited: false,
        })
    }

    fn done_before(&self) -> Result<Intervals, Error> {
        Journal::read(
            &self.names.partial,
            &self.names.journal,
            self.check.expected(),
            self.bytes,
        )
    }

    /// Bytes that still have to be fetched.
    pub fn missing_bytes(&self) -> Result<u64, Error> {
        Ok(self.bytes - self.done_before()?.total())
    }

    /// Whether another process has finished it meanwhile.
    fn is_finished(&self, commit: &str) -> Result<bool, Error> {
        let place = &self.names.place;
        let there = fs::metadata(place).is_ok_and(|f| f.is_file() && f.len() == self.bytes);
        match &self.cache {
            // Without links the blob itself has moved to its path.
            Some(_) => Ok(there || self.unlinked(commit).is_empty()),
            // In a user's folder the old version may lie there.
            None => Ok(there && self.waited && super::has_hash(place, &self.check)?),
        }
    }

    /// The paths at which the commit does not have it yet.
    fn unlinked(&self, commit: &str) -> Vec<&String> {
        let Some((cache, _)) = &self.cache else {
            return Vec::new();
        };
        let there = |path: &&String| cache.file(commit, path, self.bytes).is_some();
        self.links.iter().filter(|path| !there(path)).collect()
    }

    /// Puts the blob where the commit has it. A `fresh` one is needed nowhere else.
    fn link(&self, commit: &str, fresh: bool) -> Result<(), Error> {
        if let Some((cache, etag)) = &self.cache {
            let paths = self.unlinked(commit);
            for (i, path) in paths.iter().enumerate() {
                cache.link(commit, path, etag, fresh && i + 1 == paths.len())?;
            }
        }
        Ok(())
    }

    fn forget(&self) {
        // What cannot be removed is overwritten by the next run.
        let _ = fs::remove_file(&self.names.journal);
        let _ = fs::remove_file(&self.names.partial);
    }
}

/// How opening a job went.
pub(super) enum Opened {
    /// It can be fetched, in these pieces.
    Ready(Arc<Download>, Vec<Range<u64>>),
    /// Another process has finished it.
    Finished(Box<Job>),
    /// Another process is at it.
    Busy(Box<Job>),
}

/// A file that is being fetched by some threads.
pub(super) struct Download {
    pub job: Box<Job>,
    /// Bytes that an earlier run left.
    pub already: u64,
    pub shortcut: Shortcut,
    file: File,
    /// Held as long as this is; a lock goes with its file.
    lock: File,
    state: Mutex<State>,
    hash: Mutex<Hash>,
    /// Pieces that are not complete.
    left: AtomicUsize,
}

struct State {
    done: Intervals,
    journal: Journal,
}

struct Hash {
    hasher: Option<Hasher>,
    /// Bytes from the start that it was fed with.
    fed: u64,
}

impl Download {
    pub fn open(job: Box<Job>, commit: &str, range_bytes: u64) -> Result<Opened, Error> {
        let names = &job.names;
        for path in [&names.partial, &names.lock] {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
        }
        if job.is_finished(commit)? {
            job.link(commit, false)?;
            return Ok(Opened::Finished(job));
        }
        for path in [&names.partial, &names.journal, &names.lock] {
            // Nothing of ours is a link, which would lead the bytes elsewhere, or a pipe, which would
            // take them and wait.
            if fs::symlink_metadata(path).is_ok_and(|f| !f.is_file()) {
                fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
        }
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&names.lock);
        let lock = lock.map_err(Error::io("lock", &names.lock))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Opened::Busy(job)),
            // A file system without locks, however it says so: two processes would write the same
            // bytes to the same places, which harms nobody.
            Err(TryLockError::Error(_)) => {}
        }
        if job.is_finished(commit)? {
            if job.cache.is_none() {
                job.forget();
            }
            job.link(commit, false)?;
            return Ok(Opened::Finished(job));
        }

        let done = if job.second_try {
            Intervals::default()
        } else {
            job.done_before()?
        };
        let already = done.total();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&names.partial);
        let file = file.map_err(Error::io("open", &names.partial))?;
        if already == 0 {
            let _ = fs::remove_file(&names.journal);
            file.set_len(0)
                .and_then(|()| file.set_len(job.bytes))
                .map_err(Error::io("size", &names.partial))?;
        }
        let pieces = done.gaps(job.bytes, range_bytes);
        let journal = Journal::new(&names.journal, job.check.expected(), job.bytes);
        let download = Self {
            already,
            shortcut: Shortcut::default(),
            file,
            lock,
            state: Mutex::new(State { done, journal }),
            hash: Mutex::new(Hash {
                hasher: Some(job.check.hasher(job.bytes)),
                fed: 0,
            }),
            left: AtomicUsize::new(pieces.len()),
            job,
        };
        Ok(Opened::Ready(Arc::new(download), pieces))
    }

    /// Writes bytes at their place.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        aeolus_source::write_at(&self.file, bytes, offset)
            .map_err(Error::io("write", &self.job.names.partial))
    }

    /// Notes that these bytes were written, and hashes on.
    pub fn note(&self, range: Range<u64>) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let prefix = {
            let mut state = guard(&self.state);
            state.journal.note(&range)?;
            state.done.insert(range);
            state.done.prefix()
        };
        match self.hash.try_lock() {
            Ok(mut hash) => self.feed(&mut hash, prefix),
            // Another thread is at it, or will be.
            Err(_) => Ok(()),
        }
    }

    /// Notes that a piece is complete; whether it was the last.
    pub fn piece_done(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn feed(&self, hash: &mut Hash, to: u64) -> Result<(), Error> {
        let Some(hasher) = &mut hash.hasher else {
            return Ok(());
        };
        let mut buffer = vec![0; HASH_PIECE];
        while hash.fed < to {
            let n = usize::try_from(to - hash.fed)
                .unwrap_or(HASH_PIECE)
                .min(HASH_PIECE);
            read_at(&self.file, &mut buffer[..n], hash.fed)
                .map_err(Error::io("read", &self.job.names.partial))?;
            hasher.update(&buffer[..n]);
            hash.fed += n as u64;
        }
        Ok(())
    }

    /// Checks the complete file and gives it its name.
    ///
    /// # Errors
    /// [`Error::WrongChecksum`] after the bytes were thrown away.
    pub fn finish(&self, commit: &str) -> Result<(), Error> {
        let found = {
            let mut hash = guard(&self.hash);
            self.feed(&mut hash, self.job.bytes)?;
            hash.hasher.take().map(Hasher::finish).unwrap_or_default()
        };
        let (job, names) = (&self.job, &self.job.names);
        if found != job.check.expected() {
            job.forget();
            return Err(Error::WrongChecksum {
                path: job.path.clone(),
                kind: job.check.kind(),
                expected: job.check.expected().to_owned(),
                found,
            });
        }
        self.file
            .sync_all()
            .map_err(Error::io("sync", &names.partial))?;
        fs::rename(&names.partial, &names.place).map_err(Error::io("name", &names.place))?;
        let _ = fs::remove_file(&names.journal);
        if job.cache.is_none() {
            // A copy from the cache that was interrupted before the cache lost the file.
            super::remove_idle(&names.copy());
        }
        job.link(commit, true)
    }

    /// The job again, for a second try from the start; `None` if this was that.
    pub fn again(&self) -> Option<Box<Job>> {
        // Our own lock would keep us out.
        let _ = self.lock.unlock();
        let job = &self.job;
        let names = Names {
            place: job.names.place.clone(),
            partial: job.names.partial.clone(),
            journal: job.names.journal.clone(),
            lock: job.names.lock.clone(),
        };
        let again = Job {
            path: job.path.clone(),
            bytes: job.bytes,
            check: job.check.clone(),
            names,
            cache: job.cache.clone(),
            links: job.links.clone(),
            second_try: true,
            waited: job.waited,
        };
        (self.already > 0 && !job.second_try).then(|| Box::new(again))
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
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
