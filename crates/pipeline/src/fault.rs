//! A disk that fills up, for tests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Folders and the bytes that can still be written there.
static FULL: Mutex<Vec<(PathBuf, u64)>> = Mutex::new(Vec::new());

fn full() -> MutexGuard<'static, Vec<(PathBuf, u64)>> {
    FULL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on and while it lives, writes into a folder fail once they have `room` bytes together.
pub(crate) struct Full(PathBuf);

impl Full {
    pub fn after(folder: &Path, room: u64) -> Self {
        full().push((folder.into(), room));
        Self(folder.into())
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        full().retain(|(folder, _)| *folder != self.0);
    }
}

/// Counts a write of so many bytes to a file.
pub(crate) fn strike(path: &Path, bytes: usize) -> io::Result<()> {
    let mut all = full();
    let found = all.iter_mut().find(|(folder, _)| path.starts_with(folder));
    let Some((_, room)) = found else {
        return Ok(());
    };
    match room.checked_sub(bytes as u64) {
        Some(left) => {
            *room = left;
            Ok(())
        }
        None => Err(io::ErrorKind::StorageFull.into()),
    }
}
