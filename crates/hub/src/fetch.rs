//! Files of a revision, brought to this disk.
//!
//! What is missing is split into ranges that a few connections fetch at once, into a partial file
//! beside its destination. A journal notes which bytes are there, so that whatever ends the
//! process, the next run asks for the rest only. The hash follows the bytes while they are still in
//! memory; a file gets its name when it is whole and its hash is the Hub's.

mod claim;
mod download;
mod intervals;
mod workers;

use crate::cache::{RepoCache, inside};
use crate::checksum::Checksum;
use crate::listing::{Entry, Listing};
use crate::{Error, Event, Hub, Progress, RepoRef, Selection};
use aeolus_job::PartialFile;
use download::{Job, Names};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
pub(crate) use workers::content_range;

/// Room that is left on the disk besides the files, in bytes.
const SPACE_MARGIN: u64 = 1 << 20;

/// Where fetched files go.
#[derive(Clone, Debug)]
pub enum Target {
    /// The cache that is shared with the Python client.
    Cache,
    /// A folder, as plain files.
    Folder {
        /// It is made if it does not exist.
        path: PathBuf,
        /// Whether files that differ from the Hub's are replaced; otherwise they are an error.
        overwrite: bool,
    },
}

/// What a fetch brought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// What was meant by the reference; see [`Hub::settle`].
    pub repo: RepoRef,
    /// The file or folder that the reference names, on this disk.
    pub place: PathBuf,
    /// The commit.
    pub commit: String,
    /// The selected files, in the order of their paths.
    pub files: Vec<FetchedFile>,
}

/// One fetched file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedFile {
    /// Path in the repository.
    pub path: String,
    /// Path on this disk.
    pub place: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether it was there already, or in the cache.
    pub present: bool,
}

impl Hub {
    /// Fetches the selected files of a revision.
    ///
    /// Files that are there are not asked for again, and those of the cache are copied to a folder
    /// of the user's own. Offline, all of them must be there or in the cache.
    ///
    /// # Errors
    /// What [`Hub::list`] and [`Selection::choose`] refuse; [`Error::NoSpace`] before the first
    /// byte; [`Error::WrongChecksum`] and [`Error::WrongLength`] for damaged files, which are not
    /// kept; [`Error::Exists`]; network and disk errors, after which the finished bytes are kept
    /// for the next run.
    pub fn fetch(
        &self,
        repo: &RepoRef,
        selection: &Selection,
        target: &Target,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        let (repo, listing) = self.settle_with(repo, progress)?;
        let repo = &repo;
        let paths = selection.choose(repo, &listing)?;
        let cache = self.cache(repo);
        let (folder, mut plan) = match target {
            Target::Cache => {
                if !self.settings().offline {
                    cache.keep_ref(repo.revision(), &listing.commit)?;
                    cache.keep_tree(&listing)?;
                }
                (
                    cache.snapshot(&listing.commit),
                    self.plan_cache(repo, &cache, &listing, &paths)?,
                )
            }
            Target::Folder { path, overwrite } => (
                path.clone(),
                self.plan_folder(repo, &cache, (path, *overwrite), &listing, &paths)?,
            ),
        };
        for file in plan.files.iter().filter(|f| f.present) {
            progress.event(Event::Present { name: &file.path });
        }
        let missing = plan.jobs.iter().map(Job::missing_bytes);
        let missing = missing.sum::<Result<u64, Error>>()?;
        if !plan.jobs.is_empty() || !plan.copies.is_empty() {
            let copied: u64 = plan.copies.iter().map(|copy| copy.bytes).sum();
            self.check_space(&folder, &plan, missing + copied)?;
            plan.copies.iter().try_for_each(Copy::run)?;
        }
        if !plan.jobs.is_empty() {
            progress.event(Event::Started {
                total: missing,
                known: 0,
            });
            let jobs = std::mem::take(&mut plan.jobs);
            workers::run(self, repo, &listing.commit, jobs, progress)?;
        }
        let place = repo.path().map_or(folder.clone(), |path| folder.join(path));
        Ok(Fetched {
            repo: repo.clone(),
            place,
            commit: listing.commit,
            files: plan.files,
        })
    }

