//! The searches of IQ1 for the best way to cut a sub-block in three, with a sub-block in each lane.
//!
//! Elements are sorted by a network (Batcher's odd-even merge sort). Then every pair of places is tried
//! in the order of the scalar code. Few trials improve on what there is, so the quotient waits for one.

use super::{Float, Isa, Job, MAX_LANES, Mask};
use crate::formats::iq1_m::{self, SHIFTS};
use crate::formats::iq1_s::{self, DOWN, UP};

/// Sub-blocks in lanes, sorted.
struct Sorted<S: Isa, const N: usize> {
    /// Which element each is, ties in their order.
    order: [S::F; N],
    x: [S::F; N],
    weights: [S::F; N],
}

/// Sorts the elements in each lane.
#[inline(always)]
fn sorted<S: Isa, const N: usize>(isa: S, x: &[S::F; N], weights: &[S::F; N]) -> Sorted<S, N> {
    let mut order = *x;
    for (i, place) in order.iter_mut().enumerate() {
        *place = isa.splat(i as f32);
    }
    let mut sorted = Sorted {
        order,
        x: *x,
        weights: *weights,
    };
    let mut p = 1;
    while p < N {
        let mut k = p;
        while k >= 1 {
            let mut j = k % p;
            while j + k < N {
                for i in j..(j + k).min(N - k) {
                    if i / (2 * p) == (i + k) / (2 * p) {
                        compare(&mut sorted, i, i + k);
                    }
                }
                j += 2 * k;
            }
            k /= 2;
        }
        p *= 2;
    }
    sorted
}

/// Puts two elements in their order.
#[inline(always)]
fn compare<S: Isa, const N: usize>(sorted: &mut Sorted<S, N>, low: usize, high: usize) {
    let (x, order) = (&sorted.x, &sorted.order);
    let earlier = order[high].lt(order[low]);
    let swap = x[high].lt(x[low]).or(x[high].eq(x[low]).and(earlier));
    for list in [&mut sorted.x, &mut sorted.order, &mut sorted.weights] {
        let (a, b) = (list[low], list[high]);
        list[low] = b.or_else(swap, a);
        list[high] = a.or_else(swap, b);
    }
}

/// The best cut so far in each lane.
struct Best<S: Isa> {
    score: S::F,
    scale: S::F,
    /// The number of the trial, negative if there is none.
    trial: S::F,
}

impl<S: Isa> Best<S> {
    #[inline(always)]
    fn new(isa: S) -> Self {
        Self {
            score: isa.splat(-f32::MAX),
            scale: isa.splat(0.0),
            trial: isa.splat(-1.0),
        }
    }

    #[inline(always)]
    fn update(&mut self, isa: S, (sum_qx, sum_q2): (S::F, S::F), trial: usize) {
        let grows = (self.score * sum_q2).lt(sum_qx * sum_qx);
        let better = isa.splat(0.0).lt(sum_q2).and(grows);
        if better.any() {
            let scale = sum_qx / sum_q2;
            self.scale = scale.or_else(better, self.scale);
            self.score = (scale * sum_qx).or_else(better, self.score);
            self.trial = isa.splat(trial as f32).or_else(better, self.trial);
        }
    }
}

/// What is found for the sub-blocks in lanes.
pub(crate) struct Splits<const N: usize> {
    order: [[f32; MAX_LANES]; N],
    scale: [f32; MAX_LANES],
    trial: [f32; MAX_LANES],
}

impl<const N: usize> Splits<N> {
    #[inline(always)]
    fn new<S: Isa>(order: &[S::F; N], best: &Best<S>) -> Self {
        let mut splits = Self {
            order: [[0.0; MAX_LANES]; N],
            scale: [0.0; MAX_LANES],
            trial: [0.0; MAX_LANES],
        };
        for (place, order) in splits.order.iter_mut().zip(order) {
            order.store(&mut place[..S::LANES]);
        }
        best.scale.store(&mut splits.scale[..S::LANES]);
        best.trial.store(&mut splits.trial[..S::LANES]);
        splits
    }

    /// What was found in a lane, if anything: the order, the scale, the places of the cuts and the rest
    /// of the number of the trial.
    #[inline(always)]
    fn get(&self, lane: usize) -> Option<Cut<N>> {
        if self.trial[lane] < 0.0 {
            return None;
        }
        let trial = self.trial[lane] as usize;
        let mut order = [0; N];
        for (place, lanes) in order.iter_mut().zip(&self.order) {
            *place = lanes[lane] as usize;
        }
        Some(Cut {
            order,
            scale: self.scale[lane],
            places: (trial / (8 * 64), trial / 8 % 64),
            rest: trial % 8,
        })
    }
}

struct Cut<const N: usize> {
    order: [usize; N],
    scale: f32,
    places: (usize, usize),
    rest: usize,
}

/// The number of a trial.
#[inline(always)]
fn number(first: usize, second: usize, rest: usize) -> usize {
    (first * 64 + second) * 8 + rest
}

/// The best cuts of sub-blocks of IQ1_S.
pub(crate) struct SplitS<'a, S: Isa> {
    pub(crate) isa: S,
    pub(crate) x: &'a [S::F; 32],
    pub(crate) weights: &'a [S::F; 32],
}

