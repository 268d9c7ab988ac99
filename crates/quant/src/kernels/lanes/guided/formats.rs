//! What the formats that heed a guide search for, and how.

use super::{Group, GuidedBlock, LevelOf, lanes_of};
use crate::formats::*;
use crate::kernels::lanes::{
    Float, Int, Isa, MAX_LANES, Mask, affine, levels, positive, symmetric,
};
use crate::search::{Affine, AffineSearch, Symmetric, nearest_int};

/// Calls `f` with those of the first `count` lanes that are set.
#[inline(always)]
fn for_each_lane(mask: impl Mask, count: usize, mut f: impl FnMut(usize)) {
    let mut bits = mask.bits();
    while bits != 0 {
        let lane = bits.trailing_zeros() as usize;
        if lane < count {
            f(lane);
        }
        bits &= bits - 1;
    }
}

/// The elements of arrays, an array in each lane; the first one again where there are too few.
#[inline(always)]
fn columns<S: Isa, T, const N: usize>(
    isa: S,
    rows: &[[T; N]],
    value: impl Fn(&T) -> f32,
) -> [S::F; N] {
    let mut columns = [isa.splat(0.0); N];
    for (i, column) in columns.iter_mut().enumerate() {
        let mut lanes = [value(&rows[0][i]); MAX_LANES];
        for (lane, row) in lanes[..S::LANES].iter_mut().zip(rows) {
            *lane = value(&row[i]);
        }
        *column = isa.load(&lanes[..S::LANES]);
    }
    columns
}

/// Quants as bytes, an array for each lane.
#[inline(always)]
fn bytes<S: Isa, const N: usize>(columns: &[S::F; N]) -> [[u8; N]; MAX_LANES] {
    let mut rows = [[0; N]; MAX_LANES];
    for (i, column) in columns.iter().enumerate() {
        let mut lanes = [0; MAX_LANES];
        column.truncate().store_bytes(&mut lanes[..S::LANES]);
        for (row, lane) in rows[..S::LANES].iter_mut().zip(lanes) {
            row[i] = lane;
        }
    }
    rows
}

/// A format whose sub-blocks have a scale and a minimum.
pub(crate) trait AffineSuper<const SUBS: usize>: Sized {
    /// The search.
    const SEARCH: AffineSearch;
    /// The largest quantized scale and minimum.
    const LARGEST: i32;
    /// Scales and minimums of a super-block.
    type Quantized: Copy + Default;

    /// Makes them in scalar code.
    fn fit(found: &[Affine; SUBS], sums: &[f32; SUBS]) -> Self::Quantized;

    /// Makes them of factors and quants.
    fn of_bytes(d: f32, dmin: f32, scales: [u8; SUBS], mins: [u8; SUBS]) -> Self::Quantized;
}

/// The affine search of a group.
#[inline(always)]
fn search_affine<S: Isa, const N: usize>(
    isa: S,
    search: &AffineSearch,
    group: &Group<'_, S, N>,
    found: &mut [Affine],
) {
    let fit = affine::fit_apart(isa, search, &group.x, &group.weights);
    let (scales, mins) = (lanes_of::<S>(fit.scale), lanes_of::<S>(fit.min));
    for ((found, scale), min) in found.iter_mut().zip(scales).zip(mins) {
        *found = Affine { scale, min: -min };
    }
    for_each_lane(fit.wild, found.len(), |lane| {
        let (x, weights) = group.lane(lane);
        found[lane] = search.fit(x, &weights, &mut [0; N]);
    });
}