    fn plan_cache(
        &self,
        repo: &RepoRef,
        cache: &RepoCache,
        listing: &Listing,
        paths: &[String],
    ) -> Result<Work, Error> {
        let mut work = Work::default();
        // Two paths may name the same bytes: one download, two links.
        let mut by_etag: HashMap<String, usize> = HashMap::new();
        for path in paths {
            let entry = &listing.files[path];
            let place = cache.snapshot(&listing.commit).join(path);
            if cache.file(&listing.commit, path, entry.bytes).is_some() {
                work.file(path, place, entry, true);
                continue;
            }
            self.http()
                .check_online(&format!("{}: {path}", repo.id()))?;
            // The names that the Hub gives as ETags: sha256 of a large file, git's hash of another.
            let check = checksum(entry);
            let etag = check.expected().to_owned();
            let blob = cache.blob(&etag);
            if fs::metadata(&blob).is_ok_and(|found| found.is_file() && found.len() == entry.bytes)
            {
                // An earlier commit's links lead here, or the Python client's.
                cache.link(&listing.commit, path, &etag, false)?;
                work.file(path, place, entry, true);
                continue;
            }
            if let Some(&index) = by_etag.get(&etag) {
                work.jobs[index].links.push(path.clone());
            } else {
                by_etag.insert(etag.clone(), work.jobs.len());
                let names = Names::beside(&blob, &cache.lock(&etag));
                let mut job = Job::new(path, entry.bytes, check, names)?;
                job.cache = Some((cache.clone(), etag));
                job.links.push(path.clone());
                work.jobs.push(job);
            }
            work.file(path, place, entry, false);
        }
        Ok(work)
    }

    fn plan_folder(
        &self,
        repo: &RepoRef,
        cache: &RepoCache,
        (folder, overwrite): (&Path, bool),
        listing: &Listing,
        paths: &[String],
    ) -> Result<Work, Error> {
        let mut work = Work::default();
        for path in paths {
            let entry = &listing.files[path];
            let place = inside(folder, path)?;
            let there = match fs::symlink_metadata(&place) {
                Err(_) => false,
                Ok(found) => {
                    let same = found.is_file()
                        && found.len() == entry.bytes
                        && has_hash(&place, &checksum(entry))?;
                    if !same && !overwrite {
                        return Err(Error::Exists { path: place });
                    }
                    same
                }
            };
            if there {
                work.file(path, place, entry, true);
                continue;
            }
            let check = checksum(entry);
            let names = Names::hidden(&place, check.expected());
            let cached = cache.file(&listing.commit, path, entry.bytes);
            // Whoever put it there, it becomes the user's under the same promise as all others.
            let cached = match cached {
                // One that cannot be read is as good as none: the Hub has it, too.
                // Without links and without the commit's file list, the cache does not tell its hash.
                Some(from)
                    if check.expected().is_empty() || has_hash(&from, &check).unwrap_or(false) =>
                {
                    Some(from)
                }
                _ => None,
            };
            if let Some(from) = cached {
                work.copies.push(Copy {
                    from,
                    names,
                    bytes: entry.bytes,
                });
                work.file(path, place, entry, true);
                continue;
            }
            self.http()
                .check_online(&format!("{}: {path}", repo.id()))?;
            work.jobs.push(Job::new(path, entry.bytes, check, names)?);
            work.file(path, place, entry, false);
        }
        Ok(work)
    }

    pub(crate) fn resolve_url(&self, repo: &RepoRef, commit: &str, path: &str) -> reqwest::Url {
        let start = [repo.owner(), repo.name(), "resolve", commit];
        self.http().url(start.into_iter().chain(path.split('/')))
    }

