//! What tests of several crates share. Never published, never a dependency of shipped code.
//!
//! - [`hub_server`]: a Hugging Face Hub on loopback, with faults on demand.
#![forbid(unsafe_code)]

pub mod hub_server;
