//! Matrices in their stored form, and their products with activations and gradients.
//!
//! Nothing but a strip of the matrix for each thread is decoded at a time.

use super::error::{Error, Result};
use crate::panels::{Panels, WIDTH};
use crate::products::RowsByPanel;
use aeolus_gguf::TensorType;
use aeolus_quant::Cpu;
use rayon::prelude::*;

/// Columns of a matrix that are decoded at a time where the product is one with its columns: a
/// super-block.
const STRIP: usize = 256;

/// A matrix `[rows, cols]` in its stored form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<'f> {
    pub(super) name: &'f str,
    pub(super) ty: TensorType,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) bytes: &'f [u8],
}

impl Weight<'_> {
    fn decode(&self, cpu: Cpu, bytes: &[u8], cols: usize, out: &mut [f32]) -> Result<()> {
        cpu.decode_rows(self.ty, bytes, cols, out)
            .map_err(|source| Error::Decode {
                tensor: self.name.to_owned(),
                source,
            })
    }

    /// `y = x W^T`: `x` is `[tokens, cols]`, `y` `[tokens, rows]`.
    pub(super) fn outputs(&self, cpu: Cpu, x: &[f32]) -> Result<Vec<f32>> {
        let (cols, row_bytes) = (self.cols, self.bytes.len() / self.rows.max(1));
        let strips = self.bytes.par_chunks(WIDTH * row_bytes);
        let strips: Result<Vec<_>> = strips
            .map(|bytes| {
                let rows = bytes.len() / row_bytes;
                let mut weights = vec![0.0; rows * cols];
                self.decode(cpu, bytes, cols, &mut weights)?;
                let mut panel = vec![[0.0; WIDTH]; cols];
                for (lane, row) in weights.chunks_exact(cols).enumerate() {
                    for (panel, weight) in panel.iter_mut().zip(row) {
                        panel[lane] = *weight;
                    }
                }
                Ok(vec![cpu.run_lanes(RowsByPanel { x, panel: &panel })])
            })
            .collect();
        Ok(joined(&strips?, WIDTH, x.len() / cols, self.rows))
    }

    /// `dx = dy W`: `dy` is `[tokens, rows]`, `dx` `[tokens, cols]`.
    pub(super) fn inputs(&self, cpu: Cpu, dy: &[f32]) -> Result<Vec<f32>> {
        let row_bytes = self.bytes.len() / self.rows.max(1);
        let (elems, bytes) = (self.ty.block_elems(), self.ty.block_bytes());
        let starts: Vec<usize> = (0..self.cols).step_by(STRIP).collect();
        let strips: Result<Vec<_>> = starts
            .into_par_iter()
            .map(|start| {
                let end = (start + STRIP).min(self.cols);
                let mut row = vec![0.0; end - start];
                let mut panels = Panels::zeros(self.rows, end - start);
                for r in 0..self.rows {
                    let stored = &self.bytes[r * row_bytes..(r + 1) * row_bytes];
                    let part = &stored[start / elems * bytes..end / elems * bytes];
                    self.decode(cpu, part, end - start, &mut row)?;
                    panels.set_row(r, &row);
                }
                let each = panels.panels();
                Ok(each
                    .map(|panel| cpu.run_lanes(RowsByPanel { x: dy, panel }))
                    .collect())
            })
            .collect();
        Ok(joined(&strips?, STRIP, dy.len() / self.rows, self.cols))
    }
}

/// Strips of columns, each `[panels][rows][16]`, as `[rows, cols]`.
fn joined(strips: &[Vec<Vec<[f32; WIDTH]>>], strip: usize, rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * cols];
    out.par_chunks_exact_mut(cols.max(1))
        .enumerate()
        .for_each(|(row, out)| {
            for (panels, out) in strips.iter().zip(out.chunks_mut(strip)) {
                for (panel, out) in panels.iter().zip(out.chunks_mut(WIDTH)) {
                    out.copy_from_slice(&panel[row][..out.len()]);
                }
            }
        });
    out
}
