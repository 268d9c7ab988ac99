//! Which bytes of a partial file are there, in memory and on disk.
//!
//! The journal is text: a head line that names the object and its size, then one line
//! `FIRST-END` per stretch of bytes that was written (`END` not included). A line counts when its
//! line feed is there. It is written after the bytes, without waiting for the disk: a killed
//! process loses nothing, since the system holds what was written. After a power cut the journal
//! may promise bytes that never reached the disk; the hash of the whole file finds that out, and
//! the file is fetched again from the start.

use crate::Error;
use aeolus_source::read_small;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The largest journal that is read, in bytes: a line for each MiB of a file of 500 GB, more than the
/// Hub takes, has 13 MB. With a larger one the file is fetched from the start.
const MAX_JOURNAL: u64 = 16 << 20;

/// Disjoint stretches of bytes, ascending, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Range<u64>>);

impl Intervals {
    fn of(stretches: impl Iterator<Item = Range<u64>>) -> Self {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut most = 1024;
        for range in stretches {
            ranges.push(range);
            // Lines that say the same again, or go on where others end, take no memory.
            if ranges.len() == most {
                ranges = joined(ranges);
                most = 1024 + 2 * ranges.len();
            }
        }
        Self(joined(ranges))
    }

    /// Adds one: a search and, for one that touches no other, a move of those behind it. Many at
    /// once are [read](said) faster.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|r| r.end < range.start);
        let last = self.0.partition_point(|r| r.start <= range.end);
        let touched = &self.0[first..last];
        let start = touched
            .first()
            .map_or(range.start, |r| r.start.min(range.start));
        let end = touched.last().map_or(range.end, |r| r.end.max(range.end));
        self.0.splice(first..last, std::iter::once(start..end));
    }

    /// How many bytes there are from the start without a gap.
    pub fn prefix(&self) -> u64 {
        self.0.first().filter(|r| r.start == 0).map_or(0, |r| r.end)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|r| r.end - r.start).sum()
    }

    /// What is missing of `bytes`, in pieces of at most `most`.
    pub fn gaps(&self, bytes: u64, most: u64) -> Vec<Range<u64>> {
        let (mut gaps, mut at) = (Vec::new(), 0);
        let end = bytes..bytes;
        for range in self.0.iter().chain([&end]) {
            while at < range.start {
                let to = range.start.min(at.saturating_add(most.max(1)));
                gaps.push(at..to);
                at = to;
            }
            at = range.end;
        }
        gaps
    }
}

/// What a line `FIRST-END` says of a file of `bytes`; `None` if it says nothing.
fn stretch(line: &str, bytes: u64) -> Option<Range<u64>> {
    let (first, end) = line.split_once('-')?;
    let (first, end) = (first.parse().ok()?, end.parse().ok()?);
    (first <= end && end <= bytes).then_some(first..end)
}

/// The same bytes, as few stretches as possible, ascending.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
    ranges
}

/// The journal of one partial file.
pub(super) struct Journal {
    path: PathBuf,
    head: String,
    /// Of the whole file.
    bytes: u64,
    file: Option<File>,
}

impl Journal {
    /// What the journal beside a partial file says, if both are of this object.
    ///
    /// # Errors
    /// One that cannot be read: what it says would be fetched again.
    pub fn read(
        partial: &Path,
        journal: &Path,
        object: &str,
        bytes: u64,
    ) -> Result<Intervals, Error> {
        let whole = fs::symlink_metadata(partial).is_ok_and(|f| f.is_file() && f.len() == bytes);
        if !whole {
            return Ok(Intervals::default());
        }
        let text = text(journal)?;
        let found = found(&text, &head(object, bytes), bytes);
        Ok(found.unwrap_or_default().0)
    }

