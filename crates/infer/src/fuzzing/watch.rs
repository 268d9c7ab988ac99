//! An end for templates that take too much, as the program makes one.
//!
//! What the engine cannot bound (see [`crate::chat`]) ends the program while it watches itself; so
//! does a fuzz target, or no run of it would come to an end. It says so before, for `xtask fuzz`.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

// Both limits are wider than the program's: what the engine's budget allows is to be run to its end
// here, with all checks on, so that only what it cannot bound is ended.
/// How far memory may grow, in bytes.
const MAX_GROWTH: u64 = 512 << 20;
/// Processor time that a template may take; `xtask fuzz` calls three seconds a finding.
const MAX_TIME: Duration = Duration::from_millis(2500);
const INTERVAL: Duration = Duration::from_millis(10);

/// Templates begun and ended: odd while one runs.
static BEGUN_AND_ENDED: AtomicU64 = AtomicU64::new(0);

/// Runs `work`, the rendering of a template. Where [`start`] was called, the process ends if it
/// takes too much.
pub(super) fn watched<T>(work: impl FnOnce() -> T) -> T {
    BEGUN_AND_ENDED.fetch_add(1, Ordering::Relaxed);
    let out = work();
    BEGUN_AND_ENDED.fetch_add(1, Ordering::Relaxed);
    out
}

/// Begins to watch. For a process that renders one template at a time.
pub fn start() {
    thread::spawn(|| {
        let (mut seen, mut since, mut before) = (0, Duration::ZERO, 0);
        loop {
            thread::sleep(INTERVAL);
            let now = BEGUN_AND_ENDED.load(Ordering::Relaxed);
            if now.is_multiple_of(2) || now != seen {
                (seen, since, before) = (now, processor_time(), resident_bytes());
            } else if processor_time() - since > MAX_TIME
                || resident_bytes() > before.saturating_add(MAX_GROWTH)
            {
                eprintln!("ended by its watch");
                // Not an exit: at this signal libFuzzer keeps the input and says how far it came.
                std::process::abort();
            }
        }
    });
}

/// Processor time of the process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory of the process; 0 where it is not told.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
