//! One output matrix, handed out by columns.

/// Cuts `y`, `[rows, row_len]`, into blocks of `width` columns (the last may be narrower): for
/// each block, its part of every row. Different threads can fill different blocks.
pub(crate) fn column_blocks(y: &mut [f32], row_len: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    let rows = y.len() / row_len;
    let mut blocks: Vec<Vec<&mut [f32]>> = (0..row_len.div_ceil(width))
        .map(|_| Vec::with_capacity(rows))
        .collect();
    for row in y.chunks_exact_mut(row_len) {
        for (block, part) in blocks.iter_mut().zip(row.chunks_mut(width)) {
            block.push(part);
        }
    }
    blocks
}