    /// The journal of a file of which nothing is noted since it was opened.
    pub fn new(path: &Path, object: &str, bytes: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            head: head(object, bytes),
            bytes,
            file: None,
        }
    }

    /// Notes that these bytes were written.
    pub fn note(&mut self, range: &Range<u64>) -> Result<(), Error> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = self.open()?;
                self.file.insert(file)
            }
        };
        // One write per line: a process that dies leaves whole lines and at most one torn.
        let line = format!("{}-{}\n", range.start, range.end);
        file.write_all(line.as_bytes()).map_err(|error| {
            // A part of it may be there: the next one looks again.
            self.file = None;
            Error::io("write", &self.path)(error)
        })
    }

    /// Opens it to go on behind the last line that counts: what was written behind one that a full
    /// disk or a power cut tore would never count.
    fn open(&self) -> Result<File, Error> {
        let text = text(&self.path)?;
        let (_, good) = found(&text, &self.head, self.bytes).unwrap_or_default();
        let io = |error| Error::io("write", &self.path)(error);
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false);
        let file = file.open(&self.path).map_err(io)?;
        if good == 0 || good < text.len() {
            file.set_len(good as u64).map_err(io)?;
        }
        // On a file system without locks another process may add lines: they follow each other.
        let mut file = File::options().append(true).open(&self.path).map_err(io)?;
        if good == 0 {
            writeln!(file, "{}", self.head).map_err(io)?;
        }
        Ok(file)
    }
}

/// The bytes of a journal; none if there is none, or what is there is none of ours.
fn text(path: &Path) -> Result<Vec<u8>, Error> {
    match read_small(path, MAX_JOURNAL) {
        Err(error @ aeolus_source::Error::Io { .. }) if !error.is_not_found() => Err(error.into()),
        read => Ok(read.unwrap_or_default()),
    }
}

/// What a journal's text says, and the bytes up to the end of the last line that counts; `None` if
/// it is of another object.
fn found(text: &[u8], head: &str, bytes: u64) -> Option<(Intervals, usize)> {
    let lines = text.strip_prefix(head.as_bytes())?.strip_prefix(b"\n")?;
    let (done, good) = said(lines, bytes);
    Some((done, text.len() - lines.len() + good))
}

/// What lines `FIRST-END` say of a file of `bytes`, up to the first that says nothing, and the bytes
/// up to that.
pub(super) fn said(lines: &[u8], bytes: u64) -> (Intervals, usize) {
    let mut good = 0;
    let stretches = lines
        .split_inclusive(|byte| *byte == b'\n')
        .map_while(|line| {
            let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
            let stretch = stretch(text, bytes)?;
            good += line.len();
            Some(stretch)
        });
    let done = Intervals::of(stretches);
    (done, good)
}

