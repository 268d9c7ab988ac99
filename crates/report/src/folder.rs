//! The GGUF files of a folder, and their digests.

use crate::{Collection, Error, HeaderFacts, Part};
use aeolus_gguf::GgufFile;
use aeolus_source::hex;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The files of a model, opened.
#[derive(Debug)]
pub struct Opened {
    /// What they are.
    pub collection: Collection,
    /// The paths of each file's parts, in the order of the collection.
    pub paths: Vec<Vec<PathBuf>>,
}

/// Opens all GGUF files of folders, and files named one by one. Only headers are read; a split
/// file counts as one. Of a folder with models, files that hold none (an importance matrix, a projector) are
/// left out.
///
/// # Errors
/// [`Error::NoFiles`] for a folder without any, [`Error::Gguf`] for a file that is not GGUF,
/// [`Error::TwoModels`] if they are not quantizations of one model.
pub fn open(paths: &[PathBuf]) -> Result<Opened, Error> {
    // A split file is opened whole, whichever of its parts is named.
    let mut files: Vec<(GgufFile, Vec<PathBuf>)> = Vec::new();
    let open = |name: PathBuf, into: &mut Vec<(GgufFile, Vec<PathBuf>)>| {
        if !into.iter().any(|(_, parts)| parts.contains(&name)) {
            let file = GgufFile::open(&name)?;
            let parts = file.maps().iter().map(|m| m.path().to_path_buf()).collect();
            into.push((file, parts));
        }
        Ok::<(), Error>(())
    };
    for path in paths {
        if !path.is_dir() {
            open(path.clone(), &mut files)?;
            continue;
        }
        let mut listed = Vec::new();
        let found = aeolus_gguf::files_in(path).map_err(Error::io("read", path))?;
        if found.is_empty() {
            return Err(Error::NoFiles { path: path.clone() });
        }
        for name in found {
            open(name, &mut listed)?;
        }
        if listed.iter().any(|(file, _)| is_model(file)) {
            listed.retain(|(file, _)| is_model(file));
        }
        files.extend(listed);
    }
    if files.is_empty() {
        return Err(Error::NoFiles {
            path: paths.first().cloned().unwrap_or_default(),
        });
    }
    let headers: Vec<(Vec<Part>, HeaderFacts<'_>)> = files
        .iter()
        .map(|(file, _)| (parts(file), header(file)))
        .collect();
    let collection = Collection::from_headers(&headers)?;
    let paths = collection
        .files
        .iter()
        .map(|file| {
            headers
                .iter()
                .zip(&files)
                .find(|((parts, _), _)| *parts == file.parts)
                .map(|(_, (_, paths))| paths.clone())
                .unwrap_or_default()
        })
        .collect();
    Ok(Opened { collection, paths })
}

fn is_model(file: &GgufFile) -> bool {
    aeolus_gguf::not_a_model(file.metadata(), !file.tensors().is_empty()).is_none()
}

fn header(file: &GgufFile) -> HeaderFacts<'_> {
    HeaderFacts {
        version: file.header().version,
        endian: file.header().endian,
        metadata: file.metadata(),
        tensors: file.tensors(),
        bytes: file.file_bytes(),
    }
}

fn parts(file: &GgufFile) -> Vec<Part> {
    let part = |map: &std::sync::Arc<aeolus_source::Map>| Part {
        name: file_name(map.path()),
        bytes: map.len() as u64,
        sha256: None,
    };
    file.maps().iter().map(part).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Opened {
    /// Fills in the digest of every part, for which all files are read, in parallel.
    ///
    /// # Errors
    /// [`Error::Source`] if a file cannot be read.
    pub fn add_digests(&mut self) -> Result<(), Error> {
        let digests: Vec<Vec<String>> = self
            .paths
            .par_iter()
            .map(|parts| parts.par_iter().map(|path| sha256(path)).collect())
            .collect::<Result<_, _>>()?;
        for (file, digests) in self.collection.files.iter_mut().zip(digests) {
            for (part, digest) in file.parts.iter_mut().zip(digests) {
                part.sha256 = Some(digest);
            }
        }
        Ok(())
    }
}

fn sha256(path: &Path) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    aeolus_source::read_pieces(path, |piece| {
        hasher.update(piece);
        Ok::<(), Error>(())
    })?;
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let message = open(&[dir.path().to_path_buf()]).unwrap_err().to_string();
        assert!(message.contains("no .gguf file"), "{message}");
    }
}
