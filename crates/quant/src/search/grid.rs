//! Codebooks: groups of four or eight quants that are points of a grid. Used by the IQ1, IQ2 and IQ3
//! formats.
//!
//! A point has a digit for each element; digit `q` stands for a magnitude of `2q + 1` (in IQ1, `q - 1`).
//! Rounding a group may give a place off the grid. For each of those there is a list of the grid's
//! points nearby, and the point with the smallest weighted error is taken from it.

use super::nearest_int;

/// A codebook for groups of `D`.
#[derive(Debug)]
pub(crate) struct Grid<const D: usize> {
    /// Bits of a digit in a packed place.
    bits: u32,
    /// Digits go from 0 up to, not including, this.
    digits: u8,
    points: Vec<Point<D>>,
    /// For each packed place the range of its list in `numbers`: all points nearby, and those that
    /// [`near_range`](Self::near_range) may give. The lists of points come first, and hold them alone.
    nearby: Vec<(u32, u32)>,
    unbeaten: Vec<(u32, u32)>,
    numbers: Vec<u16>,
    /// The same points packed, and then some zeros: whole vectors can be loaded from everywhere.
    packed: Vec<u16>,
}

/// A point.
#[derive(Debug)]
pub(crate) struct Point<const D: usize> {
    pub(crate) digits: [u8; D],
    /// The digits packed, as a float: lanes are floats.
    pub(crate) packed: f32,
}

/// Points near a place.
#[derive(Clone, Copy)]
pub(crate) struct Near<'a> {
    pub(crate) numbers: &'a [u16],
    /// The points packed; others follow.
    pub(crate) packed: &'a [u16],
}

impl<const D: usize> Grid<D> {
    /// Makes the codebook of packed points, element 0 in the lower bits. The lists of the places off
    /// the grid hold the points at the `shells` smallest distances, near ones first, and by number
    /// at one distance.
    pub(crate) fn new(packed: &[u16], bits: u32, digits: u8, shells: usize) -> Self {
        let unpack = |place: usize| -> [u8; D] {
            std::array::from_fn(|i| (place >> (bits as usize * i) & ((1 << bits) - 1)) as u8)
        };
        let point = |packed: &u16| Point {
            digits: unpack(usize::from(*packed)),
            packed: f32::from(*packed),
        };
        let points: Vec<Point<D>> = packed.iter().map(point).collect();
        let places = 1 << (bits as usize * D);
        let mut nearby = vec![(0, 0); places];
        let mut numbers: Vec<u16> = (0..points.len() as u16).collect();
        for (number, place) in (0..).zip(packed) {
            nearby[usize::from(*place)] = (number, number + 1);
        }
        let mut unbeaten = nearby.clone();
        let mut distances = vec![0u16; points.len()];
        for (place, (nearby, unbeaten)) in nearby.iter_mut().zip(&mut unbeaten).enumerate() {
            let here = unpack(place);
            if nearby.1 != 0 || here.iter().any(|digit| *digit >= digits) {
                continue;
            }
            for (distance, point) in distances.iter_mut().zip(&points) {
                *distance = 0;
                for (a, b) in point.digits.iter().zip(here) {
                    *distance += u16::from(a.abs_diff(b)) * u16::from(a.abs_diff(b));
                }
            }
            let start = numbers.len();
            let mut above = 0;
            for _ in 0..shells {
                let farther = distances.iter().filter(|d| **d >= above);
                let Some(&shell) = farther.min() else { break };
                let in_shell = (0..).zip(&distances).filter(|(_, d)| **d == shell);
                numbers.extend(in_shell.map(|(number, _)| number));
                above = shell + 1;
            }
            let end = numbers.len();
            *nearby = (start as u32, end as u32);
            for i in start..end {
                let point = &points[usize::from(numbers[i])].digits;
                let beats = |other: &u16| beats(&points[usize::from(*other)].digits, point, &here);
                if !numbers[end..].iter().any(beats) {
                    numbers.push(numbers[i]);
                }
            }
            *unbeaten = (end as u32, numbers.len() as u32);
        }
        let packed = numbers.iter().map(|number| packed[usize::from(*number)]);
        Self {
            bits,
            digits,
            packed: packed.chain([0; 64]).collect(),
            points,
            nearby,
            unbeaten,
            numbers,
        }
    }

    /// The digits of a point.
    #[inline(always)]
    pub(crate) fn point(&self, number: u16) -> &[u8; D] {
        &self.points[usize::from(number)].digits
    }

    /// The largest digit.
    #[inline(always)]
    pub(crate) fn highest(&self) -> usize {
        usize::from(self.digits) - 1
    }

