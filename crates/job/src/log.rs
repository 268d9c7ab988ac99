//! A log: an identity, then records, appended one by one.

use crate::file::{lock, sync_folder_of, write_bytes};
use crate::{Difference, Error, Identity, checksum};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest log that is read, and written, in bytes: records of a million windows, or of months.
const MAX_BYTES: u64 = 256 << 20;

/// What a log says to a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<R> {
    /// It is not there, empty, or its head was torn before it had a record.
    Nothing,
    /// Not a log, or one of another version; why, in words.
    Foreign(String),
    /// A log of another identity.
    Other(Difference),
    /// A log of this identity: its good records, in order.
    Records(Vec<R>),
}

impl<R> Found<R> {
    /// The records, and in words why none of what is there is taken over.
    pub fn records_or_why(self) -> (Vec<R>, Option<String>) {
        match self {
            Self::Nothing => (Vec::new(), None),
            Self::Foreign(why) => (Vec::new(), Some(why)),
            Self::Other(difference) => (Vec::new(), Some(difference.to_string())),
            Self::Records(records) => (records, None),
        }
    }
}

/// A log, open and locked. What is there stays until [`resume`](Self::resume).
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    head: String,
    /// Where the head, and each record after it, ends; nothing before there is a head to keep.
    ends: Vec<u64>,
    /// Begun by this run, and not synced since: its name may not be durable.
    is_new: bool,
}

impl Log {
    /// Opens a log, or makes an empty file, and locks it; `parse` reads a record. Nothing changes.
    ///
    /// # Errors
    /// [`Error::NotAFile`], [`Error::Busy`], [`Error::Io`].
    pub fn open<R>(
        path: &Path,
        identity: &Identity,
        parse: impl FnMut(&str) -> Option<R>,
    ) -> Result<(Self, Found<R>), Error> {
        let file = lock(path)?;
        let (found, ends) = read(&file, path, identity, parse)?;
        let log = Self {
            file,
            path: path.into(),
            head: identity.head(),
            ends,
            is_new: false,
        };
        Ok((log, found))
    }

    /// What a log says that may be another run's, and is not touched.
    ///
    /// # Errors
    /// [`Error::NotAFile`], [`Error::Io`].
    pub fn peek<R>(
        path: &Path,
        identity: &Identity,
        parse: impl FnMut(&str) -> Option<R>,
    ) -> Result<Found<R>, Error> {
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Ok(meta) if !meta.is_file() => return Err(Error::NotAFile { path: path.into() }),
            _ => {}
        }
        let file = File::open(path).map_err(Error::io("read", path))?;
        read(&file, path, identity, parse).map(|(found, _)| found)
    }

    /// Keeps the first `records` of the records that were found, and cuts off what lies behind them;
    /// a log that is not this identity's is begun again. Only then can records be appended.
    ///
    /// What is kept is not written again: there is no moment at which a kill costs it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn resume(&mut self, records: usize) -> Result<(), Error> {
        let write = |error| Error::write(&self.path)(error);
        let length = self.file.metadata().map_err(write)?.len();
        if self.ends.is_empty() {
            // Cut first: half a head before old records would be a riddle.
            if length > 0 {
                self.file.set_len(0).map_err(write)?;
            }
            write_bytes(&self.file, &self.path, self.head.as_bytes(), 0)?;
            self.ends.push(self.head.len() as u64);
            self.is_new = true;
        } else {
            self.ends.truncate(records + 1);
            if length != self.end() {
                self.file.set_len(self.end()).map_err(write)?;
            }
        }
        Ok(())
    }

    /// Appends a record, which is one line. It is safe from kills then, and from power failures
    /// after [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`Error::Io`]. What was torn is written over by the next record, and costs nothing else.
    ///
    /// # Panics
    /// If the record has a line feed, or the log was not [resumed](Self::resume).
    pub fn append(&mut self, record: &str) -> Result<(), Error> {
        assert!(
            !record.contains('\n') && !self.ends.is_empty(),
            "{record:?}"
        );
        let line = line(checksum(self.head.as_bytes()), record);
        let end = self.end() + line.len() as u64;
        if end > MAX_BYTES {
            return Err(Error::write(&self.path)(io::ErrorKind::FileTooLarge.into()));
        }
        write_bytes(&self.file, &self.path, line.as_bytes(), self.end())?;
        self.ends.push(end);
        Ok(())
    }

    /// Waits until the disk has what was appended.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::write(&self.path))?;
        if std::mem::take(&mut self.is_new) {
            sync_folder_of(&self.path);
        }
        Ok(())
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        self.ends.len().saturating_sub(1)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

