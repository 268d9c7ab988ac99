//! The threads that fetch: each takes a piece of some file, and asks until it has it.

use super::claim::Claim;
use super::download::{Download, Job, Opened};
use crate::http::{Failure, Response};
use crate::{Error, Event, Hub, Progress, RepoRef};
use aeolus_job::Cancel;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a file that another process fetches is looked at.
const BUSY_POLL: Duration = Duration::from_millis(100);
/// How often an idle thread looks for work.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// Fetches all jobs, or stops at the first error.
pub(super) fn run(
    hub: &Hub,
    repo: &RepoRef,
    commit: &str,
    jobs: Vec<Job>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let queue = Queue {
        pending: jobs.into_iter().map(Box::new).collect(),
        ongoing: Vec::new(),
        opening: 0,
    };
    let crew = Crew {
        hub,
        repo,
        commit,
        progress,
        id: repo.id(),
        queue: Mutex::new(queue),
        stop: Cancel::new(),
        error: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..hub.settings().network.connections.max(1) {
            scope.spawn(|| {
                if let Err(error) = crew.work() {
                    crew.stop.set();
                    // The first error is the cause; those of others who stop are not.
                    let mut first = crew.error.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(error);
                }
            });
        }
    });
    match crew
        .error
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Crew<'a> {
    hub: &'a Hub,
    repo: &'a RepoRef,
    commit: &'a str,
    progress: &'a dyn Progress,
    id: String,
    queue: Mutex<Queue>,
    stop: Cancel,
    error: Mutex<Option<Error>>,
}

struct Queue {
    pending: VecDeque<Box<Job>>,
    ongoing: Vec<Ongoing>,
    /// Jobs that some thread is opening right now.
    opening: usize,
}

struct Ongoing {
    download: Arc<Download>,
    unclaimed: VecDeque<Range<u64>>,
}

enum Task {
    Piece(Arc<Download>, Range<u64>),
    Open(Box<Job>),
    Idle,
    Nothing,
}

impl Queue {
    fn next(&mut self) -> Task {
        self.ongoing.retain(|o| !o.unclaimed.is_empty());
        if let Some(ongoing) = self.ongoing.first_mut()
            && let Some(piece) = ongoing.unclaimed.pop_front()
        {
            return Task::Piece(Arc::clone(&ongoing.download), piece);
        }
        match self.pending.pop_front() {
            Some(job) => {
                self.opening += 1;
                Task::Open(job)
            }
            None if self.opening > 0 => Task::Idle,
            None => Task::Nothing,
        }
    }

    /// All pieces of a download that nobody has begun.
    fn take_rest(&mut self, download: &Arc<Download>) -> VecDeque<Range<u64>> {
        let ongoing = self
            .ongoing
            .iter_mut()
            .find(|o| Arc::ptr_eq(&o.download, download));
        ongoing
            .map(|o| std::mem::take(&mut o.unclaimed))
            .unwrap_or_default()
    }
}

