//! Cuts tensors into work blocks.
//!
//! A block is a run of rows of one tensor: one thread reads it, encodes it once for each
//! distinct target type and writes each result in one piece. Blocks are as large as needed to
//! write pieces of [`PIECE_BYTES`] even for the smallest target, and no larger, because the
//! number of blocks in flight times their size is the memory of the whole run.

use aeolus_gguf::TensorType;
use std::ops::Range;

/// The least bytes of one write where the tensor is that large.
pub(crate) const PIECE_BYTES: u64 = 1 << 20;

/// Anonymous memory that all work blocks in flight may hold together, in bytes. One row for each
/// is always granted: with rows of 14,336 weights and 12 targets that is below 1 MB.
pub(crate) const BUDGET_BYTES: u64 = 160 << 20;

/// Rows of one tensor, in output order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Index of the tensor.
    pub tensor: usize,
    /// Rows of the output.
    pub rows: Range<u64>,
}

/// Cuts a tensor of `rows` x `cols` for `threads` threads.
pub(crate) fn cut(
    tensor: usize,
    rows: u64,
    cols: u64,
    targets: impl Iterator<Item = TensorType> + Clone,
    threads: usize,
) -> Vec<Block> {
    let row_bytes = |ty: TensorType| ty.row_bytes(cols).unwrap_or(0).max(1);
    let smallest = targets.clone().map(row_bytes).min().unwrap_or(1);
    let together: u64 = targets.map(row_bytes).sum();
    let threads = threads.max(1) as u64;

    let count = (rows.saturating_mul(smallest) / PIECE_BYTES).max(1);
    // A multiple of the threads, so that none waits for another's last block.
    let count = if count > threads {
        count / threads * threads
    } else {
        count
    };
    let in_flight = crate::tail::in_flight(threads as usize) as u64;
    let affordable = (BUDGET_BYTES / in_flight / together.max(1)).max(1);
    let count = count.max(rows.div_ceil(affordable)).min(rows.max(1));

    let (each, longer) = (rows / count, rows % count);
    let mut start = 0;
    (0..count)
        .map(|i| {
            let end = start + each + u64::from(i < longer);
            let rows = start..end;
            start = end;
            Block { tensor, rows }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use TensorType as T;

    fn sizes(rows: u64, cols: u64, targets: &[TensorType], threads: usize) -> Vec<u64> {
        let blocks = cut(7, rows, cols, targets.iter().copied(), threads);
        let mut next = 0;
        for block in &blocks {
            assert_eq!((block.tensor, block.rows.start), (7, next));
            next = block.rows.end;
        }
        assert_eq!(next, rows, "every row is in one block");
        blocks.iter().map(|b| b.rows.end - b.rows.start).collect()
    }

    #[test]
    fn one_square_tensor_is_even_work_for_two_threads() {
        assert_eq!(sizes(4096, 4096, &[T::Q4_K], 2), [512; 8]);
        let q2 = sizes(4096, 4096, &[T::Q2_K, T::Q8_0], 2);
        assert_eq!(q2.len() % 2, 0);
        assert!(q2.iter().all(|rows| rows * 1344 >= PIECE_BYTES), "{q2:?}");
    }

    #[test]
    fn small_and_odd_tensors_are_whole() {
        assert_eq!(sizes(1, 4096, &[T::F32], 2), [1]);
        assert_eq!(sizes(256, 256, &[T::Q4_K], 8), [256]);
        assert_eq!(sizes(1031, 4096, &[T::Q4_K], 2), [516, 515]);
    }

    #[test]
    fn memory_is_bounded_for_any_number_of_threads() {
        let all = [
            T::Q2_K,
            T::Q3_K,
            T::Q4_K,
            T::Q5_K,
            T::Q6_K,
            T::Q4_0,
            T::Q5_0,
            T::Q8_0,
        ];
        for threads in [1, 2, 7, 64, 512] {
            for (rows, cols) in [(4096, 4096), (14336, 4096), (4096, 14336), (32000, 4096)] {
                let most = *sizes(rows, cols, &all, threads).iter().max().unwrap();
                let bytes: u64 = all.iter().map(|t| t.row_bytes(cols).unwrap() * most).sum();
                let row: u64 = all.iter().map(|t| t.row_bytes(cols).unwrap()).sum();
                let in_flight = crate::tail::in_flight(threads) as u64;
                assert!(
                    bytes * in_flight <= BUDGET_BYTES.max(row * in_flight),
                    "{threads} threads, {rows} x {cols}: {bytes} bytes each"
                );
            }
        }
    }
}
