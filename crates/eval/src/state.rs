//! Results of single windows, in memory and, if asked for, in a file that outlives the run.
//!
//! A result never depends on other windows, so an interrupted run goes on where it was, a longer
//! run (`--chunks`) takes over what a shorter one computed, and a run with more files computes
//! only theirs. Sums are added in the order of the windows whatever the order they came in: a
//! resumed run gives the same bits as one that was not interrupted.
//!
//! The file is a journal. All numbers are little-endian.
//!
//! ```text
//! offset  bytes
//! 0       8     "AEOLEVA1"
//! 8       4     n, bytes of the description
//! 12      n     the description, JSON: text, cut, base, numeric mode, program's version
//! ...           records: u64 key of the model, u32 window, u32 s sums, u32 v values,
//!               s f64, v f32, u64 checksum over the record before it
//! ```
//!
//! A record that a killed run left half-written ends the journal; it is cut off. Records are synced
//! every 2 seconds, so a power failure costs no more than that, and a header that it tore is written
//! anew.

use crate::checksum::checksum;
use crate::progress::{Event, Progress};
use crate::{Error, described, fault, lock};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MAGIC: &[u8; 8] = b"AEOLEVA1";
const RECORD_HEAD_BYTES: usize = 20;

/// The key of the program's version in a description.
const PROGRAM: &str = "program";

/// Time between two syncs.
pub(crate) const SYNC_PAUSE: Duration = Duration::from_secs(2);

/// One model's result for one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// Sums over the scored positions; what each is, the caller knows.
    pub sums: Vec<f64>,
    /// A number for each scored position, for quantiles; or none.
    pub values: Vec<f32>,
}

/// What a run's results depend on besides model and window: JSON values by name.
pub type Description = Map<String, Value>;

/// The results known so far.
#[derive(Debug, Default)]
pub struct State {
    records: BTreeMap<(u64, u32), Record>,
    file: Option<StateFile>,
    /// Why results that were there are gone, until it is told.
    started_over: Option<String>,
    /// Whether the file had results, until an evaluation has told of them.
    had_some: bool,
}

#[derive(Debug)]
struct StateFile {
    file: File,
    path: PathBuf,
    synced: Instant,
}

impl State {
    /// Results that end with the run.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Results in a file, which is made or taken over. Those of another version of this program,
    /// which may have computed otherwise, are not: the file is begun anew, and the evaluation says
    /// so.
    ///
    /// # Errors
    /// [`Error::OtherRun`] if the file's results are of another text or base, [`Error::Format`]
    /// if it is something else, [`Error::Source`] if it is no regular file, [`Error::Busy`],
    /// [`Error::Io`].
    pub fn open(path: &Path, description: &Description) -> Result<Self, Error> {
        let io = |action| Error::io(action, path);
        check_kind(path)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open"))?;
        lock(&file, path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let mut records = BTreeMap::new();
        let mut description = description.clone();
        description.insert(PROGRAM.into(), env!("CARGO_PKG_VERSION").into());
        let header = encode_header(&description);
        let torn = is_torn(&bytes, &header);
        let found = match torn {
            true => None,
            false => Some(read_header(path, &bytes, &description)?),
        };
        let (rest, other) = found.unwrap_or_default();
        let end = if torn || other.is_some() {
            // Cut first: a run killed behind the new header must not leave it before old records,
            // which fit their checksums.
            if !bytes.is_empty() {
                file.set_len(0).map_err(io("write"))?;
                file.sync_all().map_err(io("write"))?;
            }
            file.seek(SeekFrom::Start(0)).map_err(io("write"))?;
            fault::write_all(&mut file, path, &header).map_err(io("write"))?;
            file.sync_all().map_err(io("write"))?;
            header.len()
        } else {
            let mut rest = rest;
            while let Some((key, record, after)) = read_record(rest) {
                records.insert(key, record);
                rest = after;
            }
            bytes.len() - rest.len()
        };
        file.set_len(end as u64).map_err(io("write"))?;
        file.seek(SeekFrom::Start(end as u64))
            .map_err(io("write"))?;
        Ok(Self {
            had_some: !records.is_empty(),
            records,
            file: Some(StateFile {
                file,
                path: path.into(),
                synced: Instant::now(),
            }),
            started_over: other,
        })
    }

    /// Says once if what an earlier run left is of no use: another version wrote it, or `known`, the
    /// number of results that all evaluations to come find in it, is 0.
    /// [`perplexity`](crate::perplexity()) and [`compare`](crate::compare()) call it; whoever runs
    /// [`Round`](crate::tasks::Round)s does so before the first.
    pub fn tell(&mut self, progress: &dyn Progress, known: usize) {
        let Some(file) = &self.file else {
            return;
        };
        let path = file.path.as_path();
        let had_some = std::mem::take(&mut self.had_some);
        if let Some(why) = self.started_over.take() {
            let why = why.as_str();
            progress.event(Event::StartedOver { path, why });
        } else if known == 0 && had_some {
            progress.event(Event::NothingKnown { path });
        }
    }

    pub(crate) fn get(&self, key: u64, window: usize) -> Option<&Record> {
        self.records.get(&(key, u32::try_from(window).ok()?))
    }

    /// How many of the first `windows` windows of a model are known.
    pub(crate) fn known(&self, key: u64, windows: usize) -> usize {
        (0..windows).filter(|w| self.get(key, *w).is_some()).count()
    }

    pub(crate) fn insert(&mut self, key: u64, window: usize, record: Record) -> Result<(), Error> {
        let window = u32::try_from(window).map_err(|_| Error::Cut {
            problem: format!("window {window}, at most 4294967295 can be kept"),
        })?;
        if let Some(StateFile { file, path, synced }) = &mut self.file {
            let bytes = encode_record(key, window, &record);
            fault::write_all(file, path, &bytes).map_err(Error::io("write", path))?;
            if synced.elapsed() >= SYNC_PAUSE {
                file.sync_data().map_err(Error::io("write", path))?;
                *synced = Instant::now();
            }
        }
        self.records.insert((key, window), record);
        Ok(())
    }
}

/// Refuses what no state can be, before anything is read for it: a pipe's bytes may never begin, a
/// device's never end.
pub(crate) fn check_kind(path: &Path) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            Err(aeolus_source::Error::NotAFile { path: path.into() }.into())
        }
        _ => Ok(()),
    }
}

