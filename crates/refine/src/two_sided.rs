//! Feedback from row to row besides that along rows, and descent with both.
//!
//! With `F = E R` the cost `tr(G E A E^T)` is the sum of the squares of `S^T F`. What the rows above make
//! of row `i` is `t_i = sum_{i'<i} S_i'i F_i' / S_ii`, and codes are chosen as along a row, with `t` as the
//! carried errors to begin with.
//!
//! Sixteen rows are worked on at a time, and do not see each other's errors. So that little is lost, rows
//! are taken in an order that puts distant ones, which have little to do with each other, in one group: the
//! order of rows is free, as blocks lie along them. Groups follow each other, but a group's span of columns
//! needs only the same span of the groups before: threads follow each other at the distance of a span.

use crate::descent::Descent;
use crate::group::{Columns, Group, SPAN};
use crate::lanes::{LANES, Lane};
use crate::{Error, Symmetric};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Groups whose codes are chosen again at a time, by as many threads as there are.
const AT_A_TIME: usize = 2;

/// Rows of a matrix in the order in which they are worked on, in groups.
#[derive(Debug)]
pub(crate) struct Order {
    /// Rows, group after group.
    rows: Vec<usize>,
    /// Where each group begins and ends in `rows`.
    groups: Vec<Range<usize>>,
}

impl Order {
    /// Groups of rows that are as far from each other as can be.
    pub(crate) fn of(rows: usize) -> Self {
        let count = rows.div_ceil(LANES);
        let mut order = Self {
            rows: Vec::with_capacity(rows),
            groups: Vec::with_capacity(count),
        };
        for group in 0..count {
            let start = order.rows.len();
            order.rows.extend((group..rows).step_by(count.max(1)));
            order.groups.push(start..order.rows.len());
        }
        order
    }

    /// The moments of the outputs in this order.
    pub(crate) fn permuted(&self, g: &Symmetric) -> Symmetric {
        let n = self.rows.len();
        let mut upper = Vec::with_capacity(g.as_slice().len());
        for (i, &row) in self.rows.iter().enumerate() {
            upper.extend(self.rows[i..n].iter().map(|&other| g.get(row, other)));
        }
        // As many as there were.
        Symmetric::from_upper(n, upper).unwrap_or_else(|| Symmetric::zeros(n))
    }
}

/// A matrix whose codes are chosen with both sides' moments.
pub(crate) struct Rows<'a> {
    pub columns: &'a Columns<'a>,
    pub order: &'a Order,
    /// `[rows, cols]`
    pub weights: &'a [f32],
    /// Moments of the outputs with damping, and their factor, both in [`Order`].
    pub moments: &'a Symmetric,
    pub factor: &'a Symmetric,
}

/// `F` of one group's span: a row of numbers for each row of the group.
type Piece = Vec<Vec<f32>>;

