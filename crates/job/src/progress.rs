//! How a long job says what it does, and how it is asked to end.
//!
//! Libraries call; only the command line draws.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Takes the events of a job, from any thread and often: it should return at once.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// Ignores all events.
impl Progress for () {
    fn event(&self, _: Event<'_>) {}
}

impl<F: Fn(Event<'_>) + Sync> Progress for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

/// Something that happened.
///
/// Work is counted in units that the job chooses: bytes of the source, bytes to transfer, windows of a
/// text, questions. Parts of it have names: a file that is made or moved, a model that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An earlier run left a part of a file, which was checked and stays.
    Resumed {
        /// The file.
        path: &'a Path,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes of the whole file.
        of: u64,
    },
    /// What an earlier run left is of no use.
    StartedOver {
        /// The unfinished file, or the log.
        path: &'a Path,
        /// Why, in words.
        why: &'a str,
    },
    /// A log has results, and none of them is of this job.
    NothingKnown {
        /// The log.
        path: &'a Path,
    },
    /// A file is being read before the work begins. The first of each has no bytes yet.
    Reading {
        /// The file or model.
        name: &'a str,
        /// Bytes read since the last such event.
        bytes: u64,
        /// Bytes of all of it.
        of: u64,
    },
    /// The size of the work is known, and it begins.
    Started {
        /// All of it.
        total: u64,
        /// How much an earlier run did.
        known: u64,
    },
    /// The rest of the work turned out to be more or less than was said.
    Expected {
        /// How much is still to be done.
        rest: u64,
    },
    /// A part of the work begins.
    Next {
        /// Which.
        name: &'a str,
        /// How much it is.
        total: u64,
        /// How much of it an earlier run did.
        known: u64,
    },
    /// Some work is done.
    Advanced {
        /// Of which part.
        name: &'a str,
        /// How much.
        count: u64,
        /// What a measurement gives so far.
        figure: Option<Figure>,
    },
    /// Work that was reported as done has to be done again.
    Lost {
        /// Of which part.
        name: &'a str,
        /// How much.
        count: u64,
        /// Why, in words.
        why: &'a str,
    },
    /// A part is complete; if it is a file, it has its name.
    Done {
        /// Which.
        name: &'a str,
    },
    /// A part was complete before, and nothing is done.
    Present {
        /// Which.
        name: &'a str,
    },
    /// Another process is at this part; it is waited for.
    Waiting {
        /// Which.
        name: &'a str,
    },
    /// Something failed and is tried again.
    Retrying {
        /// What was tried.
        name: &'a str,
        /// What failed.
        why: &'a str,
        /// How long it waits first.
        wait: Duration,
    },
    /// The job ends early, and leaves unfinished files from which another run can continue.
    Kept {
        /// The folder of the first of them.
        folder: &'a Path,
        /// How many.
        files: usize,
        /// Bytes that need not be made again.
        bytes: u64,
    },
}

/// A figure that is still moving, with its standard error if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Figure {
    /// Perplexity.
    Perplexity(f64, f64),
    /// Mean KL divergence, in nats.
    Divergence(f64, f64),
    /// Share of right answers, from 0 to 1.
    Accuracy(f64, f64),
    /// Tokens a second; it has no standard error.
    Rate(f64),
}

/// A flag that asks a job to end: it looks at it between pieces of work and answers with an error.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// A flag that is not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks the job to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the job was asked to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
