//! What is known about the inputs and outputs of one matrix, and how it is collected.

use crate::Symmetric;
use aeolus_infer::Tap;
use aeolus_infer::matmul::Matrix;
use aeolus_quant::Cpu;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Second moments of one matrix (of one expert), means over the tokens that reached it.
///
/// Matrices with the same inputs, such as queries, keys and values, share them.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `mean x x^T` of the inputs, `[in, in]`.
    pub inputs: Arc<Symmetric>,
    /// `mean g g^T` of the loss's gradients at the outputs, `[out, out]`, where there was a backward pass.
    pub gradients: Option<Arc<Symmetric>>,
}

/// Sums up the second moments of the inputs that products have while it looks on.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    cpu: Cpu,
    /// Tensors whose moments are wanted.
    wanted: &'a BTreeSet<String>,
    /// By the first tensor's name and which of its matrices it is.
    sums: Mutex<BTreeMap<(String, usize), Sum>>,
}

/// Of matrices with the same inputs.
#[derive(Debug)]
pub(crate) struct Sum {
    /// The matrices' tensors.
    pub tensors: BTreeSet<String>,
    /// Which matrix of each tensor it is: experts are many.
    pub member: usize,
    /// Sum of the products.
    pub inputs: Symmetric,
    /// Tokens.
    pub tokens: u64,
}

impl Sum {
    /// The mean over the tokens.
    pub(crate) fn mean(mut self) -> Symmetric {
        self.inputs.scale((1.0 / self.tokens.max(1) as f64) as f32);
        self.inputs
    }
}

impl<'a> Collector<'a> {
    pub(crate) fn new(cpu: Cpu, wanted: &'a BTreeSet<String>) -> Self {
        Self {
            cpu,
            wanted,
            sums: Mutex::default(),
        }
    }

    /// What was collected, by the first tensor's name and the number of its matrix.
    pub(crate) fn into_sums(self) -> BTreeMap<(String, usize), Sum> {
        let sums = self.sums.into_inner();
        sums.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap for Collector<'_> {
    fn inputs(&self, matrices: &[&Matrix], x: &[f32]) {
        let wanted = matrices
            .iter()
            .filter(|matrix| self.wanted.contains(matrix.name()));
        // Parts of one tensor, as of a fused attn_qkv, are one.
        let tensors: BTreeSet<String> = wanted.clone().map(|m| m.name().to_owned()).collect();
        let (Some(first), Some(matrix)) = (tensors.first().cloned(), wanted.clone().next()) else {
            return;
        };
        let member = matrix.member().index;
        let new = || Sum {
            tensors: BTreeSet::new(),
            member,
            inputs: Symmetric::zeros(matrix.cols()),
            tokens: 0,
        };
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sums.entry((first, member)).or_insert_with(new);
        sum.tensors.extend(tensors);
        sum.inputs.add_products(self.cpu, x);
        sum.tokens += (x.len() / matrix.cols()) as u64;
    }
}
