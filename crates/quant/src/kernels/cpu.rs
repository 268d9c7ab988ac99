//! Which encoders and decoders run: chosen once per process, or forced.
#![allow(
    unsafe_code,
    reason = "calls of functions compiled for an instruction set"
)]

use super::codec::Codec;
use super::dot::CpuError;
use aeolus_gguf::TensorType;
use std::sync::OnceLock;

/// All sets, slowest first.
static SETS: &[&Codec] = &[
    &super::scalar::CODEC,
    &super::portable::CODEC,
    #[cfg(target_arch = "x86_64")]
    &super::x86_64::avx2::CODEC,
    #[cfg(target_arch = "x86_64")]
    &super::x86_64::avx512::CODEC,
];

/// The encoders and decoders of an instruction set that this machine has.
///
/// [`encode_rows`](crate::encode_rows) and its neighbours use [`Cpu::select`]; the methods here
/// do the same with a given set. The bytes do not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Cpu(&'static Codec);

impl Cpu {
    /// The fastest set of this machine, or the one that the environment variable `AEOLUS_CPU`
    /// (`scalar`, `portable`, `avx2`, `avx512`) names. Decided once per process, for encoding and
    /// for [dot products](super::dot) alike.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the variable names a set that does not exist or cannot run here.
    pub fn select() -> Result<Self, CpuError> {
        static CHOICE: OnceLock<Result<Cpu, CpuError>> = OnceLock::new();
        CHOICE
            .get_or_init(|| match std::env::var_os("AEOLUS_CPU") {
                Some(asked) if !asked.is_empty() => Self::named(&asked.to_string_lossy()),
                _ => Ok(Self::available().last().unwrap_or(Self::scalar())),
            })
            .clone()
    }

    /// The set of this name.
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

    /// Every set that this machine has, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        SETS.iter()
            .filter(|codec| (codec.runs_here)())
            .map(|codec| Self(codec))
    }

    /// The scalar code, which every machine has.
    pub(crate) fn scalar() -> Self {
        Self(&super::scalar::CODEC)
    }

    /// `scalar`, `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Its place among all sets, slowest first.
    pub(crate) fn rank(name: &str) -> Option<usize> {
        SETS.iter().position(|codec| codec.name == name)
    }

    /// Whether there is an encoder for the type.
    pub(crate) fn encodes(self, ty: TensorType) -> bool {
        (self.0.encode)(ty).is_some()
    }

    /// Whether there is a decoder for the type.
    pub(crate) fn decodes(self, ty: TensorType) -> bool {
        (self.0.decode)(ty).is_some()
    }

    /// Encodes checked weights; does nothing for a type without an encoder.
    pub(crate) fn encode(self, ty: TensorType, x: &[f32], out: &mut [u8]) {
        if let Some(encode) = (self.0.encode)(ty) {
            // SAFETY: a `Cpu` exists only for a set that runs here.
            unsafe { encode(x, out) }
        }
    }

    /// Decodes bytes of checked length; does nothing for a type without a decoder.
    pub(crate) fn decode(self, ty: TensorType, bytes: &[u8], out: &mut [f32]) {
        if let Some(decode) = (self.0.decode)(ty) {
            // SAFETY: a `Cpu` exists only for a set that runs here.
            unsafe { decode(bytes, out) }
        }
    }

    /// Rounds every value to the nearest F16.
    pub(crate) fn round_to_f16(self, x: &mut [f32]) {
        // SAFETY: a `Cpu` exists only for a set that runs here.
        unsafe { (self.0.round_through_f16)(x) }
    }

    /// Index of the first value that is NaN or of at least this magnitude.
    pub(crate) fn first_at_least(self, x: &[f32], limit: f32) -> Option<usize> {
        // SAFETY: a `Cpu` exists only for a set that runs here.
        unsafe { (self.0.first_at_least)(x, limit) }
    }
}
