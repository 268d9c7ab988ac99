//! Two vectors where the code says one: twice the lanes.
//!
//! A search adds up its sums one element after the other, and each addition waits for the one
//! before. With two vectors in turn the units work while one sum waits.

use super::{Float, Int, Isa, Job, Mask};
use std::ops::{Add, Div, Mul, Sub};

/// Twice the lanes of an instruction set. Its vectors are pairs, lower lanes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<T>(pub(crate) T);

/// Two vectors or masks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Two<T>(T, T);

impl<S: Isa> Isa for Pair<S> {
    const LANES: usize = 2 * S::LANES;
    type F = Two<S::F>;
    type I = Two<S::I>;
    type M = Two<S::M>;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        Two(self.0.splat(value), self.0.splat(value))
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        Two(self.0.splat_int(value), self.0.splat_int(value))
    }

    #[inline(always)]
    fn apart<J: Job>(self, job: J) -> J::Output {
        self.0.apart(job)
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::F {
        let (low, high) = x.split_at(S::LANES);
        Two(self.0.load(low), self.0.load(high))
    }

    #[inline(always)]
    fn nearest_level(self, v: Self::F) -> Self::F {
        Two(self.0.nearest_level(v.0), self.0.nearest_level(v.1))
    }

    #[inline(always)]
    fn columns<const N: usize>(self, rows: &[&[f32; N]]) -> [Self::F; N] {
        let (low, high) = rows.split_at(S::LANES);
        let (low, high) = (self.0.columns::<N>(low), self.0.columns::<N>(high));
        let mut columns = [self.splat(0.0); N];
        for i in 0..N {
            columns[i] = Two(low[i], high[i]);
        }
        columns
    }
}

macro_rules! operators {
    ($($name:ident::$method:ident),*) => {$(
        impl<F: Float> $name for Two<F> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0.$method(other.0), self.1.$method(other.1))
            }
        }
    )*};
}
operators!(Add::add, Sub::sub, Mul::mul, Div::div);

/// Methods that do the same with both halves.
macro_rules! both {
    ($($method:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {$(
        #[inline(always)]
        fn $method(self $(, $arg: $ty)*) -> $out {
            Two(self.0.$method($($arg.0),*), self.1.$method($($arg.1),*))
        }
    )*};
}

impl<F: Float> Float for Two<F> {
    type Mask = Two<F::Mask>;
    type Int = Two<F::Int>;

    both! {
        max(other: Self) -> Self;
        min(other: Self) -> Self;
        at_most(limit: Self) -> Self;
        at_least_zero(zero: Self) -> Self;
        abs() -> Self;
        sqrt() -> Self;
        round() -> Self;
        truncate() -> Self::Int;
        to_bits() -> Self::Int;
        lt(other: Self) -> Self::Mask;
        eq(other: Self) -> Self::Mask;
        or_else(mask: Self::Mask, other: Self) -> Self;
    }

    #[inline(always)]
    fn reduce_min(self) -> f32 {
        self.0.min(self.1).reduce_min()
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        self.0.max(self.1).reduce_max()
    }

    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        let (low, high) = out.split_at_mut(out.len() / 2);
        self.0.store(low);
        self.1.store(high);
    }
}

impl<I: Int> Int for Two<I> {
    type Float = Two<I::Float>;

    both! {
        sub(other: Self) -> Self;
        min(other: Self) -> Self;
        max(other: Self) -> Self;
        and(other: Self) -> Self;
        or(other: Self) -> Self;
        shl4() -> Self;
        to_float() -> Self::Float;
        as_float() -> Self::Float;
    }

    #[inline(always)]
    fn store_bytes(self, out: &mut [u8]) {
        let (low, high) = out.split_at_mut(out.len() / 2);
        self.0.store_bytes(low);
        self.1.store_bytes(high);
    }
}

impl<M: Mask> Mask for Two<M> {
    const LANES: u32 = 2 * M::LANES;

    both! {
        and(other: Self) -> Self;
        or(other: Self) -> Self;
        and_not(other: Self) -> Self;
    }

    #[inline(always)]
    fn bits(self) -> u64 {
        self.0.bits() | (self.1.bits() << M::LANES)
    }

    #[inline(always)]
    fn any(self) -> bool {
        self.0.or(self.1).any()
    }
}
