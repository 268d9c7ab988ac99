//! The codebooks of the IQ1, IQ2 and IQ3 formats: constants that are part of the formats, an index of
//! which is what a file holds.
//!
//! A codebook with the lists of near points is made when it is first used, in some 50 ms; the lists
//! serve encoders only. How many shells of points a list has is up to the format.

pub(crate) mod iq1;
pub(crate) mod iq2_s;
pub(crate) mod iq2_xs;
pub(crate) mod iq2_xxs;
pub(crate) mod iq3_s;
pub(crate) mod iq3_xxs;

use crate::search::Grid;
use std::sync::LazyLock;

pub(crate) static IQ1: LazyLock<Grid<8>> = LazyLock::new(|| Grid::new(&iq1::POINTS, 2, 3, 3));
pub(super) static IQ2_XXS: LazyLock<Grid<8>> =
    LazyLock::new(|| Grid::new(&iq2_xxs::POINTS, 2, 3, 2));
pub(super) static IQ2_XS: LazyLock<Grid<8>> = LazyLock::new(|| Grid::new(&iq2_xs::POINTS, 2, 3, 2));
pub(super) static IQ2_S: LazyLock<Grid<8>> = LazyLock::new(|| Grid::new(&iq2_s::POINTS, 2, 3, 1));
pub(super) static IQ3_XXS: LazyLock<Grid<4>> =
    LazyLock::new(|| Grid::new(&iq3_xxs::POINTS, 3, 8, 2));
pub(super) static IQ3_S: LazyLock<Grid<4>> = LazyLock::new(|| Grid::new(&iq3_s::POINTS, 3, 8, 3));