impl Rows<'_> {
    /// Chooses all codes once. Gives the groups with what they chose.
    pub(crate) fn feedback(&self) -> Result<Vec<Group>, Error> {
        let spans = self.columns.cols.div_ceil(SPAN);
        let count = self.order.groups.len();
        let pieces: Vec<Vec<OnceLock<Piece>>> = (0..count)
            .map(|_| (0..spans).map(|_| OnceLock::new()).collect())
            .collect();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(count));
        rayon::broadcast(|_| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let made = self.group(number, &pieces);
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.push((number, made));
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, made)| made).collect()
    }

    /// Rows of a group.
    fn rows(&self, number: usize) -> &[usize] {
        &self.order.rows[self.order.groups[number].clone()]
    }

    /// One group, each span once the groups before have chosen theirs.
    fn group(&self, number: usize, pieces: &[Vec<OnceLock<Piece>>]) -> Result<Group, Error> {
        let cols = self.columns.cols;
        let rows = self.rows(number);
        let x: Vec<f32> = rows
            .iter()
            .flat_map(|row| &self.weights[row * cols..(row + 1) * cols])
            .copied()
            .collect();
        let first = self.order.groups[number].start;
        let mut group = Group::new(self.columns, &x);
        let mut failure = None;
        for (span, piece) in pieces[number].iter().enumerate() {
            let (start, end) = (span * SPAN, cols.min((span + 1) * SPAN));
            let mut from_rows = [[0.0; LANES]; SPAN];
            for (other, pieces) in pieces[..number].iter().enumerate() {
                let errors = pieces[span].wait();
                let positions = self.order.groups[other].clone();
                let factors: Vec<Lane> = positions
                    .map(|i| lane(&self.factor.row(i)[first - i..], rows.len()))
                    .collect();
                let errors: Vec<&[f32]> = errors.iter().map(|row| &row[..]).collect();
                self.columns
                    .carry(&factors, &errors, &mut from_rows[..end - start]);
            }
            let mut own = [1.0; LANES];
            for (l, own) in own.iter_mut().enumerate().take(rows.len()) {
                *own = self.factor.row(first + l)[0];
            }
            for carried in &mut from_rows {
                for l in 0..LANES {
                    carried[l] /= own[l];
                }
            }
            // Whoever waits goes on, whatever happens here.
            if failure.is_none() {
                failure = group.span(self.columns, start..end, &from_rows).err();
            }
            let along = |l: usize| -> Vec<f32> {
                let entries = group.entries[start..end].iter().zip(&from_rows);
                entries.map(|(z, t)| z[l] - t[l]).collect()
            };
            let _ = piece.set((0..rows.len()).map(along).collect());
        }
        match failure {
            None => Ok(group),
            Some(error) => Err(error),
        }
    }

    /// Chooses codes again, block after block, given all others.
    ///
    /// Rows that are worked on at once do not see what changes in each other. With the sum of their `|G_ik|`
    /// in place of `G_ii`, the form that each lowers bounds the cost from above: it falls all the same.
    pub(crate) fn descend(
        &self,
        descent: &Descent<'_>,
        groups: &mut [Group],
        passes: usize,
    ) -> Result<(), Error> {
        let cols = self.columns.cols;
        // F of all rows, in order.
        let mut along: Vec<Vec<f32>> = Vec::with_capacity(self.order.rows.len());
        for (number, group) in groups.iter().enumerate() {
            let made = group.times_factor(self.columns);
            along.extend((0..self.rows(number).len()).map(|l| made.iter().map(|f| f[l]).collect()));
        }
        for _ in 0..passes {
            for batch in (0..groups.len()).step_by(AT_A_TIME) {
                let end = groups.len().min(batch + AT_A_TIME);
                let made: Vec<Vec<Lane>> = groups[batch..end]
                    .par_iter_mut()
                    .enumerate()
                    .map(|(i, group)| {
                        let positions = self.order.groups[batch + i].clone();
                        let together =
                            self.order.groups[batch].start..self.order.groups[end - 1].end;
                        let mut own = [1.0; LANES];
                        for (l, i) in positions.clone().enumerate() {
                            let all = together.clone().map(|k| self.moments.get(i, k).abs());
                            own[l] = all.sum();
                        }
                        let mut entries = vec![[0.0; LANES]; cols];
                        for start in (0..cols).step_by(SPAN) {
                            let end = cols.min(start + SPAN);
                            for some in (0..along.len()).step_by(64) {
                                let some = some..along.len().min(some + 64);
                                let factors: Vec<Lane> = some
                                    .clone()
                                    .map(|other| {
                                        let mut lane = [0.0; LANES];
                                        for (l, i) in positions.clone().enumerate() {
                                            lane[l] = self.moments.get(i, other);
                                        }
                                        lane
                                    })
                                    .collect();
                                let errors: Vec<&[f32]> =
                                    along[some].iter().map(|row| &row[start..end]).collect();
                                self.columns
                                    .carry(&factors, &errors, &mut entries[start..end]);
                            }
                        }
                        for entry in &mut entries {
                            for l in 0..LANES {
                                entry[l] /= own[l];
                            }
                        }
                        group.entries = entries;
                        descent.pass(self.columns, group)?;
                        Ok(group.times_factor(self.columns))
                    })
                    .collect::<Result<_, Error>>()?;
                for (i, made) in made.iter().enumerate() {
                    for (l, position) in self.order.groups[batch + i].clone().enumerate() {
                        along[position] = made.iter().map(|f| f[l]).collect();
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the blocks of all groups in the order of the matrix.
    pub(crate) fn write(&self, groups: &[Group], out: &mut [u8]) {
        let row_bytes = self.columns.row_bytes();
        for (number, group) in groups.iter().enumerate() {
            let rows = self.rows(number).iter();
            for (bytes, &row) in group.bytes.chunks_exact(row_bytes).zip(rows) {
                out[row * row_bytes..(row + 1) * row_bytes].copy_from_slice(bytes);
            }
        }
    }
}

/// The first numbers of a row as a lane.
fn lane(row: &[f32], len: usize) -> Lane {
    let mut lane = [0.0; LANES];
    lane[..len].copy_from_slice(&row[..len]);
    lane
}
