//! Code compiled for several instruction sets and chosen at run time; the only home of `unsafe`
//! in this crate.
//!
//! [`Cpu`] chooses among the tables of encoders and decoders (`codec`): the scalar ones, the
//! lanes as arrays, and the lanes as vectors of AVX2 and AVX-512. [`dot`] has its own tables.

mod codec;
mod cpu;
pub mod dot;
mod lanes;
mod portable;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use cpu::Cpu;
