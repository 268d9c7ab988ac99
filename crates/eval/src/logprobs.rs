//! The base's log-probabilities in a file: computed once, compared with any number of models.
//!
//! Two layouts are read and written:
//!
//! - [`Format::Aeolus`], 3 bytes for each token: the logits to about one part in 16 million of
//!   their range, so that figures do not depend on whether the base came from a file. See
//!   `ours.rs`.
//! - [`Format::LlamaCpp`], 2 bytes for each token, llama-perplexity's `--kl-divergence-base`: for
//!   comparing across tools. Log-probabilities 16 nats and more below the highest do not count,
//!   which is that tool's rule. See `peer.rs`.
//!
//! Both hold the text's tokens, then one record of fixed size for each window, in order. So a
//! file grows by whole windows, and one whose making was interrupted is continued.
//! Under its own name a file is complete; before that it is `NAME.partial`, with a
//! `NAME.partial.journal` (a [log](aeolus_job::Log)) that says which model it is of.

mod ours;
mod peer;
mod writer;

use crate::distribution::{BaseRow, NonFinite};
use crate::windows::Windows;
use crate::{Error, Numeric};
use aeolus_source::Map;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub(crate) use writer::Writer;

/// The layout of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Ours.
    Aeolus,
    /// llama-perplexity's.
    LlamaCpp,
}

impl Format {
    /// The layout of a file that begins with these bytes.
    pub fn detect(prefix: &[u8]) -> Option<Self> {
        if prefix.starts_with(ours::MAGIC) {
            Some(Self::Aeolus)
        } else if prefix.starts_with(peer::MAGIC) {
            Some(Self::LlamaCpp)
        } else {
            None
        }
    }

    /// Bytes of a row of `vocab` tokens.
    fn row_bytes(self, vocab: usize) -> Option<usize> {
        match self {
            Self::Aeolus => ours::row_bytes(vocab),
            Self::LlamaCpp => peer::row_bytes(vocab),
        }
    }

    /// Bytes after the rows of each window.
    fn tail_bytes(self) -> usize {
        match self {
            Self::Aeolus => ours::TAIL_BYTES,
            Self::LlamaCpp => 0,
        }
    }

    fn encode_row(self, logits: &[f32], out: &mut [u8]) -> Result<(), NonFinite> {
        match self {
            Self::Aeolus => ours::encode_row(logits, out),
            Self::LlamaCpp => peer::encode_row(logits, out),
        }
    }

    fn decode_row(self, bytes: &[u8], vocab: usize, out: &mut BaseRow) -> Result<(), &'static str> {
        match self {
            Self::Aeolus => ours::decode_row(bytes, vocab, out),
            Self::LlamaCpp => peer::decode_row(bytes, vocab, out),
        }
    }
}

/// What is known of the base besides its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseFacts {
    /// Number of tokens.
    pub vocab: usize,
    /// Digest of the vocabulary; `None` in a peer's file, which keeps none.
    pub vocabulary: Option<String>,
    /// The model's [`fingerprint`](crate::fingerprint()); `None` in a peer's file, and in one that
    /// ends with its run.
    pub fingerprint: Option<String>,
    /// How the model computed; `None` in a peer's file.
    pub numeric: Option<Numeric>,
}

/// A complete file of log-probabilities, mapped.
#[derive(Debug)]
pub struct LogProbs {
    map: Map,
    format: Format,
    windows: Windows,
    facts: BaseFacts,
    program: Option<String>,
    data_offset: usize,
    row_bytes: usize,
}

/// What a layout's header says.
struct Header {
    windows: Windows,
    facts: BaseFacts,
    program: Option<String>,
    data_offset: usize,
}

