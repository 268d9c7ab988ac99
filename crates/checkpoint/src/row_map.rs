//! Where each output row of a tensor comes from, and each element of its rows.
//!
//! Rotary embeddings turn pairs of elements of a head. Hugging Face checkpoints pair element
//! `i` with `i + head_dim/2` ("half split"); GGUF's llama architecture pairs `2i` with `2i + 1`
//! ("interleaved"). The rows of attn_q and attn_k are therefore reordered inside each head:
//!
//! ```text
//! output row   0  1  2  3  4  5 ...      (one head, head_dim = 8)
//! source row   0  4  1  5  2  6 ...
//! ```
//!
//! The order is a map that readers apply, so that no tensor is ever rewritten in memory.

use std::ops::Range;

/// Which source row each output row is, or which element of a source row each element of an output
/// row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMap {
    /// Rows in the order of the source.
    Identity,
    /// Rows of every head interleaved, as GGUF wants them for rotary embeddings.
    Rope {
        /// Heads in the tensor: `heads * head_dim` rows.
        heads: usize,
        /// Rows of one head, an even number.
        head_dim: usize,
    },
    /// Groups of rows become all of their first parts, then all of their second ones and so on: queries,
    /// keys and values of a matrix that stores them by key head. What no part has is left out.
    ByGroup {
        /// Groups in the source.
        groups: usize,
        /// Rows of a group.
        group_rows: usize,
        /// First row of each part within a group, and its rows; none where there are fewer parts.
        parts: [(usize, usize); 3],
    },
    /// Heads that are stored by the key head that serves them become the first head of every key head,
    /// then the second ones and so on: llama.cpp repeats its key heads in that order.
    Dealt {
        /// Rows before the heads, which stay where they are.
        first: usize,
        /// Key heads.
        key_heads: usize,
        /// Heads of each.
        each: usize,
        /// Rows of one head.
        head_dim: usize,
    },
}

impl RowMap {
    /// The source row that becomes `out_row`. Both count from the start of the tensor.
    pub fn source_row(&self, out_row: usize) -> usize {
        match *self {
            Self::Identity => out_row,
            Self::Rope { head_dim, .. } => {
                let (head, row) = (out_row / head_dim, out_row % head_dim);
                head * head_dim + row % 2 * (head_dim / 2) + row / 2
            }
            Self::ByGroup {
                groups,
                group_rows,
                parts,
            } => {
                let mut row = out_row;
                for (first, rows) in parts {
                    if row < groups * rows {
                        return row / rows * group_rows + first + row % rows;
                    }
                    row -= groups * rows;
                }
                row
            }
            Self::Dealt { first, .. } if out_row < first => out_row,
            Self::Dealt {
                first,
                key_heads,
                each,
                head_dim,
            } => {
                let (head, row) = ((out_row - first) / head_dim, (out_row - first) % head_dim);
                let source = head % key_heads * each + head / key_heads;
                first + source * head_dim + row
            }
        }
    }

    /// Puts the elements of rows of `width` elements, of `size` bytes each, in the order of the map.
    pub fn reorder(&self, rows: &mut [u8], width: usize, size: usize) {
        if *self == Self::Identity {
            return;
        }
        let mut source = vec![0; width * size];
        for row in rows.chunks_exact_mut(width * size) {
            source.copy_from_slice(row);
            for (to, element) in row.chunks_exact_mut(size).enumerate() {
                element.copy_from_slice(&source[self.source_row(to) * size..][..size]);
            }
        }
    }

    /// Rows that must be worked on together so that a run of output rows comes from the same
    /// run of source rows: 1, one head, or all.
    pub fn block_rows(&self) -> usize {
        match *self {
            Self::Identity => 1,
            Self::Rope { head_dim, .. } => head_dim,
            Self::ByGroup {
                groups, group_rows, ..
            } => groups * group_rows,
            Self::Dealt {
                first,
                key_heads,
                each,
                head_dim,
            } => first + key_heads * each * head_dim,
        }
    }

    /// The smallest run of source rows that holds all sources of `out_rows`, in whole blocks of
    /// [`block_rows`](Self::block_rows). For whole blocks it is `out_rows` itself.
    pub fn source_rows(&self, out_rows: Range<usize>) -> Range<usize> {
        let block = self.block_rows();
        out_rows.start / block * block..out_rows.end.next_multiple_of(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_head_are_interleaved() {
        let map = RowMap::Rope {
            heads: 2,
            head_dim: 8,
        };
        let rows: Vec<_> = (0..16).map(|row| map.source_row(row)).collect();
        assert_eq!(rows, [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]);
        assert_eq!(RowMap::Identity.source_row(5), 5);
    }

    #[test]
    fn heads_stored_together_are_told_apart() {
        let map = RowMap::ByGroup {
            groups: 2,
            group_rows: 4,
            parts: [(0, 2), (2, 1), (3, 1)],
        };
        // Stored: q0 q1 k0 v0, q2 q3 k1 v1.
        let rows: Vec<_> = (0..8).map(|row| map.source_row(row)).collect();
        assert_eq!(rows, [0, 1, 4, 5, 2, 6, 3, 7]);
        assert_eq!(map.source_rows(3..4), 0..8);
        let last = RowMap::ByGroup {
            groups: 2,
            group_rows: 4,
            parts: [(2, 2), (0, 0), (0, 0)],
        };
        let rows: Vec<_> = (0..4).map(|row| last.source_row(row)).collect();
        assert_eq!(rows, [2, 3, 6, 7]);
    }

    #[test]
    fn heads_are_dealt_behind_the_first_rows() {
        let map = RowMap::Dealt {
            first: 1,
            key_heads: 2,
            each: 3,
            head_dim: 1,
        };
        // Stored: k, a0 a1 a2, b0 b1 b2.
        let rows: Vec<_> = (0..7).map(|row| map.source_row(row)).collect();
        assert_eq!(rows, [0, 1, 4, 2, 5, 3, 6]);
        assert_eq!(map.source_rows(2..3), 0..7);
        let mut elements = *b"-abcABC/mnoMNO";
        map.reorder(&mut elements, 7, 1);
        assert_eq!(&elements, b"-aAbBcC/mMnNoO");
        let mut pairs = *b"--aabbccAABBCC";
        map.reorder(&mut pairs, 7, 2);
        assert_eq!(&pairs, b"--aaAAbbBBccCC");
    }

    #[test]
    fn every_source_row_is_used_once_and_stays_in_its_block() {
        for (heads, head_dim) in [(1, 2), (3, 6), (4, 128)] {
            let map = RowMap::Rope { heads, head_dim };
            let mut seen = vec![false; heads * head_dim];
            for row in 0..seen.len() {
                let source = map.source_row(row);
                assert!(!std::mem::replace(&mut seen[source], true), "row {source}");
                assert!(map.source_rows(row..row + 1).contains(&source));
            }
            assert!(seen.iter().all(|s| *s));
        }
    }

    #[test]
    fn source_rows_are_whole_heads() {
        let map = RowMap::Rope {
            heads: 4,
            head_dim: 32,
        };
        assert_eq!(map.source_rows(32..96), 32..96);
        assert_eq!(map.source_rows(33..65), 32..96);
        assert_eq!(RowMap::Identity.source_rows(3..7), 3..7);
        assert_eq!((map.block_rows(), RowMap::Identity.block_rows()), (32, 1));
    }
}
