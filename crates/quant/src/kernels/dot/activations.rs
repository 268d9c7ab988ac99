//! Activations rounded to 8 or 16 bits.

use super::UNIT;

/// 1.5 * 2^23. A sum of products `n` that starts from the bits of this float ends, read as a float, as
/// `MAGIC + n`. With a scale `d` of 22 significant bits `MAGIC * d` is exact, and
/// `(MAGIC + n) * d - MAGIC * d` in one fused operation is `n * d`, rounded once: the conversion of the
/// sum to a float costs nothing.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// 256 activations: `x[i]` is about `d[i / 32] * q[i]`.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub(super) struct ActivationUnit {
    /// -127 to 127.
    pub(super) q: [i8; UNIT],
    /// One scale for 32 activations, of 22 significant bits.
    pub(super) d: [f32; 8],
    /// `-d * sum(q)` over 32 activations, the factor of a minimum.
    pub(super) minus_sum32: [f32; 8],
    /// `-d * sum(q)` over 16 activations.
    pub(super) minus_sum16: [f32; 16],
    /// `-MAGIC * d`, exactly: see [`MAGIC`].
    pub(super) minus_magic: [f32; 8],
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
        minus_magic: [0.0; 8],
        sum16: [0; 16],
        sum32: [0; 8],
    };
}

/// How far activations are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// To multiples of 1/127 of the largest of 32.
    Eight,
    /// To multiples of 1/32639 of the largest of 32, as `256 * high + low` with both from -127 to 127: a
    /// row of the high parts, then one of the low parts.
    Sixteen,
}

impl Bits {
    /// Rows of 8 bits that make a row of activations.
    pub const fn rows(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }
}

/// Up to this many rows, [`Kernels::matvec`](super::Kernels::matvec) multiplies each by itself; with more
/// there is only what [`Kernels::matmul_quant`](super::Kernels::matmul_quant) takes.
pub const FEW: usize = 4;

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
    /// From its first unit on, those of all tokens.
    units: &'a [ActivationUnit],
    paired: &'a [PairedUnit],
    tokens: usize,
}

impl<'a> Token<'a> {
    pub(super) fn units(self) -> impl DoubleEndedIterator<Item = &'a ActivationUnit> {
        self.units.iter().step_by(self.tokens)
    }

    pub(super) fn paired(self) -> impl DoubleEndedIterator<Item = &'a PairedUnit> {
        self.paired.iter().step_by(self.tokens)
    }
}

/// The activations of some tokens in 8-bit blocks of 32, `[tokens, cols]`.
///
/// They lie unit by unit, the same 256 columns of all tokens in a row, since products with many tokens
/// go through them in this order.
///
/// A block's scale is its largest magnitude over 127, so the rounding error of an activation is
/// at most 1/254 of the largest in its block. Rows are padded with zeros to whole units.
/// With [`Bits::Sixteen`] a token is two rows of 8 bits, whose products are to be added.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    units: Vec<ActivationUnit>, // [unit][token]
    paired: Vec<PairedUnit>,    // [unit][token]
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
    ///
    /// # Panics
    /// If there is no such token, or more tokens than [`FEW`].
    pub(super) fn token(&self, token: usize) -> Token<'_> {
        Token {
            units: &self.units[token..],
            paired: &self.paired[token..],
            tokens: self.tokens,
        }
    }

    /// A unit of every token.
    pub(super) fn unit(&self, unit: usize) -> &[ActivationUnit] {
        &self.units[unit * self.tokens..(unit + 1) * self.tokens]
    }

    /// Replaces the content by `x`, rows of `cols` floats. Rounds to nearest, ties to even.
    ///
    /// # Panics
    /// If `cols` is zero or `x` is not a whole number of rows.
    pub fn quantize(&mut self, x: &[f32], cols: usize) {
        for part in self.parts(x, cols, Bits::Eight) {
            part.quantize();
        }
    }

    /// Replaces the content as [`quantize`](Self::quantize) does, as parts that can be done in any order
    /// on any thread.
    ///
    /// # Panics
    /// If `cols` is zero or `x` is not a whole number of rows.
    pub fn parts<'a>(
        &'a mut self,
        x: &'a [f32],
        cols: usize,
        bits: Bits,
    ) -> impl Iterator<Item = Part<'a>> {
        assert!(
            cols > 0 && x.len().is_multiple_of(cols),
            "{} activations are not rows of {cols}",
            x.len()
        );
        self.cols = cols;
        self.tokens = x.len() / cols * bits.rows();
        let all = self.tokens * self.row_units();
        // Every number of a unit is set again; the last unit of a row may end early.
        if !cols.is_multiple_of(UNIT) {
            self.units.clear();
            self.paired.clear();
        }
        self.units.resize(all, ActivationUnit::ZERO);
        let few = self.tokens <= FEW;
        self.paired
            .resize(if few { all } else { 0 }, PairedUnit::ZERO);
        let mut paired = self.paired.chunks_mut(self.tokens.max(1));
        let units = self.units.chunks_mut(self.tokens.max(1)).enumerate();
        units.map(move |(unit, units)| Part {
            x,
            cols,
            bits,
            unit,
            units,
            paired: paired.next().unwrap_or_default(),
        })
    }
}

