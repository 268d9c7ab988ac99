//! The sums of one tensor.

use crate::Problem;
use std::ops::Range;

/// Sums of squared activations of one tensor, and of how many activations each is the sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `[matrices, cols]`; finite and not negative.
    sums: Vec<f32>,
    /// One for all, or one for each matrix; whole numbers.
    counts: Vec<f32>,
}

impl Entry {
    /// An entry of sums `[matrices, cols]` and their counts, which are rounded to whole numbers.
    ///
    /// # Errors
    /// [`Problem::NoValues`], [`Problem::Uneven`], [`Problem::Value`] and [`Problem::Count`]; `name`
    /// is what they name.
    pub(crate) fn new(name: &str, sums: Vec<f32>, mut counts: Vec<f32>) -> Result<Self, Problem> {
        let name = || name.to_owned();
        if sums.is_empty() || counts.is_empty() {
            return Err(Problem::NoValues { entry: name() });
        }
        if !sums.len().is_multiple_of(counts.len()) {
            return Err(Problem::Uneven {
                entry: name(),
                values: sums.len(),
                counts: counts.len(),
            });
        }
        let is_wrong = |x: &f32| !(x.is_finite() && *x >= 0.0);
        if let Some(index) = sums.iter().position(is_wrong) {
            return Err(Problem::Value {
                entry: name(),
                index,
                value: sums[index],
            });
        }
        if let Some(index) = counts.iter().position(is_wrong) {
            return Err(Problem::Count {
                entry: name(),
                index,
                value: counts[index],
            });
        }
        for count in &mut counts {
            *count = count.round();
        }
        Ok(Self { sums, counts })
    }

    /// Values: columns times matrices.
    pub fn values(&self) -> usize {
        self.sums.len()
    }

    /// The importance of some values: mean squares of the activations. Where a matrix has none (an
    /// expert that no token was routed to), 1, which prefers no column.
    ///
    /// Divisions are in f32, as the reference's, whose bytes depend on it.
    ///
    /// # Panics
    /// If `range` reaches beyond [`values`](Self::values).
    pub fn importance(&self, range: Range<usize>) -> impl Iterator<Item = f32> {
        let each = self.sums.len() / self.counts.len();
        let first = range.start;
        self.sums[range].iter().enumerate().map(move |(i, sum)| {
            match self.counts[(first + i) / each] {
                0.0 => 1.0,
                count => sum / count,
            }
        })
    }
}
