//! A file of log-probabilities that grows by windows, and continues where it was interrupted.
//!
//! The peer's layout says neither which model its windows are of nor whether they are whole, so
//! a file that is to be continued needs a log that does; ours gets one, too, for the program's
//! version. A record is the checksum of a window's bytes, and is believed if they agree.

use super::{BaseFacts, Format, LogProbs, ours, peer, record_bytes};
use crate::Error;
use crate::distribution::NonFinite;
use crate::scorer::numeric_name;
use crate::state::SYNC_PAUSE;
use crate::windows::Windows;
use aeolus_job::{Found, Identity, Names, PartialFile, checksum, folder_of};
use std::path::Path;
use std::time::Instant;

/// Writes `NAME.partial` window by window, then gives it its name.
#[derive(Debug)]
pub(crate) struct Writer {
    file: PartialFile,
    encoder: Encoder,
    complete: usize,
    /// Where the next window goes.
    end: u64,
    started_over: Option<String>,
    count: usize,
    bos: Option<u32>,
    synced: Instant,
}

/// Turns a window's logits into its record, on any thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoder {
    format: Format,
    scored: usize,
    vocab: usize,
    row_bytes: usize,
}

impl Encoder {
    /// For these windows of a model with so many tokens; `None` for sizes beyond the address
    /// space.
    pub(super) fn new(format: Format, windows: &Windows, vocab: usize) -> Option<Self> {
        Some(Self {
            format,
            scored: windows.scored().len(),
            vocab,
            row_bytes: format.row_bytes(vocab)?,
        })
    }

    /// The record of logits `[scored, vocab]`, or the first row and logit that is no number.
    pub(crate) fn encode(&self, logits: &[f32]) -> Result<Vec<u8>, (usize, NonFinite)> {
        let row_bytes = self.row_bytes;
        let mut record = vec![0; self.scored * row_bytes];
        let rows = record.chunks_exact_mut(row_bytes);
        for (i, (out, logits)) in rows.zip(logits.chunks_exact(self.vocab)).enumerate() {
            self.format
                .encode_row(logits, out)
                .map_err(|bad| (i, bad))?;
        }
        if self.format == Format::Aeolus {
            ours::seal(&mut record);
        }
        Ok(record)
    }

    fn record_bytes(&self) -> usize {
        self.scored * self.row_bytes + self.format.tail_bytes()
    }
}

impl Writer {
    /// Starts `path`, or continues `path.partial` if its log says that it was begun with the same
    /// text, cut and model, in the same mode and by the same version of the program.
    ///
    /// # Errors
    /// [`Error::Cut`] for strided windows or sizes that the peer's layout cannot hold,
    /// [`Error::NoSpace`], [`Error::Job`].
    pub(crate) fn create(
        path: &Path,
        format: Format,
        windows: &Windows,
        facts: &BaseFacts,
    ) -> Result<Self, Error> {
        let header = match format {
            Format::Aeolus => Some(ours::header(windows, facts)),
            Format::LlamaCpp => peer::header(windows, facts.vocab),
        };
        let cut = |problem: &str| Error::Cut {
            problem: problem.into(),
        };
        let header = header.ok_or_else(|| {
            cut("llama.cpp's layout holds windows side by side with 31-bit numbers only")
        })?;
        let too_large = || cut("its log-probabilities exceed the address space");
        let record = record_bytes(format, windows, facts.vocab).ok_or_else(too_large)?;
        let encoder = Encoder::new(format, windows, facts.vocab).ok_or_else(too_large)?;

        let sum = |text: &str| u64::from_str_radix(text, 16).ok();
        let identity = identity(format, windows, facts);
        let (mut file, found) = PartialFile::open_logged(Names::of(path), &identity, sum)?;
        let (mut sums, mut started_over) = match found {
            Found::Nothing => (
                Vec::new(),
                Some("nothing tells which model it is of".into()),
            ),
            found => found.records_or_why(),
        };
        let bytes = file.len()?;
        sums.truncate(windows.len());
        let complete = count_good(&file, &header, &sums, record);
        if complete == 0 && !sums.is_empty() {
            started_over = Some("its bytes are not those that its journal has".into());
        }
        let end = header.len() as u64 + complete as u64 * record as u64;
        let needed = (windows.len() - complete) as u64 * record as u64;
        // What is there is written over, or cut off.
        let folder = folder_of(path);
        let available = aeolus_source::available_bytes(folder)?;
        let available = available.saturating_add(bytes.saturating_sub(end));
        if available < needed {
            return Err(Error::NoSpace {
                folder: folder.into(),
                needed,
                available,
            });
        }
        file.begin(if complete > 0 { end } else { 0 }, complete)?;
        if complete == 0 {
            file.write_at(&header, 0)?;
        }
        Ok(Self {
            file,
            encoder,
            complete,
            end,
            started_over: started_over.filter(|_| bytes > 0),
            count: windows.len(),
            bos: windows.layout().bos,
            synced: Instant::now(),
        })
    }

    /// Why nothing is taken over of a file that was begun, in words.
    pub(crate) fn started_over(&self) -> Option<(&Path, &str)> {
        let partial = self.file.names().partial.as_path();
        self.started_over.as_deref().map(|why| (partial, why))
    }

    /// Windows that are there already.
    pub(crate) fn complete(&self) -> usize {
        self.complete
    }

    /// What makes the records.
    pub(crate) fn encoder(&self) -> Encoder {
        self.encoder
    }

    /// Appends the next window's record.
    ///
    /// # Errors
    /// [`Error::Job`].
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        assert_eq!(
            record.len(),
            self.encoder.record_bytes(),
            "bytes of a record"
        );
        assert!(self.complete < self.count, "windows of a file");
        self.file.write_at(record, self.end)?;
        self.file.note(&format!("{:016x}", checksum(record)))?;
        self.complete += 1;
        self.end += record.len() as u64;
        if self.synced.elapsed() >= SYNC_PAUSE {
            self.file.sync()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Gives the complete file its name and opens it.
    ///
    /// # Errors
    /// [`Error::Io`], or those of [`LogProbs::open`].
    pub(crate) fn finish(mut self) -> Result<LogProbs, Error> {
        assert_eq!(self.complete, self.count, "windows of a finished file");
        let path = self.file.names().path.clone();
        self.file.name(true).map_err(Error::io("write", &path))?;
        self.file.forget();
        LogProbs::open(&path, self.bos)
    }
}

/// What a file's windows depend on.
fn identity(format: Format, windows: &Windows, facts: &BaseFacts) -> Identity {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    Identity::new([
        ("program", env!("CARGO_PKG_VERSION").into()),
        ("layout", format!("{format:?}")),
        ("text", windows.digest()),
        ("windows", windows.len().to_string()),
        ("vocabulary", known(&facts.vocabulary)),
        ("model", known(&facts.fingerprint)),
        ("mode", facts.numeric.map_or("unknown", numeric_name).into()),
    ])
}

/// How many of the first windows are as they were written, behind this header: a power failure can
/// leave a file its length and take bytes.
fn count_good(file: &PartialFile, header: &[u8], sums: &[u64], record: usize) -> usize {
    let reads = |bytes: &mut [u8], offset| file.read_at(bytes, offset).is_ok();
    let mut found = vec![0; header.len()];
    if sums.is_empty() || !reads(&mut found, 0) || found != header {
        return 0;
    }
    let mut bytes = vec![0; record];
    let offsets = (header.len() as u64..).step_by(record);
    let good = sums.iter().zip(offsets);
    good.take_while(|(sum, offset)| reads(&mut bytes, *offset) && checksum(&bytes) == **sum)
        .count()
}
