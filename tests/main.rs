//! Whole-program tests: the real binary in private folders, golden files, real clients.

mod support;
mod tiny;

mod bad_input;
mod browser;
mod card;
mod chat;
mod choice;
mod commands;
mod disk;
mod experts;
mod families;
mod faults;
mod finish;
mod fixtures;
mod forecast;
mod golden;
#[cfg(feature = "hub")]
mod hub;
mod imatrix;
mod inspect;
mod interop;
mod metadata;
mod plan;
mod quality;
mod refine;
mod resume;
mod run;
mod sources;
mod sums;
mod synthetic;
mod table;
mod tasks;
mod text;
mod unsafe_code;
#[cfg(not(feature = "hub"))]
mod without_hub;
