//! What is finished of an unfinished output: `NAME.partial.journal`.
//!
//! Text: a head that says what the output's bytes depend on, an empty line, then records, each so
//! many bytes from the start of the output and their SHA-256. `docs/pipeline.md` has an example.
//! Records are claims, nothing more: whoever resumes hashes the bytes and believes those that
//! agree. So a journal may be torn, stale or damaged without harm.

use aeolus_source::{Error, FileId};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &str = "aeolus journal 1";

/// The largest journal that is read: records of some days.
const MAX_BYTES: u64 = 16 << 20;

/// What an output's bytes depend on, as names and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity(Vec<(&'static str, String)>);

/// So many bytes from the start of an output, and their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// The beginning of an output: how many bytes, and a hash that was fed with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    pub bytes: u64,
    pub hash: Sha256,
}

impl Prefix {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Feeds the zeros up to byte `end`.
    pub fn feed_zeros(&mut self, end: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.bytes < end {
            let n = (end - self.bytes).min(ZEROS.len() as u64) as usize;
            self.feed(&ZEROS[..n]);
        }
    }

    pub fn record(&self) -> Record {
        Record {
            bytes: self.bytes,
            sha256: self.hash.clone().finalize().into(),
        }
    }
}

impl Identity {
    pub fn new(values: Vec<(&'static str, String)>) -> Self {
        Self(values)
    }

    pub(crate) fn head(&self) -> String {
        let mut text = format!("{MAGIC}\n");
        for (name, value) in &self.0 {
            let _ = writeln!(text, "{name}: {}", value.escape_debug());
        }
        text.push('\n');
        text
    }

    /// Why a journal with this head is of another run, in words; `None` if it is not.
    fn difference(&self, head: &[u8]) -> Option<String> {
        if head == self.head().as_bytes() {
            return None;
        }
        if !head.starts_with(MAGIC.as_bytes()) {
            return Some("its journal is none of this program's".into());
        }
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        names.dedup();
        for name in names {
            let own = self.0.iter().filter(|(n, _)| *n == name);
            let mut own = own.map(|(_, value)| value.escape_debug().to_string());
            // Nothing is gathered: there may be millions.
            let mut found = values(head, name);
            let differing = loop {
                match (own.next(), found.next()) {
                    (None, None) => break None,
                    (own, found) if own.as_deref().map(str::as_bytes) == found => {}
                    both => break Some(both),
                }
            };
            if let Some((own, found)) = differing {
                if name == "output" {
                    return Some("it was of another recipe, name or container".into());
                }
                let found = found.map_or("none".into(), brief);
                let own = own.as_deref().unwrap_or("none");
                return Some(format!("its {name} was {found}, now it is {own}"));
            }
        }
        Some("its journal is of another form".into())
    }
}

/// The values that a head has of a name.
fn values<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = head.split(|byte| *byte == b'\n');
    lines.filter_map(move |line| line.strip_prefix(name.as_bytes())?.strip_prefix(b": "))
}

/// A value from a journal as messages show it: cut, and without control characters, which a journal
/// that this program wrote has none of.
fn brief(value: &[u8]) -> String {
    const SHOWN_BYTES: usize = 400;
    let mut end = value.len().min(SHOWN_BYTES);
    // A character that would be cut through, which has at most three more bytes, is left out.
    for _ in 0..3 {
        let is_within = value.get(end).is_some_and(|byte| byte & 0xc0 == 0x80);
        end -= usize::from(is_within);
    }
    let mut text = String::new();
    for c in String::from_utf8_lossy(&value[..end]).chars() {
        match c.is_control() {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    if end < value.len() {
        text += "...";
    }
    text
}

/// What a journal says.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is none, or nothing in it.
    Nothing,
    /// It is of another run; how it differs, in words.
    Other(String),
    /// Records of a run like this, in rising order.
    Records(Vec<Record>),
}

/// `NAME.partial.journal`, being written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

/// Where the journal of a partial file is.
pub(crate) fn journal_path(partial: &Path) -> PathBuf {
    let mut path = partial.as_os_str().to_owned();
    path.push(".journal");
    path.into()
}

/// Reads the journal at `path`.
pub(crate) fn read(path: &Path, identity: &Identity) -> Result<Found, Error> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Ok(meta) if !meta.is_file() => return Err(Error::NotAFile { path: path.into() }),
        _ => {}
    }
    let read = |error| Error::Io {
        action: "read",
        path: path.into(),
        error,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(read)?;
    Ok(found(&bytes, identity))
}

