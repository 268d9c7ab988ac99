//! The search of Q3_K (`fit_q3`) with a sub-block in each lane.
//!
//! Its rounds end early, and for most sub-blocks at once: with all of them in lanes to the end,
//! nearly every round would run for the few that still change. So those of a batch that go on are
//! put together in new lanes, twice:
//!
//! 1. All get their first quants. Where the extreme value is positive (half of them), it goes to
//!    -4, every quant has the sign opposite to its value, and no product of both is positive.
//!    A sum of such products never exceeds one of its terms, rounded or not; so no rest without a
//!    term is positive, and the rounds would change nothing.
//! 2. The others get one round, in which about every fourth of them changes.
//! 3. Those get all rounds.

use super::symmetric::signed_extreme;
use super::{Float, Int, Isa, MAX_LANES, Mask, load};
use crate::search::{GROUP_MAX_EPS, Q3_ROUNDS, ROUND_MAGIC};

/// Finds the scale of every sub-block, at most `MAX`.
#[inline(always)]
pub(crate) fn fit_q3_all<S: Isa, const N: usize, const MAX: usize>(
    isa: S,
    subs: &[[f32; N]],
    found: &mut [f32],
) {
    let mut second = Indices::<MAX>::new();
    let mut third = Indices::<MAX>::new();
    for (group, subs) in subs.chunks(S::LANES).enumerate() {
        let start = Start::new(isa, &load(isa, subs));
        let first = group * S::LANES;
        let mut scales = [0.0; MAX_LANES];
        start.scale(isa).store(&mut scales[..S::LANES]);
        found[first..][..subs.len()].copy_from_slice(&scales[..subs.len()]);
        second.push(start.goes_on(isa), subs.len(), |lane| (first + lane) as u32);
    }
    let second = second.as_slice();
    for indices in second.chunks(S::LANES) {
        let mut state = State::new(isa, gather(isa, subs, indices));
        let changed = state.round::<false>(isa);
        scatter::<S>(state.sums.scale(isa), indices, found);
        third.push(changed, indices.len(), |lane| indices[lane]);
    }
    for indices in third.as_slice().chunks(S::LANES) {
        let mut state = State::new(isa, gather(isa, subs, indices));
        for _ in 0..Q3_ROUNDS {
            // Where nothing changed, another round changes nothing either.
            if !state.round::<true>(isa).any() {
                break;
            }
        }
        scatter::<S>(state.sums.scale(isa), indices, found);
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
        let (extreme, magnitude) = signed_extreme(isa, x);
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

/// Where the search stands in each lane; none is empty.
struct State<S: Isa, const N: usize> {
    x: [S::F; N],
    weights: [S::F; N],
    /// Weights times values.
    weighted: [S::F; N],
    levels: [S::F; N],
    /// Each level's terms in the two sums.
    terms_lx: [S::F; N],
    terms_l2: [S::F; N],
    sums: Sums<S>,
}

impl<S: Isa, const N: usize> State<S, N> {
    #[inline(always)]
    fn new(isa: S, x: [S::F; N]) -> Self {
        let start = Start::new(isa, &x);
        let mut state = Self {
            x,
            weights: x,
            weighted: x,
            levels: x,
            terms_lx: x,
            terms_l2: x,
            sums: start.sums,
        };
        for (i, &v) in x.iter().enumerate() {
            let (w, l) = (v * v, start.level(isa, v));
            state.weights[i] = w;
            state.weighted[i] = w * v;
            state.levels[i] = l;
            state.terms_lx[i] = w * v * l;
            state.terms_l2[i] = w * l * l;
        }
        state
    }

    /// One round over the elements; gives the lanes in which a level changed. Without `KEEP` the
    /// new levels only enter the sums: no other round can follow.
    #[inline(always)]
    fn round<const KEEP: bool>(&mut self, isa: S) -> S::M {
        let zero = isa.splat(0.0);
        let mut changed = zero.lt(zero);
        let (mut lx, mut l2) = (self.sums.lx, self.sums.l2);
        for i in 0..N {
            let l = self.levels[i];
            let rest_lx = lx - self.terms_lx[i];
            let rest_l2 = l2 - self.terms_l2[i];
            let new = nearest_level(isa, self.x[i] * rest_l2 / rest_lx);
            let other = zero.lt(rest_lx).and_not(new.eq(l));
            let term_lx = self.weighted[i] * new;
            let term_l2 = self.weights[i] * new * new;
            let new_lx = rest_lx + term_lx;
            let new_l2 = rest_l2 + term_l2;
            let larger = (lx * lx * new_l2).lt(new_lx * new_lx * l2);
            let better = other.and(zero.lt(new_l2)).and(larger);
            if KEEP {
                self.levels[i] = new.or_else(better, l);
                self.terms_lx[i] = term_lx.or_else(better, self.terms_lx[i]);
                self.terms_l2[i] = term_l2.or_else(better, self.terms_l2[i]);
            }
            lx = new_lx.or_else(better, lx);
            l2 = new_l2.or_else(better, l2);
            changed = changed.or(better);
        }
        self.sums = Sums { lx, l2 };
        changed
    }
}

/// [`nearest_int`](crate::search::nearest_int), limited to -4..4. Quotients may have any
/// magnitude, so this rounds on bits, as the scalar code does: no lane is wild.
#[inline(always)]
fn nearest_level<S: Isa>(isa: S, value: S::F) -> S::F {
    let bits = (value + isa.splat(ROUND_MAGIC)).to_bits();
    bits.and(isa.splat_int(0x007f_ffff))
        .sub(isa.splat_int(0x0040_0000))
        .max(isa.splat_int(-4))
        .min(isa.splat_int(3))
        .to_float()
}