fn encode_header(description: &Description) -> Vec<u8> {
    let text = Value::Object(description.clone()).to_string();
    described::beginning(MAGIC, text.as_bytes())
}

/// Whether a file has nothing but a part of this header, or zeros in its place: a new file, or one
/// that was being made when the power failed.
fn is_torn(bytes: &[u8], header: &[u8]) -> bool {
    let same = bytes.iter().zip(header).take_while(|(a, b)| a == b).count();
    same < header.len() && bytes.len() <= header.len() && bytes[same..].iter().all(|b| *b == 0)
}

/// Checks the header and gives what follows it, and in words if another version wrote it.
fn read_header<'a>(
    path: &Path,
    bytes: &'a [u8],
    expected: &Description,
) -> Result<(&'a [u8], Option<String>), Error> {
    let bad = |problem: &str| Error::Format {
        what: "saved state of an evaluation",
        path: path.into(),
        problem: problem.into(),
    };
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("it does not begin with its magic number"))?;
    let (text, rest) = described::split(rest).map_err(|problem| bad(&problem))?;
    let found: Description =
        serde_json::from_slice(text).map_err(|e| bad(&format!("its description: {e}")))?;
    let names = expected.keys().chain(found.keys());
    for name in names.filter(|name| *name != PROGRAM) {
        let (a, b) = (found.get(name), expected.get(name));
        if a != b {
            let show = |value: Option<&Value>| value.map_or("unknown".into(), Value::to_string);
            return Err(Error::OtherRun {
                path: path.into(),
                field: name.clone(),
                found: show(a),
                expected: show(b),
            });
        }
    }
    let (found, own) = (found.get(PROGRAM), expected.get(PROGRAM));
    let other = (found != own).then(|| {
        let show = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str).unwrap_or("unknown");
            text.escape_debug().to_string()
        };
        format!("its program was {}, now it is {}", show(found), show(own))
    });
    Ok((rest, other))
}

/// Numbers of sums and values of every record in the bytes of a file, whatever run it is of.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn records_of(bytes: &[u8]) -> Vec<(usize, usize)> {
    let nothing = Description::new();
    let mut rest = match read_header(Path::new("fuzz"), bytes, &nothing) {
        Ok((rest, _)) => rest,
        // Of another run: its records are looked at all the same.
        Err(Error::OtherRun { .. }) => match bytes.get(MAGIC.len()..) {
            Some(rest) => rest,
            None => return Vec::new(),
        },
        Err(_) => return Vec::new(),
    };
    let mut records = Vec::new();
    while let Some((_, record, after)) = read_record(rest) {
        records.push((record.sums.len(), record.values.len()));
        rest = after;
    }
    records
}

