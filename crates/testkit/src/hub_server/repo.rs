//! What a repository on the test Hub holds.

use sha2::Digest;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a file: those given, then zeros up to its length.
#[derive(Clone, Debug)]
pub struct Content {
    head: Arc<[u8]>,
    len: u64,
}

impl Content {
    /// `head`, then zeros: a file of `len` bytes that takes no room.
    ///
    /// # Panics
    /// If `head` is longer than `len`.
    #[must_use]
    pub fn sparse(head: Vec<u8>, len: u64) -> Self {
        assert!(
            head.len() as u64 <= len,
            "{} bytes of head in a file of {len}",
            head.len()
        );
        Self {
            head: head.into(),
            len,
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all bytes are held, none of them implied.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.head.len() as u64 == self.len
    }

    /// The bytes that are held, without the zeros that follow.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Fills `out` with the bytes from `offset` on; past the end there are zeros.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.head.len());
        let held = &self.head[start..];
        let n = held.len().min(out.len());
        out[..n].copy_from_slice(&held[..n]);
        out[n..].fill(0);
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self {
            head: bytes.into(),
            len,
        }
    }
}

/// One file of a repository.
#[derive(Clone, Debug)]
pub struct RepoFile {
    /// What it holds.
    pub content: Content,
    /// Whether it lies in the store behind the Hub (LFS), not in git.
    pub large: bool,
    /// The object id: sha256 of the bytes of a large file, git's blob hash of another, in hex.
    pub oid: String,
}

impl RepoFile {
    pub(super) fn regular(bytes: Vec<u8>) -> Self {
        let oid = git_oid(&bytes);
        Self {
            content: bytes.into(),
            large: false,
            oid,
        }
    }
}

/// Who may read a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    #[default]
    Public,
    /// Those with a token; to all others it does not exist.
    Private,
    /// Everyone sees the list, nobody gets a file: the licence is not accepted.
    Gated,
}

/// A model repository: its files, at one commit.
#[derive(Clone, Debug, Default)]
pub struct Repo {
    pub(super) files: BTreeMap<String, RepoFile>,
    pub(super) access: Access,
    /// Entries per page of the tree; 0 for all at once.
    pub(super) page: usize,
}

impl Repo {
    /// A repository without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a file that lies in git.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files
            .insert(path.to_owned(), RepoFile::regular(bytes.into()));
        self
    }

    /// With a file that lies in the store.
    #[must_use]
    pub fn large(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let oid = hex(&sha2::Sha256::digest(&bytes));
        self.files.insert(
            path.to_owned(),
            RepoFile {
                content: bytes.into(),
                large: true,
                oid,
            },
        );
        self
    }

    /// With a file in the store that holds `head`, then zeros up to `len` bytes. Its object id is
    /// made up (it is not hashed): for clients that read parts of it.
    #[must_use]
    pub fn large_sparse(mut self, path: &str, head: Vec<u8>, len: u64) -> Self {
        let oid = hex(&sha2::Sha256::digest(format!("{path} {len}")));
        let content = Content::sparse(head, len);
        self.files.insert(
            path.to_owned(),
            RepoFile {
                content,
                large: true,
                oid,
            },
        );
        self
    }

    /// With all files of a folder on disk, not of folders in it; those with the extensions that
    /// the Hub keeps out of git are large.
    ///
    /// # Panics
    /// If the folder cannot be read.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a folder entry").path();
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .expect("a plain name")
                .to_owned();
            if path.is_file() {
                let bytes = std::fs::read(&path).expect("a readable file");
                self = match is_large(&name, bytes.len() as u64) {
                    true => self.large(&name, bytes),
                    false => self.file(&name, bytes),
                };
            }
        }
        self
    }

    /// Without the file.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.files.remove(path);
        self
    }

    /// With restricted access.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// With a tree that is listed this many entries at a time.
    #[must_use]
    pub fn page(mut self, entries: usize) -> Self {
        self.page = entries;
        self
    }

    /// The files by their paths.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, RepoFile> {
        &self.files
    }

    /// The commit that holds these files: a hash of their paths and object ids.
    #[must_use]
    pub fn commit(&self) -> String {
        let mut hash = sha1::Sha1::new();
        for (path, file) in &self.files {
            hash.update(format!("{path}\0{}\n", file.oid));
        }
        hex(&hash.finalize())
    }
}

/// Whether the Hub's usual `.gitattributes` and size limit put a file into the store.
pub(super) fn is_large(path: &str, bytes: u64) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
    bytes > 10 << 20
        || matches!(
            extension,
            "safetensors" | "gguf" | "bin" | "model" | "pth" | "h5"
        )
}

/// Git's hash of a blob, in hex.
pub(super) fn git_oid(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
