//! Lanes as arrays, in plain Rust, for any CPU; the compiler makes of them what it can.

use super::pair::Pair;
use super::widths::{Conversions, widths};
use super::{Float, Int, Isa, Job, Mask};
use crate::float16::{f16_to_f32, f32_to_f16};
use crate::search::ROUND_MAGIC;
use std::ops::{Add, Div, Mul, Sub};

/// Eight lanes: two vectors of SSE2 or NEON.
const LANES: usize = 8;

/// Arrays need nothing of the CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// A vector of `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats([f32; LANES]);

/// A vector of `i32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ints([i32; LANES]);

/// All bits of a lane set or none, so that a select is a few bit operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bools([u32; LANES]);

impl Isa for Portable {
    const LANES: usize = LANES;
    type F = Floats;
    type I = Ints;
    type M = Bools;

    #[inline(always)]
    fn splat(self, value: f32) -> Floats {
        Floats([value; LANES])
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Ints {
        Ints([value; LANES])
    }

    #[inline(always)]
    fn apart<J: Job>(self, job: J) -> J::Output {
        #[inline(never)]
        fn run<J: Job>(job: J) -> J::Output {
            job.run()
        }
        run(job)
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> Floats {
        let mut lanes = [0.0; LANES];
        lanes.copy_from_slice(x);
        Floats(lanes)
    }

    #[inline(always)]
    fn columns<const N: usize>(self, rows: &[&[f32; N]]) -> [Floats; N] {
        let rows = &rows[..LANES];
        let mut columns = [self.splat(0.0); N];
        for (i, column) in columns.iter_mut().enumerate() {
            for (lane, row) in column.0.iter_mut().zip(rows) {
                *lane = row[i];
            }
        }
        columns
    }
}

impl Conversions for Portable {
    #[inline(always)]
    fn load_bytes(self, x: &[u8]) -> Ints {
        let mut bytes = [0; LANES];
        bytes.copy_from_slice(x);
        Ints(bytes.map(i32::from))
    }

    #[inline(always)]
    fn load_words(self, x: &[u16]) -> Ints {
        let mut words = [0; LANES];
        words.copy_from_slice(x);
        Ints(words.map(i32::from))
    }

    #[inline(always)]
    fn look_up(table: Floats, index: Ints) -> Floats {
        Floats(index.0.map(|i| table.0[i as usize % LANES]))
    }

    #[inline(always)]
    fn rotate(v: Floats) -> Floats {
        let mut lanes = v.0;
        lanes.rotate_right(1);
        Floats(lanes)
    }

    #[inline(always)]
    fn shr(v: Ints, count: u32) -> Ints {
        Ints(v.0.map(|v| (v as u32 >> count) as i32))
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> Floats {
        let mut lanes = [0.0; LANES];
        for (lane, bytes) in lanes.iter_mut().zip(bytes.as_chunks().0) {
            *lane = f16_to_f32(u16::from_le_bytes(*bytes));
        }
        Floats(lanes)
    }

    #[inline(always)]
    fn store_f16(v: Floats, out: &mut [u8]) {
        for (v, out) in v.0.iter().zip(out.as_chunks_mut().0) {
            *out = f32_to_f16(*v).to_le_bytes();
        }
    }
}

widths! {
    Portable,
    affine Affine Self = |isa| isa;
    symmetric Symmetric Self = |isa| isa;
    iterative Iterative Pair<Self> = |isa| Pair(isa);
    levels Levels Self = |isa| isa;
}

impl Floats {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|j| f(self.0[j], other.0[j])))
    }

    #[inline(always)]
    fn test(self, other: Self, f: impl Fn(f32, f32) -> bool) -> Bools {
        Bools(std::array::from_fn(|j| {
            u32::from(f(self.0[j], other.0[j])).wrapping_neg()
        }))
    }
}

macro_rules! operators {
    ($($name:ident::$method:ident $op:tt),*) => {$(
        impl $name for Floats {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a $op b)
            }
        }
    )*};
}
operators!(Add::add +, Sub::sub -, Mul::mul *, Div::div /);

impl Float for Floats {
    type Mask = Bools;
    type Int = Ints;

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn round(self) -> Self {
        Self(self.0.map(|v| (v + ROUND_MAGIC) - ROUND_MAGIC))
    }

    #[inline(always)]
    fn truncate(self) -> Ints {
        Ints(self.0.map(|v| v as i32))
    }

    #[inline(always)]
    fn to_bits(self) -> Ints {
        Ints(self.0.map(|v| v.to_bits() as i32))
    }

    #[inline(always)]
    fn lt(self, other: Self) -> Bools {
        self.test(other, |a, b| a < b)
    }

    #[inline(always)]
    fn eq(self, other: Self) -> Bools {
        self.test(other, |a, b| a == b)
    }

    #[inline(always)]
    fn or_else(self, mask: Bools, other: Self) -> Self {
        Self(std::array::from_fn(|j| {
            let (yes, no) = (self.0[j].to_bits(), other.0[j].to_bits());
            f32::from_bits((yes & mask.0[j]) | (no & !mask.0[j]))
        }))
    }

    #[inline(always)]
    fn reduce_min(self) -> f32 {
        let mut lanes = self.0;
        for half in [4, 2, 1] {
            for j in 0..half {
                lanes[j] = lanes[j].min(lanes[j + half]);
            }
        }
        lanes[0]
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        let mut lanes = self.0;
        for half in [4, 2, 1] {
            for j in 0..half {
                lanes[j] = lanes[j].max(lanes[j + half]);
            }
        }
        lanes[0]
    }

    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        out.copy_from_slice(&self.0);
    }
}

impl Ints {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(i32, i32) -> i32) -> Self {
        Self(std::array::from_fn(|j| f(self.0[j], other.0[j])))
    }
}

impl Int for Ints {
    type Float = Floats;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, i32::wrapping_sub)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| a.min(b))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| a.max(b))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    #[inline(always)]
    fn shl4(self) -> Self {
        Self(self.0.map(|v| v << 4))
    }

    #[inline(always)]
    fn to_float(self) -> Floats {
        Floats(self.0.map(|v| v as f32))
    }

    #[inline(always)]
    fn as_float(self) -> Floats {
        Floats(self.0.map(|v| f32::from_bits(v as u32)))
    }

    #[inline(always)]
    fn store_bytes(self, out: &mut [u8]) {
        out.copy_from_slice(&self.0.map(|v| v as u8));
    }
}

impl Mask for Bools {
    const LANES: u32 = LANES as u32;

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|j| self.0[j] & other.0[j]))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|j| self.0[j] | other.0[j]))
    }

    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        Self(std::array::from_fn(|j| self.0[j] & !other.0[j]))
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        (0..LANES).fold(0, |bits, j| bits | (u64::from(self.0[j] & 1) << j))
    }

    #[inline(always)]
    fn any(self) -> bool {
        self.0.iter().fold(0, |any, lane| any | lane) != 0
    }
}
