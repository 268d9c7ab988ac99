//! Ctrl-C: the first asks the job to end and to clean up, the second ends the program. Jobs that
//! may end anywhere end with the first.

use aeolus_job::Cancel;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Exit code of an interrupted run, as shells have it for SIGINT.
pub const EXIT_CODE: u8 = 130;

static CANCEL: Cancel = Cancel::new();

/// What Ctrl-C means at the moment: one of the constants below.
static MEANING: AtomicU8 = AtomicU8::new(END);
const END: u8 = 0;
const CANCEL_JOB: u8 = 1;
const STOP_ANSWER: u8 = 2;
const CANCEL_WINDOWS: u8 = 3;

/// The last thing to do before the program ends in the middle of a job that may end anywhere.
static FAREWELL: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

fn farewell() -> MutexGuard<'static, Option<Box<dyn FnOnce() + Send>>> {
    FAREWELL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C has a meaning of ours.
fn listen() -> Result<()> {
    static LISTENING: AtomicBool = AtomicBool::new(false);
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(pressed).context("cannot listen for Ctrl-C")
}

fn pressed() {
    if let Some(farewell) = farewell().take() {
        farewell();
        end();
    }
    match MEANING.load(Ordering::SeqCst) {
        CANCEL_JOB if !CANCEL.is_set() => CANCEL.set(),
        CANCEL_WINDOWS if !CANCEL.is_set() => {
            CANCEL.set();
            crate::output::say("finishing what is being computed; Ctrl-C again ends at once");
        }
        STOP_ANSWER if ANSWERING.stop() => {}
        _ => end(),
    }
}

fn end() -> ! {
    std::process::exit(EXIT_CODE.into())
}

/// While it lives, Ctrl-C ends the program at once.
#[cfg(feature = "hub")]
pub struct Ending(());

/// For jobs that may end anywhere: Ctrl-C does `last` and ends the program, whatever else it
/// means outside of the job.
#[cfg(feature = "hub")]
pub fn end_on_ctrl_c(last: impl FnOnce() + Send + 'static) -> Result<Ending> {
    *farewell() = Some(Box::new(last));
    listen().map(|()| Ending(()))
}

#[cfg(feature = "hub")]
impl Drop for Ending {
    fn drop(&mut self) {
        *farewell() = None;
    }
}

/// The flag that Ctrl-C sets, for jobs that clean up. From now on the first Ctrl-C no longer
/// ends the program.
pub fn cancel_on_ctrl_c() -> Result<&'static Cancel> {
    MEANING.store(CANCEL_JOB, Ordering::SeqCst);
    listen()?;
    Ok(&CANCEL)
}

/// The same for evaluations: they end between windows of a text, which takes a moment with a
/// small model and a minute with a large one. Says so.
pub fn cancel_windows_on_ctrl_c() -> Result<&'static Cancel> {
    MEANING.store(CANCEL_WINDOWS, Ordering::SeqCst);
    listen()?;
    Ok(&CANCEL)
}

/// Tells whether an answer is being given, and whether Ctrl-C asked it to end.
pub struct Answering {
    active: AtomicBool,
    stopped: AtomicBool,
}

static ANSWERING: Answering = Answering {
    active: AtomicBool::new(false),
    stopped: AtomicBool::new(false),
};

impl Answering {
    /// An answer begins: from now on Ctrl-C stops it.
    pub fn begin(&self) {
        self.stopped.store(false, Ordering::Relaxed);
        self.active.store(true, Ordering::Relaxed);
    }

    /// The answer is over: Ctrl-C ends the program again.
    pub fn end(&self) {
        self.active.store(false, Ordering::Relaxed);
    }

    /// Ctrl-C was pressed. Whether that was all: an answer was given and now ends.
    fn stop(&self) -> bool {
        self.active.load(Ordering::Relaxed) && !self.stopped.swap(true, Ordering::Relaxed)
    }

    /// True once Ctrl-C was pressed during the answer.
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// For conversations: Ctrl-C ends an answer; outside of one, or pressed twice, the program.
pub fn stop_answers_on_ctrl_c() -> Result<&'static Answering> {
    MEANING.store(STOP_ANSWER, Ordering::SeqCst);
    listen()?;
    Ok(&ANSWERING)
}

/// True if the error is a job's answer to Ctrl-C.
pub fn was_cancelled(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<aeolus_pipeline::Error>(),
        Some(aeolus_pipeline::Error::Cancelled)
    ) || matches!(
        error.downcast_ref::<aeolus_eval::Error>(),
        Some(aeolus_eval::Error::Cancelled)
    )
}
