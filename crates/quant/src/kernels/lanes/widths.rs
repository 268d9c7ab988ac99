//! What an instruction set brings besides [`Isa`]: conversions, and how wide its searches run.

use super::Isa;

/// What decoders, F16 rows and codebooks need beyond [`Isa`]. Lengths must match the lanes.
pub(crate) trait Conversions: Isa {
    /// Bytes, each widened without a sign.
    fn load_bytes(self, x: &[u8]) -> Self::I;

    /// Shifted to the right by `count` bits, below 32; zeros come in.
    fn shr(v: Self::I, count: u32) -> Self::I;

    /// Words of 16 bits, each widened without a sign.
    fn load_words(self, x: &[u16]) -> Self::I;

    /// The elements of a table of eight, which stands in every eight lanes, that the lower three bits
    /// of each lane name.
    fn look_up(table: Self::F, index: Self::I) -> Self::F;

    /// The lanes moved up by one place; the last one comes first.
    fn rotate(v: Self::F) -> Self::F;

    /// Little-endian F16 values, widened.
    fn load_f16(self, bytes: &[u8]) -> Self::F;

    /// Writes the nearest F16 of each lane, little-endian; of NaN, some NaN.
    fn store_f16(v: Self::F, out: &mut [u8]);
}

/// The number of vectors that each search keeps in flight, as [`Pair`](super::pair::Pair)s of the
/// instruction set: as many as hide the time of a sum and still fit its registers.
pub(crate) trait Widths: Conversions {
    /// For the affine search.
    type Affine: Isa;
    /// For the symmetric search, which has three candidates in flight already.
    type Symmetric: Isa;
    /// For the iterative search.
    type Iterative: Isa;
    /// For the search of uneven levels, which has three candidates in flight already.
    type Levels: Isa;

    /// See [`Affine`](Self::Affine).
    fn affine(self) -> Self::Affine;

    /// See [`Symmetric`](Self::Symmetric).
    fn symmetric(self) -> Self::Symmetric;

    /// See [`Iterative`](Self::Iterative).
    fn iterative(self) -> Self::Iterative;

    /// See [`Levels`](Self::Levels).
    fn levels(self) -> Self::Levels;
}

/// Implements [`Widths`] for an instruction set.
macro_rules! widths {
    ($isa:ty, $($search:ident $type:ident $width:ty = |$this:ident| $make:expr;)*) => {
        impl $crate::kernels::lanes::widths::Widths for $isa {
            $(
                type $type = $width;

                #[inline(always)]
                fn $search(self) -> $width {
                    let $this = self;
                    $make
                }
            )*
        }
    };
}
pub(crate) use widths;