impl Crew<'_> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> Result<(), Error> {
        while !self.stop.is_set() {
            let task = self.queue().next();
            match task {
                Task::Piece(download, piece) => self.pieces(&download, piece)?,
                Task::Open(job) => self.open(job)?,
                Task::Idle => std::thread::sleep(IDLE_POLL),
                Task::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    fn open(&self, job: Box<Job>) -> Result<(), Error> {
        let range_bytes = self.hub.settings().network.range_bytes;
        let opened = Download::open(job, self.commit, range_bytes);
        let mut busy = false;
        {
            let mut queue = self.queue();
            queue.opening -= 1;
            match opened? {
                Opened::Finished(job) => self.progress.event(Event::Present { name: &job.path }),
                Opened::Busy(mut job) => {
                    if !job.waited {
                        self.progress.event(Event::Waiting { name: &job.path });
                    }
                    job.waited = true;
                    busy = true;
                    queue.pending.push_back(job);
                }
                Opened::Ready(download, pieces) => {
                    let (job, already) = (&download.job, download.already);
                    self.progress.event(Event::Next {
                        name: &job.path,
                        total: job.bytes,
                        known: already,
                    });
                    if !pieces.is_empty() {
                        let unclaimed = pieces.into();
                        queue.ongoing.push(Ongoing {
                            download,
                            unclaimed,
                        });
                    } else {
                        drop(queue);
                        return self.finish(&download);
                    }
                }
            }
        }
        if busy {
            std::thread::sleep(BUSY_POLL);
        }
        Ok(())
    }

    /// Fetches a piece, and those that come along if the server sends whole files only.
    fn pieces(&self, download: &Arc<Download>, piece: Range<u64>) -> Result<(), Error> {
        let mut claim = Claim::new(piece);
        let path = Some(download.job.path.as_str());
        let about = self.hub.about(&self.id, self.repo.revision(), path);
        let attempts = self.hub.http().attempts().until(&self.stop);
        attempts.run(about, self.progress, |attempts| {
            while !claim.pieces.is_empty() && !self.stop.is_set() {
                claim.moved = false;
                let pulled = self.pull(download, &mut claim);
                // Whatever happened, what was written counts.
                let saved = claim.save(download);
                if claim.moved {
                    attempts.progress();
                }
                // On a full disk neither the file nor its journal can be written: the file is named.
                pulled?;
                saved.map_err(Failure::Local)?;
            }
            Ok(())
        })
    }

    /// One request, for the first piece of the claim.
    fn pull(&self, download: &Arc<Download>, claim: &mut Claim) -> Result<(), Failure> {
        let Some(piece) = claim.pieces.front().cloned() else {
            return Ok(());
        };
        let home = self
            .hub
            .resolve_url(self.repo, self.commit, &download.job.path);
        let mut response = download
            .shortcut
            .ask(self.hub.http(), home, piece.clone())?;
        response.check_file(&download.job.path, download.job.bytes)?;
        let mut at = self.first_byte(download, &piece, &response)?;
        if response.status() == 200 {
            // The server knows no ranges. We take what nobody has begun; others finish theirs.
            claim.pieces.append(&mut self.queue().take_rest(download));
        }
        while let Some(chunk) = response.chunk()? {
            let (took, finished) = claim.take(download, at, &chunk).map_err(Failure::Local)?;
            at += chunk.len() as u64;
            if took > 0 {
                self.progress.event(Event::Advanced {
                    name: &download.job.path,
                    count: took,
                    figure: None,
                });
            }
            if finished {
                self.finish(download).map_err(Failure::Local)?;
            }
            let satisfied = response.status() == 206 && at >= piece.end;
            if satisfied || claim.pieces.is_empty() || self.stop.is_set() {
                return Ok(());
            }
        }
        // The body ended where its head said it would, and it is not enough.
        match claim.moved {
            true => Ok(()),
            false => Err(Failure::Short {
                path: download.job.path.clone(),
                expected: download.job.bytes,
                found: at,
            }),
        }
    }

    /// The offset in the file of the first byte of an answer to a range request.
    fn first_byte(
        &self,
        download: &Download,
        piece: &Range<u64>,
        response: &Response<'_>,
    ) -> Result<u64, Failure> {
        let (path, expected) = (download.job.path.clone(), download.job.bytes);
        match response.status().as_u16() {
            206 => {
                let text = response.header("content-range").unwrap_or("not there");
                match content_range(text) {
                    Some((_, Some(found))) if found != expected => {
                        Err(Failure::Local(Error::WrongLength {
                            path,
                            expected,
                            found,
                        }))
                    }
                    Some((first, _)) if first == piece.start => Ok(first),
                    _ => {
                        let asked =
                            format!("{}-{}/{expected}", piece.start, piece.end.saturating_sub(1));
                        Err(response.bad(format!(
                            "Content-Range is {text:?} where bytes {asked} was asked for"
                        )))
                    }
                }
            }
            200 => Ok(0),
            status => Err(response.bad(format!("status {status} to a range request"))),
        }
    }

    fn finish(&self, download: &Download) -> Result<(), Error> {
        match download.finish(self.commit) {
            Ok(()) => {
                self.progress.event(Event::Done {
                    name: &download.job.path,
                });
                Ok(())
            }
            Err(error @ Error::WrongChecksum { .. }) => match download.again() {
                None => Err(error),
                Some(job) => {
                    let (name, count) = (&job.path, job.bytes);
                    let why = "the bytes of an earlier run were damaged";
                    self.progress.event(Event::Lost { name, count, why });
                    self.queue().pending.push_back(job);
                    Ok(())
                }
            },
            Err(error) => Err(error),
        }
    }
}

/// First offset and total of `bytes FIRST-LAST/TOTAL`; the total may be unknown.
pub(crate) fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total = if total == "*" {
        None
    } else {
        Some(total.parse().ok()?)
    };
    (first <= last).then_some((first, total))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 3-9/10"), Some((3, Some(10))));
        assert_eq!(content_range("bytes 3-9/*"), Some((3, None)));
        for bad in [
            "",
            "bytes */10",
            "bytes 9-3/10",
            "bytes 3-9",
            "items 3-9/10",
            "bytes 3-x/10",
            "bytes -9/10",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
