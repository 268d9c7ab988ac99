//! What tests of several crates share. Never published, never a dependency of shipped code.
//!
//! - [`fuzz_inputs`]: what fuzz targets keep, run by plain tests.
//! - [`hub_server`]: a Hugging Face Hub on loopback, with faults on demand.
//! - [`imatrix`]: importance matrices, made of numbers.
#![forbid(unsafe_code)]

pub mod fuzz_inputs;
pub mod hub_server;
pub mod imatrix;