    fn check_space(&self, folder: &Path, work: &Work, needed: u64) -> Result<(), Error> {
        // The folder may not exist yet; a partial file's folder does.
        let names = work.jobs.iter().map(|job| &job.names);
        let there = names
            .chain(work.copies.iter().map(|copy| &copy.names))
            .find_map(|names| names.file.partial.parent())
            .unwrap_or(folder);
        fs::create_dir_all(there).map_err(Error::io("create", there))?;
        let available = aeolus_source::available_bytes(there)?;
        match needed.saturating_add(SPACE_MARGIN) > available {
            true => Err(Error::NoSpace {
                folder: folder.to_path_buf(),
                needed,
                available,
            }),
            false => Ok(()),
        }
    }
}

/// What a fetch has to do, and what it will have brought.
#[derive(Default)]
struct Work {
    jobs: Vec<Job>,
    copies: Vec<Copy>,
    files: Vec<FetchedFile>,
}

impl Work {
    fn file(&mut self, path: &str, place: PathBuf, entry: &Entry, present: bool) {
        self.files.push(FetchedFile {
            path: path.to_owned(),
            place,
            bytes: entry.bytes,
            present,
        });
    }
}

/// A file of the cache that is copied to a folder of the user's own.
struct Copy {
    from: PathBuf,
    names: Names,
    bytes: u64,
}

impl Copy {
    /// Copies it and gives it its name, whole.
    fn run(&self) -> Result<(), Error> {
        let mut to = PartialFile::open_waiting(self.names.copy())?;
        to.begin(0, 0)?;
        let mut offset = 0;
        aeolus_source::read_pieces(&self.from, |piece| {
            to.write_at(piece, offset)?;
            offset += piece.len() as u64;
            Ok::<(), Error>(())
        })?;
        let place = &self.names.file.path;
        to.name(true).map_err(Error::io("write", place))?;
        // A download that was interrupted before the cache had it.
        remove_idle(self.names.file.clone());
        Ok(())
    }
}

/// Removes what was being written, unless somebody is still at it.
fn remove_idle(names: aeolus_job::Names) {
    if let Ok(file) = PartialFile::open(names) {
        file.discard();
    }
}

fn checksum(entry: &Entry) -> Checksum {
    match &entry.sha256 {
        Some(sha256) => Checksum::Sha256(sha256.clone()),
        None => Checksum::Git(entry.blob.clone()),
    }
}

/// Whether a file on this disk hashes to what it should.
fn has_hash(path: &Path, check: &Checksum) -> Result<bool, Error> {
    let length = fs::metadata(path)
        .map_err(Error::io("measure", path))?
        .len();
    let mut hasher = check.hasher(length);
    aeolus_source::read_pieces(path, |piece| {
        hasher.update(piece);
        Ok::<(), Error>(())
    })?;
    Ok(hasher.finish() == check.expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_copy_leaves_nothing_of_an_interrupted_download() {
        let dir = tempfile::tempdir().unwrap();
        let (from, folder) = (dir.path().join("blob"), dir.path().join("out"));
        fs::write(&from, "whole").unwrap();
        fs::create_dir(&folder).unwrap();
        let copy = || Copy {
            from: from.clone(),
            names: Names::hidden(&folder.join("a.bin"), &"1".repeat(64)),
            bytes: 5,
        };
        let aeolus_job::Names { path, partial, log } = copy().names.file;
        fs::write(&partial, "who").unwrap();
        fs::write(&log, "0-3").unwrap();
        // Somebody is at it.
        let held = fs::File::open(&partial).unwrap();
        held.lock().unwrap();
        copy().run().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(&folder).len(), 3, "{:?}", names(&folder));
        drop(held);
        copy().run().unwrap();
        assert_eq!(names(&folder), ["a.bin"]);
        // A journal alone goes, too.
        fs::write(&log, "0-3").unwrap();
        copy().run().unwrap();
        assert_eq!(names(&folder), ["a.bin"]);
    }
}