/// The searches for scales and minimums of super-blocks.
#[inline(always)]
fn quantize_affine<S: Isa, B: AffineSuper<SUBS>, const SUBS: usize>(
    isa: S,
    found: &[[Affine; SUBS]],
    sums: &[[f32; SUBS]],
    quantized: &mut [B::Quantized],
) {
    for ((found, sums), quantized) in found
        .chunks(S::LANES)
        .zip(sums.chunks(S::LANES))
        .zip(quantized.chunks_mut(S::LANES))
    {
        let weights = columns(isa, sums, |sum| *sum);
        let scales = columns(isa, found, |f| f.scale);
        let scales = positive::fit_positive(isa, B::LARGEST, &scales, &weights);
        let mins = columns(isa, found, |f| f.min);
        let mins = positive::fit_positive(isa, B::LARGEST, &mins, &weights);
        let (d, dmin) = (lanes_of::<S>(scales.factor), lanes_of::<S>(mins.factor));
        let wild = scales.wild.or(mins.wild);
        let (scales, mins) = (
            bytes::<S, SUBS>(&scales.quants),
            bytes::<S, SUBS>(&mins.quants),
        );
        for (lane, quantized) in quantized.iter_mut().enumerate() {
            *quantized = B::of_bytes(d[lane], dmin[lane], scales[lane], mins[lane]);
        }
        for_each_lane(wild, found.len(), |lane| {
            quantized[lane] = B::fit(&found[lane], &sums[lane]);
        });
    }
}

macro_rules! affine_super {
    ($block:ident, $n:literal, $subs:literal, $module:ident, $scales:ident $(, $limit:expr)?; $level:ident) => {
        impl AffineSuper<$subs> for $block {
            const SEARCH: AffineSearch = $module::GUIDED;
            const LARGEST: i32 = $scales::LARGEST;
            type Quantized = $scales::SuperScales;

            fn fit(found: &[Affine; $subs], sums: &[f32; $subs]) -> Self::Quantized {
                $scales::SuperScales::fit(found, sums $(, $limit)?)
            }

            #[inline(always)]
            fn of_bytes(d: f32, dmin: f32, scales: [u8; $subs], mins: [u8; $subs]) -> Self::Quantized {
                $scales::SuperScales::of_bytes(d, dmin, scales, mins)
            }
        }

        impl GuidedBlock<QK_K, $n, $subs> for $block {
            type Found = Affine;
            type Scales = <Self as AffineSuper<$subs>>::Quantized;
            const LEVEL_OF: LevelOf = LevelOf::Block;

            #[inline(always)]
            fn level<S: Isa>(isa: S, sum: S::F) -> S::F {
                $level(isa, sum)
            }

            #[inline(always)]
            fn search<S: Isa>(isa: S, group: &Group<'_, S, $n>, found: &mut [Affine]) {
                search_affine(isa, &<Self as AffineSuper<$subs>>::SEARCH, group, found);
            }

            #[inline(always)]
            fn quantize_scales<S: Isa>(
                isa: S,
                found: &[[Affine; $subs]],
                sums: &[[f32; $subs]],
                scales: &mut [Self::Scales],
            ) {
                quantize_affine::<S, Self, $subs>(isa, found, sums, scales);
            }

            #[inline(always)]
            fn assemble(
                x: &[f32; QK_K],
                importance: &[f32; QK_K],
                scales: Self::Scales,
            ) -> Self {
                Self::assemble_guided(x, importance, scales)
            }
        }
    };
}

/// The mean.
#[inline(always)]
fn mean<S: Isa>(isa: S, sum: S::F) -> S::F {
    sum / isa.splat(QK_K as f32)
}

/// Twice the mean.
#[inline(always)]
fn twice_the_mean<S: Isa>(isa: S, sum: S::F) -> S::F {
    isa.splat(2.0) * sum / isa.splat(QK_K as f32)
}

affine_super!(BlockQ2K, 16, 16, q2_k, q2_k; mean);
affine_super!(BlockQ4K, 32, 8, q4_k, k_scales, q4_k::SCALE_LIMIT; twice_the_mean);
affine_super!(BlockQ5K, 32, 8, q5_k, k_scales, q5_k::SCALE_LIMIT; twice_the_mean);

impl GuidedBlock<QK_K, 16, 16> for BlockQ3K {
    type Found = f32;
    /// Factor and quantized scales.
    type Scales = (f32, [u8; 16]);
    const LEVEL_OF: LevelOf = LevelOf::Block;

    #[inline(always)]
    fn level<S: Isa>(isa: S, sum: S::F) -> S::F {
        twice_the_mean(isa, sum)
    }

