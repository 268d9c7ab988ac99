//! Codes that are points of a codebook: the digits of four or eight columns go together, and in some formats
//! the signs of eight.
//!
//! To find the point for which the entries of its columns are smallest, given what is carried and the part of
//! the factor that these columns have, is a search for the nearest point of a lattice (Babai 1986). Here
//! columns are first rounded one after the other as if their digits were free. The points near these digits
//! are candidates. Each is tried with the signs that feedback gives: column after column, the sign of
//! `w + c / R_jj`.
//!
//! Where the number of negative signs has to be even, the cost of a candidate for which it is odd has the
//! least that turning one sign adds to that column's own entry. Under the best point, each of the signs is turned in
//! turn, those behind it follow from feedback and the last one from the number.

use crate::lanes::{LANES, carry_on, take};
use crate::round::{Due, Round, Rounded};
use aeolus_quant::fields::{Codebook, NEGATIVE};
use aeolus_quant::{Float, Int, Isa};

/// Columns that share the number of their signs.
const SIGNS: usize = 8;

/// The most points that are tried for a group: the nearest ones.
const MOST: usize = 32;

/// The points of a codebook with groups of `D`, and an even number of signs or any.
#[derive(Clone, Copy)]
pub(crate) struct Points<'a, F, const D: usize, const EVEN: bool> {
    codebook: &'a Codebook,
    /// Magnitudes are evenly spaced, but for the last one.
    first: F,
    step: f32,
    /// The last one as if it were evenly spaced, and as it is.
    last: (F, F),
}

/// Signs of some columns.
#[derive(Clone, Copy)]
struct Signs<I, F> {
    /// The sign bit where the number of negative ones is odd.
    odd: I,
    /// The least that turning one adds to the cost, a quarter of it.
    turn: F,
}

/// One column with its signs: `w - q` and `z`.
struct Column<F> {
    error: F,
    entry: F,
}

impl<'a, F: Float, const D: usize, const EVEN: bool> Points<'a, F, D, EVEN> {
    /// Those of a codebook.
    #[inline(always)]
    pub(crate) fn of<S: Isa<F = F, I = F::Int>>(isa: S, codebook: &'a Codebook) -> Self {
        let magnitudes = codebook.magnitudes;
        let (first, last) = (magnitudes[0], magnitudes.len() - 1);
        let step = magnitudes[1] - first;
        let even = first + last as f32 * step;
        Self {
            codebook,
            first: isa.splat(first),
            step,
            last: (isa.splat(even), isa.splat(magnitudes[last])),
        }
    }

    /// What digit `i` of packed points is times, there.
    #[inline(always)]
    fn place(&self, i: usize) -> u32 {
        1 << (self.codebook.bits * i as u32)
    }

    /// The magnitudes for digit `i` of packed points.
    #[inline(always)]
    fn magnitudes<S: Isa<F = F, I = F::Int>>(&self, isa: S, packed: F::Int, i: usize) -> F {
        let place = self.place(i);
        let mask = ((1 << self.codebook.bits) - 1) * place;
        let digits = packed.and(isa.splat_int(mask as i32)).to_float();
        // Places are powers of two: the products are exact.
        let even = self.first + digits * isa.splat(self.step / place as f32);
        self.last.1.or_else(even.eq(self.last.0), even)
    }

    /// The packed digits of a group's columns, rounded one after the other.
    #[inline(always)]
    fn free_digits<S: Isa<F = F, I = F::Int>>(
        &self,
        isa: S,
        due: &Due<'_, F, SIGNS>,
        first: usize,
        carried: &[F; D],
    ) -> F {
        let mut carried = *carried;
        let mut packed = isa.splat(0.0);
        for i in 0..D {
            let (weights, factor) = (due.weights[first + i], due.factor[first + i]);
            let target = target(isa, weights, carried[i], factor[0]);
            let x = target.abs() * due.under.inverse;
            let mut magnitude = self.first;
            let mut digit = isa.splat(0.0);
            for (number, pair) in self.codebook.magnitudes.windows(2).enumerate() {
                let is_above = isa.splat((pair[0] + pair[1]) / 2.0).lt(x);
                magnitude = isa.splat(pair[1]).or_else(is_above, magnitude);
                digit = isa.splat((number + 1) as f32).or_else(is_above, digit);
            }
            packed = packed + digit * isa.splat(self.place(i) as f32);
            let value = signed::<S>(magnitude * due.under.scale, signs(isa, target));
            let column = column(isa, weights, carried[i], factor[0], value);
            carry_on(isa, column.error, &factor[1..], &mut carried[i + 1..]);
        }
        packed
    }

