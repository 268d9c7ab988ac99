//! What tests of several crates share. Never published, never a dependency of shipped code.
//!
//! - [`hub_server`]: a Hugging Face Hub on loopback, with faults on demand.

pub mod hub_server;
