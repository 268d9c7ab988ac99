//! The levels of aarch64: encoders and decoders in lanes of arrays, which the compiler makes vectors of
//! (NEON belongs to every such processor), and the products of [`dot::neon`].

use super::dot;
use super::lanes::portable::Portable;
use super::level::level;

pub(crate) mod neon {
    #![allow(unsafe_code, reason = "entries of a table with unsafe functions")]

    use super::*;

    level! {
        name: "neon",
        features: ["neon", "dotprod"],
        isa: Portable,
        kernels: dot::neon::KERNELS,
    }
}

pub(crate) mod i8mm {
    #![allow(unsafe_code, reason = "entries of a table with unsafe functions")]

    use super::*;

    level! {
        name: "i8mm",
        features: ["neon", "dotprod", "i8mm"],
        isa: Portable,
        kernels: dot::neon::I8MM_KERNELS,
    }
}
