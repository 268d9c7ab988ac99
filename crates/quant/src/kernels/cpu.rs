//! Which kernels run: chosen once per process, or forced.
#![allow(
    unsafe_code,
    reason = "calls of functions compiled for an instruction set"
)]

use super::dot::Kernels;
use super::level::Level;
use aeolus_gguf::TensorType;
use std::sync::OnceLock;

/// All levels, slowest first.
static LEVELS: &[&Level] = &[
    &super::scalar::LEVEL,
    &super::portable::LEVEL,
    #[cfg(target_arch = "x86_64")]
    &super::x86_64::avx2::LEVEL,
    #[cfg(target_arch = "x86_64")]
    &super::x86_64::avx512::LEVEL,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    &super::aarch64::neon::LEVEL,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    &super::aarch64::i8mm::LEVEL,
];

/// `AEOLUS_CPU` asks for a level that does not exist or that this machine cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AEOLUS_CPU is {asked:?}, but this machine runs only: {available}")]
pub struct CpuError {
    /// What the variable says.
    pub asked: String,
    /// What it may say here.
    pub available: String,
}

/// A CPU level that this machine has: its encoders, decoders and [products](Cpu::kernels).
///
/// | level | what the processor has |
/// |---|---|
/// | `scalar` | anything; block after block, the code that defines the bytes |
/// | `portable` | anything; encoders in lanes of arrays, the products of `scalar` |
/// | `avx2` | AVX2, FMA, F16C (Haswell, Zen and later) |
/// | `avx512` | AVX-512 F, BW, DQ, VL and VNNI besides those (Ice Lake, Zen 4 and later) |
/// | `neon` | aarch64 with dot products (ARMv8.2: Neoverse N1, Apple M1 and later) |
/// | `i8mm` | products of byte matrices besides those (ARMv8.6: Neoverse V1, Apple M2 and later) |
///
/// A level is a whole set of features: a processor with AVX-512 but without VNNI runs `avx2`, for
/// encoding as well. [`encode_rows`](crate::encode_rows) and its neighbours use [`Cpu::select`];
/// the methods here do the same with a given level. The bytes do not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Cpu(&'static Level);

impl Cpu {
    /// The fastest level of this machine, or the one that the environment variable `AEOLUS_CPU`
    /// (`scalar`, `portable`, `avx2`, `avx512`, `neon`, `i8mm`) names. Decided once per process, for encoding and
    /// products alike.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the variable names a level that does not exist or cannot run here.
    pub fn select() -> Result<Self, CpuError> {
        static CHOICE: OnceLock<Result<Cpu, CpuError>> = OnceLock::new();
        CHOICE
            .get_or_init(|| match std::env::var_os("AEOLUS_CPU") {
                Some(asked) if !asked.is_empty() => Self::named(&asked.to_string_lossy()),
                _ => Ok(Self::available().last().unwrap_or(Self::scalar())),
            })
            .clone()
    }

    /// The level of this name.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if there is none, or it cannot run here.
    pub fn named(name: &str) -> Result<Self, CpuError> {
        Self::available()
            .find(|cpu| cpu.name() == name)
            .ok_or_else(|| CpuError {
                asked: name.to_owned(),
                available: Self::available()
                    .map(Self::name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Every level that this machine has, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        LEVELS
            .iter()
            .filter(|level| (level.runs_here)())
            .map(|level| Self(level))
    }

    /// The scalar code, which every machine has.
    pub(crate) fn scalar() -> Self {
        Self(&super::scalar::LEVEL)
    }

    /// `scalar`, `portable`, `avx2`, `avx512`, `neon` or `i8mm`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The products of this level.
    pub fn kernels(self) -> &'static Kernels {
        &self.0.kernels
    }

    /// Whether there is an encoder for the type.
    pub(crate) fn encodes(self, ty: TensorType) -> bool {
        (self.0.encode)(ty).is_some()
    }

    /// Whether there is a decoder for the type.
    pub(crate) fn decodes(self, ty: TensorType) -> bool {
        (self.0.decode)(ty).is_some()
    }

    /// Encodes checked weights, with a checked guide if there is one; does nothing for a type
    /// without an encoder.
    pub(crate) fn encode(self, ty: TensorType, x: &[f32], guide: Option<&[f32]>, out: &mut [u8]) {
        if let Some(encode) = (self.0.encode)(ty) {
            // SAFETY: a `Cpu` exists only for a level that runs here.
            unsafe { encode(x, guide, out) }
        }
    }

    /// Decodes bytes of checked length; does nothing for a type without a decoder.
    pub(crate) fn decode(self, ty: TensorType, bytes: &[u8], out: &mut [f32]) {
        if let Some(decode) = (self.0.decode)(ty) {
            // SAFETY: a `Cpu` exists only for a level that runs here.
            unsafe { decode(bytes, out) }
        }
    }

    /// Rounds every value to the nearest F16.
    pub(crate) fn round_to_f16(self, x: &mut [f32]) {
        // SAFETY: a `Cpu` exists only for a level that runs here.
        unsafe { (self.0.round_through_f16)(x) }
    }

    /// Index of the first value that is NaN or of at least this magnitude.
    pub(crate) fn first_at_least(self, x: &[f32], limit: f32) -> Option<usize> {
        // SAFETY: a `Cpu` exists only for a level that runs here.
        unsafe { (self.0.first_at_least)(x, limit) }
    }
}
