//! What tests of several crates share. Never published, never a dependency of shipped code.
//!
//! - [`full_disk`]: a disk that fills up, for code that asks before it writes.
//! - [`fuzz_inputs`]: what fuzz targets keep, run by plain tests.
//! - [`hub_server`]: a Hugging Face Hub on loopback, with faults on demand.
#![forbid(unsafe_code)]

pub mod full_disk;
pub mod fuzz_inputs;
pub mod hub_server;
