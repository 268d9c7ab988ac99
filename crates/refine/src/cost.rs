//! What codes cost: the mean square of the change in a matrix's outputs, or what that does to the loss.

use crate::lanes::{LANES, Lane, transpose};
use crate::panels::Panels;
use crate::products::product;
use crate::{Moments, Symmetric};
use aeolus_quant::{Cpu, Float, Isa, LaneWork};
use rayon::prelude::*;
use std::ops::Range;

/// `sum_r weight_r e_r A e_r^T` over the rows `e_r = w_r - q_r` of `w` and `q`, `[rows, cols]`. On all
/// threads of the current pool; the sum's order does not depend on them.
///
/// # Panics
/// If `w`, `q` and `A` do not fit together.
pub fn cost(cpu: Cpu, moments: &Symmetric, w: &[f32], q: &[f32], weights: Option<&[f32]>) -> f64 {
    let cols = moments.n();
    assert!(w.len() == q.len() && w.len().is_multiple_of(cols));
    let part = LANES * cols;
    let costs: Vec<Lane> = w
        .par_chunks(part)
        .zip(q.par_chunks(part))
        .map(|(w, q)| {
            let errors: Vec<f32> = w.iter().zip(q).map(|(w, q)| w - q).collect();
            let errors = transpose(&errors, cols);
            let (moments, errors) = (moments, &errors[..]);
            cpu.run_lanes(Quadratic { moments, errors })
        })
        .collect();
    let rows = costs.iter().flatten().take(w.len() / cols).enumerate();
    rows.map(|(row, cost)| f64::from(*cost) * weights.map_or(1.0, |w| f64::from(w[row])))
        .sum()
}

/// Columns of `E A` that are made at a time.
const STRIP: usize = 256;

/// Rows of a symmetric matrix that are written out at a time.
const ROWS: usize = 64;

/// `tr(G E A E^T)` for `E = W - Q`, or `tr(E A E^T)` where there are no gradients. On all threads of the current
/// pool; the sum's order does not depend on them.
///
/// # Panics
/// If `w`, `q` and the moments do not fit together.
pub fn cost_of_both(cpu: Cpu, moments: &Moments, w: &[f32], q: &[f32]) -> f64 {
    let a = &*moments.inputs;
    let Some(g) = &moments.gradients else {
        return cost(cpu, a, w, q, None);
    };
    let (cols, rows) = (a.n(), g.n());
    assert!(w.len() == q.len() && w.len() == rows * cols);
    let errors: Vec<f32> = w.iter().zip(q).map(|(w, q)| w - q).collect();
    let strips: Vec<usize> = (0..cols).step_by(STRIP).collect();
    let parts: Vec<f64> = strips
        .into_par_iter()
        .map(|first| {
            let strip = first..cols.min(first + STRIP);
            let width = strip.len();
            // E A, these columns of it.
            let columns = Panels::of_rows(&written_out(a, 0..cols, strip.clone()), width);
            let panels = Panels::of_rows(&product(cpu, &errors, &columns, width), width);
            let mut sum = 0.0;
            for start in (0..rows).step_by(ROWS) {
                let some = start..rows.min(start + ROWS);
                let changes = product(cpu, &written_out(g, some.clone(), 0..rows), &panels, width);
                for (row, change) in some.zip(changes.chunks_exact(width)) {
                    let errors = &errors[row * cols..][strip.clone()];
                    let products = errors.iter().zip(change).map(|(e, c)| f64::from(e * c));
                    sum += products.sum::<f64>();
                }
            }
            sum
        })
        .collect();
    parts.into_iter().sum()
}

/// Some rows and columns of a symmetric matrix.
fn written_out(x: &Symmetric, rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
    let all = rows.flat_map(|i| columns.clone().map(move |j| (i, j)));
    all.map(|(i, j)| x.get(i, j)).collect()
}

/// `e A e^T` of sixteen rows.
struct Quadratic<'a> {
    moments: &'a Symmetric,
    /// `[cols]`
    errors: &'a [Lane],
}

impl LaneWork for Quadratic<'_> {
    type Output = Lane;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Lane {
        let mut total = isa.splat(0.0);
        for (i, e) in self.errors.iter().enumerate() {
            let row = self.moments.row(i);
            // Both sides of the diagonal.
            let mut sums = [isa.splat(0.0); 4];
            let (errors, rest) = self.errors[i + 1..].as_chunks::<4>();
            let (factors, factors_rest) = row[1..].as_chunks::<4>();
            for (e, a) in errors.iter().zip(factors) {
                for k in 0..4 {
                    sums[k] = sums[k] + isa.load(&e[k]) * isa.splat(a[k]);
                }
            }
            for (e, a) in rest.iter().zip(factors_rest) {
                sums[0] = sums[0] + isa.load(e) * isa.splat(*a);
            }
            let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            let e = isa.load(e);
            total = total + e * (e * isa.splat(row[0]) + isa.splat(2.0) * sum);
        }
        let mut lanes = [0.0; LANES];
        total.store(&mut lanes);
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Moments of `n` numbers from `2 n` rows that look random.
    fn moments(n: usize, seed: u32) -> Symmetric {
        let mut sum = Symmetric::zeros(n);
        sum.add_products(Cpu::select().unwrap(), &numbers(2 * n * n, seed));
        sum
    }

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn both_sides_cost_what_the_formula_says() {
        let (rows, cols) = (70, 300);
        let both = Moments {
            inputs: Arc::new(moments(cols, 1)),
            gradients: Some(Arc::new(moments(rows, 2))),
        };
        let (w, q) = (numbers(rows * cols, 3), numbers(rows * cols, 4));
        let e = |i: usize, j: usize| f64::from(w[i * cols + j] - q[i * cols + j]);
        let (a, g) = (&both.inputs, both.gradients.as_ref().unwrap());
        let mut expected = 0.0;
        for i in 0..rows {
            // Row i of E A.
            let row: Vec<f64> = (0..cols)
                .map(|j| (0..cols).map(|k| e(i, k) * f64::from(a.get(k, j))).sum())
                .collect();
            for k in 0..rows {
                let product: f64 = (0..cols).map(|j| row[j] * e(k, j)).sum();
                expected += f64::from(g.get(i, k)) * product;
            }
        }
        let cpu = Cpu::select().unwrap();
        let found = cost_of_both(cpu, &both, &w, &q);
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
        for cpu in Cpu::available() {
            let other = cost_of_both(cpu, &both, &w, &q);
            assert!(found.to_bits() == other.to_bits(), "{}", cpu.name());
        }
        let one = Moments {
            gradients: None,
            ..both
        };
        let found = cost_of_both(cpu, &one, &w, &q);
        assert_eq!(found, cost(cpu, &one.inputs, &w, &q, None));
    }
}
