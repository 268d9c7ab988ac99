//! The fields of a block, unpacked, for whoever chooses codes by other rules than the encoders here.
//!
//! All but ternary formats and IQ1 have the formula
//! `x = d * (scale + scale_offset) * level(code) - dmin * min`, with a scale and a minimum for each
//! sub-block. Codes are free of each other, or together points of a [`Codebook`].

pub use super::codebook::{Codebook, NEGATIVE};
use super::{Block, QK_K};
use aeolus_gguf::TensorType;
use bytemuck::{bytes_of, pod_read_unaligned};

/// The most sub-blocks in a block.
pub const SUB_BLOCKS: usize = 16;

/// What the fields of a type's blocks can hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Weights in a block.
    pub block: usize,
    /// Weights in a sub-block.
    pub sub_block: usize,
    /// What codes stand for.
    pub levels: Levels,
    /// Smallest and largest scale; both 1 where a block is one sub-block, whose scale is `d` alone.
    pub scales: (i16, i16),
    /// What is added to scales: 1/2 in formats of codebooks, else 0.
    pub scale_offset: f32,
    /// Largest minimum, from 0; `None` for formats without minimums. It is 1 where `dmin` is the minimum,
    /// which then may have either sign.
    pub mins: Option<i16>,
}

/// What codes stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Levels {
    /// Whole numbers one after the other: code `q` is `lowest + q`, up to and including `highest`.
    Even {
        /// Level of code 0.
        lowest: i16,
        /// Level of the last code.
        highest: i16,
    },
    /// Sixteen levels, ascending.
    Uneven(&'static [f32; 16]),
    /// Digits and signs of a codebook's points.
    Points(Codebook),
}

impl Geometry {
    /// Sub-blocks in a block.
    pub fn sub_blocks(&self) -> usize {
        self.block / self.sub_block
    }
}

/// The fields of one block. Of sub-blocks and weights beyond those of the type nothing is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    /// Factor of the scales. An F16 number: others are rounded when a block is packed.
    pub d: f32,
    /// Factor of the minimums, F16 too.
    pub dmin: f32,
    /// Scale of each sub-block.
    pub scales: [i16; SUB_BLOCKS],
    /// Minimum of each sub-block.
    pub mins: [i16; SUB_BLOCKS],
    /// Code of each weight.
    pub codes: [u8; QK_K],
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            d: 0.0,
            dmin: 0.0,
            scales: [1; SUB_BLOCKS],
            mins: [0; SUB_BLOCKS],
            codes: [0; QK_K],
        }
    }
}

/// A block that can be taken apart and put together.
pub(crate) trait Fielded<const N: usize>: Block<N> {
    /// What its fields can hold.
    const GEOMETRY: Geometry;

    /// The fields of a block.
    fn fields(&self) -> Fields;

    /// The block of fields that are within the geometry.
    fn of_fields(fields: &Fields) -> Self;
}

/// The lower part of some codes, as an array.
#[inline(always)]
pub(crate) fn first<T: Copy + Default, const N: usize>(all: &[T]) -> [T; N] {
    let mut some = [T::default(); N];
    some.copy_from_slice(&all[..N]);
    some
}

/// Evaluates an expression with `B` as the block of a type that has fields, and its weights as `N`.
macro_rules! with_fields {
    ($ty:expr, $B:ident, $N:ident => $body:expr, $otherwise:expr) => {
        with_fields!(@ $ty, $B, $N, $body, $otherwise,
            Q4_0 BlockQ4_0 32, Q4_1 BlockQ4_1 32, Q5_0 BlockQ5_0 32, Q5_1 BlockQ5_1 32,
            Q8_0 BlockQ8_0 32, Q2_K BlockQ2K 256, Q3_K BlockQ3K 256, Q4_K BlockQ4K 256,
            Q5_K BlockQ5K 256, Q6_K BlockQ6K 256, IQ4_NL BlockIQ4NL 32, IQ4_XS BlockIQ4XS 256,
            IQ2_XXS BlockIQ2XXS 256, IQ2_XS BlockIQ2XS 256, IQ2_S BlockIQ2S 256,
            IQ3_XXS BlockIQ3XXS 256, IQ3_S BlockIQ3S 256)
    };
    (@ $ty:expr, $B:ident, $N:ident, $body:expr, $otherwise:expr, $($name:ident $block:ident $n:literal),*) => {
        match $ty {
            $(TensorType::$name => {
                type $B = super::$block;
                const $N: usize = $n;
                $body
            })*
            _ => $otherwise,
        }
    };
}

/// What the fields of a type's blocks can hold; `None` for types whose blocks are not taken apart.
pub fn geometry(ty: TensorType) -> Option<Geometry> {
    with_fields!(ty, B, N => Some(<B as Fielded<N>>::GEOMETRY), None)
}

/// The fields of a block; `None` for types without, and for bytes of another length.
pub fn unpack(ty: TensorType, block: &[u8]) -> Option<Fields> {
    with_fields!(ty, B, N => {
        let whole = block.len() == size_of::<B>();
        whole.then(|| Fielded::<N>::fields(&pod_read_unaligned::<B>(block)))
    }, None)
}

/// Writes the block of fields that are within the [`Geometry`]; `None` for types without, and for room of
/// another length.
pub fn pack(ty: TensorType, fields: &Fields, out: &mut [u8]) -> Option<()> {
    with_fields!(ty, B, N => {
        let block = <B as Fielded<N>>::of_fields(fields);
        (out.len() == size_of::<B>()).then(|| out.copy_from_slice(bytes_of(&block)))
    }, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula of the geometry.
    fn decode(geometry: &Geometry, fields: &Fields) -> Vec<f32> {
        let value = |i: usize| {
            let sub = i / geometry.sub_block;
            let code = fields.codes[i];
            let level = match geometry.levels {
                Levels::Even { lowest, .. } => f32::from(lowest + i16::from(code)),
                Levels::Uneven(levels) => levels[usize::from(code)],
                Levels::Points(codebook) => {
                    let magnitude = codebook.magnitudes[usize::from(code & !NEGATIVE)];
                    if code & NEGATIVE == 0 {
                        magnitude
                    } else {
                        -magnitude
                    }
                }
            };
            let scale = fields.d * (f32::from(fields.scales[sub]) + geometry.scale_offset);
            match geometry.mins {
                Some(_) => scale * level - fields.dmin * f32::from(fields.mins[sub]),
                None => scale * level,
            }
        };
        (0..geometry.block).map(value).collect()
    }

    #[test]
    fn blocks_are_their_fields_for_every_type_that_has_them() {
        let mut seen = 0;
        for ty in TensorType::all() {
            let Some(geometry) = geometry(ty) else {
                continue;
            };
            seen += 1;
            assert_eq!(geometry.block, ty.block_elems());
            let mut state = 1u32;
            for _ in 0..200 {
                let mut byte = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                };
                let mut block: Vec<u8> = (0..ty.block_bytes()).map(|_| byte()).collect();
                let fields = unpack(ty, &block).unwrap();
                if fields.d.is_nan() || fields.dmin.is_nan() {
                    continue;
                }
                let mut expected = vec![0.0; geometry.block];
                crate::decode_rows(ty, &block, geometry.block, &mut expected).unwrap();
                let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(decode(&geometry, &fields)), bits(expected), "{ty}");
                let mut again = vec![0; block.len()];
                pack(ty, &fields, &mut again).unwrap();
                assert_eq!(again, block, "{ty}");
                block.pop();
                assert!(unpack(ty, &block).is_none());
            }
        }
        assert_eq!(seen, 17);
    }
}
