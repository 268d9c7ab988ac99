//! A disk that fills up: what the code under test asks before it writes, in its own tests.
//!
//! Code that promises something about full disks asks [`torn`] before each write where it is compiled
//! for tests, writes what fits, as a disk does, and fails; a test says with [`FullDisk`] when.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Folders and files, and the bytes that can still be written there.
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

/// What of `bytes` still fits where a write to `path` does not fit as a whole; `None` where it does.
/// What fits counts as written.
pub fn torn<'a>(path: &Path, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut all = full();
    let (_, room) = all.iter_mut().find(|(full, _)| path.starts_with(full))?;
    let fits = usize::try_from(*room).map_or(bytes.len(), |room| room.min(bytes.len()));
    *room -= fits as u64;
    (fits < bytes.len()).then(|| &bytes[..fits])
}
