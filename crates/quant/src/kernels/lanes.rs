//! Encoders turned sideways: one sub-block in each SIMD lane.
//!
//! A search for scales is a chain of float operations whose order makes the bytes, so one
//! sub-block cannot be spread over a vector. Many sub-blocks can: lane `j` of vector `i` holds
//! element `i` of sub-block `j`, and every lane does the scalar code's operations in the scalar
//! code's order. Branches become selects. The results are those of the scalar code by
//! construction, whatever the number of lanes.
//!
//! Two searches put something else into the lanes: the scales that are tried on a codebook ([`grid`]), and
//! the points of one of its lists ([`near`]).
//!
//! The code is written once against [`Isa`], the few operations that an instruction set has to
//! offer, and is inlined into functions compiled for that instruction set:
//!
//! * [`portable::Portable`]: arrays of floats, for any CPU;
//! * `x86_64::{Avx2, Avx512}`: one intrinsic per operation;
//! * [`pair::Pair`]: two vectors where one is meant, so that the second fills the time in which
//!   the first waits for its sums.
//!
//! Values that only exist for wild inputs (an integer that does not fit, a scale of infinity) take
//! no part in the lanes: a lane where they could arise is marked and its sub-block is done again
//! by the scalar code.

pub(crate) mod affine;
pub(crate) mod blocks32;
pub(crate) mod codebook;
pub(crate) mod decode;
pub(crate) mod grid;
pub(crate) mod guided;
pub(crate) mod half;
pub(crate) mod iterative;
pub(crate) mod levels;
pub(crate) mod near;
pub(crate) mod pair;
pub(crate) mod portable;
pub(crate) mod positive;
pub(crate) mod split;
pub(crate) mod supers;
pub(crate) mod symmetric;
pub(crate) mod widths;

use crate::search::{LEVELS_F32, MIDDLES};
use std::ops::{Add, Div, Mul, Sub};

/// Proof that the CPU can do an instruction set's vectors, and the way to make them.
///
/// A vector can only come from such a value or from other vectors, so the operations themselves
/// are safe. All methods are `#[inline(always)]`, as they must end up in a function compiled for
/// the instruction set.
pub trait Isa: Copy {
    /// Lanes of a vector.
    const LANES: usize;
    /// A vector of `f32`.
    type F: Float<Mask = Self::M, Int = Self::I>;
    /// A vector of `i32`.
    type I: Int<Float = Self::F>;
    /// A yes or no for each lane.
    type M: Mask;

    /// The value in every lane.
    fn splat(self, value: f32) -> Self::F;

    /// The integer in every lane.
    fn splat_int(self, value: i32) -> Self::I;

    /// Runs a job in a function of its own, compiled for the instruction set. A search is so large that
    /// it should be compiled once, and not again for each format that has it.
    fn apart<J: Job>(self, job: J) -> J::Output;

    /// As many elements as there are lanes, the first in the first lane.
    fn load(self, x: &[f32]) -> Self::F;

    /// The value of the level nearest to each lane, as `LEVELS_F32[nearest_level(v)]`, for magnitudes
    /// of at most 135.
    #[inline(always)]
    fn nearest_level(self, v: Self::F) -> Self::F {
        let mut level = self.splat(LEVELS_F32[0]);
        for (middle, above) in MIDDLES.iter().zip(&LEVELS_F32[1..]) {
            level = level.or_else(v.lt(self.splat(*middle)), self.splat(*above));
        }
        level
    }

    /// Turns `LANES` rows: vector `i` gets element `i` of every row. `N` is a multiple of 16.
    fn columns<const N: usize>(self, rows: &[&[f32; N]]) -> [Self::F; N];
}

/// Code to [run apart](Isa::apart).
pub trait Job {
    /// What it gives.
    type Output;

    /// The code; `#[inline(always)]`, as all that uses vectors.
    fn run(self) -> Self::Output;
}

/// The most lanes of an [`Isa`].
pub(crate) const MAX_LANES: usize = 64;

/// Below this magnitude [`Float::round`] and the scalar code's rounding agree.
pub(crate) const TAME: f32 = 2_097_152.0;

