//! Looking on while a model runs.

use super::Matrix;

/// Is shown what goes into the products of a run. Statistics over activations are collected so, such as
/// importance matrices.
///
/// Calls come from the thread that runs a window, in the order of the computation, before the products
/// themselves; threads that run other windows call at the same time if they were given the same tap.
pub trait Tap: Sync + std::fmt::Debug {
    /// `x`, `[tokens, cols]`, will be multiplied with each of `matrices`, whose rows are that long; for an
    /// expert these are the tokens that were sent to it. The values are in f32 in every numeric mode.
    fn inputs(&self, matrices: &[&Matrix], x: &[f32]);
}
