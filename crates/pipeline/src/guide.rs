//! What guides the encoders: an importance matrix, and how it fits a model's tensors.
//!
//! An encoder takes the importance of each column of the matrix it works on. A tensor of stacked
//! experts is several matrices, each with an importance of its own; bytes of a tensor depend on its
//! weights, its type and this, and on nothing else.

use crate::{Error, Output};
use aeolus_gguf::{Metadata, Shape};
use aeolus_imatrix::{Entry, Imatrix};
use aeolus_recipe::Plan;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// The tensor that may have an entry of another size: the reference passes over it.
const EMBEDDING: &str = "token_embd.weight";

/// The most bytes that the reference writes of a text in the keys about the matrix.
const MAX_TEXT_BYTES: usize = 127;

/// The key that says by which file an output was guided.
pub const IMATRIX_FILE_KEY: &str = "quantize.imatrix.file";

/// An importance matrix that guides the encoders of one output or more.
#[derive(Clone, Debug)]
pub struct Guide {
    imatrix: Arc<Imatrix>,
    file: String,
    sha256: [u8; 32],
}

impl Guide {
    /// A guide of a matrix, whose file outputs call `file` ([`IMATRIX_FILE_KEY`]).
    pub fn new(imatrix: Imatrix, file: String) -> Self {
        Self {
            sha256: imatrix.importance_sha256(),
            imatrix: Arc::new(imatrix),
            file,
        }
    }

    /// The same guide under another name.
    pub fn called(&self, file: &str) -> Self {
        Self {
            file: file.to_owned(),
            ..self.clone()
        }
    }

    /// What outputs call the matrix.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The matrix.
    pub fn imatrix(&self) -> &Imatrix {
        &self.imatrix
    }

    /// Digest of what encoders see of it.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// What the encoders of a tensor are guided by; `None` if nothing is known of it.
    pub fn of(&self, tensor: &str, shape: &Shape) -> Option<TensorGuide> {
        let entry = self.imatrix.get(tensor)?;
        let guide = TensorGuide {
            entry: Arc::clone(entry),
            cols: usize::try_from(shape.cols()).ok()?,
            matrix_rows: usize::try_from(matrix_rows(shape)).ok()?,
        };
        (entry.values() as u64 == expected_values(shape)).then_some(guide)
    }

    /// Refuses a matrix that is not of this model, or lacks what types of the plan need.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), Error> {
        let mut known = plan.tensors.iter().map(|t| self.imatrix.get(&t.name));
        if known.all(|entry| entry.is_none()) {
            let file = self.file.clone();
            return Err(Error::ImportanceOfOthers { file });
        }
        for tensor in &plan.tensors {
            let expected = expected_values(&tensor.shape);
            let found = self.imatrix.get(&tensor.name).map(|e| e.values() as u64);
            if let Some(found) = found.filter(|found| *found != expected)
                && tensor.name != EMBEDDING
            {
                return Err(Error::ImportanceSize {
                    file: self.file.clone(),
                    tensor: tensor.name.clone(),
                    found,
                    expected,
                });
            }
            if tensor.needs_importance && found.is_none() {
                return Err(Error::NoImportance {
                    file: self.file.clone(),
                    tensor: tensor.name.clone(),
                    ty: tensor.ty,
                });
            }
        }
        Ok(())
    }

    /// Says in an output by what it was guided, as the reference does.
    pub(crate) fn describe(&self, metadata: &mut Metadata<'_>) {
        metadata.insert(IMATRIX_FILE_KEY, cut(&self.file));
        if let Some(first) = self.imatrix.datasets.first() {
            metadata.insert("quantize.imatrix.dataset", cut(first));
        }
        let entries = u32::try_from(self.imatrix.entries().len()).unwrap_or(u32::MAX);
        metadata.insert("quantize.imatrix.entries_count", entries);
        if self.imatrix.chunks > 0 {
            metadata.insert("quantize.imatrix.chunks_count", self.imatrix.chunks);
        }
    }
}

/// A text without what is beyond [`MAX_TEXT_BYTES`]; a character that would be cut through goes, too.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

/// Rows of each matrix of a tensor.
fn matrix_rows(shape: &Shape) -> u64 {
    shape.dims().get(1).copied().unwrap_or(1).max(1)
}

/// Values that an entry for a tensor of this shape has: columns times matrices.
fn expected_values(shape: &Shape) -> u64 {
    shape.cols() * (shape.rows() / matrix_rows(shape))
}

/// The importance of one tensor's columns.
#[derive(Clone, Debug)]
pub struct TensorGuide {
    entry: Arc<Entry>,
    cols: usize,
    matrix_rows: usize,
}

impl PartialEq for TensorGuide {
    /// Whether both are the same entry of one matrix in memory.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }
}