fn read<R>(
    file: &File,
    path: &Path,
    identity: &Identity,
    parse: impl FnMut(&str) -> Option<R>,
) -> Result<(Found<R>, Vec<u64>), Error> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    Ok(understand(&bytes, identity, parse))
}

/// What the bytes of a log say, and where its head and its good records end.
pub(crate) fn understand<R>(
    bytes: &[u8],
    identity: &Identity,
    mut parse: impl FnMut(&str) -> Option<R>,
) -> (Found<R>, Vec<u64>) {
    let head = identity.head();
    let foreign = |why: &str| (Found::Foreign(why.into()), Vec::new());
    let Some(rest) = bytes.strip_prefix(head.as_bytes()) else {
        if is_torn(bytes, head.as_bytes()) {
            return (Found::Nothing, Vec::new());
        }
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") else {
            return foreign("this program did not write it");
        };
        return match identity.difference(&bytes[..end + 1]) {
            Ok(difference) => (Found::Other(difference), Vec::new()),
            Err(why) => foreign(why),
        };
    };
    if bytes.len() as u64 > MAX_BYTES {
        return foreign("it is longer than any that this program writes");
    }
    let (mut records, mut ends) = (Vec::new(), vec![head.len() as u64]);
    let (mut end, seed) = (head.len(), checksum(head.as_bytes()));
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = record(seed, line).and_then(&mut parse) else {
            break;
        };
        end += line.len();
        records.push(record);
        ends.push(end as u64);
    }
    (Found::Records(records), ends)
}

/// Whether there is nothing but a part of the head, or zeros in its place: a log that was being begun
/// when the run, or the power, ended.
fn is_torn(bytes: &[u8], head: &[u8]) -> bool {
    let same = bytes.iter().zip(head).take_while(|(a, b)| a == b).count();
    bytes.len() <= head.len() && bytes[same..].iter().all(|byte| *byte == 0)
}

/// A record's line.
pub(crate) fn line(seed: u64, record: &str) -> String {
    format!("{record} {:016x}\n", seal(seed, record))
}

/// The record of a line that is whole.
fn record(seed: u64, line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (record, sum) = text.rsplit_once(' ')?;
    let right = sum.len() == 16 && u64::from_str_radix(sum, 16) == Ok(seal(seed, record));
    right.then_some(record)
}