/// What the bytes of a journal say.
pub(crate) fn found(bytes: &[u8], identity: &Identity) -> Found {
    if bytes.is_empty() {
        return Found::Nothing;
    }
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") else {
        return Found::Other("its journal is torn".into());
    };
    let (head, rest) = bytes.split_at(end + 2);
    if let Some(difference) = identity.difference(head) {
        return Found::Other(difference);
    }
    let mut records: Vec<Record> = Vec::new();
    // A line without its end was being written.
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n").and_then(parse) {
            Some(record) if records.last().is_none_or(|r| r.bytes < record.bytes) => {
                records.push(record);
            }
            _ => break,
        }
    }
    Found::Records(records)
}

fn parse(line: &[u8]) -> Option<Record> {
    let (bytes, digest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let digits = digest.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut sha256 = [0; 32];
    for (byte, pair) in sha256.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Record {
        bytes: bytes.parse().ok()?,
        sha256,
    })
}

/// A digest as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Journal {
    /// Opens the journal at `path` to go on after `record`: what stands there up to it stays as it
    /// is, what comes after is cut off. So there is no moment at which a kill costs a record that
    /// is still good. One of another run, or none, is started anew, unless it is no regular file
    /// or one of `sources`.
    pub fn open(
        path: &Path,
        identity: &Identity,
        record: Option<Record>,
        sources: &[FileId],
    ) -> Result<Self, Error> {
        let file = aeolus_source::open_locked(path, true)?;
        let io = |error| Error::Io {
            action: "write",
            path: path.into(),
            error,
        };
        let Some(file) = file else {
            return Err(io(std::io::ErrorKind::WouldBlock.into()));
        };
        let meta = file.metadata().map_err(io)?;
        if FileId::of(&meta).is_some_and(|id| sources.contains(&id)) {
            return Err(io(std::io::Error::other("it is a file of the source")));
        }
        let mut found = Vec::new();
        let read = (&file).take(MAX_BYTES).read_to_end(&mut found);
        read.map_err(io)?;
        let head = identity.head();
        let mut journal = Self {
            file,
            path: path.into(),
        };
        match good_end(&found, &head, record) {
            Some(end) if end as u64 == meta.len() => {}
            Some(end) => journal.file.set_len(end as u64).map_err(io)?,
            None => {
                let text = record.map_or(head.clone(), |record| head + &line(&record));
                journal.file.set_len(0).map_err(io)?;
                journal.append(&text).map_err(io)?;
                // Its name, and the output's, are durable once the folder is: best effort, some
                // systems refuse.
                if let Ok(folder) = File::open(crate::partial::folder_of(path)) {
                    let _ = folder.sync_all();
                }
            }
        }
        Ok(journal)
    }

    /// Records that the bytes of `record`, which are synced, are done.
    pub fn record(&mut self, record: &Record) -> Result<(), std::io::Error> {
        self.append(&line(record))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, text: &str) -> Result<(), std::io::Error> {
        self.file.seek(SeekFrom::End(0))?;
        #[cfg(test)]
        if let Some(torn) = aeolus_testkit::full_disk::torn(&self.path, text.as_bytes()) {
            self.file.write_all(torn)?;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()
    }
}

/// Where `record` ends in the bytes of a journal with this head, or, without one, the head does;
/// `None` if it is another's, or has no such record.
pub(crate) fn good_end(bytes: &[u8], head: &str, record: Option<Record>) -> Option<usize> {
    let rest = bytes.strip_prefix(head.as_bytes())?;
    let mut end = head.len();
    let Some(record) = record else {
        return Some(end);
    };
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if parse(line.strip_suffix(b"\n")?)? == record {
            return Some(end);
        }
    }
    None
}

