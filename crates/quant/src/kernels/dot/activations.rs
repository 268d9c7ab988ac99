//! Activations rounded to 8 bits.

use super::UNIT;

/// 256 activations: `x[i]` is about `d[i / 32] * q[i]`.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub(super) struct ActivationUnit {
    /// -127 to 127.
    pub(super) q: [i8; UNIT],
    /// One scale for 32 activations.
    pub(super) d: [f32; 8],
    /// `-d * sum(q)` over 32 activations, the factor of a minimum.
    pub(super) minus_sum32: [f32; 8],
    /// `-d * sum(q)` over 16 activations.
    pub(super) minus_sum16: [f32; 16],
    /// `sum(q)` over 16 activations.
    pub(super) sum16: [i16; 16],
    /// `sum(q)` over 32 activations.
    pub(super) sum32: [i16; 8],
}

impl ActivationUnit {
    pub(super) const ZERO: Self = Self {
        q: [0; UNIT],
        d: [0.0; 8],
        minus_sum32: [0.0; 8],
        minus_sum16: [0.0; 16],
        sum16: [0; 16],
        sum32: [0; 8],
    };
}

/// The same 256 activations for weights of which two, 32 apart, share a byte (Q4_K, Q5_K).
///
/// Apart from [`ActivationUnit`], since only products with one token use them: beside the others
/// they would fill the cache that many tokens share.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub(super) struct PairedUnit {
    /// Blocks of 32 in the order of [`PAIRS`]: what meets the low nibbles of 64 bytes, then what
    /// meets their high nibbles.
    pub(super) q: [i8; UNIT],
    /// Scales in the natural order; those of odd blocks divided by 16, for high nibbles that
    /// were masked but not shifted.
    pub(super) d_nibbles: [f32; 8],
    pub(super) minus_sum32: [f32; 8],
}

impl PairedUnit {
    const ZERO: Self = Self {
        q: [0; UNIT],
        d_nibbles: [0.0; 8],
        minus_sum32: [0.0; 8],
    };
}

/// Place of each block of 32 in [`PairedUnit::q`]; the order is its own inverse.
pub(super) const PAIRS: [usize; 8] = [0, 2, 1, 3, 4, 6, 5, 7];

/// One token's activations: a unit of each kind for every 256 columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) units: &'a [ActivationUnit],
    pub(super) paired: &'a [PairedUnit],
}

/// The activations of some tokens in 8-bit blocks of 32, `[tokens, cols]`.
///
/// A block's scale is its largest magnitude over 127, so the rounding error of an activation is
/// at most 1/254 of the largest in its block. Rows are padded with zeros to whole units.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    pub(super) units: Vec<ActivationUnit>,
    paired: Vec<PairedUnit>,
    tokens: usize,
    cols: usize,
}

impl Activations {
    /// An empty set, to be filled by [`quantize`](Self::quantize).
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Activations in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Units in a row.
    pub(super) fn row_units(&self) -> usize {
        self.cols.div_ceil(UNIT)
    }

    /// One token's share.
    pub(super) fn token(&self, token: usize) -> Token<'_> {
        let units = self.row_units();
        let range = token * units..(token + 1) * units;
        Token {
            units: &self.units[range.clone()],
            paired: &self.paired[range],
        }
    }

    /// Replaces the content by `x`, rows of `cols` floats. Rounds to nearest, ties to even.
    ///
    /// # Panics
    /// If `cols` is zero or `x` is not a whole number of rows.
    pub fn quantize(&mut self, x: &[f32], cols: usize) {
        assert!(
            cols > 0 && x.len().is_multiple_of(cols),
            "{} activations are not rows of {cols}",
            x.len()
        );
        self.cols = cols;
        self.tokens = x.len() / cols;
        let all = self.tokens * self.row_units();
        self.units.clear();
        self.units.resize(all, ActivationUnit::ZERO);
        self.paired.clear();
        self.paired.resize(all, PairedUnit::ZERO);
        let units = self.units.iter_mut().zip(&mut self.paired);
        // Rows are padded to whole units, the last one with zeros.
        let parts = x.chunks_exact(cols).flat_map(|row| row.chunks(UNIT));
        for (x, (unit, paired)) in parts.zip(units) {
            quantize_unit(x, unit, paired);
        }
    }
}

