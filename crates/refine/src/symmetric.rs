//! Symmetric matrices, their sums of products and their triangular factors.

use crate::panels::{PanelProduct, Panels, WIDTH};
use aeolus_quant::Cpu;
use rayon::prelude::*;

/// Rows of a triangular factor that are made at a time: what they change in the rest is then one product.
const BLOCK: usize = 64;

/// Rows whose products are summed up at a time: what bounds the memory of their panels.
const ROWS_AT_A_TIME: usize = 256;

/// A symmetric matrix `[n, n]` in f32: its upper triangle, row after row. Row `i` has columns `i..n`.
///
/// The same form holds an upper triangular matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Symmetric {
    n: usize,
    upper: Vec<f32>,
}

/// A matrix that has no factor: it is not positive definite, or not finite, to the precision of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the matrix of second moments is not positive definite at column {column}")]
pub struct NotPositive {
    /// Where it shows.
    pub column: usize,
}

impl Symmetric {
    /// A matrix of zeros.
    pub fn zeros(n: usize) -> Self {
        Self {
            n,
            upper: vec![0.0; n * (n + 1) / 2],
        }
    }

    /// The memory that one of `n` columns takes.
    pub fn bytes(n: usize) -> u64 {
        let n = n as u64;
        n.saturating_mul(n + 1).saturating_mul(2)
    }

    /// Rows and columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Where row `i` begins.
    fn start(&self, i: usize) -> usize {
        // Each row before it is one shorter than the one before.
        i * self.n - i * i.saturating_sub(1) / 2
    }

