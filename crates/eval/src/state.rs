//! Results of single windows, in memory and, if asked for, in a file that outlives the run.
//!
//! A result never depends on other windows, so an interrupted run continues where it was, a longer
//! run (`--chunks`) takes over what a shorter one computed, and a run with more files computes
//! only theirs. Sums are added in the order of the windows whatever the order they came in: a
//! resumed run gives the same bits as one that was not interrupted.
//!
//! The file is a [log](aeolus_job::Log), whose identity is text, cut, base, numeric mode and the
//! program's version. A record has the key of the model in hex, the window, the sums, and, behind a
//! semicolon, a value for each scored position, for quantiles:
//!
//! ```text
//! 00c0ffee00c0ffee 3 255.0 704.25 2371.5; 0.125 3e-7
//! ```
//!
//! Numbers have as many digits as it takes to read the same bits again. Records are synced every 2
//! seconds, so a power failure costs no more than that.

use crate::Error;
use aeolus_job::{Event, Found, Identity, Log, Progress};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The name of the program's version in an identity.
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

/// The results known so far.
#[derive(Debug, Default)]
pub struct State {
    records: BTreeMap<(u64, u32), Record>,
    log: Option<(Log, Instant)>,
    /// Why results that were there are gone, until it is told.
    started_over: Option<String>,
    /// Whether the file had results, until an evaluation has told of them.
    had_some: bool,
}

impl State {
    /// Results that end with the run.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Results in a file, which is made or taken over. Those of another version of this program,
    /// which may have computed otherwise, are not: the file is begun again, and the evaluation says
    /// so.
    ///
    /// # Errors
    /// [`Error::OtherRun`] if the file's results are of another text or base, [`Error::Format`]
    /// if it is something else, [`Error::Job`].
    pub fn open(path: &Path, identity: &Identity) -> Result<Self, Error> {
        let mut identity = identity.clone();
        // Compared last: if this differs, nothing else does.
        identity.push(PROGRAM, env!("CARGO_PKG_VERSION"));
        // The user may have linked to it.
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        let (mut log, found) = Log::open(&path, &identity, parse)?;
        let mut started_over = None;
        let records = match found {
            Found::Records(records) => records,
            Found::Nothing => Vec::new(),
            Found::Other(difference) if difference.name == PROGRAM => {
                started_over = Some(difference.to_string());
                Vec::new()
            }
            Found::Other(difference) => {
                let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".into());
                return Err(Error::OtherRun {
                    path,
                    field: difference.name,
                    found: known(difference.found),
                    expected: known(difference.own),
                });
            }
            Found::Foreign(problem) => {
                return Err(Error::Format {
                    what: "saved state of an evaluation",
                    path,
                    problem,
                });
            }
        };
        log.resume(records.len())?;
        Ok(Self {
            had_some: !records.is_empty(),
            records: records.into_iter().collect(),
            log: Some((log, Instant::now())),
            started_over,
        })
    }

    /// Whether results outlive the run.
    pub fn is_kept(&self) -> bool {
        self.log.is_some()
    }

    /// Says once if what an earlier run left is of no use: another version wrote it, or `known`, the
    /// number of results that all evaluations to come find in it, is 0.
    /// [`perplexity`](crate::perplexity()) and [`compare`](crate::compare()) call it; whoever runs
    /// [`Round`](crate::tasks::Round)s does so before the first.
    pub fn tell(&mut self, progress: &dyn Progress, known: usize) {
        let Some((log, _)) = &self.log else {
            return;
        };
        let path = log.path();
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
        if let Some((log, synced)) = &mut self.log {
            log.append(&text(key, window, &record))?;
            if synced.elapsed() >= SYNC_PAUSE {
                log.sync()?;
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
            Err(aeolus_job::Error::NotAFile { path: path.into() }.into())
        }
        _ => Ok(()),
    }
}

fn text(key: u64, window: u32, record: &Record) -> String {
    let mut text = format!("{key:016x} {window}");
    // The shortest digits that give the same bits.
    for sum in &record.sums {
        let _ = write!(text, " {sum:?}");
    }
    text.push(';');
    for value in &record.values {
        let _ = write!(text, " {value:?}");
    }
    text
}

fn parse(text: &str) -> Option<((u64, u32), Record)> {
    let (sums, values) = text.split_once(';')?;
    let mut sums = sums.split(' ');
    let key = u64::from_str_radix(sums.next()?, 16).ok()?;
    let window = sums.next()?.parse().ok()?;
    let sums = sums.map(str::parse).collect::<Result<_, _>>().ok()?;
    let values = values.split_ascii_whitespace().map(str::parse);
    let values = values.collect::<Result<_, _>>().ok()?;
    Some(((key, window), Record { sums, values }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_job::full_disk::FullDisk;
    use std::sync::Mutex;

    fn description(n_ctx: u32) -> Identity {
        Identity::new([("text", "abc".to_owned()), ("n_ctx", n_ctx.to_string())])
    }

    fn record(x: f64) -> Record {
        Record {
            sums: vec![x, 1.0 / 3.0, f64::MIN_POSITIVE, -0.0, f64::MAX],
            values: vec![0.1, x as f32, f32::INFINITY, 1e-45],
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
        let told = Mutex::new(Vec::new());
        let tell = |event: Event<'_>| told.lock().unwrap().push(format!("{event:?}"));
        let said = || std::mem::take(&mut *told.lock().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        for version in [None, Some("0.0.1")] {
            let mut other = description(8);
            if let Some(version) = version {
                other.push(PROGRAM, version);
            }
            let _ = std::fs::remove_file(&path);
            let (mut log, _) = Log::open(&path, &other, parse).unwrap();
            log.resume(0).unwrap();
            log.append(&text(7, 0, &record(0.0))).unwrap();
            drop(log);
            // Of another text, too: somebody's, refused.
            State::open(&path, &description(9)).unwrap_err();
            let mut state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), 0);
            state.tell(&tell, 0);
            state.tell(&tell, 0);
            let told = said();
            assert_eq!(told.len(), 1, "{told:?}");
            let why = format!("its program was {}", version.unwrap_or("none"));
            assert!(told[0].contains(&why), "{told:?}");
            state.insert(7, 1, record(1.0)).unwrap();
            drop(state);
            let mut state = State::open(&path, &description(8)).unwrap();
            assert_eq!(state.known(7, 9), 1);
            state.tell(&tell, 1);
            assert_eq!(said(), [""; 0]);
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
        assert!(
            matches!(busy, Error::Job(aeolus_job::Error::Busy { .. })),
            "{busy}"
        );
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
