//! A whole file as bytes, without copying it.

use crate::{Error, FileId};
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A regular file mapped read-only.
///
/// Opening costs the same for any size: pages are read when they are touched. Share one by
/// `Arc`. See the crate's page for what happens when the file changes meanwhile.
#[derive(Debug)]
pub struct Map {
    path: PathBuf,
    file: File,
    /// Gone before the map is: its addresses may then be another's.
    #[cfg(unix)]
    _entry: crate::lost::Entry,
    map: memmap2::Mmap,
    modified: Option<SystemTime>,
    id: Option<FileId>,
}

impl Map {
    /// Maps the whole file. An empty file gives an empty map.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened or mapped, [`Error::NotAFile`] for a folder, pipe
    /// or device.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // Looked at before it is opened: opening a pipe without a writer would wait for ever.
        let meta = std::fs::metadata(path).map_err(Error::io("open", path))?;
        if !meta.is_file() {
            return Err(Error::NotAFile { path: path.into() });
        }
        let file = File::open(path).map_err(Error::io("open", path))?;
        let meta = file.metadata().map_err(Error::io("read", path))?;
        // SAFETY: the map is read-only and private to this process. That another process may
        // change the file is documented on the crate's page; every reader of the bytes treats
        // them as untrusted and takes no reference into them as anything but `u8`.
        #[allow(unsafe_code, reason = "mapping a file has no safe form")]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("map", path))?;
        Ok(Self {
            path: path.into(),
            modified: meta.modified().ok(),
            id: FileId::of(&meta),
            #[cfg(unix)]
            _entry: crate::lost::Entry::new(map.as_ptr() as usize, map.len(), path),
            file,
            map,
        })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is, whatever names it has; `None` where the system cannot tell.
    pub fn id(&self) -> Option<FileId> {
        self.id
    }

    /// When the file was last written to, as of opening; `None` where the system cannot tell.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Tells the kernel that this range (bytes of the file) is needed soon, so that the disk
    /// works while the processor does. Advice only: failure changes nothing but speed.
    pub fn will_need(&self, range: Range<usize>) {
        #[cfg(unix)]
        self.advise(memmap2::Advice::WillNeed, range);
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Tells the kernel that the file is read once, front to back.
    pub fn sequential(&self, range: Range<usize>) {
        #[cfg(unix)]
        self.advise(memmap2::Advice::Sequential, range);
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Tells the kernel that this range will not be needed again: its whole pages leave this
    /// process (the file's cache may keep them). Reading it later brings them back.
    pub fn drop_pages(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            const PAGE: usize = 4096;
            let (start, end) = (
                range.start.next_multiple_of(PAGE),
                range.end.min(self.map.len()) / PAGE * PAGE,
            );
            if start < end {
                // SAFETY: the map is of a file and read-only, so dropped pages are read from
                // the file again; no byte that anyone holds a reference to changes value.
                #[allow(unsafe_code, reason = "this advice is unchecked in memmap2")]
                let _ = unsafe {
                    self.map.unchecked_advise_range(
                        memmap2::UncheckedAdvice::DontNeed,
                        start,
                        end - start,
                    )
                };
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Checks that the file has the size and the modification time it had when it was opened.
    ///
    /// # Errors
    /// [`Error::Changed`] if either differs, [`Error::Io`] if the system does not answer.
    pub fn verify_unchanged(&self) -> Result<(), Error> {
        let meta = self
            .file
            .metadata()
            .map_err(Error::io("read", &self.path))?;
        let what = if meta.len() != self.map.len() as u64 {
            format!("it had {} bytes, now {}", self.map.len(), meta.len())
        } else if meta.modified().ok() != self.modified {
            "its modification time differs".into()
        } else {
            return Ok(());
        };
        Err(Error::Changed {
            path: self.path.clone(),
            what,
        })
    }

    #[cfg(unix)]
    fn advise(&self, advice: memmap2::Advice, range: Range<usize>) {
        let end = range.end.min(self.map.len());
        if range.start < end {
            let _ = self
                .map
                .advise_range(advice, range.start, end - range.start);
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_never_changes_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let map = Map::open(&path).unwrap();
        map.sequential(0..bytes.len());
        map.will_need(5..100_000);
        map.drop_pages(1..15_000);
        map.drop_pages(15_000..100_000);
        assert_eq!(map.bytes(), bytes);
        map.verify_unchanged().unwrap();
    }

    #[test]
    fn empty_files_map_and_folders_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        std::fs::write(&path, []).unwrap();
        assert!(Map::open(&path).unwrap().is_empty());
        assert!(matches!(Map::open(dir.path()), Err(Error::NotAFile { .. })));
        #[cfg(unix)]
        {
            let pipe = dir.path().join("pipe");
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap();
            assert!(matches!(Map::open(&pipe), Err(Error::NotAFile { .. })));
        }
        let missing = Map::open(&dir.path().join("missing")).unwrap_err();
        assert!(missing.to_string().contains("missing"), "{missing}");
    }

    #[test]
    fn a_grown_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [1]).unwrap();
        let map = Map::open(&path).unwrap();
        std::fs::write(&path, [1, 2]).unwrap();
        let error = map.verify_unchanged().unwrap_err().to_string();
        assert!(error.contains("1 bytes, now 2"), "{error}");
    }
}
