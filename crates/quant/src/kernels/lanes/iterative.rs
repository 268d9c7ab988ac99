//! The search of Q3_K (`fit_q3`) with a sub-block in each lane.
//!
//! Its rounds end early, and for most sub-blocks at once: with all of them in lanes to the end,
//! nearly every round would run for the few that still change. So those of a batch that go on are
//! put together in new lanes before every round:
//!
//! 1. All get their first quants. Where the extreme value is positive (half of them), it goes to
//!    -4, every quant has the sign opposite to its value, and no product of both is positive.
//!    A sum of such products never exceeds one of its terms, rounded or not; so no rest without a
//!    term is positive, and the rounds would change nothing.
//! 2. The others get one round, in which about every fourth of them changes.
//! 3. Those get another one, and so on. Between rounds a sub-block is its quants and its two sums;
//!    the terms of the sums follow from the quants.

use super::symmetric::{bounds, signed_extreme};
use super::{Float, Int, Isa, MAX_LANES, Mask, TAME, load};
use crate::search::{GROUP_MAX_EPS, Q3_ROUNDS, ROUND_MAGIC};

/// Finds the scale of every sub-block, at most `MAX`.
#[inline(always)]
pub(crate) fn fit_q3_all<S: Isa, const N: usize, const MAX: usize>(
    isa: S,
    subs: &[[f32; N]],
    found: &mut [f32],
) {
    let mut second = Indices::<MAX>::new();
    for (group, subs) in subs.chunks(S::LANES).enumerate() {
        let start = Start::new(isa, &load(isa, subs));
        let first = group * S::LANES;
        let mut scales = [0.0; MAX_LANES];
        start.scale(isa).store(&mut scales[..S::LANES]);
        found[first..][..subs.len()].copy_from_slice(&scales[..subs.len()]);
        second.push(start.goes_on(isa), subs.len(), |lane| (first + lane) as u32);
    }
    let mut going = Going::<N>::new();
    for indices in second.as_slice().chunks(S::LANES) {
        let x = gather(isa, subs, indices);
        let start = Start::new(isa, &x);
        let mut levels = x;
        for l in &mut levels {
            *l = start.level(isa, *l);
        }
        let mut sums = start.sums;
        let changed = round(isa, &x, &mut levels, &mut sums);
        scatter::<S>(sums.scale(isa), indices, found);
        going.push::<S>(changed, indices, &levels, &sums);
        if going.len + S::LANES > GOING {
            going.finish(isa, subs, found);
        }
    }
    going.finish(isa, subs, found);
}

/// Room for sub-blocks between two rounds: their quants stay in the first-level cache.
const GOING: usize = 4 * MAX_LANES;

/// Sub-blocks that go on to another round, and where each stands.
struct Going<const N: usize> {
    len: usize,
    indices: [u32; GOING],
    levels: [[f32; N]; GOING],
    lx: [f32; GOING],
    l2: [f32; GOING],
}

