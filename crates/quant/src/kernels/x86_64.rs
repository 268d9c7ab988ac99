//! Vectors of x86-64 and the levels compiled for them.

pub(crate) mod avx2;
pub(crate) mod avx512;
