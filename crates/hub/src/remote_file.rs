//! A file on the Hub of which parts are read.

use crate::fetch::content_range;
use crate::http::{Failure, Shortcut};
use crate::{Error, Hub, Listing, RepoRef};
use std::ops::Range;

/// A file on the Hub, at one commit. Its bytes are read by range; nothing is kept on this disk.
#[derive(Debug)]
pub struct RemoteFile {
    hub: Hub,
    repo: RepoRef,
    path: String,
    commit: String,
    bytes: u64,
    sha256: Option<String>,
    shortcut: Shortcut,
}

impl Hub {
    /// Opens the file that a reference names. The revision is resolved once: all reads are of the
    /// same commit.
    ///
    /// # Errors
    /// What [`Hub::list`] refuses; [`Error::NothingMatched`] if the reference names no file;
    /// [`Error::Offline`].
    pub fn open(&self, repo: &RepoRef) -> Result<RemoteFile, Error> {
        self.http().check_online(&repo.to_string())?;
        let (repo, listing) = self.settle(repo)?;
        self.open_listed(&repo, &listing, repo.path().unwrap_or_default())
    }

    /// The same for a file of a listing that was asked for before: no request is made.
    ///
    /// # Errors
    /// [`Error::NothingMatched`] if the listing has no such file; [`Error::Offline`].
    pub fn open_listed(
        &self,
        repo: &RepoRef,
        listing: &Listing,
        path: &str,
    ) -> Result<RemoteFile, Error> {
        self.http().check_online(&repo.to_string())?;
        let Some(entry) = listing.files.get(path) else {
            let what = if path.is_empty() {
                "a reference without a path"
            } else {
                path
            }
            .to_owned();
            return Err(Error::NothingMatched {
                repo: repo.id(),
                what,
                files: listing.files.len(),
            });
        };
        Ok(RemoteFile {
            hub: self.clone(),
            repo: repo.clone(),
            path: path.to_owned(),
            bytes: entry.bytes,
            sha256: entry.sha256.clone(),
            commit: listing.commit.clone(),
            shortcut: Shortcut::default(),
        })
    }
}

impl RemoteFile {
    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Path in the repository.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// sha256 of the whole file, which the Hub knows of large ones.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// The commit that is read, 40 hex digits.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The bytes of a range, or as many of them as the file has. They are held in memory: ask for
    /// as much as is needed.
    ///
    /// # Errors
    /// Gated or no access; network errors; [`Error::BadAnswer`] from a server that does not serve
    /// ranges (except at the start of the file, where it need not).
    pub fn read_range(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let range = range.start.min(self.bytes)..range.end.min(self.bytes);
        let mut out = Vec::new();
        let id = self.repo.id();
        let about = self.hub.about(&id, self.repo.revision(), Some(&self.path));
        let attempts = self.hub.http().attempts();
        attempts.run(about, self.hub.listener(), |attempts| {
            while range.start + (out.len() as u64) < range.end {
                let before = out.len();
                let pulled = self.pull(&range, &mut out);
                if out.len() > before {
                    attempts.progress();
                }
                pulled?;
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// One request for what is missing of the range.
    fn pull(&self, range: &Range<u64>, out: &mut Vec<u8>) -> Result<(), Failure> {
        let first = range.start + out.len() as u64;
        let home = self.hub.resolve_url(&self.repo, &self.commit, &self.path);
        let mut response = self.shortcut.ask(self.hub.http(), home, first..range.end)?;
        response.check_file(&self.path, self.bytes)?;
        let given = response.header("content-range").and_then(content_range);
        match (response.status().as_u16(), given) {
            (206, Some((start, total)))
                if start == first && total.is_none_or(|t| t == self.bytes) => {}
            (200, _) if first == 0 => {}
            (status, _) => {
                let what = format!(
                    "status {status} to a request for bytes {first} to {}",
                    range.end
                );
                return Err(response.bad(format!("{what}: the server does not serve ranges")));
            }
        }
        let before = out.len();
        while let Some(chunk) = response.chunk()? {
            let left = range.end - range.start - out.len() as u64;
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            out.extend_from_slice(&chunk[..n]);
            if n as u64 == left {
                return Ok(());
            }
        }
        match out.len() > before {
            true => Ok(()),
            false => Err(Failure::Short {
                path: self.path.clone(),
                expected: self.bytes,
                found: first,
            }),
        }
    }
}
