//! A matrix of weights that lies in a mapped file.

use std::ops::Range;
use std::sync::Arc;

use aeolus_gguf::TensorType;
use aeolus_quant::decode_rows;
use aeolus_source::Map;

use crate::error::{Error, Result};

/// Weights `[rows, cols]` in their stored form. A product has one number for each row.
#[derive(Clone, Debug)]
pub struct Matrix {
    name: String,
    ty: TensorType,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    map: Arc<Map>,
    range: Range<usize>,
    member: Member,
}

/// Which matrix of its tensor a matrix is: a tensor may hold several of one shape, as of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// From 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Matrix {
    /// A matrix at `range` (bytes) of a map; `None` if the range has not the size of the shape.
    pub(crate) fn new(
        name: &str,
        ty: TensorType,
        (rows, cols): (usize, usize),
        map: Arc<Map>,
        range: Range<usize>,
    ) -> Option<Self> {
        let row_bytes = usize::try_from(ty.row_bytes(cols as u64)?).ok()?;
        let whole = range.end <= map.bytes().len() && range.start <= range.end;
        (whole && row_bytes > 0 && row_bytes.checked_mul(rows)? == range.len()).then(|| Self {
            name: name.to_owned(),
            ty,
            rows,
            cols,
            row_bytes,
            map,
            range,
            member: Member { index: 0, count: 1 },
        })
    }

    /// Some of its rows as a matrix.
    ///
    /// # Panics
    /// If there are no such rows.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        let start = self.range.start;
        Self {
            rows: rows.len(),
            range: start + rows.start * self.row_bytes..start + rows.end * self.row_bytes,
            name: self.name.clone(),
            map: Arc::clone(&self.map),
            ..*self
        }
    }

    /// The same as one of several matrices of its tensor.
    pub(crate) fn with_member(self, member: Member) -> Self {
        Self { member, ..self }
    }

    /// Which matrix of its tensor it is. Some rows of a matrix are the same one.
    pub fn member(&self) -> Member {
        self.member
    }

    /// The tensor's name in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is stored.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Weights in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes of all rows.
    pub fn size_bytes(&self) -> usize {
        self.range.len()
    }

    /// The stored bytes of some rows.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn bytes(&self, rows: Range<usize>) -> &[u8] {
        let all = &self.map.bytes()[self.range.clone()];
        &all[rows.start * self.row_bytes..rows.end * self.row_bytes]
    }

    /// Decodes columns `cols` (whole blocks) of one row.
    ///
    /// # Errors
    /// [`Error::Decode`].
    pub(crate) fn decode(&self, row: usize, cols: Range<usize>, out: &mut [f32]) -> Result<()> {
        let (elems, bytes) = (self.ty.block_elems(), self.ty.block_bytes());
        let row = self.bytes(row..row + 1);
        let part = &row[cols.start / elems * bytes..cols.end / elems * bytes];
        decode_rows(self.ty, part, cols.len(), out).map_err(|source| Error::Decode {
            tensor: self.name.clone(),
            source,
        })
    }
}