pub(crate) fn line(record: &Record) -> String {
    format!("{} {}\n", record.bytes, hex(&record.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(source: &str) -> Identity {
        Identity::new(vec![
            ("program", "1.0".into()),
            ("source", "a, 1 bytes".into()),
            ("source", source.into()),
        ])
    }

    fn records(path: &Path, identity: &Identity) -> Vec<Record> {
        match read(path, identity).unwrap() {
            Found::Records(records) => records,
            other => panic!("{other:?}"),
        }
    }

    fn record(bytes: u64) -> Record {
        let mut prefix = Prefix::default();
        prefix.feed_zeros(bytes);
        prefix.record()
    }

    #[test]
    fn records_are_found_again_up_to_where_it_tore() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.partial.journal");
        let own = identity("b\nodd: name");
        assert!(matches!(read(&path, &own).unwrap(), Found::Nothing));
        let mut journal = Journal::open(&path, &own, None, &[]).unwrap();
        let head = std::fs::metadata(&path).unwrap().len() as usize;
        let all: Vec<Record> = [5, 5000, 70_000].map(record).into();
        for record in &all {
            journal.record(record).unwrap();
        }
        assert_eq!(records(&path, &own), all);
        drop(journal);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            match read(&path, &own).unwrap() {
                Found::Nothing => assert_eq!(cut, 0),
                Found::Other(_) => assert!(cut < head, "{cut}"),
                Found::Records(found) => {
                    assert!(cut >= head && all.starts_with(&found), "{cut}");
                }
            }
        }
        // A tail of zeros, as power failures leave, and bytes that are no text.
        for filler in [0u8, 0xff] {
            let mut torn = bytes.clone();
            let last = torn.len() - 20;
            torn[last..].fill(filler);
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(records(&path, &own), all[..2]);
        }
    }

    #[test]
    fn going_on_cuts_and_rewrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.partial.journal");
        let own = identity("b");
        let all: Vec<Record> = [5, 5000, 70_000].map(record).into();
        let mut journal = Journal::open(&path, &own, None, &[]).unwrap();
        let mut ends = vec![std::fs::metadata(&path).unwrap().len() as usize];
        for record in &all {
            journal.record(record).unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len() as usize);
        }
        drop(journal);
        let bytes = std::fs::read(&path).unwrap();
        // No room at all: whatever had to be written would fail, and nothing has to be.
        let _full = aeolus_testkit::full_disk::FullDisk::after(dir.path(), 0);
        for torn in [&b""[..], b"7", b"70001 abc\n", &[0; 99], &[0xff; 9]] {
            for kept in 0..=all.len() {
                std::fs::write(&path, [&bytes, torn].concat()).unwrap();
                let record = kept.checked_sub(1).map(|last| all[last]);
                drop(Journal::open(&path, &own, record, &[]).unwrap());
                assert!(std::fs::read(&path).unwrap() == bytes[..ends[kept]]);
            }
        }
        let other = Journal::open(&path, &identity("c"), None, &[]);
        assert!(other.is_err(), "this has to be written");
    }

    #[test]
    fn another_run_is_told_by_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.partial.journal");
        drop(Journal::open(&path, &identity("b, 7 bytes"), None, &[]).unwrap());
        match read(&path, &identity("b, 8 bytes")).unwrap() {
            Found::Other(text) => {
                assert_eq!(text, "its source was b, 7 bytes, now it is b, 8 bytes");
            }
            other => panic!("{other:?}"),
        }
        std::fs::write(&path, "precious\n\n").unwrap();
        let found = read(&path, &identity("")).unwrap();
        assert!(matches!(found, Found::Other(_)), "{found:?}");
    }

    fn difference(journal: &[u8], own: &Identity) -> String {
        match found(journal, own) {
            Found::Other(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_message_quotes_is_cut_and_escaped() {
        let own = identity("b");
        let head = own.head().replace("source: b", "source: \u{1b}]0;t\u{7}");
        let text = difference(head.as_bytes(), &own);
        assert_eq!(text, "its source was \\u{1b}]0;t\\u{7}, now it is b");
        let long = own
            .head()
            .replace("source: b", &format!("source: {}", "x".repeat(1 << 20)));
        let text = difference(long.as_bytes(), &own);
        assert!(text.len() < 500 && text.contains("xx..., now"), "{text}");
        // No character is cut through, and bytes that are none are cut as they are.
        for (value, ends) in [("\u{20ac}".repeat(200), 133), ("\u{e9}".repeat(300), 200)] {
            let character = value.chars().next().unwrap();
            let shown = value.chars().take(ends).collect::<String>();
            assert_eq!(
                brief(value.as_bytes()),
                format!("{shown}..."),
                "{character}"
            );
        }
        assert_eq!(brief(&[0xff; 500]), "\u{fffd}".repeat(400) + "...");
        assert_eq!(brief(&[0xbf; 500]), "\u{fffd}".repeat(397) + "...");
        assert_eq!(brief("\u{20ac}".as_bytes()), "\u{20ac}");
    }

    #[test]
    fn values_of_one_name_are_compared_in_order() {
        let own = Identity::new((0..1000).map(|i| ("source", i.to_string())).collect());
        let lines = "source: 0\n".repeat(1_000_000);
        let text = difference(format!("{MAGIC}\n{lines}\n").as_bytes(), &own);
        assert_eq!(text, "its source was 0, now it is 1");
        // One more than its own is found after them.
        let mut head = own.head();
        head.insert_str(head.len() - 1, "source: more\n");
        let text = difference(head.as_bytes(), &own);
        assert_eq!(text, "its source was more, now it is none");
    }
}