/// Rounds up to 256 activations; what is missing stays zero.
fn quantize_unit(x: &[f32], unit: &mut ActivationUnit, paired: &mut PairedUnit) {
    for (block, x) in x.chunks(32).enumerate() {
        let d = largest_magnitude(x) / 127.0;
        // A subnormal scale has no inverse: such a block is zero for every purpose. Nor has that
        // of a block with an infinity or a NaN, which reaches every product of the block.
        let inverse = if d >= f32::MIN_POSITIVE { 1.0 / d } else { 0.0 };
        let q = &mut unit.q[32 * block..32 * block + x.len()];
        for (q, x) in q.iter_mut().zip(x) {
            *q = round_to_i8(x * inverse);
        }
        let q = &unit.q[32 * block..32 * block + 32];
        let sum = |q: &[i8]| q.iter().map(|&q| i16::from(q)).sum::<i16>();
        let (first, second) = (sum(&q[..16]), sum(&q[16..]));
        (unit.sum16[2 * block], unit.sum16[2 * block + 1]) = (first, second);
        unit.sum32[block] = first + second; // at most 32 * 127
        unit.d[block] = d;
        unit.minus_sum16[2 * block] = -d * f32::from(first);
        unit.minus_sum16[2 * block + 1] = -d * f32::from(second);
        unit.minus_sum32[block] = -d * f32::from(unit.sum32[block]);
        paired.q[32 * PAIRS[block]..][..32].copy_from_slice(q);
        paired.d_nibbles[block] = if block % 2 == 0 { d } else { d / 16.0 };
        paired.minus_sum32[block] = unit.minus_sum32[block];
    }
}

/// The largest magnitude; infinite if there is an infinity, NaN if there is a NaN.
///
/// Without their sign, floats are ordered as their bits are, with the infinity above all numbers and
/// NaN above that. A maximum of floats would pass over NaN, and it takes more instructions.
fn largest_magnitude(x: &[f32]) -> f32 {
    let magnitudes = x.iter().map(|x| x.to_bits() & 0x7fff_ffff);
    f32::from_bits(magnitudes.fold(0, u32::max))
}

/// Nearest integer, ties to even, of a number within ±127.5 (anything else is cut to that).
///
/// Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the sum; unlike a rounding
/// call this is two plain operations that compile to vectors everywhere.
fn round_to_i8(x: f32) -> i8 {
    const MAGIC: f32 = 12_582_912.0;
    let bits = (x.clamp(-127.0, 127.0) + MAGIC).to_bits();
    (bits.wrapping_sub(MAGIC.to_bits()) & 0xff) as u8 as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_even() {
        for (x, q) in [
            (0.5, 0),
            (1.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (126.6, 127),
            (-126.6, -127),
        ] {
            assert_eq!(round_to_i8(x), q, "{x}");
        }
        assert_eq!(round_to_i8(f32::INFINITY), 127);
        for i in -1270..=1270 {
            let x = i as f32 / 10.0;
            assert_eq!(f32::from(round_to_i8(x)), x.round_ties_even(), "{x}");
        }
    }

    #[test]
    fn blocks_stay_within_half_a_step() {
        let x: Vec<f32> = (0..2 * 288)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.3)
            .collect();
        let mut activations = Activations::new();
        activations.quantize(&x, 288);
        assert_eq!(
            (activations.tokens(), activations.token(0).units.len()),
            (2, 2)
        );
        for (i, &x) in x.iter().enumerate() {
            let (token, col) = (i / 288, i % 288);
            let unit = &activations.token(token).units[col / UNIT];
            let (q, d) = (unit.q[col % UNIT], unit.d[col % UNIT / 32]);
            assert!((f32::from(q) * d - x).abs() <= d * 0.500_01, "{i}");
        }
        let unit = &activations.token(1).units[1];
        assert!(
            unit.q[32..].iter().all(|&q| q == 0) && unit.d[1] == 0.0,
            "padding"
        );
        let sum: i32 = unit.q[..32].iter().map(|&q| i32::from(q)).sum();
        assert_eq!(unit.minus_sum32[0], -unit.d[0] * sum as f32);
        activations.quantize(&[0.0; 32], 32);
        assert_eq!(activations.token(0).units[0].d[0], 0.0);
    }

    #[test]
    fn a_block_with_a_value_that_is_not_finite_has_such_a_scale() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 7, 31] {
                let mut x = [1.5; 64];
                x[place] = bad;
                let mut activations = Activations::new();
                activations.quantize(&x, 64);
                let unit = &activations.token(0).units[0];
                assert!(!unit.d[0].is_finite(), "{bad} at {place}");
                assert_eq!(unit.d[1], 1.5 / 127.0, "the next block is as ever");
            }
        }
    }
}
