//! The lanes as plain arrays, compiled for whatever the whole program is compiled for.
#![allow(unsafe_code, reason = "entries of a table with unsafe functions")]

use super::dot;
use super::lanes::portable::Portable;
use super::level::level;

level! {
    name: "portable",
    isa: Portable,
    kernels: dot::scalar_kernels("portable"),
}