fn head(object: &str, bytes: u64) -> String {
    format!("aeolus 1 {object} {bytes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_join_and_leave_gaps() {
        let mut done = Intervals::default();
        for range in [10..20, 40..50, 30..30, 20..25, 5..12, 48..60] {
            done.insert(range);
        }
        assert_eq!(done.0, [5..25, 40..60]);
        assert_eq!((done.prefix(), done.total()), (0, 40));
        assert_eq!(done.gaps(70, 8), [0..5, 25..33, 33..40, 60..68, 68..70]);
        done.insert(0..45);
        assert_eq!((done.prefix(), done.gaps(60, 100)), (60, vec![]));
    }

    #[test]
    fn a_journal_counts_up_to_its_first_bad_line() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, path) = (dir.path().join("p"), dir.path().join("p.journal"));
        fs::write(&partial, [0; 100]).unwrap();
        let mut journal = Journal::new(&path, "abc", 100);
        journal.note(&(0..10)).unwrap();
        journal.note(&(50..60)).unwrap();
        let read = |object, bytes| {
            Journal::read(&partial, &path, object, bytes)
                .unwrap()
                .total()
        };
        assert_eq!(read("abc", 100), 20);
        assert_eq!(read("other", 100), 0, "another object");
        assert_eq!(read("abc", 99), 0, "another size");
        let text = fs::read_to_string(&path).unwrap();
        // A line without its line feed may be the beginning of a longer one.
        fs::write(&path, format!("{text}60-7")).unwrap();
        assert_eq!(read("abc", 100), 20);
        for bad in [
            "60-101\n70-80\n",
            "9-8\n",
            "x\n",
            "-5\n",
            "18446744073709551616-1\n",
        ] {
            fs::write(&path, format!("{text}{bad}")).unwrap();
            assert_eq!(read("abc", 100), 20, "{bad:?}");
        }
        fs::write(&path, &text).unwrap();
        fs::write(&partial, [0; 10]).unwrap();
        assert_eq!(read("abc", 100), 0, "the partial file is shorter");
    }

    #[test]
    fn what_is_noted_behind_a_torn_line_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, path) = (dir.path().join("p"), dir.path().join("p.journal"));
        fs::write(&partial, [0; 100]).unwrap();
        let whole = format!("{}\n0-10\n", head("abc", 100));
        let zeros = "\0".repeat(5000);
        // The last ones have an end, as what went on behind a torn line once had.
        for torn in ["", "5", "50-", "50-6", &zeros, "550-60\n70-80\n", "\n"] {
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            let mut journal = Journal::new(&path, "abc", 100);
            journal.note(&(50..60)).unwrap();
            journal.note(&(60..70)).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{whole}50-60\n60-70\n"), "{torn:?}");
            let done = Journal::read(&partial, &path, "abc", 100).unwrap();
            assert_eq!(done.0, [0..10, 50..70], "{torn:?}");
        }
        // Of the head alone nothing can be told.
        fs::write(&path, &head("abc", 100)[..9]).unwrap();
        Journal::new(&path, "abc", 100).note(&(0..10)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }

    #[test]
    fn a_journal_beyond_the_limit_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, path) = (dir.path().join("p"), dir.path().join("p.journal"));
        fs::write(&partial, [0; 100]).unwrap();
        let head = format!("{}\n", head("abc", 100));
        let line = "10-20\n";
        let lines = (MAX_JOURNAL as usize - head.len()) / line.len();
        for (lines, total) in [(lines, 10), (lines + 1, 0)] {
            fs::write(&path, head.clone() + &line.repeat(lines)).unwrap();
            let done = Journal::read(&partial, &path, "abc", 100).unwrap();
            assert_eq!(done.total(), total, "{lines} lines");
            // Of lines that all say the same no more is kept than of one.
            assert!(done.0.capacity() < 4096, "{}", done.0.capacity());
        }
    }

    #[test]
    fn many_lines_are_read_as_one_after_the_other_would_be() {
        // Numbers that look random: touching, overlapping, within others, empty, twice.
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for (lines, bytes, longest) in [(50, 60, 9), (3000, 1 << 20, 200), (9000, 1 << 16, 40)] {
            let mut one_by_one = Intervals::default();
            let mut text = String::new();
            for _ in 0..lines {
                let first = random(bytes - longest);
                let end = first + random(longest);
                one_by_one.insert(first..end);
                text += &format!("{first}-{end}\n");
            }
            assert_eq!(said(text.as_bytes(), bytes), (one_by_one, text.len()));
        }
        // Each line before all others: put in one after the other, they take minutes of moving.
        let lines = 600_000_u64;
        let text: String = (0..lines)
            .rev()
            .map(|i| format!("{}-{}\n", 3 * i, 3 * i + 1))
            .collect();
        let (done, _) = said(text.as_bytes(), 3 * lines);
        assert_eq!((done.0.len() as u64, done.total()), (lines, lines));
        assert_eq!((done.0[0].clone(), done.prefix()), (0..1, 1));
    }

    #[test]
    fn lines_of_two_processes_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.journal");
        let mut ours = Journal::new(&path, "abc", 100);
        ours.note(&(10..20)).unwrap();
        let mut theirs = Journal::new(&path, "abc", 100);
        theirs.note(&(1..2)).unwrap();
        ours.note(&(20..30)).unwrap();
        theirs.note(&(2..3)).unwrap();
        let expected = format!("{}\n10-20\n1-2\n20-30\n2-3\n", head("abc", 100));
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    /// A name in place of a folder is as unreadable to root as to anybody.
    #[test]
    fn a_journal_that_cannot_be_read_is_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (partial, file) = (dir.path().join("p"), dir.path().join("file"));
        fs::write(&partial, [0; 100]).unwrap();
        fs::write(&file, "").unwrap();
        let path = file.join("p.journal");
        let error = Journal::read(&partial, &path, "abc", 100).unwrap_err();
        assert!(error.to_string().contains("cannot read"), "{error}");
        let error = Journal::new(&path, "abc", 100).note(&(0..1)).unwrap_err();
        assert!(error.to_string().contains("cannot read"), "{error}");
    }
}
