//! The local files of a publication: found, measured, hashed.

use super::{How, PlannedFile};
use crate::cache::relative;
use crate::checksum::Hasher;
use crate::{Error, Event, Progress, Selection, name};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The files of a folder that are wanted: path in the repository and on this disk, in the order of
/// the former.
pub(super) fn collect(folder: &Path, wanted: &Selection) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files = Vec::new();
    walk(folder, folder, &mut files)?;
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    if let Some(idle) = wanted.idle(&paths) {
        let (repo, what) = (folder.display().to_string(), idle.to_owned());
        return Err(Error::NothingMatched {
            repo,
            what,
            files: files.len(),
        });
    }
    files.retain(|(path, _)| wanted.wants(path));
    files.sort();
    match files.is_empty() {
        true => Err(Error::NothingToPublish {
            folder: folder.to_path_buf(),
        }),
        false => Ok(files),
    }
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let local = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let Some(path) = relative(root, &local) else {
            return Err(Error::LocalName {
                path: local,
                why: "its name is not UTF-8, which names in a repository are",
            });
        };
        if hidden || path.ends_with(".partial") || path.ends_with(".partial.journal") {
            continue;
        }
        // Linked files are published, as the files of a cache snapshot are; linked folders not.
        if entry
            .file_type()
            .map_err(Error::io("read", &local))?
            .is_dir()
        {
            walk(root, &local, files)?;
        } else if fs::metadata(&local)
            .map_err(Error::io("read", &local))?
            .is_file()
        {
            if let Some(why) = name::path_fault(&path) {
                return Err(Error::LocalName { path: local, why });
            }
            files.push((path, local));
        }
    }
    Ok(())
}

/// A file with its size and hashes.
pub(super) fn examine(
    path: String,
    local: PathBuf,
    progress: &dyn Progress,
) -> Result<PlannedFile, Error> {
    let bytes = fs::metadata(&local).map_err(Error::io("measure", &local))?;
    let bytes = bytes.len();
    let how = How::foreseen(&path, bytes);
    let told = |read| {
        progress.event(Event::Reading {
            name: &path,
            bytes: read,
            of: bytes,
        });
    };
    told(0);
    let mut sha256 = Hasher::sha256();
    let mut git = Hasher::git(bytes);
    let small = how == How::Inline;
    let mut read = 0;
    aeolus_source::read_pieces(&local, |piece| {
        sha256.update(piece);
        if small {
            git.update(piece);
        }
        read += piece.len() as u64;
        told(piece.len() as u64);
        Ok::<(), Error>(())
    })?;
    if read != bytes {
        return Err(Error::LocalChanged { path: local });
    }
    let blob = small.then(|| git.finish());
    Ok(PlannedFile {
        path,
        bytes,
        sha256: sha256.finish(),
        how,
        local,
        blob,
    })
}

/// The content of a small file, if it is still the one that was planned.
pub(super) fn content(file: &PlannedFile) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(&file.local).map_err(Error::io("read", &file.local))?;
    let mut hasher = Hasher::sha256();
    hasher.update(&bytes);
    match hasher.finish() == file.sha256 {
        true => Ok(bytes),
        false => Err(Error::LocalChanged {
            path: file.local.clone(),
        }),
    }
}

/// The first bytes of a file, from which the Hub tells text from binary.
pub(super) fn sample(file: &PlannedFile) -> Result<Vec<u8>, Error> {
    let mut sample = Vec::new();
    let opened = File::open(&file.local).map_err(Error::io("open", &file.local))?;
    opened
        .take(512)
        .read_to_end(&mut sample)
        .map_err(Error::io("read", &file.local))?;
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_unfinished_files_stay_here() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for path in [
            "b.gguf",
            "a/README.md",
            ".git/config",
            ".x",
            "c.partial",
            "c.partial.journal",
        ] {
            write(path);
        }
        let names = |wanted| {
            let files = collect(dir.path(), &wanted)?;
            Ok::<_, Error>(files.into_iter().map(|(path, _)| path).collect::<Vec<_>>())
        };
        assert_eq!(
            names(Selection::patterns(&[], &[]).unwrap()).unwrap(),
            ["a/README.md", "b.gguf"]
        );
        assert_eq!(
            names(Selection::patterns(&["*.gguf"], &[]).unwrap()).unwrap(),
            ["b.gguf"]
        );
        let idle = names(Selection::patterns(&["*.gguf", "*.txt"], &[]).unwrap()).unwrap_err();
        assert!(
            idle.to_string()
                .contains("*.txt matches none of its 2 files"),
            "{idle}"
        );
        let none = names(Selection::patterns(&[], &["*"]).unwrap());
        assert!(matches!(none, Err(Error::NothingToPublish { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_no_repository_has_are_ours_to_mend() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a\nb.gguf"), "x").unwrap();
        let error = collect(dir.path(), &Selection::patterns(&[], &[]).unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("cannot be published") && text.contains("control character"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn a_file_that_changed_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let local = dir.path().join("a.md");
        fs::write(&local, "hello\n").unwrap();
        let file = examine("a.md".to_owned(), local.clone(), &()).unwrap();
        assert_eq!(
            file.blob.as_deref(),
            Some("ce013625030ba8dba906f756967f9e9ca394464a")
        );
        assert_eq!(content(&file).unwrap(), b"hello\n");
        fs::write(&local, "hallo\n").unwrap();
        assert!(matches!(content(&file), Err(Error::LocalChanged { .. })));
    }
}