    /// The best packed points for a group's columns, given signs before them.
    #[inline(always)]
    fn best<S: Isa<F = F, I = F::Int>>(
        &self,
        isa: S,
        due: &Due<'_, F, SIGNS>,
        (first, carried): (usize, &[F; D]),
        before: Signs<F::Int, F>,
    ) -> (F::Int, Signs<F::Int, F>) {
        let mut digits = [0.0; LANES];
        self.free_digits(isa, due, first, carried)
            .store(&mut digits);
        let near = digits.map(|digits| self.codebook.near(digits as u32));
        let longest = near.iter().map(|near| near.len()).max().unwrap_or(0);
        let mut best = isa.load(&digits);
        let mut best_cost = isa.splat(f32::INFINITY);
        let mut best_odd = before.odd.to_float();
        let mut best_turn = before.turn;
        for k in 0..longest.min(MOST) {
            let mut packed = [0.0; LANES];
            for (packed, near) in packed.iter_mut().zip(&near) {
                *packed = f32::from(near[k.min(near.len() - 1)]);
            }
            let packed = isa.load(&packed);
            let points = packed.truncate();
            let (mut carried, mut signs, mut cost) = (*carried, before, isa.splat(0.0));
            for i in 0..D {
                let (weights, factor) = (due.weights[first + i], due.factor[first + i]);
                let negative = self::signs(isa, target(isa, weights, carried[i], factor[0]));
                let magnitude = self.magnitudes(isa, points, i);
                let value = signed::<S>(magnitude * due.under.scale, negative);
                let column = column(isa, weights, carried[i], factor[0], value);
                cost = cost + column.entry * column.entry;
                if EVEN {
                    // With the other sign z is z + 2 u.
                    let u = value * isa.splat(factor[0]);
                    signs.odd = xor(signs.odd, negative);
                    signs.turn = (u * (column.entry + u)).min(signs.turn);
                }
                carry_on(isa, column.error, &factor[1..], &mut carried[i + 1..]);
            }
            let odd = signs.odd.to_float();
            if EVEN {
                let zero = isa.splat(0.0);
                let turn = signs.turn * isa.splat(4.0);
                cost = cost + turn.or_else(odd.lt(zero), zero);
            }
            let is_better = cost.lt(best_cost);
            take(is_better, &mut best_cost, cost);
            take(is_better, &mut best, packed);
            if EVEN {
                take(is_better, &mut best_turn, signs.turn);
                take(is_better, &mut best_odd, odd);
            }
        }
        let signs = Signs {
            odd: best_odd.truncate(),
            turn: best_turn,
        };
        (best.truncate(), signs)
    }

    /// An even number of signs for eight columns of known values: the sign bit of each.
    #[inline(always)]
    fn even_signs<S: Isa<F = F, I = F::Int>>(
        isa: S,
        due: &Due<'_, F, SIGNS>,
        values: &[F; SIGNS],
    ) -> [F; SIGNS] {
        let bit = isa.splat_int(i32::MIN);
        let mut best = [isa.splat(0.0); SIGNS];
        let mut best_cost = isa.splat(f32::INFINITY);
        // Which sign is turned; the last one follows from the number, so its turn is that of none.
        for turned in 0..SIGNS {
            let (mut carried, mut cost) = (*due.carried, isa.splat(0.0));
            let (mut all, mut odd) = (best, isa.splat_int(0));
            for i in 0..SIGNS {
                let (weights, factor) = (due.weights[i], due.factor[i]);
                let mut negative = odd;
                if i < SIGNS - 1 {
                    negative = signs(isa, target(isa, weights, carried[i], factor[0]));
                    if i == turned {
                        negative = xor(negative, bit);
                    }
                    odd = xor(odd, negative);
                }
                let value = signed::<S>(values[i], negative);
                let column = column(isa, weights, carried[i], factor[0], value);
                cost = cost + column.entry * column.entry;
                carry_on(isa, column.error, &factor[1..], &mut carried[i + 1..]);
                all[i] = negative.as_float();
            }
            let is_better = cost.lt(best_cost);
            take(is_better, &mut best_cost, cost);
            for (best, all) in best.iter_mut().zip(all) {
                take(is_better, best, all);
            }
        }
        best
    }
}

