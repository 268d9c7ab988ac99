//! What lies between the layers, in a temporary file: as many numbers as the text has tokens times the
//! hidden size, in each of some slots.

use super::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Numbers in slots of one length.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    folder: PathBuf,
    slot: usize,
}

impl Store {
    /// An empty one, in a file without a name in a folder: it is gone with the process.
    pub(super) fn new(folder: &Path, slot: usize) -> Result<Self> {
        let folder = folder.to_owned();
        match tempfile::tempfile_in(&folder) {
            Ok(file) => Ok(Self { file, folder, slot }),
            Err(source) => Err(Error::Store { folder, source }),
        }
    }

    fn at<T>(
        &mut self,
        slot: usize,
        first: usize,
        work: impl FnOnce(&mut File) -> std::io::Result<T>,
    ) -> Result<T> {
        let offset = (slot as u64 * self.slot as u64 + first as u64) * size_of::<f32>() as u64;
        let found = self.file.seek(SeekFrom::Start(offset));
        found
            .and_then(|_| work(&mut self.file))
            .map_err(|source| Error::Store {
                folder: self.folder.clone(),
                source,
            })
    }

    /// Numbers of a slot from `first` on, which were written before.
    pub(super) fn read(&mut self, slot: usize, first: usize, count: usize) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; count];
        let bytes = bytemuck::cast_slice_mut(&mut numbers);
        self.at(slot, first, |file| file.read_exact(bytes))?;
        Ok(numbers)
    }

    /// Puts numbers there.
    pub(super) fn write(&mut self, slot: usize, first: usize, numbers: &[f32]) -> Result<()> {
        self.at(slot, first, |file| {
            file.write_all(bytemuck::cast_slice(numbers))
        })
    }
}
