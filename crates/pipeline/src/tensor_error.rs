//! How far the weights of a file are from their source, without running the model.
//!
//! For weights `x` of the source and `y` of the file:
//!
//! ```text
//! RMSE      sqrt(mean (y - x)^2)
//! max       largest |y - x|
//! relative  RMSE over the root mean square of x
//! cosine    sum x y / sqrt(sum x^2 sum y^2)
//! ```
//!
//! Sums are taken row by row, rows are added in groups of [`TILE_WEIGHTS`](crate::TILE_WEIGHTS) weights, and
//! groups in order. So a figure does not depend on how the work was cut, and is the same whether a
//! run took it while it encoded or it was read back from the finished file.

use crate::TILE_WEIGHTS;
use aeolus_gguf::{TensorInfo, TensorType};
use std::sync::{Mutex, PoisonError};

/// The error of one tensor of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorError {
    /// GGUF name.
    pub tensor: String,
    /// Its type in the file.
    pub ty: TensorType,
    /// Number of weights.
    pub weights: u64,
    /// Root mean square error.
    pub rmse: f64,
    /// Largest absolute error.
    pub max: f64,
    /// RMSE over the source's root mean square; 0 where both are 0, infinite where only the
    /// source is.
    pub relative: f64,
    /// Cosine of the angle between source and file; 1 where both are 0.
    pub cosine: f64,
}

/// What the figures are computed from, over some weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorSums {
    error2: f64,
    max: f64,
    x2: f64,
    y2: f64,
    xy: f64,
}

/// Sums that run side by side, so that the compiler can use vectors for them.
const LANES: usize = 8;

impl ErrorSums {
    /// Of one row: source and file.
    pub fn of(x: &[f32], y: &[f32]) -> Self {
        let mut lanes = [Self::default(); LANES];
        let (xs, ys) = (x.chunks(LANES), y.chunks(LANES));
        for (x, y) in xs.zip(ys) {
            for ((sums, x), y) in lanes.iter_mut().zip(x).zip(y) {
                let (x, y) = (f64::from(*x), f64::from(*y));
                let error = y - x;
                sums.error2 += error * error;
                sums.max = sums.max.max(error.abs());
                sums.x2 += x * x;
                sums.y2 += y * y;
                sums.xy += x * y;
            }
        }
        lanes.into_iter().fold(Self::default(), Self::and)
    }

    /// Of whole rows of `cols` weights, in order.
    pub fn of_rows(x: &[f32], y: &[f32], cols: usize) -> Self {
        let rows = x.chunks(cols.max(1)).zip(y.chunks(cols.max(1)));
        rows.map(|(x, y)| Self::of(x, y))
            .fold(Self::default(), Self::and)
    }

    /// Of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            error2: self.error2 + other.error2,
            max: self.max.max(other.max),
            x2: self.x2 + other.x2,
            y2: self.y2 + other.y2,
            xy: self.xy + other.xy,
        }
    }

    /// The figures of a tensor whose weights these are.
    pub fn error(self, info: &TensorInfo) -> TensorError {
        let weights = info.shape.elems();
        let ratio = |part: f64, whole: f64, neither: f64| match (part == 0.0, whole == 0.0) {
            (true, true) => neither,
            _ => part / whole,
        };
        let product = (self.x2 * self.y2).sqrt();
        TensorError {
            tensor: info.name.clone(),
            ty: info.ty,
            weights,
            rmse: (self.error2 / weights as f64).sqrt(),
            max: self.max,
            relative: ratio(self.error2, self.x2, 0.0).sqrt(),
            cosine: if self.x2 == 0.0 && self.y2 == 0.0 {
                1.0
            } else {
                ratio(self.xy, product, 0.0)
            },
        }
    }
}

/// Puts a file's tensors in order: the worst relative error first.
pub fn worst_first(errors: &mut [TensorError]) {
    errors.sort_by(|a, b| b.relative.total_cmp(&a.relative));
}

/// The sums of one tensor in one type, from blocks that come in any order.
#[derive(Debug)]
pub(crate) struct Collected {
    cols: usize,
    /// The first row of each piece: a whole group, or a single row of a group that was cut.
    pieces: Mutex<Vec<(usize, ErrorSums)>>,
}

impl Collected {
    pub fn new(cols: usize) -> Self {
        Self {
            cols: cols.max(1),
            pieces: Mutex::default(),
        }
    }

    /// Rows of a group.
    fn group(&self) -> usize {
        (TILE_WEIGHTS / self.cols).max(1)
    }

    /// Takes rows from `first` on: their sums, one for each row. The rows after `end` come with another call.
    pub fn add(&self, first: usize, rows: &[ErrorSums]) {
        let (group, end) = (self.group(), first + rows.len());
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut row = first;
        while row < end {
            let next = (row / group + 1) * group;
            if row.is_multiple_of(group) && next <= end {
                let whole = rows[row - first..next - first].iter().copied();
                pieces.push((row, whole.fold(ErrorSums::default(), ErrorSums::and)));
                row = next;
            } else {
                pieces.push((row, rows[row - first]));
                row += 1;
            }
        }
    }

    /// All of it.
    pub fn total(self) -> ErrorSums {
        let group = self.group();
        let pieces = self.pieces.into_inner();
        let mut pieces = pieces.unwrap_or_else(PoisonError::into_inner);
        pieces.sort_by_key(|(row, _)| *row);
        pieces
            .chunk_by(|a, b| a.0 / group == b.0 / group)
            .map(|cut| cut.iter().fold(ErrorSums::default(), |a, (_, b)| a.and(*b)))
            .fold(ErrorSums::default(), ErrorSums::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_how_the_rows_are_cut() {
        let cols = TILE_WEIGHTS / 4;
        let wave = |scale: f32, n: usize| -> Vec<f32> {
            (0..n).map(|i| (i as f32 * scale).sin()).collect()
        };
        let rows = 11;
        let (x, y) = (wave(0.37, rows * cols), wave(0.371, rows * cols));
        let of_rows = |range: std::ops::Range<usize>| -> Vec<ErrorSums> {
            let row = |i: usize| &x[i * cols..(i + 1) * cols];
            let file = |i: usize| &y[i * cols..(i + 1) * cols];
            range.map(|i| ErrorSums::of(row(i), file(i))).collect()
        };
        let total = |cuts: &[usize]| {
            let collected = Collected::new(cols);
            let mut pairs: Vec<_> = cuts.windows(2).map(|w| w[0]..w[1]).collect();
            pairs.reverse();
            for range in pairs {
                collected.add(range.start, &of_rows(range));
            }
            collected.total()
        };
        let whole = total(&[0, 11]);
        assert!(whole.error2 > 0.0);
        for cuts in [&[0, 1, 2, 3, 11][..], &[0, 4, 8, 11], &[0, 5, 6, 9, 11]] {
            assert_eq!(total(cuts), whole, "{cuts:?}");
        }
        // As a reader of whole groups adds them.
        let groups = (0..3).map(|g| g * 4..(g * 4 + 4).min(rows));
        let read = groups.map(|rows| {
            let range = rows.start * cols..rows.end * cols;
            ErrorSums::of_rows(&x[range.clone()], &y[range], cols)
        });
        assert_eq!(read.fold(ErrorSums::default(), ErrorSums::and), whole);
    }
}
