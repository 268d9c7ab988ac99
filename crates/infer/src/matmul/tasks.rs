//! One thread's share of a product: some rows of one matrix with all tokens.

use std::cell::RefCell;

use aeolus_quant::dot::{
    Activations, Kernels, Matmul, PANEL, Panel, QuantPanels, has_float_kernel,
};

use super::{FEW, Matrix};
use crate::error::Result;

/// Bytes of weights of a task with few tokens: long enough to hide the cost of handing it out,
/// short enough that the threads finish together.
const TASK_BYTES: usize = 96 << 10;

/// Most rows of a task with many tokens: the more, the longer the runs of outputs that a task writes
/// for each token, and the less often it reads the activations.
const TASK_ROWS: usize = 8 * PANEL;

/// Columns decoded at a time: 32 rows of them (256 KiB) stay in a core's cache.
const DEPTH: usize = 2048;

/// How many rows make a task, if there are `all` rows in this round of the threads: with many
/// tokens, sixteen tasks for each thread, so that they finish together, or as few as there can be.
pub(super) fn rows_of_a_task(matrix: &Matrix, tokens: usize, all: usize, threads: usize) -> usize {
    if tokens <= FEW {
        (TASK_BYTES / matrix.row_bytes()).clamp(4, matrix.rows().max(4))
    } else {
        let rows = all / (16 * threads);
        rows.next_multiple_of(PANEL).clamp(PANEL, TASK_ROWS)
    }
}

/// What a thread keeps from one product with many tokens to the next.
#[derive(Default)]
struct Scratch {
    panels: QuantPanels,
    /// Sums `[tokens, rows]`.
    tile: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Rows from `first_row` on with rounded activations; `y[t]` has one place for each row. The products of
/// the rows of 8 bits that make a token are added.
pub(super) fn integer(
    kernels: &Kernels,
    matrix: &Matrix,
    first_row: usize,
    activations: &Activations,
    y: &mut [&mut [f32]],
) {
    let rows = y.first().map_or(0, |y| y.len());
    let bytes = matrix.bytes(first_row..first_row + rows);
    SCRATCH.with_borrow_mut(|Scratch { panels, tile }| {
        let width = rows.next_multiple_of(PANEL);
        tile.resize(activations.tokens() * width, 0.0);
        if activations.tokens() <= FEW {
            for (row, sums) in tile.chunks_exact_mut(width).enumerate() {
                kernels.matvec(matrix.ty(), bytes, activations, row, &mut sums[..rows]);
            }
        } else {
            kernels.matmul_quant(matrix.ty(), bytes, activations, (tile, width), panels);
        }
        let parts = tile.chunks_exact(activations.tokens() / y.len() * width);
        for (parts, y) in parts.zip(y) {
            let (first, rest) = parts.split_at(width);
            y.copy_from_slice(&first[..rows]);
            for part in rest.chunks_exact(width) {
                y.iter_mut().zip(part).for_each(|(y, x)| *y += x);
            }
        }
    });
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
