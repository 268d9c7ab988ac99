//! A file of log-probabilities that grows by windows, and goes on where it was interrupted.

use super::journal::{Identity, Journal, journal_path};
use super::{BaseFacts, Format, LogProbs, ours, peer, record_bytes};
use crate::distribution::NonFinite;
use crate::state::SYNC_PAUSE;
use crate::windows::Windows;
use crate::{Error, fault};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Writes `NAME.partial` window by window, then gives it its name.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    journal: Journal,
    path: PathBuf,
    partial: PathBuf,
    encoder: Encoder,
    complete: usize,
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
    /// Starts `path`, or goes on with `path.partial` if its journal says that it was begun with
    /// the same text, cut and model, in the same mode and by the same version of the program.
    ///
    /// # Errors
    /// [`Error::Cut`] for strided windows or sizes that the peer's layout cannot hold,
    /// [`Error::Busy`], [`Error::NoSpace`], [`Error::Io`].
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

        let partial = partial_path(path);
        let io = |action| Error::io(action, &partial);
        let file = aeolus_source::open_locked(&partial, false)?;
        let mut file = file.ok_or_else(|| Error::Busy {
            path: partial.clone(),
        })?;
        let identity = Identity::new(format, windows, facts);
        let mut journal = Journal::open(&partial, &identity)?;
        let bytes = file.metadata().map_err(io("read"))?.len();
        let mut found = Vec::new();
        (&mut file)
            .take(header.len() as u64)
            .read_to_end(&mut found)
            .map_err(io("read"))?;
        let known = found == header && journal.other().is_none();
        let complete = if known {
            let whole = (bytes - header.len() as u64) / record as u64;
            let whole = whole.min(windows.len() as u64) as usize;
            count_good(&mut file, &journal, record, whole).map_err(io("read"))?
        } else {
            0
        };
        let folder = folder_of(path);
        let needed = (windows.len() - complete) as u64 * record as u64;
        // What is there is written over, or cut off.
        let kept = header.len() as u64 + complete as u64 * record as u64;
        let available = aeolus_source::available_bytes(folder)?;
        let available = available.saturating_add(bytes.saturating_sub(kept));
        if available < needed {
            if bytes == 0 {
                let _ = std::fs::remove_file(&partial);
                journal.remove();
            }
            return Err(Error::NoSpace {
                folder: folder.into(),
                needed,
                available,
            });
        }
        // What follows the last whole window was being written when the run ended.
        let mut started_over = None;
        if known {
            journal.go_on(complete)?;
            file.set_len(kept).map_err(io("write"))?;
            file.seek(SeekFrom::Start(kept)).map_err(io("write"))?;
        } else {
            if bytes > 0 {
                let why = journal.other().unwrap_or("its header is another one");
                started_over = Some(why.to_owned());
            }
            journal.start_over(&identity)?;
            file.set_len(0).map_err(io("write"))?;
            file.seek(SeekFrom::Start(0)).map_err(io("write"))?;
            fault::write_all(&mut file, &partial, &header).map_err(io("write"))?;
        }
        Ok(Self {
            file,
            journal,
            path: path.into(),
            partial,
            encoder,
            complete,
            started_over,
            count: windows.len(),
            bos: windows.layout().bos,
            synced: Instant::now(),
        })
    }

    /// Why nothing is taken over of a file that was begun, in words.
    pub(crate) fn started_over(&self) -> Option<(&Path, &str)> {
        let why = self.started_over.as_deref();
        why.map(|why| (self.partial.as_path(), why))
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
    /// [`Error::Io`].
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        assert_eq!(
            record.len(),
            self.encoder.record_bytes(),
            "bytes of a record"
        );
        assert!(self.complete < self.count, "windows of a file");
        fault::write_all(&mut self.file, &self.partial, record)
            .map_err(Error::io("write", &self.partial))?;
        self.journal.note(record)?;
        self.complete += 1;
        if self.synced.elapsed() >= SYNC_PAUSE {
            self.file
                .sync_data()
                .map_err(Error::io("write", &self.partial))?;
            self.journal.sync()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Gives the complete file its name and opens it.
    ///
    /// # Errors
    /// [`Error::Io`], or those of [`LogProbs::open`].
    pub(crate) fn finish(self) -> Result<LogProbs, Error> {
        assert_eq!(self.complete, self.count, "windows of a finished file");
        self.file
            .sync_all()
            .map_err(Error::io("write", &self.partial))?;
        std::fs::rename(&self.partial, &self.path).map_err(Error::io("write", &self.path))?;
        // Without its journal a partial file is of no use, so the name has to be durable before
        // that goes. It is once the folder is: best effort, some systems refuse.
        if let Ok(folder) = File::open(folder_of(&self.path)) {
            let _ = folder.sync_all();
        }
        self.journal.remove();
        LogProbs::open(&self.path, self.bos)
    }
}

/// Removes the journal that a run left which ended right after it gave the file at `path` its name.
pub(crate) fn sweep(path: &Path) {
    let partial = partial_path(path);
    let journal = journal_path(&partial);
    let is_file = journal.symlink_metadata().is_ok_and(|meta| meta.is_file());
    if is_file && partial.symlink_metadata().is_err() {
        let _ = std::fs::remove_file(journal);
    }
}

/// `NAME.partial`.
fn partial_path(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    partial.into()
}

/// The folder that a path's file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How many of the first `whole` records, which come next in the file, are as they were written: a
/// power failure can leave a file its length and take bytes.
fn count_good(
    file: &mut File,
    journal: &Journal,
    record: usize,
    whole: usize,
) -> std::io::Result<usize> {
    let whole = whole.min(journal.claims());
    let mut bytes = vec![0; if whole > 0 { record } else { 0 }];
    for index in 0..whole {
        file.read_exact(&mut bytes)?;
        if !journal.agrees(index, &bytes) {
            return Ok(index);
        }
    }
    Ok(whole)
}
