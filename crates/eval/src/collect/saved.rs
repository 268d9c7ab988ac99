//! The total so far, in memory and, if it is to outlive an interruption, in a partial file.
//!
//! `NAME.partial` holds totals as GGUF importance matrices, at most two of them: the next one is written
//! beside the last one, and a record in `NAME.partial.journal` says where it is once the disk has it.
//! A total has all that a later run needs, since totals have the precision of files.

use crate::{Error, Windows};
use aeolus_imatrix::{Format, Imatrix};
use aeolus_job::{Event, Progress};
use aeolus_job::{Found, Identity, Names, PartialFile, checksum};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two totals that are kept: what a kill costs at most, beside the windows at work.
const PAUSE: Duration = Duration::from_secs(10);

/// The total of the first windows of a text.
#[derive(Debug)]
pub struct Saved {
    total: Imatrix,
    windows: usize,
    file: Option<Kept>,
}

/// The partial file.
#[derive(Debug)]
struct Kept {
    file: PartialFile,
    last: Option<Record>,
    /// Why nothing of an earlier run is used, until it is told.
    started_over: Option<String>,
    when: Instant,
}

/// Where a total is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    /// Windows that it is of.
    windows: usize,
    /// Bytes from the start of the file to its first.
    offset: u64,
    /// Its bytes.
    bytes: u64,
    /// Their checksum.
    sum: u64,
}

impl Record {
    fn text(self) -> String {
        let Self {
            windows,
            offset,
            bytes,
            sum,
        } = self;
        format!("{windows} {offset} {bytes} {sum:016x}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let record = Self {
            windows: words.next()?.parse().ok()?,
            offset: words.next()?.parse().ok()?,
            bytes: words.next()?.parse().ok()?,
            sum: u64::from_str_radix(words.next()?, 16).ok()?,
        };
        words.next().is_none().then_some(record)
    }

    fn end(self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }

    /// The total, if it is as it was written.
    fn read(self, file: &PartialFile) -> Option<Imatrix> {
        // A record is not believed to make room for more than there is.
        if self.end() > file.len().ok()? {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(self.bytes).ok()?];
        file.read_at(&mut bytes, self.offset).ok()?;
        let good = checksum(&bytes) == self.sum;
        good.then(|| Imatrix::parse(&bytes).ok()).flatten()
    }
}

impl Saved {
    /// A total that ends with the run.
    pub fn in_memory(windows: &Windows) -> Self {
        let chunk_tokens = u32::try_from(windows.n_ctx()).unwrap_or(u32::MAX);
        Self {
            total: Imatrix::collected(chunk_tokens),
            windows: 0,
            file: None,
        }
    }

    /// A total that is kept beside the output `path`, and continued if an earlier run of the same
    /// `identity` left one of no more than these windows.
    ///
    /// # Errors
    /// [`Error::Job`].
    pub fn open(path: &Path, identity: &Identity, windows: &Windows) -> Result<Self, Error> {
        let new = Self::in_memory(windows);
        let (mut file, found) = PartialFile::open_logged(Names::of(path), identity, Record::parse)?;
        let was_empty = file.is_empty()?;
        let (records, mut started_over) = found_or_why(found);
        let mut usable = records.iter().enumerate().rev();
        let usable = usable.find_map(|(i, record)| {
            let total = record.read(&file);
            let total = total.filter(|_| record.windows <= windows.len());
            total.map(|total| (i, *record, total))
        });
        if usable.is_none() && !records.is_empty() {
            let more = records.iter().all(|record| record.windows > windows.len());
            started_over = Some(match more {
                true => "it has more windows than are asked for".into(),
                false => "its bytes are not those that its journal has".into(),
            });
        }
        let (records, end) = match &usable {
            Some((i, ..)) => {
                let kept = records.iter().take(i + 1);
                (i + 1, kept.map(|record| record.end()).max().unwrap_or(0))
            }
            None => (0, 0),
        };
        file.begin(end, records)?;
        let last = usable.as_ref().map(|(_, record, _)| *record);
        let (total, done) = match usable {
            Some((_, record, total)) => (total, record.windows),
            None => (new.total, 0),
        };
        Ok(Self {
            total,
            windows: done,
            file: Some(Kept {
                file,
                last,
                started_over: started_over.filter(|_| !was_empty),
                when: Instant::now(),
            }),
        })
    }

    /// Windows of which it is the total.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Ends it, and removes what was kept: the result has its name.
    pub fn discard(self) {
        if let Some(kept) = self.file {
            kept.file.discard();
        }
    }

    /// Says once if what an earlier run left is of no use.
    pub(super) fn tell(&mut self, progress: &dyn Progress) {
        if let Some(kept) = &mut self.file
            && let Some(why) = kept.started_over.take()
        {
            let (path, why) = (kept.file.names().partial.as_path(), why.as_str());
            progress.event(Event::StartedOver { path, why });
        }
    }

    pub(super) fn total(&mut self) -> &mut Imatrix {
        &mut self.total
    }

    /// One more window is in the total.
    pub(super) fn advance(&mut self) {
        self.windows += 1;
        self.total.chunks = u32::try_from(self.windows).unwrap_or(u32::MAX);
    }

    /// Keeps the total if that was a while ago.
    pub(super) fn keep_now_and_then(&mut self) -> Result<(), Error> {
        match &self.file {
            Some(kept) if kept.when.elapsed() >= PAUSE => self.keep(),
            _ => Ok(()),
        }
    }

    /// Keeps the total.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        let Some(kept) = &mut self.file else {
            return Ok(());
        };
        let known = kept.last.map_or(0, |last| last.windows);
        if self.windows == known {
            return Ok(());
        }
        let bytes = encode(&self.total, Format::Gguf)?;
        let len = bytes.len() as u64;
        // Where the last one is not.
        let offset = match kept.last {
            Some(last) if last.offset < len => last.end(),
            _ => 0,
        };
        let record = Record {
            windows: self.windows,
            offset,
            bytes: len,
            sum: checksum(&bytes),
        };
        kept.file.write_at(&bytes, offset)?;
        kept.file.record(&record.text())?;
        kept.last = Some(record);
        kept.when = Instant::now();
        Ok(())
    }
}

fn found_or_why(found: Found<Record>) -> (Vec<Record>, Option<String>) {
    match found {
        Found::Nothing => (Vec::new(), Some("nothing tells what it is of".into())),
        found => found.records_or_why(),
    }
}

fn encode(imatrix: &Imatrix, format: Format) -> Result<Vec<u8>, Error> {
    imatrix.encode(format).map_err(Error::Imatrix)
}

/// Writes an importance matrix, whole or not at all, as `NAME.new` until it is: `NAME.partial` may be that
/// of a run that collects. With `replace`, a file of that name is replaced. Gives the file's digest.
///
/// # Errors
/// [`Error::Imatrix`], [`Error::Job`]; [`Error::Io`] if the name cannot be given.
pub fn write_file(
    path: &Path,
    imatrix: &Imatrix,
    format: Format,
    replace: bool,
) -> Result<[u8; 32], Error> {
    let bytes = encode(imatrix, format)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = PartialFile::open(Names::with_partial(path, new.into()))?;
    file.begin(0, 0)?;
    file.write_at(&bytes, 0)?;
    file.name(replace).map_err(Error::io("write", path))?;
    Ok(Sha256::digest(&bytes).into())
}
