//! How a long job tells what it does, and how it is told to stop.
//!
//! Libraries call; only the command line draws.

use std::sync::atomic::{AtomicBool, Ordering};

/// Receives what happens, from any thread, often: it must not block.
pub trait Progress: Sync {
    /// One thing that happened.
    fn event(&self, event: Event<'_>);
}

/// What happens in a run, in this order: for each output perhaps `Resumed` or `StartedOver`, one
/// `Started`, any number of `Advanced`, one `FileDone` for each output. A run that ends early may
/// end with `Kept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An earlier run left a part of an output, which was checked and stays.
    Resumed {
        /// The output.
        path: &'a std::path::Path,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes of the whole output.
        of: u64,
    },
    /// An earlier run left a part of an output, which is of no use.
    StartedOver {
        /// The unfinished file.
        path: &'a std::path::Path,
        /// Why, in words.
        why: &'a str,
    },
    /// The run ends early, and leaves unfinished outputs from which another one can go on.
    Kept {
        /// The folder of the first of them.
        folder: &'a std::path::Path,
        /// How many.
        files: usize,
        /// Bytes that need not be made again.
        bytes: u64,
    },
    /// Everything is planned and checked; bytes begin to move.
    Started {
        /// Bytes of the source that will be read.
        source_bytes: u64,
        /// Bytes that will be written, all outputs together.
        output_bytes: u64,
    },
    /// A work block is done.
    Advanced {
        /// Bytes of the source it read.
        source_bytes: u64,
        /// Bytes it wrote, all outputs together.
        output_bytes: u64,
    },
    /// An output is complete and has its final name.
    FileDone {
        /// The file.
        path: &'a std::path::Path,
        /// Its size.
        bytes: u64,
    },
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: Event<'_>) {}
}

/// A flag that ends a job early: workers look at it between tiles of some ten thousand weights.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// A flag that is not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks the job to end; it answers with [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once [`set`](Self::set) was called.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
