//! Code compiled for several instruction sets and chosen at run time; the only home of `unsafe`
//! in this crate.
//!
//! [`Cpu`] chooses a level, a table of everything that depends on the instruction set: encoders
//! and decoders (the scalar ones, the lanes as arrays, the lanes as vectors of AVX2 and AVX-512)
//! and products ([`dot`]).

mod cpu;
pub mod dot;
pub(crate) mod lanes;
mod level;
mod portable;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use cpu::{Cpu, CpuError};