impl<const N: usize> Going<N> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            len: 0,
            indices: [0; GOING],
            levels: [[0.0; N]; GOING],
            lx: [0.0; GOING],
            l2: [0.0; GOING],
        }
    }

    /// Adds the sub-blocks of those lanes that are set, of the first as many as there are indices.
    #[inline(always)]
    fn push<S: Isa>(&mut self, mask: S::M, indices: &[u32], levels: &[S::F; N], sums: &Sums<S>) {
        let (mut lanes, mut count) = ([0; MAX_LANES], 0);
        let mut bits = mask.bits();
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if lane < indices.len() {
                lanes[count] = lane;
                count += 1;
            }
        }
        let lanes = &lanes[..count];
        let places = self.len..self.len + count;
        self.len = places.end;
        for (place, lane) in self.indices[places.clone()].iter_mut().zip(lanes) {
            *place = indices[*lane];
        }
        let mut values = [0.0; MAX_LANES];
        sums.lx.store(&mut values[..S::LANES]);
        for (place, lane) in self.lx[places.clone()].iter_mut().zip(lanes) {
            *place = values[*lane];
        }
        sums.l2.store(&mut values[..S::LANES]);
        for (place, lane) in self.l2[places.clone()].iter_mut().zip(lanes) {
            *place = values[*lane];
        }
        let rows = &mut self.levels[places];
        for (i, l) in levels.iter().enumerate() {
            l.store(&mut values[..S::LANES]);
            for (row, lane) in rows.iter_mut().zip(lanes) {
                row[i] = values[*lane];
            }
        }
    }

    /// Gives all of them their further rounds; none is left.
    #[inline(always)]
    fn finish<S: Isa>(&mut self, isa: S, subs: &[[f32; N]], found: &mut [f32]) {
        for _ in 1..Q3_ROUNDS {
            // Where nothing changed, another round changes nothing either.
            let before = std::mem::take(&mut self.len);
            for first in (0..before).step_by(S::LANES) {
                let count = S::LANES.min(before - first);
                // What is pushed takes places that were read already.
                let mut indices = [0; MAX_LANES];
                indices[..count].copy_from_slice(&self.indices[first..][..count]);
                let indices = &indices[..count];
                let x = gather(isa, subs, indices);
                let mut levels = load(isa, &self.levels[first..][..count]);
                let (mut lx, mut l2) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
                lx[..count].copy_from_slice(&self.lx[first..][..count]);
                l2[..count].copy_from_slice(&self.l2[first..][..count]);
                let mut sums = Sums {
                    lx: isa.load(&lx[..S::LANES]),
                    l2: isa.load(&l2[..S::LANES]),
                };
                let changed = round(isa, &x, &mut levels, &mut sums);
                scatter::<S>(sums.scale(isa), indices, found);
                self.push::<S>(changed, indices, &levels, &sums);
            }
        }
        self.len = 0;
    }
}

/// A growing list of sub-blocks.
struct Indices<const MAX: usize> {
    indices: [u32; MAX],
    len: usize,
}

impl<const MAX: usize> Indices<MAX> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            indices: [0; MAX],
            len: 0,
        }
    }

    /// Adds the sub-blocks of those among the first `lanes` lanes that are set.
    #[inline(always)]
    fn push(&mut self, mask: impl Mask, lanes: usize, index: impl Fn(usize) -> u32) {
        let mut bits = mask.bits();
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize;
            if lane < lanes {
                self.indices[self.len] = index(lane);
                self.len += 1;
            }
            bits &= bits - 1;
        }
    }

    #[inline(always)]
    fn as_slice(&self) -> &[u32] {
        &self.indices[..self.len]
    }
}

/// The sub-blocks at `indices` in lanes, the first of them again where there are too few.
#[inline(always)]
fn gather<S: Isa, const N: usize>(isa: S, subs: &[[f32; N]], indices: &[u32]) -> [S::F; N] {
    let mut lanes = [&subs[indices[0] as usize]; MAX_LANES];
    for (lane, &index) in lanes[..S::LANES].iter_mut().zip(indices) {
        *lane = &subs[index as usize];
    }
    isa.columns(&lanes[..S::LANES])
}

/// Writes a value per lane to the places at `indices`.
#[inline(always)]
fn scatter<S: Isa>(values: S::F, indices: &[u32], found: &mut [f32]) {
    let mut lanes = [0.0; MAX_LANES];
    values.store(&mut lanes[..S::LANES]);
    for (value, &index) in lanes.iter().zip(indices) {
        found[index as usize] = *value;
    }
}

/// The two sums of the search.
#[derive(Clone, Copy)]
struct Sums<S: Isa> {
    lx: S::F,
    l2: S::F,
}

impl<S: Isa> Sums<S> {
    /// The scale that belongs to them.
    #[inline(always)]
    fn scale(&self, isa: S) -> S::F {
        let zero = isa.splat(0.0);
        (self.lx / self.l2).or_else(zero.lt(self.l2), zero)
    }
}

