//! Any safe code, compiled for a level's instruction set.
#![allow(
    unsafe_code,
    reason = "calls of functions compiled for an instruction set"
)]

use super::Cpu;
use super::lanes::Isa;
use super::lanes::pair::Pair;
use super::lanes::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::x86_64::{avx2::Avx2, avx512::Avx512};

/// Work on vectors of sixteen lanes, which [`Cpu::run_lanes`] compiles once for each level.
///
/// `run` and what it calls have to be `#[inline(always)]`, or they are compiled for the whole program's
/// instruction set. Operations are those of IEEE, lane by lane; sums and products keep their order and are
/// never fused: results are the same bits on every level.
pub trait LaneWork {
    /// What it gives.
    type Output;

    /// Does the work. `S::LANES` is 16.
    fn run<S: Isa>(self, isa: S) -> Self::Output;
}

impl Cpu {
    /// Runs work on vectors of sixteen lanes with the instructions of this level.
    pub fn run_lanes<W: LaneWork>(self, work: W) -> W::Output {
        match self.name() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Cpu` exists only for a level that runs here.
            "avx2" => unsafe { avx2_lanes(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            "avx512" => unsafe { avx512_lanes(work) },
            _ => work.run(Pair(Portable)),
        }
    }
}

/// # Safety
///
/// The CPU must have the features of the level `avx2`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2_lanes<W: LaneWork>(work: W) -> W::Output {
    // SAFETY: the caller's promise.
    work.run(Pair(unsafe { Avx2::new_unchecked() }))
}

/// # Safety
///
/// The CPU must have the features of the level `avx512`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512_lanes<W: LaneWork>(work: W) -> W::Output {
    // SAFETY: the caller's promise.
    work.run(unsafe { Avx512::new_unchecked() })
}