/// The same 256 columns of all tokens, to be rounded.
#[derive(Debug)]
pub struct Part<'a> {
    x: &'a [f32],
    cols: usize,
    bits: Bits,
    unit: usize,
    units: &'a mut [ActivationUnit],
    paired: &'a mut [PairedUnit],
}

impl Part<'_> {
    /// Rounds them.
    pub fn quantize(self) {
        let columns = self.unit * UNIT..self.cols.min((self.unit + 1) * UNIT);
        let mut paired = self.paired.iter_mut();
        let rows = self.x.chunks_exact(self.cols);
        for (row, units) in rows.zip(self.units.chunks_exact_mut(self.bits.rows())) {
            let x = &row[columns.clone()];
            match units {
                [unit] => round_to_8_bits(x, unit),
                [high, low] => round_to_16_bits(x, high, low),
                _ => {}
            }
            for unit in units {
                if let Some(paired) = paired.next() {
                    paired.set(unit);
                }
            }
        }
    }
}

/// Rounds up to 256 activations; what is missing stays zero.
fn round_to_8_bits(x: &[f32], unit: &mut ActivationUnit) {
    for (block, x) in x.chunks(32).enumerate() {
        let (d, inverse) = scale_of(x, 127.0);
        for (q, x) in unit.q[32 * block..].iter_mut().zip(x) {
            *q = round_to_i8(x * inverse);
        }
        unit.set_factors(block, d);
    }
}

/// As [`round_to_8_bits`], in two parts.
fn round_to_16_bits(x: &[f32], high: &mut ActivationUnit, low: &mut ActivationUnit) {
    for (block, x) in x.chunks(32).enumerate() {
        let (d, inverse) = scale_of(x, 32_639.0);
        let parts = high.q[32 * block..]
            .iter_mut()
            .zip(&mut low.q[32 * block..]);
        for ((high, low), x) in parts.zip(x) {
            let x = x * inverse;
            *high = round_to_i8(x * (1.0 / 256.0));
            *low = round_to_i8(x - 256.0 * f32::from(*high));
        }
        high.set_factors(block, 256.0 * d);
        low.set_factors(block, d);
    }
}

/// The scale with which the largest magnitude becomes `largest`, and its inverse.
fn scale_of(x: &[f32], largest: f32) -> (f32, f32) {
    let d = f32::from_bits((largest_magnitude(x) / largest).to_bits() & !3);
    // A subnormal scale has no inverse: such a block is zero for every purpose. Nor has that of a
    // block with an infinity or a NaN, which reaches every product of the block.
    let inverse = if d >= f32::MIN_POSITIVE { 1.0 / d } else { 0.0 };
    (d, inverse)
}

