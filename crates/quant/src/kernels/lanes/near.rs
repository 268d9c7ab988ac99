//! The best point of a list, with a point in each lane.
//!
//! Digits look up what they cost in a vector of each element.

use super::widths::Conversions;
use super::{Float, Isa, Job, MAX_LANES, Mask};
use crate::formats::grids::IQ1;
use crate::formats::iq1_s::{DOWN, Group, UP};
use crate::search::Near;

/// The odd numbers that digits stand for, in every eight lanes; again and again where there are fewer.
pub(super) const ODD: [[f32; MAX_LANES]; 2] = {
    let mut odd = [[0.0; MAX_LANES]; 2];
    let mut i = 0;
    while i < MAX_LANES {
        odd[0][i] = (2 * (i % 4) + 1) as f32;
        odd[1][i] = (2 * (i % 8) + 1) as f32;
        i += 1;
    }
    odd
};

/// For each element what digits of these values cost.
#[inline(always)]
pub(super) fn costs_in_lanes<S: Isa, const D: usize>(
    isa: S,
    (x, roots): (&[f32; D], &[f32; D]),
    values: S::F,
) -> [S::F; D] {
    let mut costs = [values; D];
    for ((cost, &v), &w) in costs.iter_mut().zip(x).zip(roots) {
        let diff = values - isa.splat(v);
        *cost = isa.splat(w) * diff * diff;
    }
    costs
}

/// What the digits of IQ1 stand for, under shifts up and down.
const TERNARY: [[f32; MAX_LANES]; 2] = {
    let mut values = [[0.0; MAX_LANES]; 2];
    let mut i = 0;
    while i < MAX_LANES {
        if i % 4 < 3 {
            values[0][i] = UP[i % 4];
            values[1][i] = DOWN[i % 4];
        }
        i += 1;
    }
    values
};

/// [`Group::point`], with a point of the list in each lane.
#[inline(always)]
pub(crate) fn ternary_point<S: Conversions>(isa: S, group: &Group<'_>) -> (u16, bool) {
    isa.apart(Ternary { isa, group })
}

struct Ternary<'a, S: Conversions> {
    isa: S,
    group: &'a Group<'a>,
}

impl<S: Conversions> Job for Ternary<'_, S> {
    type Output = (u16, bool);

    #[inline(always)]
    fn run(self) -> (u16, bool) {
        let Self { isa, group } = self;
        let mut place = 0;
        for (i, digit) in group.digits.iter().enumerate() {
            place |= u32::from(*digit) << (2 * i);
        }
        // Digits come from places of cut, not from rounding.
        let Some(range) = IQ1.near_range(place, false) else {
            return (IQ1.number(place as usize), true);
        };
        let values = &TERNARY[usize::from(group.down)][..S::LANES];
        let values = isa.splat(group.scale) * isa.load(values);
        let costs = costs_in_lanes::<S, 8>(isa, (group.x, group.weights), values);
        (
            best_in_lanes::<S, 8, 4>(isa, IQ1.near(range), &costs),
            false,
        )
    }
}

/// The lanes by number.
const NUMBERS: [f32; MAX_LANES] = {
    let mut numbers = [0.0; MAX_LANES];
    let mut i = 0;
    while i < MAX_LANES {
        numbers[i] = i as f32;
        i += 1;
    }
    numbers
};

/// The number of the first point with the smallest error; of the first one if none has an error.
#[inline(always)]
pub(super) fn best_in_lanes<S: Conversions, const D: usize, const Q: usize>(
    isa: S,
    near: Near<'_>,
    costs: &[S::F; D],
) -> u16 {
    let count = near.numbers.len();
    let mut best_error = isa.splat(f32::MAX);
    let mut best = isa.splat(0.0);
    let mut place = isa.load(&NUMBERS[..S::LANES]);
    let end = isa.splat(count as f32);
    for first in (0..count).step_by(S::LANES) {
        let packed = isa.load_words(&near.packed[first..][..S::LANES]);
        let mut error = S::look_up(costs[0], packed);
        for (i, &cost) in costs.iter().enumerate().skip(1) {
            let digit = S::shr(packed, Q.trailing_zeros() * i as u32);
            error = error + S::look_up(cost, digit);
        }
        let better = error.lt(best_error).and(place.lt(end));
        best_error = error.or_else(better, best_error);
        best = place.or_else(better, best);
        place = place + isa.splat(S::LANES as f32);
    }
    let smallest = isa.splat(best_error.reduce_min());
    if count <= S::LANES {
        let best = best_error.eq(smallest).bits().trailing_zeros();
        // Lanes without an error, or beyond the list, hold what no error reaches.
        return near.numbers[if (best as usize) < count {
            best as usize
        } else {
            0
        }];
    }
    // Lanes without an error have place 0.
    let first = best.or_else(best_error.eq(smallest), end).reduce_min();
    near.numbers[first as usize]
}
