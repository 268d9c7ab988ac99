//! A matrix and its bias.

use std::ops::Range;

use super::math::add;
use crate::matmul::{Compute, Matrix};

/// A matrix `[rows, cols]`, outputs and inputs, and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>, // [rows]
}

impl Linear {
    /// Some of its rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        Self {
            matrix: self.matrix.part(rows.clone()),
            bias: self.bias.as_ref().map(|bias| bias[rows].to_vec()),
        }
    }

    /// Adds the bias to products `[tokens, rows]`.
    pub(super) fn add_bias(&self, compute: Compute, products: &mut [f32]) {
        if let Some(bias) = &self.bias {
            compute.for_rows(products, bias.len(), |_, products| add(products, bias));
        }
    }
}
