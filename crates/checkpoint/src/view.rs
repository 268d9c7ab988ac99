//! What a tensor's bytes are made of: pieces of mapped files, read as the rows that GGUF wants.
//!
//! A tensor need not be stored as one run of bytes. A stack of experts is one piece for each; a gate
//! may be every second row of a larger matrix, or every second column of one that is stored with its
//! rows as columns. All of these are steps from one element to the next, so that nothing is copied but
//! the rows at hand, and only where a row is no run of bytes.

use aeolus_source::Map;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Some bytes of a file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) map: Arc<Map>,
    pub(crate) range: Range<usize>,
}

/// Rows within pieces of files. Steps and sizes are in bytes.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// One with all matrices, or one for each.
    pieces: Arc<[Piece]>,
    steps: Steps,
}

/// Where elements lie within a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Rows of one matrix.
    pub(crate) matrix_rows: usize,
    /// Bytes of a row.
    pub(crate) row_bytes: usize,
    /// From the start of the piece to the first element.
    pub(crate) first: usize,
    /// From one matrix to the next, where a piece holds several.
    pub(crate) matrix: usize,
    /// From one row to the next.
    pub(crate) row: usize,
    /// Where a row is no run of bytes.
    pub(crate) columns: Option<Columns>,
}

/// Elements of a row that do not follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Bytes of an element.
    pub(crate) size: usize,
    /// From one element to the next.
    pub(crate) step: usize,
}

impl Steps {
    /// Rows that follow each other, as one matrix.
    pub(crate) fn plain(rows: usize, row_bytes: usize) -> Self {
        Self {
            matrix_rows: rows.max(1),
            row_bytes,
            first: 0,
            matrix: 0,
            row: row_bytes,
            columns: None,
        }
    }
}

impl View {
    /// Rows within pieces that are as long as their elements need, which the caller has checked by
    /// their shapes.
    pub(crate) fn new(pieces: Vec<Piece>, steps: Steps) -> Self {
        Self {
            pieces: pieces.into(),
            steps,
        }
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.steps.row_bytes
    }

    pub(crate) fn maps(&self) -> impl Iterator<Item = &Arc<Map>> {
        self.pieces.iter().map(|piece| &piece.map)
    }

    /// The piece that holds a matrix, and where the matrix begins in it.
    fn matrix(&self, matrix: usize) -> (&Piece, usize) {
        match &*self.pieces {
            [all] => (all, matrix * self.steps.matrix),
            each => (&each[matrix], 0),
        }
    }

    /// Cuts rows where a matrix ends.
    fn by_matrix(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let count = self.steps.matrix_rows;
        let matrices = rows.start / count..rows.end.div_ceil(count);
        matrices.filter_map(move |matrix| {
            let start = rows.start.max(matrix * count);
            let end = rows.end.min((matrix + 1) * count);
            (start < end).then_some((matrix, start - matrix * count..end - matrix * count))
        })
    }

    /// The bytes of some rows in order, in runs of whole rows.
    pub(crate) fn rows(&self, rows: Range<usize>) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.by_matrix(rows).flat_map(move |(matrix, rows)| {
            let steps = self.steps;
            let (piece, start) = self.matrix(matrix);
            let bytes = &piece.map[piece.range.clone()];
            let start = start + steps.first;
            // As few runs as there can be.
            let at_once = match (steps.columns, steps.row == steps.row_bytes) {
                (None, false) => 1,
                _ => rows.len().max(1),
            };
            let runs = rows.clone().step_by(at_once);
            runs.map(move |row| {
                let count = at_once.min(rows.end - row);
                let from = start + row * steps.row;
                match steps.columns {
                    None => Cow::Borrowed(&bytes[from..from + count * steps.row_bytes]),
                    Some(columns) => Cow::Owned(gathered(&bytes[from..], steps, columns, count)),
                }
            })
        })
    }

    /// Where some rows lie, and maybe others between them.
    pub(crate) fn spans(
        &self,
        rows: Range<usize>,
    ) -> impl Iterator<Item = (&Arc<Map>, Range<usize>)> {
        self.by_matrix(rows).map(move |(matrix, rows)| {
            let steps = self.steps;
            let (piece, start) = self.matrix(matrix);
            let (first, length) = match steps.columns {
                None => (rows.start, (rows.len() - 1) * steps.row + steps.row_bytes),
                // They are all over the matrix.
                Some(columns) => (0, steps.row_bytes / columns.size * columns.step),
            };
            let from = piece.range.start + start + steps.first + first * steps.row;
            (
                &piece.map,
                from.min(piece.range.end)..(from + length).min(piece.range.end),
            )
        })
    }
}

