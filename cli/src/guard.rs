//! A bound on the memory and the time of work that cannot bound itself.
//!
//! A chat template is a program from outside. The engine counts its steps and what they make, but
//! two things come at once, however long they are: the sum of two lists whose items are sums of
//! lists, and so on; and the text, or the comparison, of a list that holds one list many times. So
//! the process watches itself while a template runs.

use crate::output::say;
use aeolus_infer::chat::{MAX_GROWTH, MAX_TIME};
use std::process::exit;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(2);
/// As for every refusal.
const EXIT_CODE: i32 = 2;

/// Runs `work`, the rendering of a template of `file`. If it takes too much memory or time, the
/// process ends with a message: there is no other way to stop it. Only Linux tells how much memory
/// is taken.
pub fn template<T>(file: impl std::fmt::Display + Sync, work: impl FnOnce() -> T) -> T {
    let before = resident_bytes();
    let (done, is_done) = channel::<()>();
    thread::scope(|scope| {
        let file = &file;
        scope.spawn(move || {
            // Time is counted in intervals: a clock would go on while the process is stopped.
            let mut watched = Duration::ZERO;
            while is_done.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                watched += INTERVAL;
                let growth = resident_bytes().zip(before);
                if growth.is_some_and(|(now, before)| now > before.saturating_add(MAX_GROWTH)) {
                    refuse(file, format_args!("more than {MAX_GROWTH} bytes of memory"));
                }
                if watched > MAX_TIME {
                    refuse(file, format_args!("more than {} s", MAX_TIME.as_secs()));
                }
            }
        });
        let out = work();
        drop(done);
        out
    })
}

fn refuse(file: impl std::fmt::Display, taken: std::fmt::Arguments<'_>) -> ! {
    say(format_args!(
        "error: {file}: chat template: it takes {taken}"
    ));
    exit(EXIT_CODE)
}

/// Resident memory of this process.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_within_its_bounds_is_done() {
        assert_eq!(template("a.gguf", || 7), 7);
        if cfg!(target_os = "linux") {
            assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 16));
        }
    }
}
