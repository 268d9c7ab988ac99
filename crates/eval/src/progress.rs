//! What a long evaluation tells its caller.

use crate::stats::Estimate;
use std::path::Path;

/// Receives events, in order, from the calling thread.
pub trait Progress {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// What an earlier run left is of no use.
    StartedOver {
        /// The file.
        path: &'a Path,
        /// Why, in words.
        why: &'a str,
    },
    /// What is kept is of other models or questions, or of these files before they changed.
    NothingKnown {
        /// The file.
        path: &'a Path,
    },
    /// A model is being read, to tell results of it from those of others. The first of each has no
    /// bytes yet.
    Reading {
        /// Its name.
        name: &'a str,
        /// Bytes read so far.
        bytes: u64,
        /// Bytes of its file, or of all its shards.
        of: u64,
    },
    /// The run's size is known.
    Started {
        /// Windows to compute, all models together; or questions.
        total: usize,
        /// How many of them are there already, from an interrupted run.
        known: usize,
    },
    /// A model is next.
    Model {
        /// Its name.
        name: &'a str,
    },
    /// Some windows, or questions, are done.
    Advanced {
        /// How many.
        count: usize,
        /// The figure so far.
        running: Running,
    },
}

/// A figure that is still moving.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Running {
    /// Perplexity.
    Perplexity(Estimate),
    /// Mean KL divergence, in nats.
    Divergence(Estimate),
    /// Share of right answers.
    Accuracy(Estimate),
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: Event<'_>) {}
}
