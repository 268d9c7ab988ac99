//! An output on disk: what an earlier run left of it, and what the rest is written to.
//!
//! It goes one way: [opened](OutputFile::open) and locked, [checked](OutputFile::check),
//! [begun](OutputFile::begin), written and [recorded](OutputFile::record), finished, named, forgotten.
//! Nothing on disk changes before it is begun.

use crate::prefix::{Prefix, Record};
use crate::{Cancel, Error, Event, Progress, preflight};
use aeolus_job::{Found, Identity, Names, PartialFile};
use aeolus_source::FileId;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are read at a time to check what an earlier run left.
const PIECE_BYTES: usize = 1 << 20;

/// An output as it is to be in the end.
pub(crate) struct Wanted<'a> {
    pub path: &'a Path,
    /// Its first bytes.
    pub header: Vec<u8>,
    /// Its length.
    pub bytes: u64,
    /// Whether a file of that name may be replaced.
    pub replace: bool,
    /// The files that must not be written.
    pub sources: &'a [FileId],
    /// What its bytes depend on; `None` for an output that is never continued.
    pub identity: Option<Identity>,
}

/// An output that is being made.
pub(crate) struct OutputFile<'a> {
    pub wanted: &'a Wanted<'a>,
    file: PartialFile,
    /// What an earlier run says it has done.
    claims: Vec<Record>,
    /// In words, why what it left is of no use.
    useless: Option<String>,
    /// How much of what it says is true.
    done: Prefix,
    /// Bytes that the log has.
    recorded: AtomicU64,
}

impl<'a> OutputFile<'a> {
    /// Opens and locks what an earlier run left, or makes an empty file.
    ///
    /// # Errors
    /// [`Error::TargetExists`] without leave to replace (with it, a file of that name stays as it
    /// is until the very end), [`Error::IsSource`], [`Error::Job`].
    pub fn open(wanted: &'a Wanted<'a>) -> Result<Self, Error> {
        let names = Names::of(wanted.path);
        if let Some(identity) = &wanted.identity
            && names.is_named_and_logged()
        {
            // An earlier run gave it its name, and ended before it was through with the others.
            let (file, found) = PartialFile::open_named(names.clone(), identity, Record::parse)?;
            let (claims, _) = found.records_or_why();
            if claims.last().is_some_and(|last| last.bytes == wanted.bytes) {
                return Ok(Self::new(wanted, file, claims, None));
            }
        }
        let (file, claims, mut useless) = match &wanted.identity {
            None => (PartialFile::open(names)?, Vec::new(), None),
            Some(identity) => {
                let (file, found) = PartialFile::open_logged(names, identity, Record::parse)?;
                let (claims, useless) = match found {
                    // Not by its digest, which says nothing to anybody.
                    Found::Other(difference) if difference.name == "output" => {
                        let why = "it was of another recipe, name or container";
                        (Vec::new(), Some(why.to_owned()))
                    }
                    found => found.records_or_why(),
                };
                (file, claims, useless)
            }
        };
        if let Some(path) = file.is_one_of(wanted.sources) {
            return Err(Error::IsSource { path: path.into() });
        }
        // Asked again, now that no other run can be about to finish it.
        preflight::check_target(wanted.path, wanted.replace)?;
        match (file.is_empty()?, claims.is_empty()) {
            (true, _) => useless = None,
            (false, true) => useless = useless.or(Some("nothing of it was recorded".into())),
            (false, false) => {}
        }
        Ok(Self::new(wanted, file, claims, useless))
    }

    fn new(
        wanted: &'a Wanted<'a>,
        file: PartialFile,
        claims: Vec<Record>,
        useless: Option<String>,
    ) -> Self {
        Self {
            wanted,
            file,
            claims,
            useless,
            done: Prefix::default(),
            recorded: AtomicU64::new(0),
        }
    }

