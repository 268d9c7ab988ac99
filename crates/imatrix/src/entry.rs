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
    /// An entry of `matrices` matrices of `cols` columns each that saw nothing.
    ///
    /// # Panics
    /// If either is 0.
    pub fn unseen(cols: usize, matrices: usize) -> Self {
        assert!(
            cols > 0 && matrices > 0,
            "{cols} columns, {matrices} matrices"
        );
        Self {
            sums: vec![0.0; cols * matrices],
            counts: vec![0.0; matrices],
        }
    }

    /// Adds the sums of squares of `count` more activations, `[cols]`, to those of one matrix.
    ///
    /// Totals have the precision of files (f32), so that adding to a total that was written and read
    /// again gives the same bits.
    ///
    /// # Panics
    /// If there is no such matrix, or its rows have another length.
    pub fn add(&mut self, matrix: usize, sums: &[f64], count: u64) {
        let cols = self.cols();
        assert_eq!(sums.len(), cols, "columns");
        let totals = &mut self.sums[matrix * cols..][..cols];
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = (f64::from(*total) + sum) as f32;
        }
        let total = &mut self.counts[matrix];
        *total = (f64::from(*total) + count as f64) as f32;
    }

    /// Adds all that another entry of the same tensor saw.
    ///
    /// # Errors
    /// [`Problem::OtherShape`], which calls the entry `name`.
    pub fn merge(&mut self, name: &str, other: &Self) -> Result<(), Problem> {
        let counts = self.counts.len().max(other.counts.len());
        let is_multiple = |entry: &Self| counts.is_multiple_of(entry.counts.len());
        if self.sums.len() != other.sums.len() || !is_multiple(self) || !is_multiple(other) {
            return Err(Problem::OtherShape {
                entry: name.to_owned(),
                values: [self.sums.len(), other.sums.len()],
                counts: [self.counts.len(), other.counts.len()],
            });
        }
        // One count is of all matrices, and becomes one of each.
        let count = |entry: &Self, i: usize| entry.counts[i * entry.counts.len() / counts];
        self.counts = (0..counts)
            .map(|i| count(self, i) + count(other, i))
            .collect();
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum += more;
        }
        Ok(())
    }

    /// An entry of sums `[matrices, cols]` and their counts, which are rounded to whole numbers.
    ///
    /// # Errors
    /// [`Problem::NoValues`], [`Problem::Uneven`], [`Problem::Value`] and [`Problem::Count`]; `name`
    /// is what they name.
    pub(crate) fn new(name: &str, sums: Vec<f32>, mut counts: Vec<f32>) -> Result<Self, Problem> {
        let owned = || name.to_owned();
        if sums.is_empty() || counts.is_empty() {
            return Err(Problem::NoValues { entry: owned() });
        }
        if !sums.len().is_multiple_of(counts.len()) {
            return Err(Problem::Uneven {
                entry: owned(),
                values: sums.len(),
                counts: counts.len(),
            });
        }
        for count in &mut counts {
            *count = count.round();
        }
        let entry = Self { sums, counts };
        entry.check(name)?;
        Ok(entry)
    }

    /// Whether all are numbers that sums of squares and counts can be.
    ///
    /// # Errors
    /// [`Problem::Value`] and [`Problem::Count`].
    pub(crate) fn check(&self, name: &str) -> Result<(), Problem> {
        let is_wrong = |x: &f32| !(x.is_finite() && *x >= 0.0);
        if let Some(index) = self.sums.iter().position(is_wrong) {
            return Err(Problem::Value {
                entry: name.to_owned(),
                index,
                value: self.sums[index],
            });
        }
        if let Some(index) = self.counts.iter().position(is_wrong) {
            return Err(Problem::Count {
                entry: name.to_owned(),
                index,
                value: self.counts[index],
            });
        }
        Ok(())
    }

    /// Sums of squares, `[matrices, cols]`, of as many activations as [`counts`](Self::counts) says.
    pub fn sums(&self) -> &[f32] {
        &self.sums
    }

    /// Of how many activations each matrix has the sum: one number for all, or one for each.
    pub fn counts(&self) -> &[f32] {
        &self.counts
    }

    /// Whether its matrices saw different numbers of activations.
    pub fn is_ragged(&self) -> bool {
        self.counts.iter().any(|count| *count != self.counts[0])
    }

    /// The matrices that saw nothing: experts that no token was routed to.
    pub fn unseen_matrices(&self) -> impl Iterator<Item = usize> {
        let counts = self.counts.iter().enumerate();
        counts.filter(|(_, count)| **count == 0.0).map(|(i, _)| i)
    }

    /// Columns of a matrix, if there is a count for each; else of all of them.
    pub fn cols(&self) -> usize {
        self.sums.len() / self.counts.len()
    }

    /// The largest count.
    pub(crate) fn most(&self) -> f32 {
        self.counts.iter().copied().fold(0.0, f32::max)
    }

    /// Both sums and counts times `factor`.
    pub(crate) fn scaled(&self, factor: f32) -> Self {
        let scale = |x: &Vec<f32>| x.iter().map(|x| x * factor).collect();
        Self {
            sums: scale(&self.sums),
            counts: scale(&self.counts),
        }
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
    pub fn importance(&self, range: Range<usize>) -> Vec<f32> {
        let each = self.cols();
        let mut at = range.start;
        let mut importance = self.sums[range].to_vec();
        let mut rest = &mut importance[..];
        while !rest.is_empty() {
            let (matrix, after) = rest.split_at_mut(rest.len().min(each - at % each));
            match self.counts[at / each] {
                0.0 => matrix.fill(1.0),
                count => matrix.iter_mut().for_each(|sum| *sum /= count),
            }
            at += matrix.len();
            rest = after;
        }
        importance
    }
}
