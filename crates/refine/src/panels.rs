//! Rows of numbers, cut into panels of 16 columns: the form in which products are taken.

use aeolus_quant::{Float, Isa, LaneWork};

/// Columns of a panel.
pub(crate) const WIDTH: usize = 16;

/// Rows of a product that are taken at a time: with [`WIDTH`] as many sums as fit the registers.
const ROWS: usize = 4;

/// `[k, n]` numbers as `ceil(n / 16)` panels of `[k, 16]`, zeros behind the last column.
#[derive(Debug, Default)]
pub(crate) struct Panels {
    k: usize,
    data: Vec<[f32; WIDTH]>,
}

impl Panels {
    /// Zeros.
    pub(crate) fn zeros(k: usize, n: usize) -> Self {
        Self {
            k,
            data: vec![[0.0; WIDTH]; k * n.div_ceil(WIDTH)],
        }
    }

    /// Packs rows of `n` numbers.
    pub(crate) fn of_rows(x: &[f32], n: usize) -> Self {
        let mut panels = Self::zeros(x.len() / n, n);
        for (row, x) in x.chunks_exact(n).enumerate() {
            panels.set_row(row, x);
        }
        panels
    }

    /// Packs columns of `k` numbers, which are given one after the other.
    pub(crate) fn of_columns(x: &[f32], k: usize) -> Self {
        let mut panels = Self::zeros(k, x.len() / k);
        for (column, x) in x.chunks_exact(k).enumerate() {
            let panel = &mut panels.data[column / WIDTH * k..][..k];
            for (row, x) in panel.iter_mut().zip(x) {
                row[column % WIDTH] = *x;
            }
        }
        panels
    }

    /// Replaces a row.
    pub(crate) fn set_row(&mut self, row: usize, x: &[f32]) {
        for (panel, x) in x.chunks(WIDTH).enumerate() {
            self.data[panel * self.k + row][..x.len()].copy_from_slice(x);
        }
    }

    /// Rows of a panel.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// All panels.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &[[f32; WIDTH]]> {
        self.data.chunks_exact(self.k.max(1))
    }

    /// The panel of columns `16 * index` and on: `[k]` rows.
    pub(crate) fn panel(&self, index: usize) -> &[[f32; WIDTH]] {
        &self.data[index * self.k..(index + 1) * self.k]
    }

    /// All panels, to be written to.
    pub(crate) fn panels_mut(&mut self) -> impl Iterator<Item = &mut [[f32; WIDTH]]> {
        self.data.chunks_exact_mut(self.k.max(1))
    }
}

/// The product of two panels, `left^T right`: a square of 16 x 16 sums over `k`, each in the order of the
/// rows.
pub(crate) struct PanelProduct<'a> {
    pub(crate) left: &'a [[f32; WIDTH]],
    pub(crate) right: &'a [[f32; WIDTH]],
}

impl LaneWork for PanelProduct<'_> {
    type Output = [[f32; WIDTH]; WIDTH];

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Self::Output {
        let mut out = [[0.0; WIDTH]; WIDTH];
        for (part, out) in out.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            let mut sums = [isa.splat(0.0); ROWS];
            for (left, right) in self.left.iter().zip(self.right) {
                let left = &left.as_chunks::<ROWS>().0[part];
                let right = isa.load(right);
                for r in 0..ROWS {
                    sums[r] = sums[r] + isa.splat(left[r]) * right;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                sum.store(out);
            }
        }
        out
    }
}
