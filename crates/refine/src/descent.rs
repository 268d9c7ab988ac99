//! Descent: the codes of each block chosen again, given those of all others.
//!
//! For the errors `e` of a row, `z = e R` is known, and the gradient of the cost `|z|^2` is `2 z R^T`.
//! With all columns outside a block `J` fixed, the cost is a quadratic form of `e_J` with the matrix `A_JJ`
//! and the linear part `2 b`, `b = (z R^T)_J - e_J A_JJ`. With the block's own factor, `A_JJ = P P^T`, it is
//! `|e_J P + c|^2` up to a constant, where `c P^T = b`: just what feedback has for a block, with `c` as the
//! carried errors. So the same search runs again, from the fields that are there, and what it finds stays
//! where it costs less.

use crate::block::{BlockLanes, TakeBetter};
use crate::group::{Columns, Group};
use crate::lanes::{LANES, Lane};
use crate::{Error, NotPositive, Symmetric};
use aeolus_quant::{Float, Isa, LaneWork};
use rayon::prelude::*;

/// The factors of a matrix's blocks on the diagonal.
#[derive(Debug)]
pub(crate) struct Descent<'a> {
    blocks: Vec<Symmetric>,
    /// The factor of the whole.
    factor: &'a Symmetric,
}

impl<'a> Descent<'a> {
    /// Of moments whose damped factor is `factor`.
    pub(crate) fn new(columns: &Columns<'a>) -> Result<Self, Error> {
        let (factor, size) = (columns.factor, columns.geometry.block);
        let blocks = (0..columns.cols / size).into_par_iter().map(|number| {
            let first = number * size;
            let pairs = (0..size).flat_map(|i| (i..size).map(move |j| (i, j)));
            let products =
                pairs.map(|(i, j)| dot(&factor.row(first + i)[j - i..], factor.row(first + j)));
            let block = Symmetric::from_upper(size, products.collect());
            block
                .ok_or(NotPositive { column: first })?
                .factor(columns.cpu)
        });
        Ok(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
            factor,
        })
    }

    /// Chooses the codes of all blocks of a group once again. The group's entries are `z`, and stay so.
    pub(crate) fn pass(&self, columns: &Columns<'_>, group: &mut Group) -> Result<(), Error> {
        let size = columns.geometry.block;
        for (number, own) in self.blocks.iter().enumerate() {
            let first = number * size;
            let last = first + size;
            let rows: Vec<&[f32]> = (first..last).map(|i| self.factor.row(i)).collect();
            let inner: Vec<&[f32]> = (0..size).map(|i| own.row(i)).collect();
            let old: Vec<Lane> = group.errors[first..last].to_vec();
            let mut best = BlockLanes::new();
            let mut carried = vec![[0.0; LANES]; size];
            columns.cpu.run_lanes(Linear {
                rows: &rows,
                inner: &inner,
                errors: &old,
                entries: &group.entries[first..],
                carried: &mut carried,
                cost: &mut best.cost,
            });
            let mut found = BlockLanes::new();
            group.search_again(columns, number, &carried, &inner, &mut found);
            best.errors[..size].copy_from_slice(&old);
            let kept = best.cost;
            columns.cpu.run_lanes(TakeBetter {
                block: &mut best,
                other: &found,
                len: size,
            });
            group.replace(columns, number, &best, |row| best.cost[row] < kept[row])?;
            let changes: Vec<Lane> = best.errors[..size]
                .iter()
                .zip(&old)
                .map(|(new, old)| std::array::from_fn(|l| new[l] - old[l]))
                .collect();
            group.errors[first..last].copy_from_slice(&best.errors[..size]);
            for (i, change) in changes.iter().enumerate() {
                if *change != [0.0; LANES] {
                    columns.carry(
                        std::slice::from_ref(change),
                        &[rows[i]],
                        &mut group.entries[first + i..],
                    );
                }
            }
        }
        Ok(())
    }
}

/// A sum of products in four parts, in a fixed order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 4];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.iter().zip(b) {
        for k in 0..4 {
            sums[k] += a[k] * b[k];
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] += a * b;
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The carried errors `c` of a block, and what its codes cost as they are: the sum of the squares of
/// `e P + c`.
struct Linear<'a> {
    /// Rows of the factor from their diagonal to the last column: `[block]`.
    rows: &'a [&'a [f32]],
    /// Rows of the block's own factor `P`: `[block]`.
    inner: &'a [&'a [f32]],
    /// `[block]`
    errors: &'a [Lane],
    /// `z` from the block's first column to the last: `[cols - first]`.
    entries: &'a [Lane],
    /// `[block]`
    carried: &'a mut [Lane],
    cost: &'a mut Lane,
}

impl LaneWork for Linear<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let size = self.carried.len();
        // With y P^T = (z R^T)_J, c is y - e P: the last column of y first.
        for j in (0..size).rev() {
            let mut sums = [isa.splat(0.0); 4];
            let row = self.rows[j];
            let (entries, entries_rest) = self.entries[j..].as_chunks::<4>();
            let (factors, factors_rest) = row.as_chunks::<4>();
            for (z, r) in entries.iter().zip(factors) {
                for k in 0..4 {
                    sums[k] = sums[k] + isa.load(&z[k]) * isa.splat(r[k]);
                }
            }
            for (z, r) in entries_rest.iter().zip(factors_rest) {
                sums[0] = sums[0] + isa.load(z) * isa.splat(*r);
            }
            let mut y = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            let own = self.inner[j];
            for (y_k, p) in self.carried[j + 1..].iter().zip(&own[1..]) {
                y = y - isa.load(y_k) * isa.splat(*p);
            }
            (y / isa.splat(own[0])).store(&mut self.carried[j]);
        }
        let mut cost = isa.splat(0.0);
        for y in self.carried.iter() {
            let y = isa.load(y);
            cost = cost + y * y;
        }
        cost.store(self.cost);
        for (i, e) in self.errors.iter().enumerate() {
            let e = isa.load(e);
            for (c, p) in self.carried[i..].iter_mut().zip(self.inner[i]) {
                (isa.load(c) - e * isa.splat(*p)).store(c);
            }
        }
    }
}