    /// A point, also packed.
    #[inline(always)]
    pub(crate) fn both(&self, number: u16) -> &Point<D> {
        &self.points[usize::from(number)]
    }

    /// The number of a packed point.
    #[inline(always)]
    pub(crate) fn number(&self, packed: usize) -> u16 {
        self.nearby[packed].0 as u16
    }

    /// Which points are near a packed place, if it is not a point itself.
    ///
    /// `inside` says that no value lies in the middle between two digits, or so close to it that the
    /// rounding of floats matters. What a digit of such a value costs grows with the distance from
    /// the digit to which it was rounded, on either side of it, and so a point cannot be the best if
    /// another one of the list has no digit farther away: it is left out. (One that is nearer in one
    /// digit is nearer as a whole, so it comes first and wins even if weights are zero.)
    #[inline(always)]
    pub(crate) fn near_range(&self, packed: u32, inside: bool) -> Option<(u32, u32)> {
        let ranges = match inside {
            true => &self.unbeaten,
            false => &self.nearby,
        };
        let range = ranges[packed as usize];
        let is_point = (range.0 as usize) < self.points.len();
        (!is_point).then_some(range)
    }

    /// The points of a range.
    #[inline(always)]
    pub(crate) fn near(&self, (start, end): (u32, u32)) -> Near<'_> {
        Near {
            numbers: &self.numbers[start as usize..end as usize],
            packed: &self.packed[start as usize..],
        }
    }

    /// The packed points at or near packed digits.
    pub(crate) fn packed_near(&self, digits: u32) -> &[u16] {
        let (start, end) = self.nearby[digits as usize];
        &self.packed[start as usize..end as usize]
    }

    /// The number of the point with these digits, or else of the first one near them.
    pub(crate) fn nearest_number(&self, digits: impl Iterator<Item = u8>) -> u16 {
        let highest = self.digits - 1;
        let packed = (0..).zip(digits).fold(0, |packed, (i, digit)| {
            packed | (usize::from(digit.min(highest)) << (self.bits * i))
        });
        self.numbers[self.nearby[packed].0 as usize]
    }

    /// The points at or near a place: one if it lies on the grid.
    pub(crate) fn at_or_near(&self, place: &[u8; D]) -> &[u16] {
        let packed = (0..).zip(place).fold(0, |packed, (i, digit)| {
            packed | (usize::from(*digit) << (self.bits * i))
        });
        self.near(self.nearby[packed]).numbers
    }

    /// The point for magnitudes times `inverse`, and whether rounding them gave it. Off the grid, it
    /// is the one with the smallest error under `scale`.
    fn round(
        &self,
        x: &[f32; D],
        error_weights: &[f32; D],
        inverse: f32,
        scale: f32,
    ) -> (u16, bool) {
        let highest = i32::from(self.digits) - 1;
        let place = x.map(|v| nearest_int(0.5 * (inverse * v - 1.0)).clamp(0, highest) as u8);
        match self.at_or_near(&place) {
            [point] if self.point(*point) == &place => (*point, true),
            near => {
                let error = |point: &[u8; D]| {
                    let mut error = 0.0f32;
                    for ((v, w), digit) in x.iter().zip(error_weights).zip(point) {
                        let diff = scale * f32::from(2 * digit + 1) - v;
                        error += w * diff * diff;
                    }
                    error
                };
                (self.best(near, error), false)
            }
        }
    }

    /// The first point with the smallest error; the first one if none has an error at all.
    pub(crate) fn best(&self, near: &[u16], error: impl Fn(&[u8; D]) -> f32) -> u16 {
        let (mut best, mut best_error) = (near[0], f32::MAX);
        for &number in near {
            let error = error(self.point(number));
            if error < best_error {
                (best, best_error) = (number, error);
            }
        }
        best
    }
}

/// Whether the digits of a point are where those of another one are, or nearer to a place: at it, or
/// on the same side.
fn beats<const D: usize>(point: &[u8; D], other: &[u8; D], place: &[u8; D]) -> bool {
    point
        .iter()
        .zip(other)
        .zip(place)
        .all(|((a, b), here)| a == b || a == here || (here < a && a < b) || (b < a && a < here))
}

/// Which groups are rounded again under the scale that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Again {
    /// Those that were off the grid.
    OffGrid,
    /// All if one was off the grid, or no trial was any good.
    AllIfOffGrid,
    /// All.
    All,
}

