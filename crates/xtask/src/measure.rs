//! Runs a program and takes its time and memory.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Wall time.
    pub time: Duration,
    /// The most anonymous memory seen, in bytes: what no file backs. Sampled every 10 ms, in the
    /// first half second every millisecond.
    pub anonymous: u64,
    /// The most resident memory, mapped files included, in bytes.
    pub resident: u64,
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot start or does not succeed.
pub fn run(command: &mut Command) -> Result<Cost> {
    let name = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let status_file = PathBuf::from(format!("/proc/{}/status", child.id()));
    let (mut anonymous, mut resident) = (0, 0);
    let status = loop {
        if let Ok(text) = std::fs::read_to_string(&status_file) {
            anonymous = anonymous.max(field(&text, "RssAnon:"));
            resident = resident.max(field(&text, "VmHWM:"));
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let is_young = started.elapsed() < Duration::from_millis(500);
        std::thread::sleep(Duration::from_millis(if is_young { 1 } else { 10 }));
    };
    let time = started.elapsed();
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(Cost {
        time,
        anonymous,
        resident,
    })
}

/// A field of /proc/PID/status, given there in kB.
fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|l| {
            l.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0)
        * 1024
}

/// The run in the middle by time; of an even number the later one.
pub fn median(mut costs: Vec<Cost>) -> Option<Cost> {
    costs.sort_by_key(|c| c.time);
    let most = |f: fn(&Cost) -> u64| costs.iter().map(f).max();
    Some(Cost {
        time: costs.get(costs.len() / 2)?.time,
        anonymous: most(|c| c.anonymous)?,
        resident: most(|c| c.resident)?,
    })
}

/// A program of the user's PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Writes dirty pages out and forgets clean ones, so that the next read comes from the disk.
/// Needs root; false if it did not work.
pub fn drop_caches() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|s| s.success());
    synced && std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Bytes per second of copying a file within a folder.
///
/// # Errors
/// If the file cannot be copied.
pub fn copy_rate(file: &Path, folder: &Path) -> Result<f64> {
    let copy = folder.join("copy");
    let bytes = std::fs::metadata(file)?.len();
    let started = Instant::now();
    std::fs::copy(file, &copy)?;
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_file(copy)?;
    Ok(bytes as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(millis: u64, anonymous: u64) -> Cost {
        Cost {
            time: Duration::from_millis(millis),
            anonymous,
            resident: 1,
        }
    }

    #[test]
    fn the_median_keeps_the_peak_of_memory() {
        let middle = median(vec![cost(3, 7), cost(1, 9), cost(2, 5)]).unwrap();
        assert_eq!((middle.time.as_millis(), middle.anonymous), (2, 9));
        assert!(median(vec![]).is_none());
    }

    #[test]
    fn a_failing_program_is_an_error() {
        assert!(run(&mut Command::new("false")).is_err());
        let cost = run(Command::new("sleep").arg("0.05")).unwrap();
        assert!(cost.time >= Duration::from_millis(50));
        assert!(cost.resident > 0);
    }
}
