//! The search for the scale of magnitudes on a codebook (`GridTask`) with a trial in each lane.
//!
//! Trials lie close to each other, so that most of them round a group to the same place, and what is
//! near that place is looked through once for all of them. A digit of an element costs every trial
//! something; the error of a point is the sum of what its digits cost, in the order of the elements.

use super::near::{ODD, best_in_lanes, costs_in_lanes};
use super::widths::Conversions;
use super::{Float, Int, Isa, Job, Mask, TAME};
use crate::formats::magnitude;
use crate::search::{Again, Grid, GridFit, GridTask, nearest_int, project};

/// Trials, at most, up to whole vectors.
const MOST: usize = 32;

/// Groups of a sub-block, at most.
const GROUPS: usize = 8;

/// What the trials found.
struct Trials {
    sum_qx: [f32; MOST],
    sum_q2: [f32; MOST],
    /// The packed points of each group.
    points: [[f32; MOST]; GROUPS],
    /// A bit for each trial in which rounding gave no point.
    off_grid: [u64; GROUPS],
}

/// [`GridTask::fit`], with `Q` as the number of digits that fit the bits of one.
#[inline(always)]
pub(crate) fn fit<S: Conversions, const D: usize, const Q: usize, const N: usize>(
    isa: S,
    task: &GridTask<'_, D, N>,
) -> GridFit {
    isa.apart(Search::<S, D, Q, N> { isa, task })
}

struct Search<'a, S: Conversions, const D: usize, const Q: usize, const N: usize> {
    isa: S,
    task: &'a GridTask<'a, D, N>,
}

impl<S: Conversions, const D: usize, const Q: usize, const N: usize> Job
    for Search<'_, S, D, Q, N>
{
    type Output = GridFit;

    #[inline(always)]
    fn run(self) -> GridFit {
        let Self { isa, task } = self;
        let GridTask {
            search,
            grid,
            x,
            weights,
            largest,
            scale,
        } = task;
        let count = search.count();
        // What does not fit an integer is rounded to numbers without a meaning.
        let farthest = magnitude(*x) * (search.trial(grid, count - 1) / largest);
        if farthest >= TAME || farthest.is_nan() {
            return task.fit();
        }
        let roots = weights.map(f32::sqrt);
        let mut trials = Trials {
            sum_qx: [0.0; MOST],
            sum_q2: [0.0; MOST],
            points: [[0.0; MOST]; GROUPS],
            off_grid: [0; GROUPS],
        };
        for first in (0..count).step_by(S::LANES) {
            // The last trial again where there are too few.
            let mut inverses = [0.0; MOST];
            for (lane, inverse) in inverses[..S::LANES].iter_mut().enumerate() {
                *inverse = search.trial(grid, (first + lane).min(count - 1));
            }
            let inverses = isa.load(&inverses[..S::LANES]) / isa.splat(*largest);
            try_all::<S, D, Q, N>(isa, task, &roots, inverses, first, &mut trials);
        }

        let (mut best, mut found) = (0.0f32, None);
        let mut fit = GridFit {
            scale: *scale,
            points: [0; 8],
        };
        for trial in 0..count {
            let (sum_qx, sum_q2) = (trials.sum_qx[trial], trials.sum_q2[trial]);
            if sum_q2 > 0.0 && sum_qx * sum_qx > best * sum_q2 {
                fit.scale = sum_qx / sum_q2;
                best = fit.scale * sum_qx;
                found = Some(trial);
            }
        }
        let mut off_grid = search.off_grid();
        if let Some(trial) = found {
            for (k, off_grid) in off_grid[..N / D].iter_mut().enumerate() {
                fit.points[k] = grid.number(trials.points[k][trial] as usize);
                *off_grid = trials.off_grid[k] >> trial & 1 != 0;
            }
        }
        again::<S, D, Q, N>(isa, task, &roots, off_grid, fit)
    }
}

