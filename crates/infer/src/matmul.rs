//! Weights times activations: one token or many, on the threads there are.
//!
//! Weights stay in their mapped form. What happens to them depends on the number of tokens and
//! on the numeric mode:
//!
//! | | few tokens (up to [`FEW`]) | many tokens |
//! |---|---|---|
//! | `exact`, quantized | decode a row to f32, dot product with each token | decode a tile of 32 rows once, f32 product with all tokens |
//! | `exact`, F32/F16/BF16 | dot product straight from the file's bytes | as above |
//! | `fast`, quantized | activations in 8 bits, integer dot product straight from the file's bytes | activations in 8 bits, tile unpacked to bytes once, integer product with all tokens |
//! | `precise`, quantized | as `fast` with two rows of 8 bits for each token, the high and the low half of 16 bits, whose products are added | as `fast` |
//! | `fast` or `precise`, F32/F16/BF16 | as `exact` | as `exact` |
//!
//! Work is cut along the rows of the weights, so every output number is computed by one thread,
//! in an order that does not depend on the number of threads.

mod columns;
mod matrix;
mod tap;
mod tasks;

pub(crate) use columns::column_blocks;
pub use matrix::{Matrix, Member};
pub use tap::Tap;

use aeolus_quant::dot::{Activations, Bits, FEW, Kernels, has_integer_kernel};
use rayon::prelude::*;

use crate::error::Result;

/// How numbers are rounded on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numeric {
    /// Weights exactly as decoded, activations in f32: the reference.
    #[default]
    Exact,
    /// Activations of quantized matrices rounded to 16 bits in blocks of 32: what evaluation uses, at
    /// an error far below what it measures.
    Precise,
    /// Activations of quantized matrices rounded to 8 bits in blocks of 32: several times
    /// faster, with an error well below that of the weights.
    Fast,
}

/// What computes: kernels, rounding, whether to use all threads of the current rayon pool or only
/// the calling one, and who looks on.
#[derive(Clone, Copy, Debug)]
pub struct Compute<'t> {
    /// The machine's kernels.
    pub kernels: &'static Kernels,
    /// How numbers are rounded.
    pub numeric: Numeric,
    /// Use the pool.
    pub parallel: bool,
    /// Is shown the inputs of every product.
    pub tap: Option<&'t dyn Tap>,
}

/// Activations `[tokens, cols]`, with their rounded form where the mode asks for it.
pub struct Input<'a> {
    x: &'a [f32],
    cols: usize,
    quantized: Option<Activations>,
}

impl Compute<'_> {
    /// Prepares activations `x`, `[tokens, cols]`, for products with several matrices.
    pub fn input<'a>(&self, x: &'a [f32], cols: usize) -> Input<'a> {
        // Quantized rows are whole blocks of 32; other lengths only occur with float weights.
        let bits = match self.numeric {
            Numeric::Exact => None,
            Numeric::Precise => Some(Bits::Sixteen),
            Numeric::Fast => Some(Bits::Eight),
        };
        let quantized = bits.filter(|_| cols.is_multiple_of(32)).map(|bits| {
            let mut activations = Activations::new();
            let parts = activations.parts(x, cols, bits);
            if self.parallel && x.len() > 1 << 14 {
                parts.par_bridge().for_each(|part| part.quantize());
            } else {
                parts.for_each(|part| part.quantize());
            }
            activations
        });
        Input { x, cols, quantized }
    }

    /// `y[t] = matrix * x[t]` for each pair of a matrix and its output `[tokens, matrix.rows]`,
    /// all in one round of the threads.
    ///
    /// # Errors
    /// [`Error::Decode`](crate::Error::Decode); the types of a loaded model do not cause it.
    ///
    /// # Panics
    /// If a matrix has another row length than `x`, or an output another length than the
    /// product.
    pub fn multiply(&self, input: &Input<'_>, outputs: &mut [(&Matrix, &mut [f32])]) -> Result<()> {
        let products = outputs.iter_mut();
        self.multiply_each(products.map(|(matrix, y)| (input, *matrix, &mut **y)))
    }

    /// The same of matrices that each have an input of their own. Those with the same one are shown to a
    /// tap together.
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply).
    ///
    /// # Panics
    /// As [`multiply`](Self::multiply).
    pub(crate) fn multiply_each<'p>(
        &self,
        products: impl Iterator<Item = (&'p Input<'p>, &'p Matrix, &'p mut [f32])>,
    ) -> Result<()> {
        let products: Vec<_> = products.collect();
        if let Some(tap) = self.tap {
            let mut groups: Vec<(&Input<'_>, Vec<&Matrix>)> = Vec::new();
            for (input, matrix, _) in &products {
                match groups
                    .iter_mut()
                    .find(|(known, _)| std::ptr::eq(*known, *input))
                {
                    Some((_, matrices)) => matrices.push(matrix),
                    None => groups.push((input, vec![matrix])),
                }
            }
            for (input, matrices) in groups {
                tap.inputs(&matrices, input.x);
            }
        }
        let all = products.iter().map(|(_, matrix, _)| matrix.rows()).sum();
        let threads = match self.parallel {
            true => rayon::current_num_threads(),
            false => 1,
        };
        let mut tasks = Vec::new();
        for (input, matrix, y) in products {
            let tokens = input.x.len() / input.cols;
            if tokens == 0 {
                continue;
            }
            let rounded = input.quantized.as_ref();
            let multiplied = rounded.map_or(tokens, |rows| rows.tokens());
            assert_eq!(matrix.cols(), input.cols, "row length of {}", matrix.name());
            assert_eq!(
                y.len(),
                tokens * matrix.rows(),
                "outputs of {}",
                matrix.name()
            );
            let width = tasks::rows_of_a_task(matrix, multiplied, all, threads);
            let blocks = column_blocks(y, matrix.rows(), width);
            for (index, columns) in blocks.into_iter().enumerate() {
                tasks.push((input, matrix, index * width, columns));
            }
        }
        type Task<'t> = (&'t Input<'t>, &'t Matrix, usize, Vec<&'t mut [f32]>);
        let run = |(input, matrix, first_row, mut columns): Task<'_>| {
            let quantized = input
                .quantized
                .as_ref()
                .filter(|_| has_integer_kernel(matrix.ty()));
            match quantized {
                Some(activations) => {
                    tasks::integer(self.kernels, matrix, first_row, activations, &mut columns);
                    Ok(())
                }
                None => tasks::float(self.kernels, matrix, first_row, input.x, &mut columns),
            }
        };
        if self.parallel && tasks.len() > 1 {
            tasks.into_par_iter().with_max_len(1).try_for_each(run)
        } else {
            tasks.into_iter().try_for_each(run)
        }
    }

    /// Calls `work` for every row of `y`, `[rows, width]`, with its number.
    pub(crate) fn for_rows(
        &self,
        y: &mut [f32],
        width: usize,
        work: impl Fn(usize, &mut [f32]) + Sync + Send,
    ) {
        if self.parallel && y.len() > 1 << 14 {
            y.par_chunks_exact_mut(width)
                .enumerate()
                .for_each(|(row, y)| work(row, y));
        } else {
            y.chunks_exact_mut(width)
                .enumerate()
                .for_each(|(row, y)| work(row, y));
        }
    }
}

#[cfg(test)]
mod tests;