impl<S: Isa> Job for SplitS<'_, S> {
    type Output = Splits<32>;

    #[inline(always)]
    fn run(self) -> Splits<32> {
        let isa = self.isa;
        let zero = isa.splat(0.0);
        let sorted = sorted(isa, self.x, self.weights);
        let (mut sum_x, mut sum_w) = ([zero; 33], [zero; 33]);
        for j in 0..32 {
            sum_x[j + 1] = sum_x[j] + sorted.weights[j] * sorted.x[j];
            sum_w[j + 1] = sum_w[j] + sorted.weights[j];
        }
        // What the upper part adds to both sums, under both shifts.
        let mut upper = [[(zero, zero); 2]; 33];
        for (second, upper) in upper.iter_mut().enumerate() {
            let (x, w) = (sum_x[32] - sum_x[second], sum_w[32] - sum_w[second]);
            for (sums, [_, _, c]) in upper.iter_mut().zip([UP, DOWN]) {
                let c = isa.splat(c);
                *sums = (x * c, w * c * c);
            }
        }
        let mut best = Best::new(isa);
        for first in 0..=32 {
            let (x, w) = (sum_x[first], sum_w[first]);
            let mut lower = [(zero, zero); 2];
            for (sums, [a, _, _]) in lower.iter_mut().zip([UP, DOWN]) {
                let a = isa.splat(a);
                *sums = (x * a, w * a * a);
            }
            for second in first..=32 {
                let (x, w) = (sum_x[second] - x, sum_w[second] - w);
                for (rest, [_, b, _]) in [UP, DOWN].into_iter().enumerate() {
                    let (b, lower, upper) = (isa.splat(b), lower[rest], upper[second][rest]);
                    let sum_qx = lower.0 + x * b + upper.0;
                    let sum_q2 = lower.1 + w * b * b + upper.1;
                    best.update(isa, (sum_qx, sum_q2), number(first, second, rest));
                }
            }
        }
        Splits::new(&sorted.order, &best)
    }
}

impl Splits<32> {
    /// The split in a lane.
    pub(crate) fn split(&self, lane: usize) -> Option<iq1_s::Split> {
        let cut = self.get(lane)?;
        let down = cut.rest == 1;
        Some(iq1_s::Split::new(&cut.order, cut.scale, cut.places, down))
    }
}

/// The best cuts of sub-blocks of IQ1_M.
pub(crate) struct SplitM<'a, S: Isa> {
    pub(crate) isa: S,
    pub(crate) x: &'a [S::F; 16],
    pub(crate) weights: &'a [S::F; 16],
}

impl<S: Isa> Job for SplitM<'_, S> {
    type Output = Splits<16>;

    #[inline(always)]
    fn run(self) -> Splits<16> {
        let isa = self.isa;
        let zero = isa.splat(0.0);
        let sorted = sorted(isa, self.x, self.weights);
        let (mut sum_x, mut sum_w) = ([[zero; 17]; 2], [[zero; 17]; 2]);
        for j in 0..16 {
            let first = sorted.order[j].lt(isa.splat(8.0));
            let (w, x) = (sorted.weights[j], sorted.weights[j] * sorted.x[j]);
            for group in 0..2 {
                let (old_x, old_w) = (sum_x[group][j], sum_w[group][j]);
                let (new_x, new_w) = (old_x + x, old_w + w);
                (sum_x[group][j + 1], sum_w[group][j + 1]) = match group {
                    0 => (new_x.or_else(first, old_x), new_w.or_else(first, old_w)),
                    _ => (old_x.or_else(first, new_x), old_w.or_else(first, new_w)),
                };
            }
        }
        // By group and shift.
        let (mut all_x, mut all_w) = ([[zero; 2]; 2], [[zero; 2]; 2]);
        for group in 0..2 {
            for (shift, [_, _, c]) in [UP, DOWN].into_iter().enumerate() {
                let c = isa.splat(c);
                all_x[group][shift] = sum_x[group][16] * c;
                all_w[group][shift] = sum_w[group][16] * c * c;
            }
        }
        let mut best = Best::new(isa);
        for first in 0..=16 {
            let mut lower_w = all_w;
            for group in 0..2 {
                for (shift, [a, b, _]) in [UP, DOWN].into_iter().enumerate() {
                    let step = isa.splat(a * a - b * b);
                    lower_w[group][shift] = all_w[group][shift] + sum_w[group][first] * step;
                }
            }
            for second in first..=16 {
                let mut sums = [[(zero, zero); 2]; 2];
                for group in 0..2 {
                    let x = sum_x[group][first] + sum_x[group][second];
                    for (shift, [_, b, c]) in [UP, DOWN].into_iter().enumerate() {
                        let step = isa.splat(b * b - c * c);
                        let w = lower_w[group][shift] + sum_w[group][second] * step;
                        sums[group][shift] = (all_x[group][shift] - x, w);
                    }
                }
                for rest in 0..SHIFTS.len() {
                    let (a, b) = (sums[0][rest / 2], sums[1][rest % 2]);
                    best.update(isa, (a.0 + b.0, a.1 + b.1), number(first, second, rest));
                }
            }
        }
        Splits::new(&sorted.order, &best)
    }
}

impl Splits<16> {
    /// The split in a lane.
    pub(crate) fn split(&self, lane: usize) -> Option<iq1_m::Split> {
        let cut = self.get(lane)?;
        Some(iq1_m::Split::new(
            &cut.order, cut.scale, cut.places, cut.rest,
        ))
    }
}