/// [`GridTask::again`], with a point of a list in each lane.
#[inline(always)]
fn again<S: Conversions, const D: usize, const Q: usize, const N: usize>(
    isa: S,
    task: &GridTask<'_, D, N>,
    roots: &[f32; N],
    off_grid: [bool; GROUPS],
    mut fit: GridFit,
) -> GridFit {
    let GridTask {
        search,
        grid,
        x,
        weights,
        ..
    } = task;
    let mut any_off = false;
    for off in &off_grid[..N / D] {
        any_off |= off;
    }
    if !(fit.scale > 0.0 && (any_off || search.again == Again::All)) {
        return fit;
    }
    let inverse = 1.0 / fit.scale;
    let farthest = magnitude(*x) * inverse;
    if farthest >= TAME || farthest.is_nan() {
        return task.again(roots, off_grid, fit);
    }
    let groups = x.as_chunks::<D>().0.iter().zip(roots.as_chunks::<D>().0);
    for (k, (x, roots)) in groups.enumerate() {
        if !off_grid[k] && search.again == Again::OffGrid {
            continue;
        }
        let (mut place, mut inside) = (0, true);
        for (i, v) in x.iter().enumerate() {
            let value = 0.5 * (inverse * v - 1.0);
            let digit = nearest_int(value);
            inside &= (value - digit as f32).abs() < INSIDE;
            let digit = digit.clamp(0, grid.highest() as i32);
            place += (digit as u32) << (Q.trailing_zeros() * i as u32);
        }
        fit.points[k] = match grid.near_range(place, inside) {
            None => grid.number(place as usize),
            Some(range) => {
                let values = isa.splat(fit.scale) * isa.load(&ODD[Q / 8][..S::LANES]);
                let costs = costs_in_lanes::<S, D>(isa, (x, roots), values);
                best_in_lanes::<S, D, Q>(isa, grid.near(range), &costs)
            }
        };
    }
    let (sum_qx, sum_q2) = project(grid, x, weights, &fit.points);
    if sum_q2 > 0.0 {
        fit.scale = sum_qx / sum_q2;
    }
    fit
}

/// What is known of a group in all lanes.
#[derive(Clone, Copy)]
struct Rounded<S: Isa> {
    /// The packed places.
    place: S::F,
    /// The same as integers.
    packed: [u32; LANES],
    /// The first lane of each run of equal places.
    starts: u64,
    /// The lanes in which no value lies between two digits.
    inside: u64,
}

/// A lane for each trial, from number `first` on: the points and the projection on them.
///
/// First all groups are rounded and their lists found, then the lists are looked through: how many there
/// are and how long they are is as good as chance, and nothing should wait behind a wrong guess.
#[inline(always)]
fn try_all<S: Conversions, const D: usize, const Q: usize, const N: usize>(
    isa: S,
    task: &GridTask<'_, D, N>,
    roots: &[f32; N],
    inverses: S::F,
    first: usize,
    trials: &mut Trials,
) {
    let GridTask {
        grid, x, weights, ..
    } = task;
    let (zero, groups) = (isa.splat(0.0), N / D);
    let scales = isa.splat(1.0) / inverses;
    let mut rounded = [Rounded::<S> {
        place: zero,
        packed: [0; LANES],
        starts: 0,
        inside: 0,
    }; GROUPS];
    let mut points = [zero; GROUPS];
    for (k, x) in x.as_chunks::<D>().0.iter().enumerate() {
        rounded[k] = round::<S, D, Q>(isa, x, inverses);
        points[k] = rounded[k].place;
    }
    // Lists to look through, those of the places in lanes of groups.
    let (mut ranges, mut places) = ([(0, 0); GROUPS * LANES], [(0u8, 0u8); GROUPS * LANES]);
    let mut count = 0;
    for (k, group) in rounded[..groups].iter().enumerate() {
        let mut starts = group.starts;
        while starts != 0 {
            let lane = starts.trailing_zeros();
            starts &= starts - 1;
            // The lanes of the run.
            let run = match starts {
                0 => u64::MAX << lane,
                _ => (starts & starts.wrapping_neg()) - (1 << lane),
            };
            let inside = run & LANES_OF[S::LANES] & !group.inside == 0;
            if let Some(range) = grid.near_range(group.packed[lane as usize], inside) {
                trials.off_grid[k] |= (run & LANES_OF[S::LANES]) << first;
                (ranges[count], places[count]) = (range, (k as u8, lane as u8));
                count += 1;
            }
        }
    }

    let values = values_of::<S, Q>(isa, scales);
    let mut costs = [[zero; Q]; D];
    let mut current = GROUPS;
    for (&range, &(k, lane)) in ranges[..count].iter().zip(&places) {
        let k = usize::from(k) % GROUPS;
        if k != current {
            // No closure: it would not be compiled for the instruction set.
            let (x, roots) = (x.as_chunks::<D>().0, roots.as_chunks::<D>().0);
            costs_of::<S, D, Q>(isa, (&x[k], &roots[k]), &values, &mut costs);
            current = k;
        }
        let here = rounded[k].packed[usize::from(lane) % LANES];
        let same = rounded[k].place.eq(isa.splat(here as f32));
        let best = best_of::<S, D, Q>(isa, grid, grid.near(range).numbers, &costs);
        points[k] = best.or_else(same, points[k]);
    }

    let odd = isa.load(&ODD[Q / 8][..S::LANES]);
    let (mut sum_qx, mut sum_q2) = (zero, zero);
    let elements = x.as_chunks::<D>().0.iter().zip(weights.as_chunks::<D>().0);
    for (k, (x, weights)) in elements.enumerate() {
        points[k].store(&mut trials.points[k][first..][..S::LANES]);
        let packed = points[k].truncate();
        for (i, (&v, &w)) in x.iter().zip(weights).enumerate() {
            let q = S::look_up(odd, S::shr(packed, Q.trailing_zeros() * i as u32));
            sum_qx = sum_qx + isa.splat(w * v) * q;
            sum_q2 = sum_q2 + isa.splat(w) * q * q;
        }
    }
    sum_qx.store(&mut trials.sum_qx[first..][..S::LANES]);
    sum_q2.store(&mut trials.sum_q2[first..][..S::LANES]);
}

