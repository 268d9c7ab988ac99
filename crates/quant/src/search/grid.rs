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
    points: Vec<[u8; D]>,
    /// For each packed place the range of its list in `nearby`; of a point, a list with it alone.
    lists: Vec<(u32, u32)>,
    nearby: Vec<u16>,
}

impl<const D: usize> Grid<D> {
    /// Makes the codebook of packed points, element 0 in the lower bits. The lists of the places off
    /// the grid hold the points at the `shells` smallest distances, near ones first, and by number
    /// at one distance.
    pub(crate) fn new(packed: &[u16], bits: u32, digits: u8, shells: usize) -> Self {
        let unpack = |place: usize| -> [u8; D] {
            std::array::from_fn(|i| (place >> (bits as usize * i) & ((1 << bits) - 1)) as u8)
        };
        let points: Vec<[u8; D]> = packed.iter().map(|p| unpack(usize::from(*p))).collect();
        let places = 1 << (bits as usize * D);
        let mut lists = vec![(0, 0); places];
        let mut nearby: Vec<u16> = (0..points.len() as u16).collect();
        for (number, place) in (0..).zip(packed) {
            lists[usize::from(*place)] = (number, number + 1);
        }
        let mut distances = vec![0u16; points.len()];
        for (place, list) in lists.iter_mut().enumerate() {
            let digits_here = unpack(place);
            if list.1 != 0 || digits_here.iter().any(|digit| *digit >= digits) {
                continue;
            }
            for (distance, point) in distances.iter_mut().zip(&points) {
                *distance = 0;
                for (a, b) in point.iter().zip(digits_here) {
                    *distance += u16::from(a.abs_diff(b)) * u16::from(a.abs_diff(b));
                }
            }
            let start = nearby.len() as u32;
            let mut above = 0;
            for _ in 0..shells {
                let farther = distances.iter().filter(|d| **d >= above);
                let Some(&shell) = farther.min() else { break };
                let numbers = (0..).zip(&distances).filter(|(_, d)| **d == shell);
                nearby.extend(numbers.map(|(number, _)| number));
                above = shell + 1;
            }
            *list = (start, nearby.len() as u32);
        }
        Self {
            bits,
            digits,
            points,
            lists,
            nearby,
        }
    }

    /// The digits of a point.
    pub(crate) fn point(&self, number: u16) -> &[u8; D] {
        &self.points[usize::from(number)]
    }

    /// The points at or near a place: one if it lies on the grid.
    pub(crate) fn near(&self, place: &[u8; D]) -> &[u16] {
        let packed = (0..).zip(place).fold(0, |packed, (i, digit)| {
            packed | (usize::from(*digit) << (self.bits * i))
        });
        let (start, end) = self.lists[packed];
        &self.nearby[start as usize..end as usize]
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
        match self.near(&place) {
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

impl GridSearch {
    /// Searches from the scale that takes `largest` to the largest digit. `scale` stays if no trial
    /// is any good.
    pub(crate) fn fit<const D: usize, const N: usize>(
        &self,
        grid: &Grid<D>,
        x: &[f32; N],
        weights: &[f32; N],
        largest: f32,
        scale: f32,
    ) -> GridFit {
        let roots = weights.map(f32::sqrt);
        let groups = || x.as_chunks::<D>().0.iter().zip(roots.as_chunks::<D>().0);
        let top = f32::from(2 * grid.digits - 1);
        let mut found = GridFit {
            scale,
            points: [0; 8],
        };
        let mut off_grid = [self.again != Again::OffGrid; 8];
        let mut best = 0.0f32;
        for trial in -self.trials..=self.trials {
            let inverse = (top + trial as f32 * self.delta) / largest;
            let (mut points, mut off) = ([0; 8], [false; 8]);
            for (k, (x, roots)) in groups().enumerate() {
                let (point, on_grid) = grid.round(x, roots, inverse, 1.0 / inverse);
                (points[k], off[k]) = (point, !on_grid);
            }
            let (sum_qx, sum_q2) = project(grid, x, weights, &points);
            if sum_q2 > 0.0 && sum_qx * sum_qx > best * sum_q2 {
                found.scale = sum_qx / sum_q2;
                best = found.scale * sum_qx;
                (found.points, off_grid) = (points, off);
            }
        }

        let any_off = off_grid[..N / D].contains(&true);
        if found.scale > 0.0 && (any_off || self.again == Again::All) {
            let scale = found.scale;
            for (k, (x, roots)) in groups().enumerate() {
                if off_grid[k] || self.again != Again::OffGrid {
                    found.points[k] = grid.round(x, roots, 1.0 / scale, scale).0;
                }
            }
            let (sum_qx, sum_q2) = project(grid, x, weights, &found.points);
            if sum_q2 > 0.0 {
                found.scale = sum_qx / sum_q2;
            }
        }
        found
    }
}

/// The weighted projection of the magnitudes on points, and the points' weighted norm.
fn project<const D: usize, const N: usize>(
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
