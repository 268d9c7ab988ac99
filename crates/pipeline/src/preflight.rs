//! Names and disk space: what can be refused before anything is written.

use crate::{Error, Output, Sums};
use aeolus_job::{Names, folder_of};
use std::path::{Path, PathBuf};

/// Makes an output's folder, and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|error| match folder.metadata() {
        Ok(meta) if !meta.is_dir() => Error::NotAFolder {
            path: folder.into(),
        },
        _ => Error::Job(aeolus_job::Error::Io {
            action: "write",
            path: folder.into(),
            error,
        }),
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
        let folder = folder_of(path);
        match folders.iter_mut().find(|(f, _)| *f == folder) {
            Some((_, names)) => names.push(name),
            None => folders.push((folder, vec![name])),
        }
    }
    for (folder, names) in folders {
        Sums::check(folder, &names)?;
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

/// Refuses a target that exists (unless `force`) or is a folder.
pub(crate) fn check_target(path: &Path, force: bool) -> Result<(), Error> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Err(Error::TargetIsFolder { path: path.into() }),
        Ok(_) if !force => Err(Error::TargetExists { path: path.into() }),
        _ => Ok(()),
    }
}

/// Names free and distinct, space on every disk.
pub(crate) fn check_targets(
    paths: &[&PathBuf],
    plans: &[Output],
    force: bool,
) -> Result<(), Error> {
    let mut folders: Vec<(&Path, u64, u64)> = Vec::new();
    for (i, (path, output)) in paths.iter().zip(plans).enumerate() {
        if let Err(error) = check_target(path, force) {
            // One that a journal belongs to may be this run's own, named before it was killed.
            if !matches!(error, Error::TargetExists { .. }) || !is_file(&Names::of(path).log) {
                sweep(paths);
                return Err(error);
            }
        }
        if paths[..i].contains(path) {
            return Err(Error::DuplicateTarget {
                path: path.to_path_buf(),
            });
        }
        let folder = existing(folder_of(path))?;
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
    let names = Names::of(path);
    let is_whole = path.metadata().is_ok_and(|meta| meta.len() == bytes);
    match names.is_named_and_logged() && is_whole {
        true => allocated(path),
        false => allocated(&names.partial),
    }
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

/// A run that is killed after its very last step, while it removes its journals, leaves some. Where
/// all outputs have their names, one is without a journal and none is partial, that is what happened.
fn sweep(paths: &[&PathBuf]) {
    let through = |path: &&PathBuf| is_file(path) && !Names::of(path).partial.exists();
    if paths.iter().all(through) {
        paths.iter().for_each(|path| Names::of(path).forget());
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
        std::fs::write(Names::of(&path).log, "").unwrap();
        assert!(reusable(&path, bytes) >= bytes, "named before");
        assert_eq!(reusable(&path, bytes + 1), 0, "of another plan");
        std::fs::write(Names::of(&path).partial, &file[..300_000]).unwrap();
        let partial = reusable(&path, bytes);
        assert!((300_000..bytes).contains(&partial), "{partial}");
    }
}
