//! The public API against a Hub on loopback, good days and bad ones.
#![allow(
    missing_docs,
    reason = "a test program has no public items to document"
)]

mod faults;
mod fetch;
mod limits;
#[cfg(unix)]
mod process;
mod publish;
mod python_client;
mod remote;
mod secrets;
mod support;