/// `seed` is the checksum of the head.
fn seal(seed: u64, record: &str) -> u64 {
    checksum(&[&seed.to_le_bytes(), record.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::full_disk::FullDisk;

    fn identity(source: &str) -> Identity {
        Identity::new([
            ("program", "1.0"),
            ("source", "a, 1 bytes"),
            ("source", source),
        ])
    }

    fn open(path: &Path, identity: &Identity) -> (Log, Found<u64>) {
        Log::open(path, identity, |record| record.parse().ok()).unwrap()
    }

    fn peek(path: &Path, identity: &Identity) -> Found<u64> {
        Log::peek(path, identity, |record| record.parse().ok()).unwrap()
    }

    /// A log of three records, and where its head and each of them ends.
    fn three(path: &Path, identity: &Identity) -> Vec<usize> {
        let (mut log, found) = open(path, identity);
        assert_eq!(found, Found::Nothing);
        log.resume(0).unwrap();
        for number in ["5", "5000", "70000"] {
            log.append(number).unwrap();
        }
        log.ends.iter().map(|end| *end as usize).collect()
    }

    #[test]
    fn records_are_found_again_up_to_where_it_tore() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let own = identity("b\nodd: name");
        assert_eq!(peek(&path, &own), Found::Nothing);
        let ends = three(&path, &own);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(peek(&path, &own), Found::Records(vec![5, 5000, 70_000]));
        for cut in 0..bytes.len() {
            // Cut by its length, and by zeros, as power failures leave.
            let mut zeros = bytes.clone();
            zeros[cut..].fill(0);
            for torn in [&bytes[..cut], &zeros] {
                std::fs::write(&path, torn).unwrap();
                let whole = ends.iter().filter(|end| **end <= cut).count();
                match peek(&path, &own) {
                    Found::Nothing | Found::Foreign(_) => assert_eq!(whole, 0, "{cut}"),
                    Found::Records(found) => {
                        assert_eq!(found, [5, 5000, 70_000][..whole - 1], "{cut}");
                    }
                    other => panic!("{cut}: {other:?}"),
                }
            }
        }
        // Every byte of a record counts.
        for at in ends[1]..ends[2] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            std::fs::write(&path, &other).unwrap();
            assert_eq!(peek(&path, &own), Found::Records(vec![5]), "{at}");
        }
    }

    #[test]
    fn resuming_cuts_and_rewrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let own = identity("b");
        let ends = three(&path, &own);
        let bytes = std::fs::read(&path).unwrap();
        // No space at all: whatever had to be written would fail, and nothing has to be.
        let _full = FullDisk::after(dir.path(), 0);
        for torn in [&b""[..], b"7", b"70001 abc\n", &[0; 99], &[0xff; 9]] {
            for kept in 0..ends.len() {
                std::fs::write(&path, [&bytes, torn].concat()).unwrap();
                let (mut log, _) = open(&path, &own);
                log.resume(kept).unwrap();
                assert_eq!(log.records(), kept);
                assert!(std::fs::read(&path).unwrap() == bytes[..ends[kept]]);
            }
        }
        let (mut other, _) = open(&path, &identity("c"));
        assert!(other.resume(0).is_err(), "this has to be written");
    }

    #[test]
    fn a_record_after_one_that_was_torn_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let own = identity("b");
        let ends = three(&path, &own);
        for space in 0..20 {
            let (mut log, _) = open(&path, &own);
            log.resume(2).unwrap();
            let full = FullDisk::after(&path, space);
            let error = log.append("123456").unwrap_err().to_string();
            assert!(error.contains("log: cannot write"), "{error}");
            drop(full);
            log.append("6").unwrap();
            drop(log);
            assert_eq!(peek(&path, &own), Found::Records(vec![5, 5000, 6]));
        }
        assert!(ends[2] < path.metadata().unwrap().len() as usize);
    }

    #[test]
    fn a_log_begun_again_never_shows_old_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        // Of equal length, so that the heads are, too.
        three(&path, &identity("b"));
        let old = std::fs::read(&path).unwrap();
        for space in 0..old.len() {
            std::fs::write(&path, &old).unwrap();
            let (mut log, _) = open(&path, &identity("c"));
            let full = FullDisk::after(&path, space as u64);
            let resumed = log.resume(0);
            drop((log, full));
            match resumed {
                Ok(()) => assert_eq!(peek(&path, &identity("c")), Found::Records(vec![])),
                Err(_) => assert_eq!(peek(&path, &identity("c")), Found::Nothing),
            }
        }
        // Nor if the disk brings them back behind the new head.
        let (own, other) = (identity("c").head(), identity("b").head());
        let mixed = [own.as_bytes(), &old[other.len()..]].concat();
        std::fs::write(&path, mixed).unwrap();
        assert_eq!(peek(&path, &identity("c")), Found::Records(vec![]));
    }

    #[test]
    fn another_run_and_other_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        three(&path, &identity("b, 7 bytes"));
        match peek(&path, &identity("b, 8 bytes")) {
            Found::Other(difference) => assert_eq!(
                difference.to_string(),
                "its source was b, 7 bytes, now it is b, 8 bytes"
            ),
            other => panic!("{other:?}"),
        }
        let head = identity("b").head();
        for (bytes, why) in [
            (&b"precious\n\n"[..], "this program did not write it"),
            (&b"aeolus journal 1\na: b\n\n"[..], "another version"),
            (&head.as_bytes()[..head.len() - 1], "this program did not"),
        ] {
            // The last one is a part of the head and something else.
            std::fs::write(&path, [bytes, b"~"].concat()).unwrap();
            let (_, found) = open(&path, &identity("b"));
            assert!(
                matches!(&found, Found::Foreign(w) if w.contains(why)),
                "{found:?}"
            );
            assert!(std::fs::read(&path).unwrap().ends_with(b"~"), "it stays");
        }
        // More than is read.
        std::fs::write(&path, &head).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let found = peek(&path, &identity("b"));
        assert!(
            matches!(&found, Found::Foreign(w) if w.contains("longer")),
            "{found:?}"
        );
    }

    #[test]
    fn one_run_at_a_time_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let held = open(&path, &identity("b"));
        let busy = Log::open(&path, &identity("b"), |_| Some(()));
        assert!(matches!(busy, Err(Error::Busy { .. })));
        drop(held);
        open(&path, &identity("b"));
    }
}