/// The lanes of a vector, at most: none of these instruction sets has more.
const LANES: usize = 16;

/// A bit for each of so many lanes.
const LANES_OF: [u64; LANES + 1] = {
    let mut bits = [0; LANES + 1];
    let mut i = 0;
    while i <= LANES {
        bits[i] = (1 << i) - 1;
        i += 1;
    }
    bits
};

/// Digits of a codebook in which one takes the bits of `Q` numbers.
const fn digits<const Q: usize>() -> usize {
    if Q == 4 { 3 } else { Q }
}

/// Values are inside the range that is rounded to a digit if they lie less than this from it.
pub(super) const INSIDE: f32 = 0.499_99;

/// Rounds a group.
#[inline(always)]
fn round<S: Conversions, const D: usize, const Q: usize>(
    isa: S,
    x: &[f32; D],
    inverses: S::F,
) -> Rounded<S> {
    let (zero, one, half) = (isa.splat(0.0), isa.splat(1.0), isa.splat(0.5));
    let highest = isa.splat((digits::<Q>() - 1) as f32);
    let (mut place, mut farthest) = (zero, zero);
    for (i, &v) in x.iter().enumerate() {
        let value = half * (inverses * isa.splat(v) - one);
        let digit = value.round();
        farthest = farthest.max((value - digit).abs());
        let digit = digit.max(zero).min(highest);
        // Integers of at most 16 bits: exact.
        place = place + digit * isa.splat(Q.pow(i as u32) as f32);
    }
    let mut bits = [0.0; LANES];
    place.truncate().as_float().store(&mut bits[..S::LANES]);
    Rounded {
        place,
        packed: bits.map(f32::to_bits),
        starts: LANES_OF[S::LANES] & !place.eq(S::rotate(place)).bits() | 1,
        inside: farthest.lt(isa.splat(INSIDE)).bits(),
    }
}

/// The packed points with the smallest error of a list, the first ones of several; the first one of the
/// list where none has an error.
#[inline(always)]
fn best_of<S: Isa, const D: usize, const Q: usize>(
    isa: S,
    grid: &Grid<D>,
    numbers: &[u16],
    costs: &[[S::F; Q]; D],
) -> S::F {
    let mut best_error = isa.splat(f32::MAX);
    let mut best = isa.splat(grid.both(numbers[0]).packed);
    for &number in numbers {
        let point = grid.both(number);
        let mut error = costs[0][usize::from(point.digits[0]) % Q];
        for i in 1..D {
            error = error + costs[i][usize::from(point.digits[i]) % Q];
        }
        let better = error.lt(best_error);
        best_error = error.or_else(better, best_error);
        best = isa.splat(point.packed).or_else(better, best);
    }
    best
}

/// The values of digits under the scales.
#[inline(always)]
fn values_of<S: Isa, const Q: usize>(isa: S, scales: S::F) -> [S::F; Q] {
    let mut values = [scales; Q];
    for (digit, value) in values.iter_mut().enumerate() {
        *value = scales * isa.splat((2 * digit + 1) as f32);
    }
    values
}

/// What each digit of each element costs.
#[inline(always)]
fn costs_of<S: Isa, const D: usize, const Q: usize>(
    isa: S,
    (x, roots): (&[f32; D], &[f32; D]),
    values: &[S::F; Q],
    costs: &mut [[S::F; Q]; D],
) {
    for i in 0..D {
        let (v, w) = (isa.splat(x[i]), isa.splat(roots[i]));
        for digit in 0..digits::<Q>() {
            let diff = values[digit] - v;
            costs[i][digit] = w * diff * diff;
        }
    }
}
