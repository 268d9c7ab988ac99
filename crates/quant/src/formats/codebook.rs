//! Codebooks for those who choose points by other rules than the encoders here.

use super::{QK_K, grids};
use crate::search::Grid;

/// The bit of a code whose weight is negative; the lower bits are its digit.
pub const NEGATIVE: u8 = 0x80;

/// The codebook of a format: which digits a group of weights can have together. A point is packed as its
/// digits, [`bits`](Self::bits) for each, that of the first weight lowest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codebook {
    /// Weights in a group: 4 or 8.
    pub group: usize,
    /// Bits of a digit in a packed point.
    pub bits: u32,
    /// What digits stand for besides their sign, ascending.
    pub magnitudes: &'static [f32],
    /// Whether of each eight weights an even number is negative.
    pub even_signs: bool,
    points: Points,
}

/// The points of a format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Points {
    IQ2XXS,
    IQ2XS,
    IQ2S,
    IQ3XXS,
    IQ3S,
}

impl Codebook {
    /// The packed points at or near packed digits: the digits alone if they are a point, and the points
    /// nearest to them, nearer ones first, if they are not. Never empty for digits that have magnitudes.
    ///
    /// # Panics
    /// If there are more digits than a group has.
    pub fn near(&self, digits: u32) -> &'static [u16] {
        match self.points {
            Points::IQ2XXS => grids::IQ2_XXS.packed_near(digits),
            Points::IQ2XS => grids::IQ2_XS.packed_near(digits),
            Points::IQ2S => grids::IQ2_S.packed_near(digits),
            Points::IQ3XXS => grids::IQ3_XXS.packed_near(digits),
            Points::IQ3S => grids::IQ3_S.packed_near(digits),
        }
    }

    /// A codebook of groups of eight. A quarter of its magnitudes in files is what goes with a scale and a
    /// half.
    pub(super) const fn of_eight(points: Points, even_signs: bool) -> Self {
        Self {
            group: 8,
            bits: 2,
            magnitudes: &[2.0, 6.25, 10.75],
            even_signs,
            points,
        }
    }

    /// A codebook of groups of four.
    pub(super) const fn of_four(
        points: Points,
        magnitudes: &'static [f32; 8],
        even_signs: bool,
    ) -> Self {
        Self {
            group: 4,
            bits: 3,
            magnitudes,
            even_signs,
            points,
        }
    }
}

/// The codes of a block, whose group `k` is the point of number `point(k)`; `signs(k)` are those of weights
/// `8 k` to `8 k + 7`.
pub(super) fn codes<const D: usize>(
    grid: &Grid<D>,
    point: impl Fn(usize) -> u16,
    signs: impl Fn(usize) -> u8,
) -> [u8; QK_K] {
    std::array::from_fn(|i| {
        let digit = grid.point(point(i / D))[i % D];
        digit | ((signs(i / 8) >> (i % 8) & 1) << 7)
    })
}

/// The number of the point of group `k`.
pub(super) fn point<const D: usize>(grid: &Grid<D>, codes: &[u8; QK_K], k: usize) -> u16 {
    let codes = codes[D * k..D * (k + 1)].iter();
    grid.nearest_number(codes.map(|code| code & !NEGATIVE))
}

/// The signs of weights `8 k` to `8 k + 7`.
pub(super) fn signs(codes: &[u8; QK_K], k: usize) -> u8 {
    let codes = codes[8 * k..8 * (k + 1)].iter().enumerate();
    codes.fold(0, |signs, (i, code)| signs | ((code >> 7) << i))
}
