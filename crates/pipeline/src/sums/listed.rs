//! Files against the lists beside them.
//!
//! A list may be a stranger's: one that leads out of its folder, or contradicts itself, is refused.

use super::{SUMS, Sums};
use crate::Error;
use aeolus_job::{Cancel, folder_of};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// A file and what its list says of it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// Its digest by the list; `None` if it is not listed.
    pub listed: Option<String>,
    /// Its digest; `None` before [`hash`](Self::hash), and for a file that is missing or not listed.
    pub found: Option<String>,
}

impl Listed {
    /// What to check: of folders, the files in their lists and the GGUF files that these lack; else the
    /// files themselves, each by the list beside it. Nothing is read but lists.
    ///
    /// # Errors
    /// [`Error::List`] where there is no list, one lists nothing, or one cannot be followed; those of
    /// [`Sums::read`].
    pub fn collect(paths: &[PathBuf]) -> Result<Vec<Self>, Error> {
        let mut files: Vec<Self> = Vec::new();
        let mut seen: HashSet<PathBuf> = HashSet::new();
        let mut add = |path: PathBuf, listed: Option<&str>| {
            if seen.insert(path.clone()) {
                files.push(Self {
                    path,
                    listed: listed.map(str::to_owned),
                    found: None,
                });
            }
        };
        for path in paths {
            if path.is_dir() {
                let sums = list_of(path)?;
                let named = sums.iter();
                named.for_each(|sum| add(path.join(&sum.name), Some(&sum.sha256)));
                // A folder without GGUF files is not a mistake: the list says what has to be there.
                let found = aeolus_gguf::files_in(path).unwrap_or_default();
                found.into_iter().for_each(|file| add(file, None));
            } else {
                let (folder, name) = split(path)?;
                add(path.clone(), list_of(folder)?.get(name));
            }
        }
        match (files.is_empty(), paths) {
            (true, [path, ..]) => Err(list_error(path, "lists nothing")),
            _ => Ok(files),
        }
    }

    /// One file by the list beside it, hashed; `None` if there is no list, or it is not listed there.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect) and [`hash`](Self::hash).
    pub fn open(path: &Path, cancel: &Cancel) -> Result<Option<Self>, Error> {
        let (folder, name) = split(path)?;
        let Some(sums) = checked(folder)? else {
            return Ok(None);
        };
        let Some(listed) = sums.get(name) else {
            return Ok(None);
        };
        let mut file = Self {
            path: path.into(),
            listed: Some(listed.to_owned()),
            found: None,
        };
        file.hash(&|_| (), cancel)?;
        Ok(Some(file))
    }

    /// Bytes that [`hash`](Self::hash) reads.
    pub fn bytes(&self) -> u64 {
        let listed = self.listed.is_some();
        let meta = self.path.metadata().ok().filter(|meta| meta.is_file());
        meta.filter(|_| listed).map_or(0, |meta| meta.len())
    }

    /// Takes the digest of a listed file that is there. `done` is told the bytes as they are read.
    ///
    /// # Errors
    /// [`Error::Source`], [`Error::Cancelled`].
    pub fn hash(&mut self, done: &dyn Fn(u64), cancel: &Cancel) -> Result<(), Error> {
        if self.listed.is_none() || !self.path.is_file() {
            return Ok(());
        }
        self.found = Some(sha256(&self.path, done, cancel)?);
        Ok(())
    }

    /// What is wrong with a file that was hashed, if anything is.
    pub fn problem(&self) -> Option<String> {
        match (&self.listed, &self.found) {
            (None, _) => Some(format!("is not in {SUMS}")),
            (Some(_), None) => Some(format!("is in {SUMS}, and missing")),
            (Some(listed), Some(found)) if listed != found => {
                Some(format!("has the sha256 {found}, {SUMS} has {listed}"))
            }
            _ => None,
        }
    }
}

/// The digest of a file, in hex. `done` is told the bytes as they are read.
///
/// # Errors
/// [`Error::Source`], [`Error::Cancelled`].
pub fn sha256(path: &Path, done: &dyn Fn(u64), cancel: &Cancel) -> Result<String, Error> {
    let mut hash = Sha256::new();
    aeolus_source::read_pieces(path, |piece| {
        if cancel.is_set() {
            return Err(Error::Cancelled);
        }
        hash.update(piece);
        done(piece.len() as u64);
        Ok(())
    })?;
    Ok(aeolus_source::hex(&hash.finalize()))
}

/// Refuses files beside which there is a list that cannot be followed. Nothing is hashed.
///
/// # Errors
/// [`Error::List`]; those of [`Sums::read`].
pub fn check_lists(files: &[PathBuf]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for file in files {
        let (folder, _) = split(file)?;
        if seen.insert(folder) {
            checked(folder)?;
        }
    }
    Ok(())
}

fn list_of(folder: &Path) -> Result<Sums, Error> {
    checked(folder)?.ok_or_else(|| Error::List {
        path: folder.into(),
        problem: format!("has no {SUMS}; with --against SOURCE every byte is recomputed"),
    })
}

/// A folder's list, if it has one that can be followed.
fn checked(folder: &Path) -> Result<Option<Sums>, Error> {
    let Some(sums) = Sums::read(folder)? else {
        return Ok(None);
    };
    // By path, as they are looked for: `a//b` and `a/./b` are one file.
    let mut digests: HashMap<PathBuf, &str> = HashMap::new();
    for sum in sums.iter() {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(&sum.name).components().all(inside) {
            let problem = format!(
                "names {:?}, which is not in its folder; such lists are not followed",
                sum.name
            );
            return Err(list_error(folder, &problem));
        }
        let before = digests.insert(folder.join(&sum.name), &sum.sha256);
        if before.is_some_and(|before| before != sum.sha256) {
            let problem = format!("names {:?} twice, with different digests", sum.name);
            return Err(list_error(folder, &problem));
        }
    }
    drop(digests);
    Ok(Some(sums))
}

fn list_error(folder: &Path, problem: &str) -> Error {
    Error::List {
        path: folder.join(SUMS),
        problem: problem.into(),
    }
}

/// A file's folder, and its name there.
fn split(path: &Path) -> Result<(&Path, &str), Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::List {
        path: path.into(),
        problem: "is not the name of a file".into(),
    })?;
    Ok((folder_of(path), name))
}