/// The search for the scale of a sub-block of magnitudes: the largest one goes to the largest digit,
/// then neighbouring scales are tried, and the one whose points have the largest weighted projection
/// stays. Under it groups are rounded once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GridSearch {
    /// Neighbouring scales on each side.
    pub(crate) trials: i32,
    /// Distance between them, in units of the magnitudes.
    pub(crate) delta: f32,
    pub(crate) again: Again,
}

/// What a search finds: the scale, and a point for each group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GridFit {
    pub(crate) scale: f32,
    pub(crate) points: [u16; 8],
}

/// A sub-block to search.
pub(crate) struct GridTask<'a, const D: usize, const N: usize> {
    pub(crate) search: GridSearch,
    pub(crate) grid: &'a Grid<D>,
    /// The magnitudes.
    pub(crate) x: &'a [f32; N],
    pub(crate) weights: &'a [f32; N],
    /// What goes to the largest digit in the middle one of the trials.
    pub(crate) largest: f32,
    /// The scale that stays if no trial is any good.
    pub(crate) scale: f32,
}

impl<const D: usize, const N: usize> GridTask<'_, D, N> {
    /// Searches.
    pub(crate) fn fit(&self) -> GridFit {
        let Self {
            search, grid, x, ..
        } = self;
        let roots = self.weights.map(f32::sqrt);
        let groups = || x.as_chunks::<D>().0.iter().zip(roots.as_chunks::<D>().0);
        let mut found = GridFit {
            scale: self.scale,
            points: [0; 8],
        };
        let mut off_grid = search.off_grid();
        let mut best = 0.0f32;
        for trial in 0..search.count() {
            let inverse = search.trial(grid, trial) / self.largest;
            let (mut points, mut off) = ([0; 8], [false; 8]);
            for (k, (x, roots)) in groups().enumerate() {
                let (point, on_grid) = grid.round(x, roots, inverse, 1.0 / inverse);
                (points[k], off[k]) = (point, !on_grid);
            }
            let (sum_qx, sum_q2) = project(grid, x, self.weights, &points);
            if sum_q2 > 0.0 && sum_qx * sum_qx > best * sum_q2 {
                found.scale = sum_qx / sum_q2;
                best = found.scale * sum_qx;
                (found.points, off_grid) = (points, off);
            }
        }
        self.again(&roots, off_grid, found)
    }

    /// Rounds groups once more under the scale that was found.
    pub(crate) fn again(
        &self,
        roots: &[f32; N],
        off_grid: [bool; 8],
        mut found: GridFit,
    ) -> GridFit {
        let Self {
            search, grid, x, ..
        } = self;
        let any_off = off_grid[..N / D].contains(&true);
        if found.scale > 0.0 && (any_off || search.again == Again::All) {
            let scale = found.scale;
            let groups = x.as_chunks::<D>().0.iter().zip(roots.as_chunks::<D>().0);
            for (k, (x, roots)) in groups.enumerate() {
                if off_grid[k] || search.again != Again::OffGrid {
                    found.points[k] = grid.round(x, roots, 1.0 / scale, scale).0;
                }
            }
            let (sum_qx, sum_q2) = project(grid, x, self.weights, &found.points);
            if sum_q2 > 0.0 {
                found.scale = sum_qx / sum_q2;
            }
        }
        found
    }
}

impl GridSearch {
    /// Trials.
    pub(crate) fn count(&self) -> usize {
        2 * self.trials as usize + 1
    }

    /// The inverse of the scale that trial `number` tries, times the largest magnitude.
    pub(crate) fn trial<const D: usize>(&self, grid: &Grid<D>, number: usize) -> f32 {
        let trial = number as i32 - self.trials;
        f32::from(2 * grid.digits - 1) + trial as f32 * self.delta
    }

    /// Which groups are off the grid before there are trials.
    pub(crate) fn off_grid(&self) -> [bool; 8] {
        [self.again != Again::OffGrid; 8]
    }
}

/// The weighted projection of the magnitudes on points, and the points' weighted norm.
#[inline(always)]
pub(crate) fn project<const D: usize, const N: usize>(
    grid: &Grid<D>,
    x: &[f32; N],
    weights: &[f32; N],
    points: &[u16; 8],
) -> (f32, f32) {
    let (mut sum_qx, mut sum_q2) = (0.0f32, 0.0f32);
    let groups = x.as_chunks::<D>().0.iter().zip(weights.as_chunks::<D>().0);
    for ((x, weights), point) in groups.zip(points) {
        for ((&v, &w), digit) in x.iter().zip(weights).zip(grid.point(*point)) {
            let q = f32::from(2 * digit + 1);
            sum_qx += w * v * q;
            sum_q2 += w * q * q;
        }
    }
    (sum_qx, sum_q2)
}
