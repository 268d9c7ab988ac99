//! A bound on the memory of work that cannot bound itself.
//!
//! A chat template is a program from outside. The engine counts its steps and what they make, but
//! one step is not counted: the sum of two lists whose items are sums of lists, and so on, is made
//! at once however long it is. So the process watches itself while a template runs.

use crate::output::say;
use std::process::exit;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How far resident memory may grow while a template runs.
const MAX_GROWTH: u64 = 48 << 20;
const INTERVAL: Duration = Duration::from_millis(2);
/// As for every refusal.
const EXIT_CODE: i32 = 2;

/// Runs `work`, the rendering of a template of `file`. If it takes too much memory, the process
/// ends with a message: there is no other way to stop it. Only Linux tells how much is taken.
pub fn template<T>(file: impl std::fmt::Display + Sync, work: impl FnOnce() -> T) -> T {
    let Some(before) = resident_bytes() else {
        return work();
    };
    let (done, is_done) = channel::<()>();
    thread::scope(|scope| {
        let file = &file;
        scope.spawn(move || {
            while is_done.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let bytes = resident_bytes().unwrap_or(0);
                if bytes > before.saturating_add(MAX_GROWTH) {
                    say(format_args!(
                        "error: {file}: chat template: it takes more than {MAX_GROWTH} bytes of \
                         memory"
                    ));
                    exit(EXIT_CODE);
                }
            }
        });
        let out = work();
        drop(done);
        out
    })
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
