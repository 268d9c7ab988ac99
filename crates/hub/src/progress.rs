//! How a long job tells what it is doing.

use std::time::Duration;

/// Something that happened during a fetch or a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// What lies ahead, said once before the first byte.
    Total {
        /// Files to transfer.
        files: usize,
        /// Bytes still to transfer: what an earlier run finished is not counted.
        bytes: u64,
    },
    /// A file begins.
    Started {
        /// Path in the repository.
        path: &'a str,
        /// Its size.
        bytes: u64,
        /// How much of it an earlier run has left.
        already: u64,
    },
    /// Bytes of a file moved.
    Bytes {
        /// Path in the repository.
        path: &'a str,
        /// How many since the last such event.
        bytes: u64,
    },
    /// Bytes that were reported as moved have to be moved again.
    Lost {
        /// Path in the repository.
        path: &'a str,
        /// How many.
        bytes: u64,
        /// The reason.
        why: &'a str,
    },
    /// A file is complete and checked.
    Finished {
        /// Path in the repository.
        path: &'a str,
    },
    /// A file is there already and was not transferred.
    Present {
        /// Path in the repository.
        path: &'a str,
    },
    /// Another process fetches this file now; it is waited for.
    Waiting {
        /// Path in the repository.
        path: &'a str,
    },
    /// Something failed and is tried again.
    Retrying {
        /// Path in the repository, or what was asked for.
        path: &'a str,
        /// What failed.
        why: &'a str,
        /// How long it waits first.
        wait: Duration,
    },
    /// Bytes of a local file were hashed, before publishing.
    Hashed {
        /// Path in the repository.
        path: &'a str,
        /// How many since the last such event.
        bytes: u64,
    },
}

/// Takes the events of a job. It is called from several threads, between two reads of a socket:
/// it should return at once.
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