/// A file of one record that these bytes are, with the checksum that belongs to them.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn sealed(record: &[u8]) -> Vec<u8> {
    let mut out = described::beginning(MAGIC, b"{}");
    out.extend(record);
    out.extend(checksum(record).to_le_bytes());
    out
}

fn encode_record(key: u64, window: u32, record: &Record) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(RECORD_HEAD_BYTES + 8 * record.sums.len() + 4 * record.values.len() + 8);
    out.extend(key.to_le_bytes());
    out.extend(window.to_le_bytes());
    out.extend((record.sums.len() as u32).to_le_bytes());
    out.extend((record.values.len() as u32).to_le_bytes());
    record.sums.iter().for_each(|x| out.extend(x.to_le_bytes()));
    record
        .values
        .iter()
        .for_each(|x| out.extend(x.to_le_bytes()));
    out.extend(checksum(&out).to_le_bytes());
    out
}

type Keyed<'a> = ((u64, u32), Record, &'a [u8]);

/// Splits a whole record off the front; `None` at the end, or at one that is torn.
fn read_record(bytes: &[u8]) -> Option<Keyed<'_>> {
    let (key, rest) = bytes.split_first_chunk::<8>()?;
    let (window, rest) = rest.split_first_chunk::<4>()?;
    let (sums, rest) = rest.split_first_chunk::<4>()?;
    let (values, rest) = rest.split_first_chunk::<4>()?;
    let sums = (u32::from_le_bytes(*sums) as usize).checked_mul(8)?;
    let values = (u32::from_le_bytes(*values) as usize).checked_mul(4)?;
    let (sums, rest) = rest.split_at_checked(sums)?;
    let (values, rest) = rest.split_at_checked(values)?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let record = &bytes[..RECORD_HEAD_BYTES + sums.len() + values.len()];
    if checksum(record) != u64::from_le_bytes(*sum) {
        return None;
    }
    let sums = sums.as_chunks::<8>().0;
    let values = values.as_chunks::<4>().0;
    Some((
        (u64::from_le_bytes(*key), u32::from_le_bytes(*window)),
        Record {
            sums: sums.iter().map(|x| f64::from_le_bytes(*x)).collect(),
            values: values.iter().map(|x| f32::from_le_bytes(*x)).collect(),
        },
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::full_disk::FullDisk;
    use serde_json::json;

    fn description(n_ctx: u32) -> Description {
        let Value::Object(map) = json!({ "text": "abc", "n_ctx": n_ctx }) else {
            unreachable!("an object")
        };
        map
    }

    fn record(x: f64) -> Record {
        Record {
            sums: vec![x, 1.0 / 3.0, f64::MIN_POSITIVE],
            values: vec![0.1, x as f32],
        }
    }

    #[test]
    fn what_was_kept_is_found_again_to_the_last_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut state = State::open(&path, &description(8)).unwrap();
        for window in 0..5 {
            state.insert(7, window, record(window as f64)).unwrap();
        }
        state.insert(9, 0, record(-1.0)).unwrap();
        drop(state);
        let state = State::open(&path, &description(8)).unwrap();
        assert_eq!(state.known(7, 10), 5);
        assert_eq!(state.known(7, 2), 2);
        assert_eq!(state.get(7, 3), Some(&record(3.0)));
        assert_eq!(state.get(9, 0), Some(&record(-1.0)));
        assert_eq!(state.get(8, 0), None);
    }

    #[test]
    fn a_torn_end_is_cut_off_wherever_it_tore() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut state = State::open(&path, &description(8)).unwrap();
        state.insert(7, 0, record(0.0)).unwrap();
        let one = std::fs::metadata(&path).unwrap().len() as usize;
        state.insert(7, 1, record(1.0)).unwrap();
        drop(state);
        let bytes = std::fs::read(&path).unwrap();
        for cut in one..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), 1, "cut at {cut}");
            state.insert(7, 1, record(1.0)).unwrap();
            drop(state);
            assert!(std::fs::read(&path).unwrap() == bytes);
        }
        let mut zeros = bytes.clone();
        zeros[one..].fill(0);
        std::fs::write(&path, &zeros).unwrap();
        let state = State::open(&path, &description(8)).unwrap();
        assert_eq!(
            state.known(7, 9),
            1,
            "a tail of zeros, as power failures leave"
        );
    }

    #[test]
    fn results_of_another_version_are_begun_anew_and_told() {
        struct Told(std::cell::RefCell<Vec<String>>);
        impl Progress for Told {
            fn event(&self, event: Event<'_>) {
                self.0.borrow_mut().push(format!("{event:?}"));
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut other = description(8);
        for version in [None, Some("0.0.1")] {
            if let Some(version) = version {
                other.insert(PROGRAM.into(), version.into());
            }
            let mut bytes = encode_header(&other);
            bytes.extend(encode_record(7, 0, &record(0.0)));
            std::fs::write(&path, bytes).unwrap();
            // Of another text, too: somebody's, refused.
            State::open(&path, &description(9)).unwrap_err();
            let mut state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), 0);
            let told = Told(Vec::new().into());
            state.tell(&told, 0);
            state.tell(&told, 0);
            let told = told.0.into_inner();
            assert_eq!(told.len(), 1, "{told:?}");
            let why = format!("its program was {}", version.unwrap_or("unknown"));
            assert!(told[0].contains(&why), "{told:?}");
            state.insert(7, 1, record(1.0)).unwrap();
            drop(state);
            let mut state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), 1);
            let told = Told(Vec::new().into());
            state.tell(&told, 1);
            assert_eq!(told.0.into_inner(), [""; 0]);
        }
    }

    #[test]
    fn no_end_of_a_run_that_starts_over_leaves_old_records_to_be_taken() {
        let own = env!("CARGO_PKG_VERSION");
        // Of equal length, so that the headers are, too.
        let digits = |c: char| if c.is_ascii_digit() { '9' } else { c };
        let version: String = own.chars().map(digits).collect();
        assert_ne!(version, own);
        let mut other = description(8);
        other.insert(PROGRAM.into(), version.into());
        let mut old = encode_header(&other);
        let header = old.len();
        old.extend(encode_record(7, 0, &record(0.0)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        // The last bytes of the headers are the same: near the end, all of the new one is there.
        for room in 0..header {
            std::fs::write(&path, &old).unwrap();
            let full = FullDisk::after(dir.path(), room as u64);
            State::open(&path, &description(8)).unwrap_err();
            drop(full);
            let state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), 0, "room for {room} bytes");
        }
    }

    #[test]
    fn a_disk_that_fills_up_anywhere_costs_one_record() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        let mut state = State::open(&whole, &description(8)).unwrap();
        (0..9).for_each(|window| state.insert(7, window, record(window as f64)).unwrap());
        drop(state);
        let whole = std::fs::read(whole).unwrap();
        for point in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state");
            let full = FullDisk::after(folder.path(), (whole.len() * point / 20) as u64);
            let mut kept = 0;
            let end = State::open(&path, &description(8)).and_then(|mut state| {
                (0..9).try_for_each(|window| {
                    state.insert(7, window, record(window as f64))?;
                    kept += 1;
                    Ok(())
                })
            });
            let message = end.unwrap_err().to_string();
            assert!(message.contains("state: cannot write"), "{message}");
            drop(full);
            let mut state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), kept, "point {point}");
            for window in kept..9 {
                state.insert(7, window, record(window as f64)).unwrap();
            }
            drop(state);
            assert!(std::fs::read(&path).unwrap() == whole, "point {point}");
        }
    }

    #[test]
    fn results_of_another_run_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        drop(State::open(&path, &description(8)).unwrap());
        let message = State::open(&path, &description(16))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("n_ctx is 8, this run's is 16"),
            "{message}"
        );
        let held = State::open(&path, &description(8)).unwrap();
        let busy = State::open(&path, &description(8)).unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }), "{busy}");
        drop(held);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            // Its own header may be torn, by its length or by zeros; another run's may not.
            let mut zeros = bytes.clone();
            zeros[cut..].fill(0);
            for torn in [&bytes[..cut], &zeros] {
                std::fs::write(&path, torn).unwrap();
                drop(State::open(&path, &description(8)).unwrap());
                assert!(std::fs::read(&path).unwrap() == bytes, "cut at {cut}");
            }
            let mut other = bytes[..cut].to_vec();
            other.push(b'~');
            std::fs::write(&path, &other).unwrap();
            let error = State::open(&path, &description(8)).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{error}");
        }
        std::fs::write(&path, b"precious text").unwrap();
        assert!(State::open(&path, &description(8)).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious text");
    }
}
