//! Products of weights with activations: what a running model spends its time in.
//!
//! Three families, all behind the table [`Kernels`], the half of a [CPU level](crate::Cpu) that
//! multiplies:
//!
//! - **Integer.** Activations are rounded to 8 bits, or 16 as two rows of 8, in blocks of 32
//!   ([`Activations`]); weights
//!   stay in their block format. [`Kernels::matvec`] multiplies rows with one token straight from
//!   the file's bytes (bound by memory). For many tokens ([`Kernels::matmul_quant`]) units of 32
//!   rows are unpacked once into panels, bytes with a scale and a minimum for every group, and one
//!   kernel for all formats runs over them.
//! - **Float.** [`Kernels::matmul_f32`] multiplies activations with a panel of 32 columns in f32
//!   or f16: exact weights, attention scores and attention outputs alike.
//! - **Rows of floats.** [`Kernels::matvec_float`]: F32, F16 and BF16 weights with one token.
//!
//! Beside them stands what attention needs between its products ([`Kernels::softmax`] and two ways to widen
//! numbers of 8 bits, `elementwise.rs`).
//!
//! # The common form of a block
//!
//! Every quantized format writes a weight as `scale * u - min`, with `u` an unsigned byte and
//! `scale` and `min` shared by a group of 16 or 32 weights. Formats with a fixed offset (Q4_0:
//! `d * (u - 8)`) have `min = d * 8`. The dot product of a group with activations `dx * x` is
//! then
//!
//! ```text
//! scale * dx * sum(u * x)  -  min * dx * sum(x)
//! ```
//!
//! where `sum(u * x)` is an integer (at most 32 * 255 * 127 = 1,036,320 for a group, exact in
//! f32) and `dx * sum(x)` is known before any weight is read. Each format is one function that
//! gives the bytes and one that gives scales and minima (`unpack.rs`, `avx512/unpack.rs`). With
//! many tokens an offset is taken off in integers, `sum(u * x) - offset * sum(x)`, and needs no
//! minimum.
//!
//! # Files
//!
//! `formats.rs` says what there is to know of a format; `unpack.rs` and, for points of a codebook,
//! `codebooks.rs` bring it to the common form; `activations.rs` and `panel.rs` hold the two
//! operands, `element.rs` types of floats; `scalar.rs` is the portable twin of everything in `avx2/`, `avx512/` and `neon/`.

mod activations;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod codebooks;
mod element;
pub(crate) mod elementwise;
mod formats;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(crate) mod neon;
mod panel;
mod scalar;
mod table;
#[cfg(test)]
mod tests;
mod unpack;

pub use activations::{Activations, Bits, FEW, Part};
pub use elementwise::{exp, softmax};
pub(crate) use formats::Product;
pub use formats::{has_float_kernel, has_integer_kernel};
pub use panel::Panel;
pub(crate) use scalar::kernels as scalar_kernels;
pub use table::{Kernels, Matmul, QuantPanels};

/// Rows of weights in a panel: the columns of an output tile.
pub const PANEL: usize = 32;
/// Weights in a unit, the step of all integer kernels: a super-block, or eight blocks of 32.
pub const UNIT: usize = 256;