/// The first rows of `rows` in lanes, the last one again where there are too few.
#[inline(always)]
pub(crate) fn load<S: Isa, const N: usize>(isa: S, rows: &[[f32; N]]) -> [S::F; N] {
    load_parts(isa, rows, |row| row)
}

/// [`load`] of a part of each row.
#[inline(always)]
pub(crate) fn load_parts<'a, S: Isa, R, const N: usize>(
    isa: S,
    rows: &'a [R],
    part: impl Fn(&'a R) -> &'a [f32; N],
) -> [S::F; N] {
    let last = part(&rows[rows.len() - 1]);
    let mut lanes = [last; MAX_LANES];
    for (lane, row) in lanes[..S::LANES].iter_mut().zip(rows) {
        *lane = part(row);
    }
    isa.columns(&lanes[..S::LANES])
}

/// A vector of `f32`; every operation is the IEEE one, in each lane by itself.
pub trait Float:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// See [`Isa::M`].
    type Mask: Mask;
    /// See [`Isa::I`].
    type Int: Int<Float = Self>;

    /// `if self > other { self } else { other }`
    fn max(self, other: Self) -> Self;

    /// `if self < other { self } else { other }`
    fn min(self, other: Self) -> Self;

    /// [`min`](Self::min) for a positive `limit`, as an integer operation where that is free:
    /// the bits of positive floats are ordered as the floats are, and above those of negative
    /// ones. `self` must not be NaN.
    #[inline(always)]
    fn at_most(self, limit: Self) -> Self {
        self.min(limit)
    }

    /// `self` where it is positive, else 0; as an integer operation where that is free. `self`
    /// must not be NaN.
    #[inline(always)]
    fn at_least_zero(self, zero: Self) -> Self {
        self.max(zero)
    }

    /// Magnitude.
    fn abs(self) -> Self;

    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;

    /// The nearest integer, ties to even, for magnitudes below 2^22. It may be -0.
    fn round(self) -> Self;

    /// The integer without the fraction, for values that fit.
    fn truncate(self) -> Self::Int;

    /// The bits.
    fn to_bits(self) -> Self::Int;

    /// `self < other`, no for NaN.
    fn lt(self, other: Self) -> Self::Mask;

    /// `self == other`, no for NaN.
    fn eq(self, other: Self) -> Self::Mask;

    /// `if mask { self } else { other }`
    fn or_else(self, mask: Self::Mask, other: Self) -> Self;

    /// The smallest lane. No lane may be NaN; of zeros any one is given.
    fn reduce_min(self) -> f32;

    /// The largest lane, likewise.
    fn reduce_max(self) -> f32;

    /// Writes the lanes, the first one first, into exactly as many elements.
    fn store(self, out: &mut [f32]);
}

/// A vector of `i32` with wrapping arithmetic.
pub trait Int: Copy {
    /// See [`Isa::F`].
    type Float: Float<Int = Self>;

    /// `self - other`
    fn sub(self, other: Self) -> Self;

    /// The smaller one, signed.
    fn min(self, other: Self) -> Self;

    /// The larger one, signed.
    fn max(self, other: Self) -> Self;

    /// Bits set in both.
    fn and(self, other: Self) -> Self;

    /// Bits set in either.
    fn or(self, other: Self) -> Self;

    /// Shifted to the left by four bits.
    fn shl4(self) -> Self;

    /// The nearest floats.
    fn to_float(self) -> Self::Float;

    /// The floats with these bits.
    fn as_float(self) -> Self::Float;

    /// Writes the lowest byte of each lane, the first one first, into exactly as many bytes.
    fn store_bytes(self, out: &mut [u8]);
}

/// A yes or no for each lane.
pub trait Mask: Copy {
    /// Lanes, at most 64.
    const LANES: u32;

    /// Lanes set in both.
    fn and(self, other: Self) -> Self;

    /// Lanes set in either.
    fn or(self, other: Self) -> Self;

    /// Lanes set in `self` and not in `other`.
    fn and_not(self, other: Self) -> Self;

    /// Bit `j` tells whether lane `j` is set.
    fn bits(self) -> u64;

    /// Whether any lane is set.
    #[inline(always)]
    fn any(self) -> bool {
        self.bits() != 0
    }
}