impl TensorGuide {
    /// Cuts rows of the tensor at the ends of its matrices; gives each run of rows, and the
    /// importance of its columns.
    pub fn runs(&self, rows: Range<usize>) -> impl Iterator<Item = (Range<usize>, Vec<f32>)> {
        let mut start = rows.start;
        std::iter::from_fn(move || {
            if start >= rows.end {
                return None;
            }
            let matrix = start / self.matrix_rows;
            let end = ((matrix + 1) * self.matrix_rows).min(rows.end);
            let values = matrix * self.cols..(matrix + 1) * self.cols;
            let run = start..end;
            start = end;
            Some((run, self.entry.importance(values)))
        })
    }

    /// Matrices without data: each of their columns has an importance of 1.
    fn blind(&self) -> usize {
        let is_blind = |matrix: &usize| {
            let values = matrix * self.cols..(matrix + 1) * self.cols;
            self.entry.importance(values).iter().all(|x| *x == 1.0)
        };
        (0..self.matrices()).filter(is_blind).count()
    }

    fn matrices(&self) -> usize {
        self.entry.values() / self.cols
    }
}

/// How an importance matrix and a model's tensors fit together: what a user should know who gave
/// both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Entries that are for no tensor of the model.
    pub strays: Vec<String>,
    /// Tensors without a fitting entry, of those whose encoders would heed one.
    pub unguided: Vec<String>,
    /// Tensors with matrices (experts) that saw no data.
    pub blind: Vec<Blind>,
    /// The encoder of some tensor heeds importance.
    pub is_heeded: bool,
}

/// A tensor of which some matrices saw no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// Its name.
    pub tensor: String,
    /// Matrices without data.
    pub without: usize,
    /// All of its matrices.
    pub matrices: usize,
}

impl Coverage {
    /// Compares a guide with the tensors of outputs of one model.
    pub fn of(guide: &Guide, outputs: &[Output]) -> Self {
        let mut coverage = Self::default();
        let mut names = BTreeSet::new();
        let tensors = outputs.first().map_or(&[][..], |o| &o.types().tensors);
        for (i, tensor) in tensors.iter().enumerate() {
            names.insert(&*tensor.name);
            let mut types = outputs.iter().map(|o| o.types().tensors[i].ty);
            if !types.any(aeolus_quant::is_guided) {
                continue;
            }
            coverage.is_heeded = true;
            let Some(of) = guide.of(&tensor.name, &tensor.shape) else {
                coverage.unguided.push(tensor.name.clone());
                continue;
            };
            let without = of.blind();
            if without > 0 {
                coverage.blind.push(Blind {
                    tensor: tensor.name.clone(),
                    without,
                    matrices: of.matrices(),
                });
            }
        }
        let entries = guide.imatrix.entries().map(|(name, _)| name);
        let strays = entries.filter(|name| !names.contains(name));
        coverage.strays = strays.map(str::to_owned).collect();
        coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::imatrix::dat;

    fn guide(entries: &[(&str, i32, &[f32])]) -> Guide {
        Guide::new(Imatrix::parse(&dat(entries)).unwrap(), "i.dat".into())
    }

    #[test]
    fn rows_are_cut_where_an_expert_ends() {
        // Two experts of three rows of two columns; then a matrix of a single row.
        let guide = guide(&[
            ("experts", 1, &[1.0, 2.0, 3.0, 4.0]),
            ("row", 1, &[5.0, 6.0]),
        ]);
        let shape = Shape::from_gguf(&[2, 3, 2]).unwrap();
        let experts = guide.of("experts", &shape).unwrap();
        let runs = |rows| experts.runs(rows).collect::<Vec<_>>();
        let (first, second) = (vec![1.0, 2.0], vec![3.0, 4.0]);
        assert_eq!(runs(1..5), [(1..3, first.clone()), (3..5, second.clone())]);
        assert_eq!(runs(0..3), [(0..3, first)]);
        assert_eq!(runs(3..6), [(3..6, second)]);
        assert_eq!(runs(2..2), []);
        let row = guide.of("row", &Shape::from_gguf(&[2]).unwrap()).unwrap();
        assert_eq!(row.runs(0..1).collect::<Vec<_>>(), [(0..1, vec![5.0, 6.0])]);
        let other = Shape::from_gguf(&[2, 3, 4]).unwrap();
        assert!(guide.of("experts", &other).is_none());
        assert!(guide.of("others", &shape).is_none());
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let text = |n: usize| "x".repeat(n) + "\u{e9}y";
        assert_eq!(cut(&text(124)), text(124));
        assert_eq!(cut(&text(125)), text(125)[..127]);
        assert_eq!(cut(&text(126)), "x".repeat(126));
    }
}
