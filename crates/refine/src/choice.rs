//! The best types for the bytes that there are.
//!
//! A recipe gives each role of tensor a type, the same in every model. What a model loses by a type is
//! another amount for each tensor, though, and can be predicted: an error `E` of the weights costs about
//! `tr(G E A E^T) / 2` of KL divergence per token, with the [moments](crate::Moments) of the matrix's
//! inputs and of the gradients at its outputs. Costs of tensors add up as long as they are small. So the
//! choice is a knapsack: of each tensor one type, so that the sum of the bytes is within a budget and the
//! sum of the costs as small as it can be.
//!
//! # Prediction
//!
//! [`sensitivity`] encodes rows of the tensor in each type, with the diagonal of `A` as the guide, and
//! takes `e A e^T` of each row's error. Errors of two rows are as good as independent after plain rounding, so
//! that only the diagonal of `G` counts, and a sample of rows will do.
//!
//! | tensor | columns | a row's weight |
//! |---|---|---|
//! | matrix of a layer | `A` of its inputs | its element of `G`'s diagonal |
//! | token embedding | `G` of what the embedding gives | how often the token occurs |
//! | output | `A` of what leaves the last norm | how often the token occurs, which is about its mean probability |
//! | where there are no gradients | `A` of its inputs | the same for all, by the mean square of the row's output |
//!
//! In the last case costs of two types of one tensor compare well, those of two tensors only as far as an
//! equal share of error in any output does equal harm.
//!
//! Predictions are below what is measured where errors are large, since what one layer gets wrong the next
//! one sees: [`FACTOR`] is how far they may be off before a file's report says so. The order of the files is not
//! affected by a common factor.
//!
//! # Choice
//!
//! [`choose`] is exact: dynamic programming over bytes in steps so small that rounding them up takes less than
//! a thousandth of the budget. With equal costs the fewer bytes win, and with equal bytes the type that
//! comes first, so that the same inputs give the same choice. A larger budget never costs more.
//!
//! Tensors that have to have one type are one [`Item`]: the stacks of experts of one layer. Tensors of which
//! nothing is known (small ones that stay F32, the pinned output) are taken off the budget by the caller.
//!
//! # Cache
//!
//! Encoding every tensor in every type is most of the work and depends on the source and the calibration only:
//! [`Table`] is kept in a file with both digests and serves every budget.

mod build;
mod files;
mod given;
mod knapsack;
mod sensitivity;
mod shares;
mod table;
#[cfg(test)]
mod tests;

pub use build::{CHECK_WINDOWS, Checked, build, parse};
pub use files::{ALL_TYPES, Budget, ChoiceError, ChosenFile, Frame, K_TYPES, file, predicted};
pub use given::Calibration;
pub use knapsack::{Candidate, Choice, Item, choose};
pub use sensitivity::{FREQUENT_ROWS, ROWS, RowWeights, sensitivity};
pub use table::{MAX_TABLE_BYTES, Row, Table, TableError, Together, Unit};

/// How many times larger or smaller than predicted a file's measured divergence may be before it is
/// said: from 3 bits per weight on, and below.
pub const FACTOR: [f64; 2] = [2.0, 4.0];

/// The bits per weight below which the second of [`FACTOR`] counts.
pub const FEW_BITS: f64 = 3.0;

/// Whether a prediction was so far off that a report says it.
pub fn is_off(predicted: f64, measured: f64, bits_per_weight: f64) -> bool {
    let factor = FACTOR[usize::from(bits_per_weight < FEW_BITS)];
    let (low, high) = (predicted.min(measured), predicted.max(measured));
    !measured.is_finite() || high > factor * low
}
