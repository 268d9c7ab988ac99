//! One file on its way: its names, its partial file, its hash, its end.

use super::intervals::{self, Intervals};
use crate::cache::RepoCache;
use crate::checksum::{Checksum, Hasher};
use crate::http::Shortcut;
use crate::{Error, name};
use aeolus_job::{Identity, Log, PartialFile};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Bytes hashed at a time.
const HASH_PIECE: usize = 256 << 10;

/// A file that is to be fetched.
#[derive(Clone)]
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
#[derive(Clone)]
pub(super) struct Names {
    pub file: aeolus_job::Names,
    /// What the Python client locks, too, while it fetches a blob.
    pub lock: Option<PathBuf>,
}

impl Names {
    /// For a blob of the cache: its name with a suffix.
    pub fn beside(place: &Path, lock: &Path) -> Self {
        Self {
            file: aeolus_job::Names::of(place),
            lock: Some(lock.into()),
        }
    }

    /// For a file in the user's folder: hidden, and with a part of its hash, so that a newer
    /// version does not continue an older one.
    pub fn hidden(place: &Path, hash: &str) -> Self {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        // File systems end names at 255 bytes.
        let stem = &name[..name.floor_char_boundary(180)];
        let hash = hash.get(..16).unwrap_or(hash);
        let partial = place.with_file_name(format!(".{stem}.{hash}.partial"));
        Self {
            file: aeolus_job::Names::with_partial(place, partial),
            lock: None,
        }
    }

    /// Where a file of the cache is copied to before it gets its name.
    pub fn copy(&self) -> aeolus_job::Names {
        let partial = self.file.partial.with_extension("copy");
        aeolus_job::Names::with_partial(&self.file.path, partial)
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

    fn identity(&self) -> Identity {
        let object = self.check.expected().to_owned();
        Identity::new([("object", object), ("bytes", self.bytes.to_string())])
    }

    /// Bytes that still have to be fetched.
    pub fn missing_bytes(&self) -> Result<u64, Error> {
        let names = &self.names.file;
        let whole = |meta: &fs::Metadata| meta.is_file() && meta.len() == self.bytes;
        if !fs::symlink_metadata(&names.partial).is_ok_and(|meta| whole(&meta)) {
            return Ok(self.bytes);
        }
        let found = Log::peek(&names.log, &self.identity(), |text| {
            intervals::stretch(text, self.bytes)
        });
        let stretches = match found {
            // It is replaced.
            Err(aeolus_job::Error::NotAFile { .. }) => Vec::new(),
            found => found?.records_or_why().0,
        };
        Ok(self.bytes - Intervals::of(stretches).total())
    }

    /// Whether another process has finished it meanwhile.
    fn is_finished(&self, commit: &str) -> Result<bool, Error> {
        let place = &self.names.file.path;
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
    /// `None` once it has its name, or was thrown away.
    held: RwLock<Option<Held>>,
    done: Mutex<Intervals>,
    hash: Mutex<Hash>,
    /// Pieces that are not complete.
    left: AtomicUsize,
}

/// The partial file, and the lock that goes with it.
struct Held {
    file: PartialFile,
    _lock: Option<File>,
}

struct Hash {
    hasher: Option<Hasher>,
    /// Bytes from the start that it was fed with.
    fed: u64,
}

impl Download {
    pub fn open(job: Box<Job>, commit: &str, range_bytes: u64) -> Result<Opened, Error> {
        let names = &job.names;
        let paths = [&names.file.partial, &names.file.log];
        let paths = || paths.into_iter().chain(&names.lock);
        for folder in paths().filter_map(|path| path.parent()) {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        if job.is_finished(commit)? {
            job.link(commit, false)?;
            return Ok(Opened::Finished(job));
        }
        for path in paths() {
            // Nothing of ours is a link, which would lead the bytes elsewhere, or a pipe, which would
            // take them and wait.
            if fs::symlink_metadata(path).is_ok_and(|f| !f.is_file()) {
                fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
        }
        let opened = names.lock.as_deref().map(aeolus_job::lock).transpose();
        let opened = opened.and_then(|lock| {
            let parse = |text: &str| intervals::stretch(text, job.bytes);
            let file = PartialFile::open_logged(names.file.clone(), &job.identity(), parse)?;
            Ok((lock, file))
        });
        let (lock, (mut file, found)) = match opened {
            Err(aeolus_job::Error::Busy { .. }) => return Ok(Opened::Busy(job)),
            opened => opened?,
        };
        if job.is_finished(commit)? {
            file.discard();
            job.link(commit, false)?;
            return Ok(Opened::Finished(job));
        }

        let mut stretches = found.records_or_why().0;
        if job.second_try || file.len()? != job.bytes {
            stretches.clear();
        }
        let notes = stretches.len();
        let done = Intervals::of(stretches);
        let already = done.total();
        file.begin(if already > 0 { job.bytes } else { 0 }, notes)?;
        file.set_len(job.bytes)?;
        let pieces = done.gaps(job.bytes, range_bytes);
        let held = Held { file, _lock: lock };
        let download = Self {
            already,
            shortcut: Shortcut::default(),
            held: RwLock::new(Some(held)),
            done: Mutex::new(done),
            hash: Mutex::new(Hash {
                hasher: Some(job.check.hasher(job.bytes)),
                fed: 0,
            }),
            left: AtomicUsize::new(pieces.len()),
            job,
        };
        Ok(Opened::Ready(Arc::new(download), pieces))
    }

    fn with_file<T>(
        &self,
        act: impl FnOnce(&PartialFile) -> Result<T, aeolus_job::Error>,
    ) -> Result<T, Error> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        // Pieces are written before the file is finished: it is there.
        let path = &self.job.names.file.partial;
        let gone = || Error::io("write", path)(io::ErrorKind::NotFound.into());
        Ok(act(&held.as_ref().ok_or_else(gone)?.file)?)
    }

    /// Writes bytes at their place.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        self.with_file(|file| file.write_at(bytes, offset))
    }

    /// Notes that these bytes were written, and hashes on.
    pub fn note(&self, range: Range<u64>) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        self.with_file(|file| file.note(&intervals::text(&range)))?;
        let prefix = {
            let mut done = guard(&self.done);
            done.insert(range);
            done.prefix()
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
            self.with_file(|file| file.read_at(&mut buffer[..n], hash.fed))?;
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
        let held = self.held.write();
        let held = held.unwrap_or_else(PoisonError::into_inner).take();
        let Some(Held { mut file, _lock }) = held else {
            return Ok(());
        };
        let (job, names) = (&self.job, &self.job.names);
        if found != job.check.expected() {
            file.discard();
            return Err(Error::WrongChecksum {
                path: job.path.clone(),
                kind: job.check.kind(),
                expected: job.check.expected().to_owned(),
                found,
            });
        }
        let name = file.name(true);
        name.map_err(Error::io("name", &names.file.path))?;
        file.forget();
        if job.cache.is_none() {
            // A copy from the cache that was interrupted before the cache lost the file.
            super::remove_idle(names.copy());
        }
        job.link(commit, true)
    }

    /// The job again, for a second try from the start; `None` if this was that.
    pub fn again(&self) -> Option<Box<Job>> {
        let again = Job {
            second_try: true,
            ..Job::clone(&self.job)
        };
        (self.already > 0 && !self.job.second_try).then(|| Box::new(again))
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
