//! Code compiled for several instruction sets and chosen at run time; the only home of `unsafe`
//! in this crate.
//!
//! [`Cpu`] chooses a level, a table of everything that depends on the instruction set: encoders
//! and decoders (the scalar ones, the lanes as arrays, for all CPUs and for those with NEON, the lanes as vectors of AVX2 and AVX-512)
//! and products ([`dot`]).

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
mod cpu;
pub mod dot;
pub(crate) mod lanes;
mod level;
mod portable;
mod scalar;
mod work;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use cpu::{Cpu, CpuError};
pub use lanes::{Float, Int, Isa, Job, Mask};
pub use work::LaneWork;
