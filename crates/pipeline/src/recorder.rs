//! Records progress beside the run: syncs outputs and appends to their logs, on a thread of its
//! own.

use crate::Error;
use crate::output_file::OutputFile;
use crate::tail::Tail;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Time between two records; the first ones come sooner, so that short runs have some, too.
const PAUSE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    over: Mutex<bool>,
    ended: Condvar,
}

impl Recorder {
    /// Records until [`end`](Self::end). `verify` says whether the source is still what it was
    /// when it was opened.
    ///
    /// # Errors
    /// [`Error::Job`]: the run should end then, for bytes may have been lost; and those of
    /// `verify`.
    pub fn run(
        &self,
        files: &[OutputFile<'_>],
        tail: &Tail,
        verify: impl Fn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        while !self.wait(pause) {
            // In this order: these bytes were made before the source is looked at, so no record
            // is of blocks that were read after it changed. A later look might see it put back.
            let prefixes = tail.prefixes();
            verify()?;
            for (file, prefix) in files.iter().zip(prefixes) {
                file.record(&prefix)?;
                if self.is_over() {
                    break;
                }
            }
            pause = (2 * pause).min(PAUSE);
        }
        Ok(())
    }

    /// Nothing is left to record.
    pub fn end(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.notify_all();
    }

    fn is_over(&self) -> bool {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it ended within `pause`.
    fn wait(&self, pause: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(over, pause, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