/// The first choice of quants: the value of largest magnitude goes to -4.
struct Start<S: Isa> {
    extreme: S::F,
    inverse: S::F,
    empty: S::M,
    sums: Sums<S>,
}

impl<S: Isa> Start<S> {
    #[inline(always)]
    fn new<const N: usize>(isa: S, x: &[S::F; N]) -> Self {
        let zero = isa.splat(0.0);
        let (extreme, magnitude) = signed_extreme(isa, x, bounds(x));
        let mut start = Self {
            extreme,
            inverse: isa.splat(-4.0) / extreme,
            empty: magnitude.lt(isa.splat(GROUP_MAX_EPS)),
            sums: Sums { lx: zero, l2: zero },
        };
        let (mut lx, mut l2) = (zero, zero);
        for &v in x {
            let (w, l) = (v * v, start.level(isa, v));
            lx = lx + w * v * l;
            l2 = l2 + w * l * l;
        }
        start.sums = Sums { lx, l2 };
        start
    }

    /// The quant of a value. No magnitude exceeds 4 by more than its rounding.
    #[inline(always)]
    fn level(&self, isa: S, v: S::F) -> S::F {
        (self.inverse * v).round().at_most(isa.splat(3.0))
    }

    /// Lanes in which a round may change something.
    #[inline(always)]
    fn goes_on(&self, isa: S) -> S::M {
        self.extreme.lt(isa.splat(0.0)).and_not(self.empty)
    }

    #[inline(always)]
    fn scale(&self, isa: S) -> S::F {
        isa.splat(0.0).or_else(self.empty, self.sums.scale(isa))
    }
}

/// One round over the elements of lanes that are not empty; gives the lanes in which a level
/// changed.
#[inline(always)]
fn round<S: Isa, const N: usize>(
    isa: S,
    x: &[S::F; N],
    levels: &mut [S::F; N],
    sums: &mut Sums<S>,
) -> S::M {
    let zero = isa.splat(0.0);
    let mut changed = zero.lt(zero);
    let (mut lx, mut l2) = (sums.lx, sums.l2);
    for i in 0..N {
        let (v, l) = (x[i], levels[i]);
        let weight = v * v;
        let weighted = weight * v;
        let rest_lx = lx - weighted * l;
        let rest_l2 = l2 - weight * l * l;
        let has_rest = zero.lt(rest_lx);
        let new = nearest_level(isa, v * rest_l2 / rest_lx, has_rest);
        let other = has_rest.and_not(new.eq(l));
        let new_lx = rest_lx + weighted * new;
        let new_l2 = rest_l2 + weight * new * new;
        let larger = (lx * lx * new_l2).lt(new_lx * new_lx * l2);
        let better = other.and(zero.lt(new_l2)).and(larger);
        levels[i] = new.or_else(better, l);
        lx = new_lx.or_else(better, lx);
        l2 = new_l2.or_else(better, l2);
        changed = changed.or(better);
    }
    *sums = Sums { lx, l2 };
    changed
}

/// [`nearest_int`](crate::search::nearest_int), limited to -4..4, in the lanes that are set; in
/// others anything.
#[inline(always)]
fn nearest_level<S: Isa>(isa: S, value: S::F, lanes: S::M) -> S::F {
    let tame = value.abs().lt(isa.splat(TAME));
    if lanes.and_not(tame).any() {
        return nearest_level_of_bits(isa, value);
    }
    // Limits are integers, so they may come first; rounding then waits for less.
    value.max(isa.splat(-4.0)).min(isa.splat(3.0)).round()
}

/// [`nearest_level`] of quotients of any magnitude: rounds on bits, as the scalar code does.
#[inline(always)]
fn nearest_level_of_bits<S: Isa>(isa: S, value: S::F) -> S::F {
    let bits = (value + isa.splat(ROUND_MAGIC)).to_bits();
    bits.and(isa.splat_int(0x007f_ffff))
        .sub(isa.splat_int(0x0040_0000))
        .max(isa.splat_int(-4))
        .min(isa.splat_int(3))
        .to_float()
}