    /// Row `i` from its diagonal on: columns `i..n`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        assert!(i < self.n, "row {i} of {}", self.n);
        &self.upper[self.start(i)..][..self.n - i]
    }

    /// Element `(i, j)`.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn get(&self, i: usize, j: usize) -> f32 {
        self.row(i.min(j))[i.abs_diff(j)]
    }

    /// The diagonal, `[n]`.
    pub fn diagonal(&self) -> Vec<f32> {
        (0..self.n).map(|i| self.row(i)[0]).collect()
    }

    /// All of the upper triangle, row after row.
    pub fn as_slice(&self) -> &[f32] {
        &self.upper
    }

    /// A matrix of the numbers of its upper triangle; `None` if there are not as many.
    pub fn from_upper(n: usize, upper: Vec<f32>) -> Option<Self> {
        (n.checked_mul(n + 1)? / 2 == upper.len()).then_some(Self { n, upper })
    }

    /// Multiplies all elements.
    pub fn scale(&mut self, factor: f32) {
        self.upper.iter_mut().for_each(|x| *x *= factor);
    }

    /// Adds another matrix of the same size.
    ///
    /// # Panics
    /// If it has another size.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.n, other.n);
        for (x, y) in self.upper.iter_mut().zip(&other.upper) {
            *x += y;
        }
    }

    /// Adds `x^T x` of rows `x`, `[rows, n]`: one product of each pair of columns. The sum over 256 rows
    /// at a time is taken first, in their order, and then added. All threads of the current pool take part.
    ///
    /// # Panics
    /// If `x` is not whole rows.
    pub fn add_products(&mut self, cpu: Cpu, x: &[f32]) {
        if x.is_empty() {
            return;
        }
        assert_eq!(x.len() % self.n, 0, "rows of {} numbers", self.n);
        for x in x.chunks(ROWS_AT_A_TIME * self.n) {
            let panels = Panels::of_rows(x, self.n);
            self.update(cpu, &panels, self.n, 1.0);
        }
    }

    /// Adds `sign * p^T p` to the first `n` rows and columns, where `p` are rows in panels.
    fn update(&mut self, cpu: Cpu, p: &Panels, n: usize, sign: f32) {
        let size = self.n;
        let mut stripes = Vec::with_capacity(n.div_ceil(WIDTH));
        let mut rest = self.upper.as_mut_slice();
        for first in (0..n).step_by(WIDTH) {
            let rows = WIDTH.min(n - first);
            let len = (first..first + rows).map(|i| size - i).sum();
            let (stripe, after) = rest.split_at_mut(len);
            stripes.push((first, stripe));
            rest = after;
        }
        stripes.into_par_iter().for_each(|(first, stripe)| {
            let left = p.panel(first / WIDTH);
            for from in (first..n).step_by(WIDTH) {
                let right = p.panel(from / WIDTH);
                let sums = cpu.run_lanes(PanelProduct { left, right });
                let mut row = 0;
                for (i, sums) in (first..n.min(first + WIDTH)).zip(&sums) {
                    // Columns `from..` of row i, which begins with column i.
                    let skipped = i.saturating_sub(from);
                    let columns =
                        &mut stripe[row + (from + skipped - i)..row + (n.min(from + WIDTH) - i)];
                    for (x, sum) in columns.iter_mut().zip(&sums[skipped..]) {
                        *x += sign * sum;
                    }
                    row += size - i;
                }
            }
        });
    }

    /// Adds a part of the diagonal's mean to the diagonal. A matrix of zeros becomes the identity.
    pub fn damp(&mut self, part: f32) {
        let n = self.n;
        let mean = self.diagonal().iter().map(|x| f64::from(*x)).sum::<f64>() / n.max(1) as f64;
        let added = match mean == 0.0 {
            true => 1.0,
            false => (mean * f64::from(part)) as f32,
        };
        for i in 0..n {
            let start = self.start(i);
            self.upper[start] += added;
        }
    }

    /// The upper triangular `R` with `A = R R^T`, in place of the matrix. Its rows have columns on and behind
    /// the diagonal, as the matrix's.
    ///
    /// # Errors
    /// [`NotPositive`] if there is none: a little more [damping](Self::damp) helps if the moments are finite.
    pub fn factor(mut self, cpu: Cpu) -> Result<Self, NotPositive> {
        let n = self.n;
        // From the last columns to the first: row i of a block depends on what is behind it only.
        let mut end = n;
        while end > 0 {
            let first = (end - 1) / BLOCK * BLOCK;
            self.factor_block(first, end)?;
            let panels = self.solve_above(first, end);
            self.update(cpu, &panels, first, -1.0);
            end = first;
        }
        Ok(self)
    }

    /// Factors the square on the diagonal that has columns `first..end`.
    fn factor_block(&mut self, first: usize, end: usize) -> Result<(), NotPositive> {
        for k in (first..end).rev() {
            let start = self.start(k);
            let pivot = self.upper[start];
            if !(pivot > 0.0 && pivot.is_finite()) {
                return Err(NotPositive { column: k });
            }
            let root = pivot.sqrt();
            self.upper[start] = root;
            // Column k above the diagonal, within the block.
            let column: Vec<f32> = (first..k)
                .map(|i| {
                    let at = self.start(i) + k - i;
                    self.upper[at] /= root;
                    self.upper[at]
                })
                .collect();
            for i in first..k {
                let start = self.start(i);
                let factor = column[i - first];
                let row = &mut self.upper[start..start + k - i];
                for (x, c) in row.iter_mut().zip(&column[i - first..]) {
                    *x -= factor * c;
                }
            }
        }
        Ok(())
    }

    /// Columns `first..end` of the rows above a block that is factored, as panels `[end - first, first]`.
    fn solve_above(&mut self, first: usize, end: usize) -> Panels {
        let width = end - first;
        // Column k of the block above its diagonal: `[k - first]`.
        let columns: Vec<Vec<f32>> = (first..end)
            .map(|k| (first..=k).map(|i| self.row(i)[k - i]).collect())
            .collect();
        let mut panels = Panels::zeros(width, first);
        let n = self.n;
        let mut rows = Vec::with_capacity(first);
        let mut rest = self.upper.as_mut_slice();
        for i in 0..first {
            let (row, after) = rest.split_at_mut(n - i);
            rows.push(&mut row[first - i..end - i]);
            rest = after;
        }
        let tasks: Vec<_> = panels.panels_mut().zip(rows.chunks_mut(WIDTH)).collect();
        tasks.into_par_iter().for_each(|(panel, rows)| {
            for (lane, row) in rows.iter_mut().enumerate() {
                for k in (0..width).rev() {
                    let (before, behind) = row.split_at_mut(k);
                    let column = &columns[k];
                    behind[0] /= column[k];
                    let x = behind[0];
                    for (y, c) in before.iter_mut().zip(column) {
                        *y -= x * c;
                    }
                    panel[k][lane] = x;
                }
            }
        });
        panels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of numbers that repeat on no grid.
    fn rows(rows: usize, n: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 7919 % 10_007) as f32 * 0.37).sin();
        (0..rows * n).map(number).collect()
    }

    fn products(cpu: Cpu, x: &[f32], n: usize) -> Symmetric {
        let mut sum = Symmetric::zeros(n);
        sum.add_products(cpu, x);
        sum
    }

    fn damped(a: &Symmetric, part: f32) -> Symmetric {
        let mut a = a.clone();
        a.damp(part);
        a
    }

    #[test]
    fn products_are_sums_over_rows_on_every_level() {
        for n in [1, 15, 16, 17, 70] {
            let x = rows(33, n);
            let all: Vec<_> = Cpu::available().map(|cpu| products(cpu, &x, n)).collect();
            for i in 0..n {
                for j in 0..n {
                    let exact: f64 = x.chunks(n).map(|x| f64::from(x[i]) * f64::from(x[j])).sum();
                    let found = f64::from(all[0].get(i, j));
                    assert!(
                        (found - exact).abs() < 1e-4,
                        "{n}: {i} {j}: {found} {exact}"
                    );
                }
            }
            assert!(all.iter().all(|sum| *sum == all[0]));
        }
    }

    #[test]
    fn a_factor_times_its_transpose_is_the_matrix() {
        for n in [1, 5, 64, 65, 200] {
            let cpu = Cpu::select().unwrap();
            let mut a = products(cpu, &rows(2 * n, n), n);
            a.scale(0.5 / n as f32);
            let r = damped(&a, 0.01).factor(cpu).unwrap();
            let mean = a.diagonal().iter().sum::<f32>() / n as f32;
            for i in 0..n {
                for j in i..n {
                    let product = (j..n).map(|k| f64::from(r.get(i, k)) * f64::from(r.get(j, k)));
                    let expected = a.get(i, j) + if i == j { 0.01 * mean } else { 0.0 };
                    let difference = product.sum::<f64>() - f64::from(expected);
                    assert!(difference.abs() < 1e-5, "{n}: {i} {j}: {difference}");
                }
            }
        }
    }

    #[test]
    fn factors_are_the_same_for_any_threads_and_level() {
        let n = 150;
        let factor = |threads, cpu| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let run = || {
                damped(&products(cpu, &rows(40, n), n), 0.1)
                    .factor(cpu)
                    .unwrap()
            };
            pool.unwrap().install(run)
        };
        let one = factor(1, Cpu::select().unwrap());
        for cpu in Cpu::available() {
            for threads in [1, 2, 3] {
                assert!(factor(threads, cpu) == one, "{} {threads}", cpu.name());
            }
        }
    }

    #[test]
    fn moments_of_lower_rank_need_damping_and_zeros_none() {
        let cpu = Cpu::select().unwrap();
        let a = products(cpu, &rows(3, 40), 40);
        assert!(a.clone().factor(cpu).is_err());
        assert!(damped(&a, 0.01).factor(cpu).is_ok());
        let zeros = damped(&Symmetric::zeros(3), 0.01).factor(cpu).unwrap();
        assert_eq!(zeros.as_slice(), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
        let wrong = Symmetric::from_upper(2, vec![1.0, f32::NAN, 1.0]).unwrap();
        assert!(damped(&wrong, 0.1).factor(cpu).is_err());
    }
}
