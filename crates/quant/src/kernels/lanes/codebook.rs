//! Formats of codebooks, block after block: the searches for their sub-blocks run in lanes.

use super::split::{SplitM, SplitS};
use super::widths::Conversions;
use super::{Float, Job, MAX_LANES, Mask, grid, load, near, positive};
use crate::formats::{
    BlockIQ1M, BlockIQ1S, BlockIQ2S, BlockIQ2XS, BlockIQ2XXS, BlockIQ3S, BlockIQ3XXS, QK_K,
    Weighted, iq1_m, iq1_s, iq2_xxs,
};
use crate::search::fit_positive;

/// Blocks that are encoded together, at most: the sub-blocks of IQ1_S in two are as many as AVX-512 has
/// lanes.
const TOGETHER: usize = 2;

/// A format whose sub-blocks are searched in lanes.
pub(crate) trait LaneCodebook: Weighted {
    /// Encodes at most [`TOGETHER`] blocks.
    fn encode_blocks<S: Conversions>(
        isa: S,
        x: &[[f32; QK_K]],
        weights: &[[f32; QK_K]],
        out: &mut [Self],
    );
}

/// Encodes rows of as many weights as the guide has, if there is one.
#[inline(always)]
pub(crate) fn encode<S: Conversions, B: LaneCodebook>(
    isa: S,
    x: &[f32],
    guide: Option<&[f32]>,
    out: &mut [B],
) {
    let () = B::SIZES_AGREE;
    let guides = guide.map(|guide| guide.as_chunks::<QK_K>().0);
    let mut column = 0;
    let blocks = x.as_chunks::<QK_K>().0.chunks(TOGETHER);
    for (x, out) in blocks.zip(out.chunks_mut(TOGETHER)) {
        let mut weights = [[0.0; QK_K]; TOGETHER];
        for (weights, x) in weights.iter_mut().zip(x) {
            let importance = guides.map(|guides| &guides[column % guides.len()]);
            *weights = B::weights(x, importance);
            column += 1;
        }
        B::encode_blocks(isa, x, &weights[..x.len()], out);
    }
}

impl LaneCodebook for BlockIQ2XXS {
    #[inline(always)]
    fn encode_blocks<S: Conversions>(
        isa: S,
        x: &[[f32; QK_K]],
        weights: &[[f32; QK_K]],
        out: &mut [Self],
    ) {
        let starts =
            |x: &[[f32; 32]; 8], weights: &[[f32; 32]; 8]| isa.apart(Starts { isa, x, weights });
        for ((x, weights), out) in x.iter().zip(weights).zip(out) {
            *out = Self::encode_weighted(x, weights, starts, |task| {
                grid::fit::<S, 8, 4, 32>(isa, task)
            });
        }
    }
}

/// The common factors of the sub-blocks of IQ2_XXS, a sub-block in each lane.
struct Starts<'a, S: Conversions> {
    isa: S,
    x: &'a [[f32; 32]; 8],
    weights: &'a [[f32; 32]; 8],
}

impl<S: Conversions> Job for Starts<'_, S> {
    type Output = [f32; 8];

    #[inline(always)]
    fn run(self) -> [f32; 8] {
        let Self { isa, x, weights } = self;
        let mut starts = [0.0; MAX_LANES];
        let fit = positive::fit_signed(isa, iq2_xxs::START, &load(isa, x), &load(isa, weights));
        fit.factor.store(&mut starts[..S::LANES]);
        let wild = fit.wild.bits();
        for j in (0..8).filter(|j| wild >> j & 1 != 0) {
            starts[j] = fit_positive(iq2_xxs::START, &x[j], &weights[j], &mut [0; 32]);
        }
        std::array::from_fn(|j| starts[j])
    }
}

/// The groups of a format, the numbers that fit the bits of a digit, and the weights of a sub-block.
macro_rules! lane_codebook {
    ($($block:ident $group:literal $digits:literal $sub:literal;)+) => {$(
        impl LaneCodebook for $block {
            #[inline(always)]
            fn encode_blocks<S: Conversions>(
                isa: S,
                x: &[[f32; QK_K]],
                weights: &[[f32; QK_K]],
                out: &mut [Self],
            ) {
                for ((x, weights), out) in x.iter().zip(weights).zip(out) {
                    *out = Self::encode_weighted(x, weights, |task| {
                        grid::fit::<S, $group, $digits, $sub>(isa, task)
                    });
                }
            }
        }
    )+};
}

lane_codebook! {
    BlockIQ2XS  8 4 16;
    BlockIQ2S   8 4 16;
    BlockIQ3XXS 4 8 32;
    BlockIQ3S   4 8 32;
}

/// The split search, the weights of a sub-block, the sub-blocks of a block, and what a sub-block of
/// zeros is.
macro_rules! lane_ternary {
    ($($block:ident $search:ident $sub:literal $subs:literal $module:ident;)+) => {$(
        impl LaneCodebook for $block {
            #[inline(always)]
            fn encode_blocks<S: Conversions>(
                isa: S,
                x: &[[f32; QK_K]],
                weights: &[[f32; QK_K]],
                out: &mut [Self],
            ) {
                let mut splits = [const { None }; TOGETHER * $subs];
                let subs = x.as_flattened().as_chunks::<$sub>().0;
                let sub_weights = weights.as_flattened().as_chunks::<$sub>().0;
                for first in (0..subs.len()).step_by(S::LANES) {
                    let lanes = first..subs.len().min(first + S::LANES);
                    let (x, weights) = (&subs[lanes.clone()], &sub_weights[lanes.clone()]);
                    let found = isa.apart($search {
                        isa,
                        x: &load(isa, x),
                        weights: &load(isa, weights),
                    });
                    for (lane, (split, x)) in splits[lanes].iter_mut().zip(x).enumerate() {
                        if !$module::is_empty(x) {
                            *split = found.split(lane);
                        }
                    }
                }
                let splits = splits.as_chunks::<$subs>().0;
                for (((x, weights), splits), out) in x.iter().zip(weights).zip(splits).zip(out) {
                    *out = Self::encode_cut(x, weights, splits, |group| {
                        near::ternary_point(isa, group)
                    });
                }
            }
        }
    )+};
}

lane_ternary! {
    BlockIQ1S SplitS 32 8  iq1_s;
    BlockIQ1M SplitM 16 16 iq1_m;
}