impl LogProbs {
    /// Opens what is at `path` if it begins as such a file does; a folder does not.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_if_one(path: &Path, bos: Option<u32>) -> Result<Option<Self>, Error> {
        if path.is_dir() {
            return Ok(None);
        }
        let mut prefix = [0; 8];
        let read = File::open(path).and_then(|mut file| file.read(&mut prefix));
        let read = read.map_err(Error::io("read", path))?;
        match Format::detect(&prefix[..read]) {
            Some(_) => Self::open(path, bos).map(Some),
            None => Ok(None),
        }
    }

    /// Opens a file of either layout. `bos` is what the models under test want before a text:
    /// a peer's file does not say it.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] for a file that contradicts itself or is cut short.
    pub fn open(path: &Path, bos: Option<u32>) -> Result<Self, Error> {
        let map = Map::open(path)?;
        let bad = |problem: String| Error::Format {
            what: "file of log-probabilities",
            path: path.into(),
            problem,
        };
        let format = Format::detect(map.bytes())
            .ok_or_else(|| bad("it begins with neither magic number".into()))?;
        let header = match format {
            Format::Aeolus => ours::read_header(map.bytes()),
            Format::LlamaCpp => peer::read_header(map.bytes(), bos),
        }
        .map_err(bad)?;
        let record = record_bytes(format, &header.windows, header.facts.vocab)
            .ok_or_else(|| bad("its sizes overflow".into()))?;
        let expected = record
            .checked_mul(header.windows.len())
            .and_then(|bytes| bytes.checked_add(header.data_offset));
        if expected != Some(map.len()) {
            return Err(bad(format!(
                "it has {} bytes, {} windows of {record} bytes after byte {} were expected",
                map.len(),
                header.windows.len(),
                header.data_offset
            )));
        }
        let row_bytes = (record - format.tail_bytes()) / header.windows.scored().len();
        Ok(Self {
            map,
            format,
            windows: header.windows,
            facts: header.facts,
            program: header.program,
            data_offset: header.data_offset,
            row_bytes,
        })
    }

    /// The text's windows.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// What is known of the base.
    pub fn facts(&self) -> &BaseFacts {
        &self.facts
    }

    /// The layout.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The version of the program that computed a file of our layout, if another one did: it may
    /// have computed otherwise. A peer's layout does not say which it was.
    pub(crate) fn other_program(&self) -> Option<&str> {
        let found = self.program.as_deref().unwrap_or("unknown");
        let other = self.format == Format::Aeolus && found != env!("CARGO_PKG_VERSION");
        other.then_some(found)
    }

    /// What tells this base from others: the model's fingerprint, or for a peer's file, which
    /// does not keep it, a digest of text and first rows.
    pub fn identity(&self) -> String {
        self.facts.fingerprint.clone().unwrap_or_else(|| {
            let bytes = self.map.bytes();
            let end = bytes.len().min(self.data_offset + self.row_bytes);
            format!("file {:016x}", aeolus_job::checksum(&bytes[..end]))
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// One window's rows, checked against its checksum where the layout has one.
    pub(crate) fn window(&self, window: usize) -> Result<Rows<'_>, Error> {
        let record = self.row_bytes * self.windows.scored().len() + self.format.tail_bytes();
        let start = self.data_offset + window * record;
        let bytes = &self.map.bytes()[start..start + record];
        let rows = match self.format {
            Format::Aeolus => ours::check_record(bytes),
            Format::LlamaCpp => Some(bytes),
        };
        let rows = rows.ok_or_else(|| self.damaged(window, "its checksum does not fit"))?;
        Ok(Rows {
            file: self,
            window,
            bytes: rows,
        })
    }

    /// The file with a checksum that fits for every window; `None` for a layout without.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn sealed_again(&self) -> Option<Vec<u8>> {
        if self.format != Format::Aeolus {
            return None;
        }
        let (head, windows) = self.map.bytes().split_at(self.data_offset);
        let rows = self.row_bytes * self.windows.scored().len();
        let mut out = head.to_vec();
        for window in windows.chunks(rows + self.format.tail_bytes()) {
            let mut window = window[..rows].to_vec();
            ours::seal(&mut window);
            out.extend(window);
        }
        Some(out)
    }

    fn damaged(&self, window: usize, problem: &str) -> Error {
        Error::Format {
            what: "file of log-probabilities",
            path: self.path().into(),
            problem: format!("window {window} is damaged: {problem}"),
        }
    }
}

/// The rows of one window.
pub(crate) struct Rows<'a> {
    file: &'a LogProbs,
    window: usize,
    bytes: &'a [u8],
}

impl Rows<'_> {
    /// Decodes the row of one scored position.
    pub fn decode(&self, row: usize, out: &mut BaseRow) -> Result<(), Error> {
        let bytes = self.file.row_bytes;
        self.file
            .format
            .decode_row(
                &self.bytes[row * bytes..(row + 1) * bytes],
                self.file.facts.vocab,
                out,
            )
            .map_err(|problem| self.file.damaged(self.window, problem))
    }
}

/// Bytes of one window's record.
fn record_bytes(format: Format, windows: &Windows, vocab: usize) -> Option<usize> {
    format
        .row_bytes(vocab)?
        .checked_mul(windows.scored().len())?
        .checked_add(format.tail_bytes())
}

/// Splits `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Splits `count` token ids off the front, as 4 little-endian bytes each.
fn take_tokens(bytes: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (head, rest) = bytes.split_at_checked(count.checked_mul(4)?)?;
    *bytes = rest;
    let (ids, _) = head.as_chunks::<4>();
    Some(ids.iter().map(|id| u32::from_le_bytes(*id)).collect())
}

#[cfg(test)]
mod tests;
