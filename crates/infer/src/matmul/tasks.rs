//! One thread's share of a product: some rows of one matrix with all tokens.

use aeolus_quant::dot::{Activations, Kernels, Matmul, PANEL, Panel, QuantPanel, has_float_kernel};

use super::{FEW, Matrix};
use crate::error::Result;

/// Bytes of weights of a task with few tokens: long enough to hide the cost of handing it out,
/// short enough that the threads finish together.
const TASK_BYTES: usize = 96 << 10;

/// Rows of a task with many tokens: a few panels.
const TASK_ROWS: usize = 4 * PANEL;

/// Columns decoded at a time: 32 rows of them (256 KiB) stay in a core's cache.
const DEPTH: usize = 2048;

/// How many rows make a task.
pub(super) fn rows_of_a_task(matrix: &Matrix, tokens: usize) -> usize {
    if tokens <= FEW {
        (TASK_BYTES / matrix.row_bytes()).clamp(4, matrix.rows().max(4))
    } else {
        TASK_ROWS
    }
}

/// Rows from `first_row` on with 8-bit activations; `y[t]` has one place for each row.
pub(super) fn integer(
    kernels: &Kernels,
    matrix: &Matrix,
    first_row: usize,
    activations: &Activations,
    y: &mut [&mut [f32]],
) {
    let rows = y.first().map_or(0, |y| y.len());
    if y.len() <= FEW {
        let bytes = matrix.bytes(first_row..first_row + rows);
        for (token, y) in y.iter_mut().enumerate() {
            kernels.matvec(matrix.ty(), bytes, activations, token, y);
        }
        return;
    }
    let mut panel = QuantPanel::new();
    let mut tile = vec![0.0; y.len() * PANEL];
    for start in (0..rows).step_by(PANEL) {
        let count = (rows - start).min(PANEL);
        let bytes = matrix.bytes(first_row + start..first_row + start + count);
        kernels.pack_quant(matrix.ty(), bytes, matrix.cols(), &mut panel);
        kernels.matmul_quant(&panel, activations, &mut tile, PANEL);
        copy_tile(&tile, y, start, count);
    }
}

/// Rows from `first_row` on with activations in f32, `x` being `[tokens, cols]`.
pub(super) fn float(
    kernels: &Kernels,
    matrix: &Matrix,
    first_row: usize,
    x: &[f32],
    y: &mut [&mut [f32]],
) -> Result<()> {
    let rows = y.first().map_or(0, |y| y.len());
    if y.len() <= FEW {
        return few(kernels, matrix, first_row..first_row + rows, x, y);
    }
    let cols = matrix.cols();
    let mut decoded = vec![0.0; PANEL * cols.min(DEPTH)];
    let mut panel = Panel::new();
    let mut tile = vec![0.0; y.len() * PANEL];
    let mut sum = vec![0.0; if cols > DEPTH { tile.len() } else { 0 }];
    for start in (0..rows).step_by(PANEL) {
        let count = (rows - start).min(PANEL);
        for from in (0..cols).step_by(DEPTH) {
            let depth = (cols - from).min(DEPTH);
            let decoded = &mut decoded[..count * depth];
            for (row, out) in decoded.chunks_exact_mut(depth).enumerate() {
                matrix.decode(first_row + start + row, from..from + depth, out)?;
            }
            panel.fill(decoded, depth);
            let operands = Matmul {
                x: &x[from..],
                x_stride: cols,
                rows: y.len(),
                depth,
                y: &mut tile,
                y_stride: PANEL,
            };
            kernels.matmul_panel(&panel, operands);
            if cols > DEPTH {
                if from == 0 {
                    sum.fill(0.0);
                }
                sum.iter_mut().zip(&tile).for_each(|(sum, x)| *sum += x);
            }
        }
        let tile = if cols > DEPTH { &sum } else { &tile };
        copy_tile(tile, y, start, count);
    }
    Ok(())
}

/// Few tokens: each row is read, and decoded, once.
fn few(
    kernels: &Kernels,
    matrix: &Matrix,
    rows: std::ops::Range<usize>,
    x: &[f32],
    y: &mut [&mut [f32]],
) -> Result<()> {
    let (ty, cols) = (matrix.ty(), matrix.cols());
    if has_float_kernel(ty) {
        let bytes = matrix.bytes(rows);
        for (x, y) in x.chunks_exact(cols).zip(y) {
            kernels.matvec_float(ty, bytes, x, y);
        }
        return Ok(());
    }
    let mut decoded = vec![0.0; cols];
    for (place, row) in rows.enumerate() {
        matrix.decode(row, 0..cols, &mut decoded)?;
        for (x, y) in x.chunks_exact(cols).zip(y.iter_mut()) {
            y[place] = kernels.dot(&decoded, x);
        }
    }
    Ok(())
}

/// The first `count` columns of a tile into each token's outputs.
fn copy_tile(tile: &[f32], y: &mut [&mut [f32]], start: usize, count: usize) {
    for (tile, y) in tile.chunks_exact(PANEL).zip(y) {
        y[start..start + count].copy_from_slice(&tile[..count]);
    }
}
