//! Writing to the files that outlive a run; in tests, onto a disk that fills up.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes all of `bytes` at the file's position. The path is for tests.
pub(crate) fn write_all(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    let bytes = match full::room(path, bytes.len()) {
        Some(room) => {
            // As a disk does: what fits is written.
            file.write_all(&bytes[..room])?;
            return match room == bytes.len() {
                true => Ok(()),
                false => Err(io::ErrorKind::StorageFull.into()),
            };
        }
        None => bytes,
    };
    let _ = path;
    file.write_all(bytes)
}

#[cfg(test)]
pub(crate) mod full {
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Folders and the bytes that can still be written there.
    static FULL: Mutex<Vec<(PathBuf, usize)>> = Mutex::new(Vec::new());

    fn full() -> MutexGuard<'static, Vec<(PathBuf, usize)>> {
        FULL.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While it lives, writes into a folder fail once they have `room` bytes together.
    pub(crate) struct Full(PathBuf);

    impl Full {
        pub fn after(folder: &Path, room: usize) -> Self {
            full().push((folder.into(), room));
            Self(folder.into())
        }
    }

    impl Drop for Full {
        fn drop(&mut self) {
            full().retain(|(folder, _)| *folder != self.0);
        }
    }

    /// How many of so many bytes fit; `None` where nothing is full.
    pub fn room(path: &Path, bytes: usize) -> Option<usize> {
        let mut all = full();
        let (_, room) = all
            .iter_mut()
            .find(|(folder, _)| path.starts_with(folder))?;
        let fits = bytes.min(*room);
        *room -= fits;
        Some(fits)
    }
}
