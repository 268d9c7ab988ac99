//! A Hugging Face Hub of our own, on loopback, that can misbehave.
//!
//! [`HubServer`] listens on two ports of 127.0.0.1. One is the Hub: repository facts, file trees,
//! `resolve` links, publishing. The other is the store behind it, where large files lie: the Hub
//! answers a `resolve` of a large file with a redirect there, as the real one does, and the store
//! refuses requests that carry a token, so that a client that leaks one is caught.
//!
//! Paths, headers and redirects are those that the real Hub uses for model repositories. Every
//! request is logged with the body bytes that were sent for it, and [`Fault`]s make chosen requests
//! go wrong: cut, stalled, corrupted, refused.
//!
//! ```
//! use aeolus_testkit::hub_server::{HubServer, Repo};
//!
//! let hub = HubServer::start();
//! hub.add_repo("test/tiny", Repo::new().file("config.json", "{}").large("model.safetensors", vec![7; 100]));
//! assert!(hub.endpoint().starts_with("http://127.0.0.1:"));
//! assert!(hub.requests().is_empty());
//! ```

mod fault;
mod message;
mod publish;
mod read;
mod repo;
mod server;
mod state;

pub use fault::{Action, Fault};
pub use repo::{Access, Content, Repo, RepoFile};
pub use server::HubServer;
pub use state::{Seen, Site, Stored, Transfer};
