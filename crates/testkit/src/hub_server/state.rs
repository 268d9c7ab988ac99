//! What the Hub knows, and what its connections share.

use super::fault::Fault;
use super::repo::Repo;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard};

/// Which of the two hosts a request went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The Hub itself: facts, trees, links, commits, small files.
    Hub,
    /// The store of large files, another host as far as clients can tell.
    Store,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Where it arrived.
    pub site: Site,
    /// `GET`, `HEAD`, ...
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the answer's body that were sent.
    pub body_bytes: u64,
}

impl Seen {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// The revisions of one repository.
#[derive(Default)]
pub(super) struct History {
    /// Branch or tag to commit.
    pub refs: HashMap<String, String>,
    pub commits: HashMap<String, Repo>,
}

impl History {
    /// The commit and files that a revision names.
    pub fn find(&self, revision: &str) -> Option<(String, &Repo)> {
        let commit = self.refs.get(revision).map_or(revision, String::as_str);
        Some((commit.to_owned(), self.commits.get(commit)?))
    }

    pub fn set(&mut self, revision: &str, repo: Repo) {
        let commit = repo.commit();
        self.refs.insert(revision.to_owned(), commit.clone());
        self.commits.insert(commit, repo);
    }
}

#[derive(Default)]
pub(super) struct State {
    pub repos: HashMap<String, History>,
    pub token: Option<String>,
    pub publishing: Publishing,
    pub faults: Vec<Fault>,
    pub log: Vec<(Seen, Arc<AtomicU64>)>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    pub stop: AtomicBool,
    pub connections: AtomicUsize,
    pub hub: SocketAddr,
    pub store: SocketAddr,
}

impl Shared {
    pub fn new(hub: SocketAddr, store: SocketAddr) -> Self {
        Self {
            state: Mutex::default(),
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            hub,
            store,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn hub_url(&self) -> String {
        format!("http://{}", self.hub)
    }

    pub fn store_url(&self) -> String {
        format!("http://{}", self.store)
    }
}

/// How the Hub asks for large files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// One `PUT` per file.
    #[default]
    Basic,
    /// Parts of this many bytes, then a completion request.
    Multipart(u64),
    /// Not by LFS: the answer names the protocol `xet`.
    Xet,
}

/// An uploaded object.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Length in bytes.
    pub bytes: u64,
    /// The bytes themselves, unless there were too many to keep.
    pub content: Option<Vec<u8>>,
    /// How many requests brought it.
    pub requests: usize,
}

#[derive(Default)]
pub(super) struct Publishing {
    pub transfer: Transfer,
    /// Whether every file is wanted inside the commit.
    pub inline_all: bool,
    pub stored: HashMap<String, Stored>,
    pub commits: Vec<(String, Vec<u8>)>,
    /// Parts that wait for their completion request: object id, part number.
    pub parts: BTreeMap<(String, usize), Part>,
}

/// A part of an upload.
pub(super) struct Part {
    pub bytes: u64,
    pub content: Option<Vec<u8>>,
    pub etag: String,
}
