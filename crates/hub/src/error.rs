//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything this crate refuses or fails at.
///
/// Addresses in messages carry no query (links to the store are signed there), and no message
/// carries the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Hub wants a token, or does not know the one it got.
    #[error(
        "{subject}: the Hub answered 401, {detail}: {}",
        if *.signed_in { "the token is not valid (any more): set another in HF_TOKEN or a token file" }
        else { "no token was sent: set HF_TOKEN or name a token file" }
    )]
    Unauthorized {
        /// The repository or address.
        subject: String,
        /// Whether a token was sent.
        signed_in: bool,
        /// The Hub's words.
        detail: String,
    },
    /// The files are behind a licence that the account has not accepted.
    #[error(
        "{repo}: this repository is gated: accept its licence at {page}, then set the token of that \
         account in HF_TOKEN or a token file{}",
        if *.signed_in { " (a token was sent, but its account has no access)" } else { "" }
    )]
    Gated {
        /// `owner/name`.
        repo: String,
        /// Where the licence is accepted.
        page: String,
        /// Whether a token was sent.
        signed_in: bool,
    },
    /// The token is known but may not do this.
    #[error(
        "{subject}: the Hub answered 403, {detail}: {}",
        if *.signed_in { "the token has no right to do this" }
        else { "no token was sent: set HF_TOKEN or name a token file" }
    )]
    Forbidden {
        /// The repository or address.
        subject: String,
        /// Whether a token was sent.
        signed_in: bool,
        /// The Hub's words.
        detail: String,
    },
    /// There is no such repository, or it is private and not ours.
    #[error(
        "{repo}: no such repository{}",
        if *.signed_in { ", or the token has no access to it" }
        else { " among the public ones: for a private one set HF_TOKEN or name a token file" }
    )]
    RepoNotFound {
        /// `owner/name`.
        repo: String,
        /// Whether a token was sent.
        signed_in: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo}: no branch, tag or commit named {revision}")]
    RevisionNotFound {
        /// `owner/name`.
        repo: String,
        /// As asked for; all that may have been meant, if it was written with a slash.
        revision: String,
    },
    /// The revision has no such file.
    #[error("{repo}: no file {path} at revision {revision}")]
    FileNotFound {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// Path in the repository.
        path: String,
    },
    /// Too many requests, also after waiting.
    #[error(
        "{url}: the Hub limits the rate of requests (429) and did so for all {attempts} attempts"
    )]
    RateLimited {
        /// The address.
        url: String,
        /// How often it was asked.
        attempts: u32,
    },
    /// The server failed, also when asked again.
    #[error("{url}: the server answered {status}{}: {detail}", to_all(*attempts))]
    Server {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// How often it was asked.
        attempts: u32,
        /// The server's words.
        detail: String,
    },
    /// A status that has no better name here.
    #[error("{url}: the server answered {status}: {detail}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// No connection, or it broke, also when tried again.
    #[error("{url}: {detail} ({} without progress){way}", count(*attempts as usize, "attempt"))]
    Network {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The transport's words.
        detail: String,
        /// Which settings decide where the request goes.
        way: &'static str,
    },
    /// A web page instead of the Hub's answer or of a file.
    #[error(
        "{url}: the answer ({status}) is {page}, not the Hub's: it may come from a proxy or from this \
         network's login page; HF_ENDPOINT and the proxy variables (HTTPS_PROXY) decide who is asked"
    )]
    WebPage {
        /// The address that answered.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it is, with its title.
        page: String,
    },
    /// An answer that breaks the protocol.
    #[error("{url}: {what}")]
    BadAnswer {
        /// The address.
        url: String,
        /// What was found and what was expected.
        what: String,
    },
    /// A file came out longer or shorter than announced.
    #[error("{path}: {found} bytes where {expected} were announced")]
    WrongLength {
        /// Path in the repository.
        path: String,
        /// Bytes the Hub announced.
        expected: u64,
        /// Bytes there were.
        found: u64,
    },
    /// A file's bytes are not those that the Hub has; they were not kept.
    #[error(
        "{path}: {kind} {found} where the Hub has {expected}: the bytes were damaged and not kept"
    )]
    WrongChecksum {
        /// Path in the repository.
        path: String,
        /// `sha256` or `git blob sha1`.
        kind: &'static str,
        /// In hex.
        expected: String,
        /// In hex.
        found: String,
    },
    /// The files do not fit on the disk.
    #[error(
        "{}: {needed} bytes are needed and {available} are free", folder.display()
    )]
    NoSpace {
        /// Where they were to go.
        folder: PathBuf,
        /// Bytes to write.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A name that came from the Hub and must not be used as one here.
    #[error("the Hub gave {name:?} as a {what}: {why}")]
    UnsafeName {
        /// As received.
        name: String,
        /// What it was to be.
        what: &'static str,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A file here that no repository, or not this one, takes under its name.
    #[error("{path:?}: cannot be published: {why}")]
    LocalName {
        /// The file.
        path: PathBuf,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The offline mode is on, and the cache does not have it.
    #[error(
        "{subject}: HF_HUB_OFFLINE is set and the cache ({}) does not have it: unset it to ask the Hub",
        cache.display()
    )]
    Offline {
        /// The repository, or the files of it.
        subject: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// Neither of the form `hf:owner/name[@revision][/path]` nor an address of the Hub.
    #[error("{text:?} is not hf:owner/name[@revision][/path]: {why}")]
    Reference {
        /// As given.
        text: String,
        /// The rule it breaks.
        why: String,
    },
    /// A pattern that cannot be read.
    #[error("pattern {pattern:?}: {why}")]
    Pattern {
        /// As given.
        pattern: String,
        /// The parser's words.
        why: String,
    },
    /// A setting that cannot be used. The value is not shown: it may be a token.
    #[error("{name}: {why}")]
    Setting {
        /// The variable or file.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A pattern or path that picks no file.
    #[error("{repo}: {what} matches none of its {}", count(*files, "file"))]
    NothingMatched {
        /// `owner/name`, or the folder to publish.
        repo: String,
        /// The pattern or path.
        what: String,
        /// How many files the revision has.
        files: usize,
    },
    /// A type that is not the one of exactly one file.
    #[error("{repo}: {found} of type {tag}: {files}")]
    NoSuchType {
        /// The reference.
        repo: String,
        /// The type.
        tag: String,
        /// Whether there is none, or more than one.
        found: &'static str,
        /// Those, or the GGUF files there are.
        files: String,
    },
    /// A repository without the files that a conversion reads.
    #[error("{repo}: {why}")]
    NothingToConvert {
        /// `owner/name`.
        repo: String,
        /// What is missing and what is there instead.
        why: String,
    },
    /// A file of this name lies in the target folder, with other bytes.
    #[error("{}: exists and differs from the Hub's file; it was left as it is", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Publishing needs a token.
    #[error(
        "publishing to {repo} needs a token with the right to write: set HF_TOKEN or name a token file"
    )]
    NoToken {
        /// `owner/name`.
        repo: String,
    },
    /// A large file that the Hub would have inside the commit request.
    #[error(
        "{path}: the Hub wants these {bytes} bytes inside the commit request, which is for files up \
         to {limit}: add the pattern to the repository's .gitattributes (git lfs track)"
    )]
    TooLargeInline {
        /// Path in the repository.
        path: String,
        /// Its size, or that of all such files.
        bytes: u64,
        /// The most that is sent so.
        limit: u64,
    },
    /// The Hub insists on the xet protocol.
    #[error(
        "{repo}: the Hub takes uploads to this repository by xet only, which is not spoken here: \
         run `hf upload {repo} {} .`", folder.display()
    )]
    XetOnly {
        /// `owner/name`.
        repo: String,
        /// The folder that was to be published.
        folder: PathBuf,
    },
    /// A local file is not the one that was planned any more.
    #[error("{}: changed since it was hashed", path.display())]
    LocalChanged {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to publish.
    #[error("{}: holds no file to publish", folder.display())]
    NothingToPublish {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// The byte source below refused.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// A file that is being written: the system refuses, or something else is in its place.
    #[error(transparent)]
    Job(#[from] aeolus_job::Error),
    /// A request that never got as far as the network, or was given up.
    #[error("{url}: no byte moved for {} s", after.as_secs_f32())]
    Stalled {
        /// The address.
        url: String,
        /// The patience there was.
        after: Duration,
    },
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

fn to_all(attempts: u32) -> String {
    match attempts {
        0 | 1 => String::new(),
        n => format!(" to all {n} attempts"),
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io {
            action,
            path,
            error,
        }
    }
}