/// Rows whose elements do not follow each other. The first begins where the bytes do.
fn gathered(bytes: &[u8], steps: Steps, columns: Columns, rows: usize) -> Vec<u8> {
    let Columns { size, step } = columns;
    let mut out = vec![0; rows * steps.row_bytes];
    // Elements of neighbouring rows are near each other in the file, those of one row are not.
    for column in 0..steps.row_bytes / size {
        for row in 0..rows {
            let from = column * step + row * steps.row;
            let to = row * steps.row_bytes + column * size;
            out[to..to + size].copy_from_slice(&bytes[from..from + size]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 24 bytes, each its own number, as one piece.
    fn piece(folder: &std::path::Path) -> Piece {
        let path = folder.join("bytes");
        std::fs::write(&path, (0..24).collect::<Vec<u8>>()).unwrap();
        Piece {
            map: Arc::new(Map::open(&path).unwrap()),
            range: 0..24,
        }
    }

    fn all(view: &View, rows: Range<usize>) -> Vec<u8> {
        view.rows(rows).flat_map(|run| run.into_owned()).collect()
    }

    #[test]
    fn rows_are_found_by_steps() {
        let folder = tempfile::tempdir().unwrap();
        let piece = piece(folder.path());
        let whole = View::new(vec![piece.clone()], Steps::plain(6, 4));
        assert_eq!(all(&whole, 1..3), [4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(whole.rows(0..6).count(), 1);

        // Two matrices of four rows of three; of each the second half, and every second row.
        let last = Steps {
            matrix_rows: 2,
            row_bytes: 3,
            first: 6,
            matrix: 12,
            row: 3,
            columns: None,
        };
        let last = View::new(vec![piece.clone()], last);
        assert_eq!(
            all(&last, 0..4),
            [6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]
        );
        let spans: Vec<_> = last.spans(1..3).map(|(_, range)| range).collect();
        assert_eq!(spans, [9..12, 18..21]);
        let odd = Steps {
            first: 3,
            row: 6,
            ..last.steps
        };
        let odd = View::new(vec![piece.clone()], odd);
        assert_eq!(all(&odd, 1..3), [9, 10, 11, 15, 16, 17]);
        assert_eq!(odd.rows(0..4).count(), 4);

        // Two matrices of three rows of four, stored with rows as columns.
        let turned = Steps {
            matrix_rows: 3,
            row_bytes: 4,
            first: 0,
            matrix: 12,
            row: 1,
            columns: Some(Columns { size: 1, step: 3 }),
        };
        let turned = View::new(vec![piece], turned);
        assert_eq!(
            all(&turned, 1..5),
            [1, 4, 7, 10, 2, 5, 8, 11, 12, 15, 18, 21, 13, 16, 19, 22]
        );
        let spans: Vec<_> = turned.spans(2..3).map(|(_, range)| range).collect();
        assert_eq!((spans.len(), &spans[0]), (1, &(0..12)));
    }

    #[test]
    fn matrices_may_be_pieces_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let whole = piece(folder.path());
        let piece = |range| Piece {
            range,
            ..whole.clone()
        };
        let view = View::new(vec![piece(20..24), piece(0..4)], Steps::plain(2, 2));
        assert_eq!(all(&view, 0..4), [20, 21, 22, 23, 0, 1, 2, 3]);
        assert_eq!(all(&view, 1..3), [22, 23, 0, 1]);
        assert_eq!(
            view.spans(1..3).map(|(_, range)| range).collect::<Vec<_>>(),
            [22..24, 0..2]
        );
    }
}
