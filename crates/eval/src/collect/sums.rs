//! What one window adds.

use super::Collecting;
use aeolus_imatrix::Imatrix;
use aeolus_infer::Tap;
use aeolus_infer::matmul::{Matrix, Member};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The sums of a window.
#[derive(Debug)]
pub(super) struct Sums {
    collecting: Collecting,
    /// By the name of the first matrix, and which of its tensor's it is.
    inputs: Mutex<BTreeMap<(String, usize), Inputs>>,
}

/// What matrices that share their input saw.
#[derive(Debug)]
struct Inputs {
    /// The names of the matrices' tensors.
    tensors: Vec<String>,
    /// Which matrix of each tensor it is.
    member: Member,
    /// Sums of squares, `[cols]`.
    sums: Vec<f64>,
    /// Inputs.
    count: u64,
}

/// An input that is no number, or whose square is none.
#[derive(Debug, PartialEq)]
pub(super) struct Bad {
    pub(super) tensor: String,
    pub(super) column: usize,
}

impl Sums {
    pub(super) fn new(collecting: Collecting) -> Self {
        Self {
            collecting,
            inputs: Mutex::default(),
        }
    }

    /// Whether a matrix is one to collect for.
    fn is_wanted(&self, name: &str) -> bool {
        name.starts_with("blk.") || (self.collecting.process_output && name == OUTPUT)
    }

    /// Adds them to a total.
    pub(super) fn add_to(self, total: &mut Imatrix) -> Result<(), Bad> {
        let inputs = self.inputs.into_inner();
        for inputs in inputs.unwrap_or_else(PoisonError::into_inner).into_values() {
            if let Some(column) = inputs.sums.iter().position(|sum| !sum.is_finite()) {
                let tensor = inputs.tensors.into_iter().next().unwrap_or_default();
                return Err(Bad { tensor, column });
            }
            let Member { index, count } = inputs.member;
            for name in &inputs.tensors {
                let entry = total.entry(name, inputs.sums.len(), count);
                entry.add(index, &inputs.sums, inputs.count);
            }
        }
        Ok(())
    }
}

/// The name of the matrix behind all layers.
pub(super) const OUTPUT: &str = "output.weight";

impl Tap for Sums {
    fn inputs(&self, matrices: &[&Matrix], x: &[f32]) {
        let wanted = || {
            matrices
                .iter()
                .filter(|matrix| self.is_wanted(matrix.name()))
        };
        let Some(first) = wanted().next() else {
            return;
        };
        let (cols, member) = (first.cols(), first.member());
        let new = || {
            // Parts of one matrix, as of a fused attn_qkv, are one.
            let tensors: BTreeSet<&str> = wanted().map(|matrix| matrix.name()).collect();
            Inputs {
                tensors: tensors.into_iter().map(str::to_owned).collect(),
                member,
                sums: vec![0.0; cols],
                count: 0,
            }
        };
        let mut all = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (first.name().to_owned(), member.index);
        let inputs = all.entry(key).or_insert_with(new);
        for x in x.chunks_exact(cols) {
            for (sum, x) in inputs.sums.iter_mut().zip(x) {
                *sum += f64::from(*x) * f64::from(*x);
            }
            inputs.count += 1;
        }
    }
}
