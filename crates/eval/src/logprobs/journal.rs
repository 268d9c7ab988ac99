//! What an unfinished file of log-probabilities is of: `NAME.partial.journal`.
//!
//! The peer's layout says neither which model its windows are of nor whether they are whole, so
//! a file that is to be continued needs a companion that does; ours gets one, too, for the
//! program's version. Text: a head, an empty line, and 16 hex digits for each window, the
//! checksum of its record. Nothing in it is believed that the file's bytes do not bear out.

use super::{BaseFacts, Format};
use crate::checksum::checksum;
use crate::scorer::numeric_name;
use crate::windows::Windows;
use crate::{Error, fault};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const MAGIC: &str = "aeolus base journal 1";

/// The largest journal that is read: that of some million windows.
const MAX_BYTES: u64 = 64 << 20;

/// What a file's windows depend on, as names and values.
pub(super) struct Identity(Vec<(&'static str, String)>);

impl Identity {
    pub fn new(format: Format, windows: &Windows, facts: &BaseFacts) -> Self {
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        Self(vec![
            ("program", env!("CARGO_PKG_VERSION").into()),
            ("layout", format!("{format:?}")),
            ("text", windows.digest()),
            ("windows", windows.len().to_string()),
            ("vocabulary", known(&facts.vocabulary)),
            ("model", known(&facts.fingerprint)),
            ("mode", facts.numeric.map_or("unknown", numeric_name).into()),
        ])
    }

    fn head(&self) -> String {
        let lines = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        format!("{MAGIC}\n{}\n", lines.collect::<String>())
    }

    /// How a journal's head is another one, in words.
    fn difference(&self, text: &str) -> String {
        let Some(rest) = text.strip_prefix(MAGIC) else {
            return "nothing tells which model it is of".into();
        };
        for (name, own) in &self.0 {
            let mut lines = rest.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(n, _)| n == name).map(|(_, value)| value);
            if found != Some(own.as_str()) {
                let found = found.unwrap_or("unknown").escape_debug();
                return format!("its {name} was {found}, now it is {own}");
            }
        }
        "its journal is torn".into()
    }
}

/// The journal of a file that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Bytes of the head.
    head: usize,
    /// Checksums of the records that it claims.
    claims: Vec<u64>,
    /// How it is one of another file.
    other: Option<String>,
}

/// Bytes of a checksum's line.
const LINE_BYTES: usize = 17;

pub(super) fn journal_path(partial: &Path) -> PathBuf {
    let mut path = partial.as_os_str().to_owned();
    path.push(".journal");
    path.into()
}

impl Journal {
    /// Opens the journal of the file at `partial`, whose lock the caller holds, or makes it.
    /// Nothing of it changes before [`go_on`](Self::go_on) or [`start_over`](Self::start_over).
    pub fn open(partial: &Path, identity: &Identity) -> Result<Self, Error> {
        let path = journal_path(partial);
        let file = aeolus_source::open_locked(&path, false)?;
        let file = file.ok_or_else(|| Error::Busy { path: path.clone() })?;
        let mut bytes = Vec::new();
        let read = (&file).take(MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(Error::io("read", &path))?;
        let head = identity.head();
        let (claims, other) = match bytes.strip_prefix(head.as_bytes()) {
            Some(lines) => (lines.chunks(LINE_BYTES).map_while(parse).collect(), None),
            None => {
                let text = String::from_utf8_lossy(&bytes);
                (Vec::new(), Some(identity.difference(&text)))
            }
        };
        Ok(Self {
            file,
            path,
            head: head.len(),
            claims,
            other,
        })
    }

    /// Why nothing of the file can be taken over, in words.
    pub fn other(&self) -> Option<&str> {
        self.other.as_deref()
    }

    /// How many windows it claims.
    pub fn claims(&self) -> usize {
        self.claims.len()
    }

    /// Whether a window's record is the one that was written.
    pub fn agrees(&self, window: usize, record: &[u8]) -> bool {
        self.claims.get(window) == Some(&checksum(record))
    }

    /// Cuts off what comes after so many windows.
    pub fn go_on(&mut self, windows: usize) -> Result<(), Error> {
        let end = (self.head + windows * LINE_BYTES) as u64;
        let cut = self.file.set_len(end);
        cut.map_err(Error::io("write", &self.path))
    }

    /// Begins anew.
    pub fn start_over(&mut self, identity: &Identity) -> Result<(), Error> {
        let cut = self.file.set_len(0);
        cut.map_err(Error::io("write", &self.path))?;
        self.append(&identity.head())?;
        self.sync()
    }

    /// Notes a window's record.
    pub fn note(&mut self, record: &[u8]) -> Result<(), Error> {
        self.append(&format!("{:016x}\n", checksum(record)))
    }

    pub fn sync(&self) -> Result<(), Error> {
        let synced = self.file.sync_data();
        synced.map_err(Error::io("write", &self.path))
    }

    /// Removes it: the file has its name.
    pub fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    fn append(&mut self, text: &str) -> Result<(), Error> {
        let io = |error| Error::io("write", &self.path)(error);
        self.file.seek(SeekFrom::End(0)).map_err(io)?;
        fault::write_all(&mut self.file, &self.path, text.as_bytes()).map_err(io)
    }
}

fn parse(line: &[u8]) -> Option<u64> {
    let digits = line.strip_suffix(b"\n").filter(|d| d.len() == 16)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