impl<S: Isa, const D: usize, const EVEN: bool> Round<S, SIGNS> for Points<'_, S::F, D, EVEN> {
    #[inline(always)]
    fn round(self, isa: S, due: &Due<'_, S::F, SIGNS>) -> Rounded<S::F, SIGNS> {
        let mut digits = [isa.splat(0.0); SIGNS];
        let mut values = digits;
        let mut carried = *due.carried;
        let mut signs_before = Signs {
            odd: isa.splat_int(0),
            turn: isa.splat(f32::INFINITY),
        };
        for first in (0..SIGNS).step_by(D) {
            let (here, behind) = carried.split_at_mut(first + D);
            let mut own = [isa.splat(0.0); D];
            own.copy_from_slice(&here[first..]);
            let (packed, signs) = self.best(isa, due, (first, &own), signs_before);
            signs_before = signs;
            for i in 0..D {
                let place = self.place(i);
                let mask = ((1 << self.codebook.bits) - 1) * place;
                let digit = packed.and(isa.splat_int(mask as i32)).to_float();
                digits[first + i] = digit * isa.splat(1.0 / place as f32);
                values[first + i] = self.magnitudes(isa, packed, i) * due.under.scale;
            }
            // The next group follows on the signs that feedback gives for this one.
            if first + D < SIGNS {
                for i in 0..D {
                    let (weights, factor) = (due.weights[first + i], due.factor[first + i]);
                    let negative = self::signs(isa, target(isa, weights, own[i], factor[0]));
                    let value = signed::<S>(values[first + i], negative);
                    let column = column(isa, weights, own[i], factor[0], value);
                    carry_on(isa, column.error, &factor[1..], &mut own[i + 1..]);
                    carry_on(isa, column.error, &factor[D - i..], behind);
                }
            }
        }
        let even = match EVEN {
            true => Some(Self::even_signs(isa, due, &values)),
            false => None,
        };
        let mut rounded = Rounded {
            codes: digits,
            errors: values,
            entries: values,
        };
        let mut carried = *due.carried;
        for i in 0..SIGNS {
            let (weights, factor) = (due.weights[i], due.factor[i]);
            let negative = match even {
                Some(signs) => signs[i].to_bits(),
                None => signs(isa, target(isa, weights, carried[i], factor[0])),
            };
            let column = column(
                isa,
                weights,
                carried[i],
                factor[0],
                signed::<S>(values[i], negative),
            );
            carry_on(isa, column.error, &factor[1..], &mut carried[i + 1..]);
            let code = digits[i] + isa.splat(f32::from(NEGATIVE));
            rounded.codes[i] = code.or_else(negative.to_float().lt(isa.splat(0.0)), digits[i]);
            rounded.errors[i] = column.error;
            rounded.entries[i] = column.entry;
        }
        rounded
    }
}

/// Where the weights of a column would best be.
#[inline(always)]
fn target<S: Isa>(isa: S, weights: S::F, carried: S::F, diagonal: f32) -> S::F {
    weights + carried * isa.splat(1.0 / diagonal)
}

/// The sign bits of numbers.
#[inline(always)]
fn signs<S: Isa>(isa: S, x: S::F) -> S::I {
    x.to_bits().and(isa.splat_int(i32::MIN))
}

/// Values, which are not negative, with sign bits.
#[inline(always)]
fn signed<S: Isa>(values: S::F, negative: S::I) -> S::F {
    values.to_bits().or(negative).as_float()
}

/// The bits that are set in one only.
#[inline(always)]
fn xor<I: Int>(a: I, b: I) -> I {
    a.or(b).sub(a.and(b))
}

/// A column of signed values.
#[inline(always)]
fn column<S: Isa>(
    isa: S,
    weights: S::F,
    carried: S::F,
    diagonal: f32,
    value: S::F,
) -> Column<S::F> {
    let error = weights - value;
    Column {
        error,
        entry: carried + error * isa.splat(diagonal),
    }
}
