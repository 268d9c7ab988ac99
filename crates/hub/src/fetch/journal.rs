//! Which bytes of a partial file are there, in memory and on disk.
//!
//! The journal is text: a head line that names the object and its size, then one line
//! `FIRST-END` per stretch of bytes that was written (`END` not included). A line counts when its
//! line feed is there. It is written after the bytes, without waiting for the disk: a killed
//! process loses nothing, since the system holds what was written. After a power cut the journal
//! may promise bytes that never reached the disk; the hash of the whole file finds that out, and
//! the file is fetched again from the start.

use crate::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Disjoint stretches of bytes, ascending, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Range<u64>>);

impl Intervals {
    /// What lines `FIRST-END` say of a file of `bytes`, up to the first that says nothing.
    pub fn of_lines<'a>(lines: impl Iterator<Item = &'a str>, bytes: u64) -> Self {
        let mut done = Self::default();
        for line in lines {
            let Some((first, end)) = line.split_once('-') else {
                break;
            };
            let (Ok(first), Ok(end)) = (first.parse(), end.parse()) else {
                break;
            };
            if first > end || end > bytes {
                break;
            }
            done.insert(first..end);
        }
        done
    }

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

/// The journal of one partial file.
pub(super) struct Journal {
    path: PathBuf,
    head: String,
    file: Option<File>,
}

impl Journal {
    /// What the journal beside a partial file says, if both are of this object.
    pub fn read(partial: &Path, journal: &Path, object: &str, bytes: u64) -> Intervals {
        let whole = fs::symlink_metadata(partial).is_ok_and(|f| f.is_file() && f.len() == bytes);
        let Ok(text) = fs::read_to_string(journal) else {
            return Intervals::default();
        };
        let mut lines = text
            .split_inclusive('\n')
            .filter_map(|l| l.strip_suffix('\n'));
        if !whole || lines.next() != Some(&head(object, bytes)) {
            return Intervals::default();
        }
        Intervals::of_lines(lines, bytes)
    }

    /// The journal of a file of which nothing is noted since it was opened.
    pub fn new(path: &Path, object: &str, bytes: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            head: head(object, bytes),
            file: None,
        }
    }

    /// Notes that these bytes were written.
    pub fn note(&mut self, range: &Range<u64>) -> Result<(), Error> {
        let fail = |path: &Path, e: io::Error| Error::io("write", path)(e);
        if self.file.is_none() {
            let file = File::options().append(true).create(true).open(&self.path);
            let mut file = file.map_err(|e| fail(&self.path, e))?;
            let length = file.metadata().map_err(|e| fail(&self.path, e))?.len();
            if length == 0 {
                writeln!(file, "{}", self.head).map_err(|e| fail(&self.path, e))?;
            }
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            // One write per line: a process that dies leaves whole lines and at most one torn.
            let line = format!("{}-{}\n", range.start, range.end);
            file.write_all(line.as_bytes())
                .map_err(|e| fail(&self.path, e))?;
        }
        Ok(())
    }
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
        let read = |object, bytes| Journal::read(&partial, &path, object, bytes).total();
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
        fs::write(&partial, [0; 10]).unwrap();
        assert_eq!(read("abc", 100), 0, "the partial file is shorter");
    }
}
