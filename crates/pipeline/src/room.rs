//! Names and room: what can be refused before anything is written.

use crate::journal::journal_path;
use crate::partial::{self, partial_path};
use crate::{Error, Output};
use std::path::{Path, PathBuf};

/// Makes an output's folder, and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|error| match folder.metadata() {
        Ok(meta) if !meta.is_dir() => Error::NotAFolder {
            path: folder.into(),
        },
        _ => Error::write(folder, error),
    })
}

/// The lists of digests that the outputs are added to at the end can be read now, and added to.
pub(crate) fn check_lists(paths: &[&PathBuf]) -> Result<(), Error> {
    let mut folders: Vec<(&Path, Vec<&str>)> = Vec::new();
    for path in paths {
        // Others are not listed.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let folder = partial::folder_of(path);
        match folders.iter_mut().find(|(f, _)| *f == folder) {
            Some((_, names)) => names.push(name),
            None => folders.push((folder, vec![name])),
        }
    }
    for (folder, names) in folders {
        aeolus_source::Sums::check(folder, &names)?;
    }
    Ok(())
}

/// The folder itself or the first above it that exists: where its bytes will go.
fn existing(folder: &Path) -> Result<&Path, Error> {
    let found = folder
        .ancestors()
        .map(|f| {
            if f.as_os_str().is_empty() {
                Path::new(".")
            } else {
                f
            }
        })
        .find(|f| f.exists())
        .unwrap_or(folder);
    match found.is_dir() {
        true => Ok(found),
        false => Err(Error::NotAFolder { path: found.into() }),
    }
}

/// Names free and distinct, room on every disk.
pub(crate) fn check_targets(
    paths: &[&PathBuf],
    plans: &[Output],
    force: bool,
) -> Result<(), Error> {
    let mut folders: Vec<(&Path, u64, u64)> = Vec::new();
    for (i, (path, output)) in paths.iter().zip(plans).enumerate() {
        if let Err(error) = partial::check_target(path, force) {
            // One that a journal belongs to may be this run's own, named before it was killed.
            if !matches!(error, Error::TargetExists { .. }) || !is_file(&journal_of(path)) {
                sweep(paths);
                return Err(error);
            }
        }
        if paths[..i].contains(path) {
            return Err(Error::DuplicateTarget {
                path: path.to_path_buf(),
            });
        }
        let folder = existing(partial::folder_of(path))?;
        let bytes = output.layout().file_bytes();
        match folders.iter_mut().find(|(f, _, _)| *f == folder) {
            Some((_, needed, _)) => *needed += bytes,
            None => folders.push((folder, bytes, 0)),
        }
        if let Some((_, _, leftover)) = folders.iter_mut().find(|(f, _, _)| *f == folder) {
            *leftover += reusable(path, bytes);
        }
    }
    for (folder, needed, leftover) in folders {
        // What an earlier run left is gone on with or started over: its room is there.
        let available = aeolus_source::available_bytes(folder)?.saturating_add(leftover);
        if available < needed {
            return Err(Error::NoSpace {
                folder: folder.into(),
                needed,
                available,
            });
        }
    }
    Ok(())
}

/// Bytes on disk that an output of so many bytes can do with again: an unfinished one is gone on
/// with or started over in its place, a finished one of a run that ended while it named others is
/// there already. A file that is only to be replaced (`force`) keeps its room until the very end.
fn reusable(path: &Path, bytes: u64) -> u64 {
    let partial = partial_path(path);
    let is_whole = |path: &Path| path.metadata().is_ok_and(|meta| meta.len() == bytes);
    if is_file(&journal_of(path)) && !partial.exists() && is_file(path) && is_whole(path) {
        return allocated(path);
    }
    allocated(&partial)
}

/// Bytes on disk of a regular file; 0 if there is none.
fn allocated(path: &Path) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        path.symlink_metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map_or(0, |meta| meta.blocks() * 512)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        0
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn journal_of(path: &Path) -> PathBuf {
    journal_path(&partial_path(path))
}

/// A run that is killed after its very last step, while it removes its journals, leaves some. Where
/// all outputs have their names, one is without a journal and none is partial, that is what happened.
fn sweep(paths: &[&PathBuf]) {
    let through = |path: &&PathBuf| is_file(path) && !partial_path(path).exists();
    if paths.iter().all(through) {
        for path in paths {
            let _ = std::fs::remove_file(journal_of(path));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_to_be_replaced_makes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let bytes = 1 << 20;
        let file = vec![7; bytes as usize];
        assert_eq!(reusable(&path, bytes), 0);
        std::fs::write(&path, &file).unwrap();
        assert_eq!(reusable(&path, bytes), 0, "replaced at the end");
        std::fs::write(journal_of(&path), "").unwrap();
        assert!(reusable(&path, bytes) >= bytes, "named before");
        assert_eq!(reusable(&path, bytes + 1), 0, "of another plan");
        std::fs::write(partial_path(&path), &file[..300_000]).unwrap();
        let partial = reusable(&path, bytes);
        assert!((300_000..bytes).contains(&partial), "{partial}");
    }
}