impl ActivationUnit {
    /// Sets all that follows from the bytes of 32 activations and their scale.
    fn set_factors(&mut self, block: usize, d: f32) {
        let q = &self.q[32 * block..32 * block + 32];
        let sum = |q: &[i8]| q.iter().map(|&q| i16::from(q)).sum::<i16>();
        let (first, second) = (sum(&q[..16]), sum(&q[16..]));
        (self.sum16[2 * block], self.sum16[2 * block + 1]) = (first, second);
        self.sum32[block] = first + second; // at most 32 * 127
        self.d[block] = d;
        self.minus_magic[block] = -MAGIC * d;
        self.minus_sum16[2 * block] = -d * f32::from(first);
        self.minus_sum16[2 * block + 1] = -d * f32::from(second);
        self.minus_sum32[block] = -d * f32::from(self.sum32[block]);
    }
}

impl PairedUnit {
    fn set(&mut self, unit: &ActivationUnit) {
        let blocks = unit.q.as_chunks::<32>().0.iter().zip(unit.d).zip(PAIRS);
        for (block, ((q, d), place)) in blocks.enumerate() {
            self.q[32 * place..][..32].copy_from_slice(q);
            self.d_nibbles[block] = if block % 2 == 0 { d } else { d / 16.0 };
        }
        self.minus_sum32 = unit.minus_sum32;
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
/// Adding [`MAGIC`] leaves the rounded integer in the low bits of the sum; unlike a rounding
/// call this is two plain operations that compile to vectors everywhere.
fn round_to_i8(x: f32) -> i8 {
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
            (activations.tokens(), activations.token(0).units().count()),
            (2, 2)
        );
        for (i, &x) in x.iter().enumerate() {
            let (token, col) = (i / 288, i % 288);
            let unit = &activations.unit(col / UNIT)[token];
            let (q, d) = (unit.q[col % UNIT], unit.d[col % UNIT / 32]);
            assert!((f32::from(q) * d - x).abs() <= d * 0.500_01, "{i}");
        }
        let unit = &activations.unit(1)[1];
        assert!(
            unit.q[32..].iter().all(|&q| q == 0) && unit.d[1] == 0.0,
            "padding"
        );
        let sum: i32 = unit.q[..32].iter().map(|&q| i32::from(q)).sum();
        assert_eq!(unit.minus_sum32[0], -unit.d[0] * sum as f32);
        activations.quantize(&[0.0; 32], 32);
        assert_eq!(activations.unit(0)[0].d[0], 0.0);
    }

    #[test]
    fn two_rows_of_8_bits_are_16_bits() {
        let cols = 288;
        let x: Vec<f32> = (0..2 * cols)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.3 + (i as f32).sin())
            .collect();
        let mut activations = Activations::new();
        for part in activations.parts(&x, cols, Bits::Sixteen) {
            part.quantize();
        }
        assert_eq!(activations.tokens(), 4);
        for (i, &x) in x.iter().enumerate() {
            let (token, col) = (i / cols, i % cols);
            let rows = &activations.unit(col / UNIT)[2 * token..2 * token + 2];
            let sum: f64 = rows
                .iter()
                .map(|row| f64::from(row.q[col % UNIT]) * f64::from(row.d[col % UNIT / 32]))
                .sum();
            let step = f64::from(rows[1].d[col % UNIT / 32]);
            // One step where the low part would have been -128.
            assert!((sum - f64::from(x)).abs() <= 1.01 * step, "{i}");
        }
    }

    #[test]
    fn a_block_with_a_value_that_is_not_finite_has_such_a_scale() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 7, 31] {
                let mut x = [1.5; 64];
                x[place] = bad;
                let mut activations = Activations::new();
                activations.quantize(&x, 64);
                let unit = &activations.unit(0)[0];
                assert!(!unit.d[0].is_finite(), "{bad} at {place}");
                let (next, _) = scale_of(&[1.5; 32], 127.0);
                assert_eq!(unit.d[1], next, "the next block is as ever");
            }
        }
    }
}
