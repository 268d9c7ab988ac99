//! Better codes for the same block formats, at the same bytes.
//!
//! An encoder of `aeolus-quant` sees one row of weights and rounds each as near as it can. What a model
//! computes with a matrix is its product with activations, and these are far from independent: an error
//! in one column can be made good by the columns behind it. Refining does so. Files keep their types,
//! sizes and readers; only codes, scales and minimums differ.
//!
//! # What is minimised
//!
//! `W` is a matrix `[out, in]`, `Q` what its blocks decode to, `E = W - Q`. With the second moments of the
//! inputs, `A = mean x x^T` over the tokens of a calibration text, the mean square of the change in the
//! matrix's outputs is `tr(E A E^T)`; with those of the gradients at its outputs, `G = mean g g^T`, the
//! change of the model's loss is about `tr(G E A E^T) / 2` (the Kronecker-factored Fisher matrix).
//!
//! Both are written as triangular factors, `A = R R^T` and `G = S S^T` with `R` and `S` upper triangular
//! ([`Symmetric::factor`]). The cost is then the sum of the squares of `S^T E R`, whose entry `(i, j)`
//! depends on errors of rows up to `i` and columns up to `j` only: going through the weights in this order,
//! each is rounded to where it makes its own entry smallest, given the errors so far. That is GPTQ's
//! feedback (Frantar et al. 2022, arXiv:2210.17323) without the inverse of `A`, on both sides of the matrix.
//!
//! # Effort
//!
//! | effort | needs | does |
//! |---|---|---|
//! | 1 | forward passes | feedback along rows, scales and minimums searched while it runs |
//! | 2 | the same | a wider search; then descent over codes, scales and the f16 factors of blocks |
//! | 3 | backward passes | the same with feedback from row to row |
//!
//! # The same bytes everywhere
//!
//! Sums are taken in a fixed order, which no number of threads changes, and products are never fused with
//! them. [`aeolus_quant::Cpu::run_lanes`] compiles the loops for the machine's vectors, with the same bits.
//!
//! # Memory
//!
//! A moment matrix of `d` columns takes `2 d (d + 1)` bytes: its upper triangle in f32
//! ([`Symmetric::bytes`]). One layer is worked on at a time.

#![forbid(unsafe_code)]

pub mod backward;
mod block;
pub mod choice;
mod cost;
mod descent;
mod error;
mod feedback;
mod frequencies;
mod group;
mod lanes;
mod levels;
mod marks;
mod matrix;
mod moments;
pub mod norms;
mod panels;
mod points;
mod products;
mod round;
mod run;
mod sample;
mod store;
mod stream;
mod symmetric;
mod two_sided;

pub use block::Search;
pub use cost::{cost, cost_of_both};
pub use error::Error;

pub use feedback::{Sides, choose, is_refinable};
pub use marks::{digest, marks, overlap};
pub use matrix::{Chosen, Effort, Task};
pub use moments::Moments;
pub use run::{Job, Wanted, refine};
pub use sample::sample;
pub use store::{Kept, Store};
pub use symmetric::{NotPositive, Symmetric};
