//! Products of rows with panels.
//!
//! Rows `[k]` of the one operand meet panels `[k, 16]` of the other, six rows at a time, and each of the
//! 6 x 16 sums runs over `k` in its order: the same bits on every CPU level.

use crate::panels::{Panels, WIDTH};
use aeolus_quant::{Cpu, Float, Isa, LaneWork};

/// Rows that share a pass over a panel: their sums fill the registers of AVX2.
const ROWS: usize = 6;

/// `x p` on the calling thread: `x` is `[rows, k]`, `p` `[k, n]`.
pub(crate) fn product(cpu: Cpu, x: &[f32], p: &Panels, n: usize) -> Vec<f32> {
    let rows = x.len() / p.k();
    let mut out = vec![0.0; rows * n];
    for (index, panel) in p.panels().enumerate() {
        let first = index * WIDTH;
        let sums = cpu.run_lanes(RowsByPanel { x, panel });
        for (out, sums) in out.chunks_exact_mut(n).zip(&sums) {
            let out = &mut out[first..n.min(first + WIDTH)];
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
    out
}

/// Rows `[k]` times one panel `[k, 16]`.
pub(crate) struct RowsByPanel<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) panel: &'a [[f32; WIDTH]],
}

impl LaneWork for RowsByPanel<'_> {
    type Output = Vec<[f32; WIDTH]>;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Self::Output {
        let k = self.panel.len();
        let mut out = Vec::with_capacity(self.x.len() / k.max(1));
        let blocks = self.x.chunks_exact(ROWS * k);
        let rest = blocks.remainder();
        for block in blocks {
            let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &block[r * k..][..k]);
            let mut sums = [isa.splat(0.0); ROWS];
            for (d, columns) in self.panel.iter().enumerate() {
                let columns = isa.load(columns);
                for r in 0..ROWS {
                    sums[r] = sums[r] + isa.splat(rows[r][d]) * columns;
                }
            }
            out.extend(sums.map(stored));
        }
        for row in rest.chunks_exact(k) {
            let mut sums = isa.splat(0.0);
            for (x, columns) in row.iter().zip(self.panel) {
                sums = sums + isa.splat(*x) * isa.load(columns);
            }
            out.push(stored(sums));
        }
        out
    }
}

/// The lanes of a vector.
#[inline(always)]
fn stored<F: Float>(sums: F) -> [f32; WIDTH] {
    let mut out = [0.0; WIDTH];
    sums.store(&mut out);
    out
}
