//! A disk that fills up: what the code under test asks before it writes, in its own tests.
//!
//! Code that promises something about full disks passes the size of each write through [`fits`]
//! where it is compiled for tests, writes that much and fails; a test says with [`FullDisk`] when.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Folders and the bytes that can still be written there.
static FULL: Mutex<Vec<(PathBuf, u64)>> = Mutex::new(Vec::new());

fn full() -> MutexGuard<'static, Vec<(PathBuf, u64)>> {
    FULL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, a folder, or a file, takes only so many bytes.
pub struct FullDisk(PathBuf);

impl FullDisk {
    /// Writes at and under `path` fail once they have `room` bytes together.
    pub fn after(path: &Path, room: u64) -> Self {
        full().push((path.into(), room));
        Self(path.into())
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        full().retain(|(path, _)| *path != self.0);
    }
}

/// How many of `bytes` bytes a write to `path` may still write: all of them where nothing is full.
/// They count as written.
pub fn fits(path: &Path, bytes: usize) -> usize {
    let mut all = full();
    let Some((_, room)) = all.iter_mut().find(|(folder, _)| path.starts_with(folder)) else {
        return bytes;
    };
    let fits = usize::try_from(*room).map_or(bytes, |room| room.min(bytes));
    *room -= fits as u64;
    fits
}
