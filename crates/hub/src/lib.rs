//! From the Hugging Face Hub and back: fetch files, read parts of remote ones, publish folders.
//!
//! This crate stands apart from the others: it knows repositories, revisions and files, nothing of
//! models or formats. It is heavy (an HTTP client with TLS), so only the command line depends on
//! it, behind a feature.
//!
//! - [`Settings`]: what the environment says (endpoint, token, cache folder, offline mode), read
//!   once; nothing else in the crate looks at the environment. [`Token`] cannot be printed.
//! - [`RepoRef`] is what `hf:owner/name[@revision][/path]` names, or an address that was pasted.
//! - [`Hub::fetch`]: files of one revision, into the cache that the Python client uses too or into
//!   a folder, in parallel ranges, resumed after any interruption, checked against the Hub's
//!   hashes. [`Selection`] says which files, [`Event`]s tell how it goes.
//! - [`Hub::open`]: a [`RemoteFile`], of which any range can be read without fetching the rest.
//! - [`Hub::plan`] and [`Hub::publish`]: a folder becomes one commit; the plan is what is sent.
//!
//! `hf-hub` gives the layout of the shared cache. All requests are our own: that crate neither
//! resumes, nor checks lengths and hashes, nor has time-outs. `docs/hub.md` has the protocol and
//! the limits.
//!
//! All calls block; none may be made from inside an async runtime.
//!
//! ```
//! use aeolus_hub::{RepoRef, Selection};
//!
//! let repo: RepoRef = "hf:argilla/notus-7b-v1@main".parse()?;
//! assert_eq!(repo.id(), "argilla/notus-7b-v1");
//! let gguf = Selection::patterns(&["*Q4_K*gguf"], &[])?;
//! # let _ = gguf;
//! # Ok::<(), aeolus_hub::Error>(())
//! ```
#![forbid(unsafe_code)]

mod cache;
mod checksum;
mod error;
mod fetch;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod hub;
mod listing;
mod name;
mod publish;
mod remote_file;
mod repo_ref;
mod select;
mod settings;
mod token;

pub use aeolus_job::{Event, Progress};
pub use error::Error;
pub use fetch::{Fetched, FetchedFile, Target};
pub use hub::{Hub, Identity};
pub use listing::{Entry, Listing};
pub use publish::{How, Plan, PlannedFile, PublishRequest, Published};
pub use remote_file::RemoteFile;
pub use repo_ref::RepoRef;
pub use select::Selection;
pub use settings::{Network, Settings};
pub use token::Token;