    #[inline(always)]
    fn search<S: Isa>(isa: S, group: &Group<'_, S, 16>, found: &mut [f32]) {
        let fit = symmetric::fit_signed(isa, q3_k::HALF, &group.x, &group.weights);
        found.copy_from_slice(&lanes_of::<S>(fit.scale)[..found.len()]);
    }

    #[inline(always)]
    fn quantize_scales<S: Isa>(
        isa: S,
        found: &[[f32; 16]],
        sums: &[[f32; 16]],
        scales: &mut [Self::Scales],
    ) {
        const HALF: i32 = q3_k::SCALE_HALF;
        let zero = isa.splat(0.0);
        let (half, highest) = (isa.splat(HALF as f32), isa.splat((HALF - 1) as f32));
        for ((found, sums), scales) in found
            .chunks(S::LANES)
            .zip(sums.chunks(S::LANES))
            .zip(scales.chunks_mut(S::LANES))
        {
            let x = columns(isa, found, |scale| *scale);
            let weights = columns(isa, sums, |sum| *sum);
            let fit = symmetric::fit_signed(isa, HALF, &x, &weights);
            let empty = fit.inverse.eq(zero);
            let mut wild = zero.lt(zero);
            let mut quants = x;
            for q in &mut quants {
                // Importances without measure make scales that are not finite.
                wild = wild.or(zero.eq(zero).and_not((*q * zero).eq(zero)));
                let l = (fit.inverse * *q).round().max(zero - half).min(highest);
                *q = zero.or_else(empty, l + half);
            }
            let (factors, quants) = (lanes_of::<S>(fit.scale), bytes::<S, 16>(&quants));
            for ((scales, factor), quants) in scales.iter_mut().zip(factors).zip(quants) {
                *scales = (factor, quants);
            }
            for_each_lane(wild, found.len(), |lane| {
                scales[lane] = Self::fit_scales(&found[lane], &sums[lane]);
            });
        }
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], importance: &[f32; QK_K], scales: Self::Scales) -> Self {
        Self::assemble_guided(x, importance, scales)
    }
}

impl GuidedBlock<QK_K, 16, 16> for BlockQ6K {
    type Found = f32;
    type Scales = [f32; 16];
    const LEVEL_OF: LevelOf = LevelOf::Nothing;

    #[inline(always)]
    fn weights<S: Isa>(_: S, _: &[S::F; 16], importance: &[S::F; 16], _: S::F) -> [S::F; 16] {
        *importance
    }

    #[inline(always)]
    fn search<S: Isa>(isa: S, group: &Group<'_, S, 16>, found: &mut [f32]) {
        let fit = symmetric::fit_signed(isa, Q6_K_HALF, &group.x, &group.weights);
        found.copy_from_slice(&lanes_of::<S>(fit.scale)[..found.len()]);
    }

    #[inline(always)]
    fn quantize_scales<S: Isa>(
        _: S,
        found: &[[f32; 16]],
        _: &[[f32; 16]],
        scales: &mut [[f32; 16]],
    ) {
        scales.copy_from_slice(found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], importance: &[f32; QK_K], found: [f32; 16]) -> Self {
        Self::assemble_guided(x, importance, &found)
    }
}

macro_rules! levels_block {
    ($block:ident, $all:literal, $subs:literal) => {
        impl GuidedBlock<$all, 32, $subs> for $block {
            type Found = f32;
            type Scales = [f32; $subs];
            const LEVEL_OF: LevelOf = LevelOf::Block;

            #[inline(always)]
            fn level<S: Isa>(isa: S, sum: S::F) -> S::F {
                sum * isa.splat(Self::LEVEL)
            }

            #[inline(always)]
            fn search<S: Isa>(isa: S, group: &Group<'_, S, 32>, found: &mut [f32]) {
                let scales = levels::fit_levels(isa, &group.x, &group.weights);
                found.copy_from_slice(&lanes_of::<S>(scales)[..found.len()]);
            }

            #[inline(always)]
            fn quantize_scales<S: Isa>(
                _: S,
                found: &[[f32; $subs]],
                _: &[[f32; $subs]],
                scales: &mut [[f32; $subs]],
            ) {
                scales.copy_from_slice(found);
            }

            #[inline(always)]
            fn assemble(x: &[f32; $all], _: &[f32; $all], found: [f32; $subs]) -> Self {
                Self::assemble(x, &found)
            }
        }
    };
}
levels_block!(BlockIQ4NL, 32, 1);
levels_block!(BlockIQ4XS, 256, 8);