    /// Hashes what is said to be done: the longest beginning that agrees is.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Job`]; those of [`open`](Self::open) for a file under the final
    /// name that is not what its log says, and so somebody's.
    pub fn check(mut self, cancel: &Cancel) -> Result<Self, Error> {
        let length = self.file.len()?.min(self.wanted.bytes);
        let mut prefix = Prefix::default();
        let mut buffer = vec![0; PIECE_BYTES];
        let claims = std::mem::take(&mut self.claims);
        'claims: for claim in &claims {
            if claim.bytes > length {
                break;
            }
            while prefix.bytes < claim.bytes {
                if cancel.is_set() {
                    return Err(Error::Cancelled);
                }
                let left = claim.bytes - prefix.bytes;
                let piece = &mut buffer[..left.min(PIECE_BYTES as u64) as usize];
                if self.file.read_at(piece, prefix.bytes).is_err() {
                    // What a disk has lost is made again.
                    break 'claims;
                }
                prefix.feed(piece);
            }
            if prefix.record() != *claim {
                break;
            }
            self.done = prefix.clone();
            self.claims.push(claim.clone());
        }
        if self.file.is_named() && self.done.bytes != self.wanted.bytes {
            self.file.names().forget();
            return Self::open(self.wanted);
        }
        if self.done.bytes == 0 && !claims.is_empty() {
            self.useless = Some("its bytes are not those that its journal has".into());
        }
        Ok(self)
    }

    /// Says what is there, cuts off what is behind it, and gives the file its final length (not yet
    /// allocated on disk) and its header.
    ///
    /// # Errors
    /// [`Error::Job`]. What was checked, and its records, are still there then.
    pub fn begin(&mut self, progress: &dyn Progress) -> Result<(), Error> {
        let (path, names) = (self.wanted.path, self.file.names());
        if let Some(why) = &self.useless {
            let path = names.partial.as_path();
            progress.event(Event::StartedOver { path, why });
        } else if self.done.bytes > 0 {
            let (bytes, of) = (self.done.bytes, self.wanted.bytes);
            progress.event(Event::Resumed { path, bytes, of });
        }
        self.file.begin(self.done.bytes, self.claims.len())?;
        self.recorded.store(self.done.bytes, Ordering::Relaxed);
        if !self.file.is_named() {
            self.file.set_len(self.wanted.bytes)?;
        }
        if self.done.bytes == 0 {
            self.file.write_at(&self.wanted.header, 0)?;
            self.done.feed(&self.wanted.header);
        }
        Ok(())
    }

    /// How much of it was there when it was begun, header included.
    pub fn done(&self) -> &Prefix {
        &self.done
    }

    /// Writes `bytes` at `offset` bytes from the start of the file.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        Ok(self.file.write_at(bytes, offset)?)
    }

    /// Makes the bytes durable that were written before the call, and records `prefix`, which is
    /// among them. A header alone is made as fast as it is read: it has no record.
    pub fn record(&self, prefix: &Prefix) -> Result<(), Error> {
        let known = self.recorded.load(Ordering::Relaxed);
        if prefix.bytes > known.max(self.wanted.header.len() as u64) {
            self.file.record(&prefix.record().text())?;
            self.recorded.store(prefix.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes the whole file durable, and records that it is whole if `whole` says how.
    pub fn finish(&self, whole: Option<&Prefix>) -> Result<(), Error> {
        match whole {
            Some(whole) => self.record(whole),
            None => Ok(self.file.sync()?),
        }
    }

    /// Gives the whole file its name.
    pub fn name(&mut self) -> std::io::Result<()> {
        self.file.name(self.wanted.replace)
    }

    /// The run is through: the log goes.
    pub fn forget(self) {
        self.file.forget();
    }

    /// No run is to continue from it.
    pub fn discard(self) {
        self.file.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_job::Log;

    fn wanted<'a>(path: &'a Path, replace: bool, sources: &'a [FileId]) -> Wanted<'a> {
        Wanted {
            path,
            header: b"head".into(),
            bytes: 10,
            replace,
            sources,
            identity: Some(Identity::new([("program", "1.0")])),
        }
    }

    fn checked<'a>(wanted: &'a Wanted<'a>) -> Result<OutputFile<'a>, Error> {
        OutputFile::open(wanted)?.check(&Cancel::new())
    }

    #[test]
    fn an_output_continues_from_the_last_record_that_is_true() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let wanted = wanted(&path, false, &[]);
        let mut file = checked(&wanted).unwrap();
        file.begin(&()).unwrap();
        file.write_at(b"abcdef", 4).unwrap();
        for bytes in [&b"head"[..], b"headab", b"headabcd"] {
            let mut prefix = Prefix::default();
            prefix.feed(bytes);
            file.record(&prefix).unwrap();
        }
        drop(file);
        let told = |done: u64, useless: Option<&str>| {
            let file = checked(&wanted).unwrap();
            assert_eq!(file.done.bytes, done);
            assert_eq!(file.useless.as_deref(), useless);
        };
        told(8, None);
        let names = Names::of(&path);
        std::fs::write(&names.partial, "headabXXXX").unwrap();
        told(6, None);
        std::fs::write(&names.partial, "headXXXXXX").unwrap();
        told(0, Some("its bytes are not those that its journal has"));
        std::fs::remove_file(&names.log).unwrap();
        told(0, Some("nothing of it was recorded"));
    }

    #[test]
    fn what_is_in_the_way_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let names = Names::of(&path);
        for source in [&names.partial, &names.log] {
            std::fs::write(source, b"weights").unwrap();
            let id = [FileId::of(&source.metadata().unwrap()).unwrap()];
            let error = checked(&wanted(&path, true, &id)).err().unwrap();
            assert!(matches!(error, Error::IsSource { .. }), "{error}");
            assert_eq!(std::fs::read(source).unwrap(), b"weights");
            std::fs::remove_file(source).unwrap();
        }
        std::fs::write(&path, b"old").unwrap();
        let error = checked(&wanted(&path, false, &[])).err().unwrap();
        assert!(matches!(error, Error::TargetExists { .. }), "{error}");
        let wanted = wanted(&path, true, &[]);
        let mut file = checked(&wanted).unwrap();
        file.begin(&()).unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_named_file_that_is_not_what_its_log_says_is_somebody_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        for (bytes, whole) in [(&b"headabcdef"[..], true), (b"precious!!", false)] {
            std::fs::write(&path, bytes).unwrap();
            let wanted = wanted(&path, false, &[]);
            let mut prefix = Prefix::default();
            prefix.feed(b"headabcdef");
            let identity = wanted.identity.as_ref().unwrap();
            let (mut log, _) = Log::open(&Names::of(&path).log, identity, Record::parse).unwrap();
            log.resume(0).unwrap();
            log.append(&prefix.record().text()).unwrap();
            drop(log);
            match checked(&wanted) {
                Ok(file) => assert!(whole && file.done.bytes == 10),
                Err(error) => {
                    assert!(
                        !whole && matches!(error, Error::TargetExists { .. }),
                        "{error}"
                    );
                    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
                }
            }
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}