macro_rules! symmetric_block {
    ($block:ident, $module:ident) => {
        impl GuidedBlock<32, 32, 1> for $block {
            type Found = Symmetric;
            type Scales = Symmetric;
            const LEVEL_OF: LevelOf = LevelOf::Row;

            #[inline(always)]
            fn search<S: Isa>(isa: S, group: &Group<'_, S, 32>, found: &mut [Symmetric]) {
                let fit = symmetric::fit_signed(isa, $module::HALF, &group.x, &group.weights);
                let (scales, inverses) = (lanes_of::<S>(fit.scale), lanes_of::<S>(fit.inverse));
                for ((found, scale), inverse) in found.iter_mut().zip(scales).zip(inverses) {
                    *found = Symmetric { scale, inverse };
                }
            }

            #[inline(always)]
            fn quantize_scales<S: Isa>(
                _: S,
                found: &[[Symmetric; 1]],
                _: &[[f32; 1]],
                scales: &mut [Symmetric],
            ) {
                scales.copy_from_slice(found.as_flattened());
            }

            #[inline(always)]
            fn assemble(x: &[f32; 32], _: &[f32; 32], found: Symmetric) -> Self {
                Self::assemble_guided(x, found)
            }
        }
    };
}
symmetric_block!(BlockQ4_0, q4_0);
symmetric_block!(BlockQ5_0, q5_0);

/// What the affine search finds for a block whose quants are the search's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AffineQuants {
    found: Affine,
    /// The quants are `(x - base) * inverse`, rounded.
    inverse: f32,
    base: f32,
    /// If the block is to be done again in scalar code, the level of its weights.
    again: Option<f32>,
}

macro_rules! affine_block {
    ($block:ident, $module:ident) => {
        impl GuidedBlock<32, 32, 1> for $block {
            type Found = AffineQuants;
            type Scales = AffineQuants;
            const LEVEL_OF: LevelOf = LevelOf::Row;

            #[inline(always)]
            fn search<S: Isa>(isa: S, group: &Group<'_, S, 32>, found: &mut [AffineQuants]) {
                let fit = affine::fit_apart(isa, &$module::GUIDED, &group.x, &group.weights);
                let (scales, mins) = (lanes_of::<S>(fit.scale), lanes_of::<S>(fit.min));
                let (inverses, bases) = (lanes_of::<S>(fit.inverse), lanes_of::<S>(fit.base));
                for (lane, found) in found.iter_mut().enumerate() {
                    *found = AffineQuants {
                        found: Affine {
                            scale: scales[lane],
                            min: -mins[lane],
                        },
                        inverse: inverses[lane],
                        base: bases[lane],
                        again: None,
                    };
                }
                let zero = isa.splat(0.0);
                let wild = fit.wild.or(fit.smallest.eq(zero));
                for_each_lane(wild, found.len(), |lane| {
                    found[lane].again = Some(group.levels[lane]);
                });
            }

            #[inline(always)]
            fn quantize_scales<S: Isa>(
                _: S,
                found: &[[AffineQuants; 1]],
                _: &[[f32; 1]],
                scales: &mut [AffineQuants],
            ) {
                scales.copy_from_slice(found.as_flattened());
            }

            #[inline(always)]
            fn assemble(x: &[f32; 32], importance: &[f32; 32], quants: AffineQuants) -> Self {
                if let Some(level) = quants.again {
                    return Self::encode_guided(x, importance, level);
                }
                let q_max = i32::from($module::GUIDED.q_max);
                let mut q = [0; 32];
                for (q, v) in q.iter_mut().zip(x) {
                    let l = nearest_int(quants.inverse * (v - quants.base));
                    *q = l.clamp(0, q_max) as u8;
                }
                Self::of_quants(quants.found, &q)
            }
        }
    };
}
affine_block!(BlockQ4_1, q4_1);
affine_block!(BlockQ5_1, q5_1);
