//! Formats with a search: first that, with a sub-block in each lane, then one block after the other
//! from the scales found.

use super::affine::Fit;
use super::{Float, Isa, MAX_LANES, Mask, affine, iterative, levels, load, symmetric};
use crate::formats::{
    Block, BlockIQ4NL, BlockIQ4XS, BlockQ2K, BlockQ3K, BlockQ4K, BlockQ5K, BlockQ6K, Q6_K_HALF,
    QK_K, q2_k, q4_k, q5_k,
};
use crate::search::{Affine, AffineSearch};

/// Weights whose blocks are searched before they are assembled: they stay in the cache.
const BATCH: usize = 128 * QK_K;

/// Sub-blocks of a batch, at most.
pub(crate) const BATCH_SUBS: usize = BATCH / 16;

/// A format with blocks of `ALL` weights in `SUBS` sub-blocks of `N`.
pub(crate) trait LaneSuper<const ALL: usize, const N: usize, const SUBS: usize>:
    Block<ALL>
{
    /// What the search finds for a sub-block.
    type Found: Copy + Default;

    /// Searches at most [`BATCH_SUBS`] sub-blocks, one for each of `found`.
    fn search_all<S: Isa>(isa: S, subs: &[[f32; N]], found: &mut [Self::Found]);

    /// Builds the block.
    fn assemble(x: &[f32; ALL], found: &[Self::Found; SUBS]) -> Self;
}

/// Encodes all blocks of `x` into `out`.
#[inline(always)]
pub(crate) fn encode<S, B, const ALL: usize, const N: usize, const SUBS: usize>(
    isa: S,
    x: &[f32],
    out: &mut [B],
) where
    S: Isa,
    B: LaneSuper<ALL, N, SUBS>,
{
    const { assert!(ALL == N * SUBS && BATCH.is_multiple_of(ALL)) };
    let mut found = [B::Found::default(); BATCH_SUBS];
    for (x, out) in x.chunks(BATCH).zip(out.chunks_mut(BATCH / ALL)) {
        let subs = x.as_chunks::<N>().0;
        B::search_all(isa, subs, &mut found[..subs.len()]);
        let found = found.as_chunks::<SUBS>().0;
        for ((out, x), found) in out.iter_mut().zip(x.as_chunks().0).zip(found) {
            *out = B::assemble(x, found);
        }
    }
}

/// How a format with an affine search weighs errors.
trait Weigh<const N: usize> {
    /// The weight of each element.
    fn weights<S: Isa>(isa: S, x: &[S::F; N]) -> [S::F; N];

    /// Searches one sub-block in scalar code.
    fn search(x: &[f32; N]) -> Affine;
}

/// The affine search for the formats that have one.
#[inline(always)]
fn search_affine<S: Isa, W: Weigh<N>, const N: usize>(
    isa: S,
    search: &AffineSearch,
    subs: &[[f32; N]],
    found: &mut [Affine],
) {
    for (subs, found) in subs.chunks(S::LANES).zip(found.chunks_mut(S::LANES)) {
        let x = load(isa, subs);
        let Fit {
            scale, min, wild, ..
        } = affine::fit(isa, search, &x, &W::weights(isa, &x));
        let (mut scales, mut mins) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
        scale.store(&mut scales[..S::LANES]);
        min.store(&mut mins[..S::LANES]);
        for ((found, scale), min) in found.iter_mut().zip(scales).zip(mins) {
            *found = Affine { scale, min: -min };
        }
        let wild = wild.bits();
        if wild != 0 {
            for (lane, (found, sub)) in found.iter_mut().zip(subs).enumerate() {
                if wild >> lane & 1 != 0 {
                    *found = W::search(sub);
                }
            }
        }
    }
}

/// `q4_k::error_weights` in each lane.
#[inline(always)]
fn error_weights<S: Isa>(isa: S, x: &[S::F; 32]) -> [S::F; 32] {
    let mut sum = isa.splat(0.0);
    for v in x {
        sum = sum + *v * *v;
    }
    let rms = (sum / isa.splat(32.0)).sqrt();
    let mut weights = *x;
    for w in &mut weights {
        *w = rms + w.abs();
    }
    weights
}

impl Weigh<16> for BlockQ2K {
    #[inline(always)]
    fn weights<S: Isa>(_isa: S, x: &[S::F; 16]) -> [S::F; 16] {
        let mut weights = *x;
        for w in &mut weights {
            *w = w.abs();
        }
        weights
    }

    fn search(x: &[f32; 16]) -> Affine {
        Self::search(x)
    }
}

impl LaneSuper<QK_K, 16, 16> for BlockQ2K {
    type Found = Affine;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 16]], found: &mut [Affine]) {
        search_affine::<S, Self, 16>(isa, &q2_k::SEARCH, subs, found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], found: &[Affine; 16]) -> Self {
        Self::assemble(x, found)
    }
}

impl Weigh<32> for BlockQ4K {
    #[inline(always)]
    fn weights<S: Isa>(isa: S, x: &[S::F; 32]) -> [S::F; 32] {
        error_weights(isa, x)
    }

    fn search(x: &[f32; 32]) -> Affine {
        Self::search(x)
    }
}

impl LaneSuper<QK_K, 32, 8> for BlockQ4K {
    type Found = Affine;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 32]], found: &mut [Affine]) {
        search_affine::<S, Self, 32>(isa, &q4_k::SEARCH, subs, found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], found: &[Affine; 8]) -> Self {
        Self::assemble(x, found)
    }
}

impl Weigh<32> for BlockQ5K {
    #[inline(always)]
    fn weights<S: Isa>(isa: S, x: &[S::F; 32]) -> [S::F; 32] {
        error_weights(isa, x)
    }

    fn search(x: &[f32; 32]) -> Affine {
        Self::search(x)
    }
}

impl LaneSuper<QK_K, 32, 8> for BlockQ5K {
    type Found = Affine;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 32]], found: &mut [Affine]) {
        search_affine::<S, Self, 32>(isa, &q5_k::SEARCH, subs, found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], found: &[Affine; 8]) -> Self {
        Self::assemble(x, found)
    }
}

impl LaneSuper<QK_K, 16, 16> for BlockQ3K {
    type Found = f32;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 16]], found: &mut [f32]) {
        iterative::fit_q3_all::<S, 16, BATCH_SUBS>(isa, subs, found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], found: &[f32; 16]) -> Self {
        Self::assemble(x, found)
    }
}

/// The weights of the formats whose errors weigh the square of the value.
#[inline(always)]
fn squares<F: Float, const N: usize>(x: &[F; N]) -> [F; N] {
    let mut squares = *x;
    for v in &mut squares {
        *v = *v * *v;
    }
    squares
}

impl LaneSuper<QK_K, 16, 16> for BlockQ6K {
    type Found = f32;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 16]], found: &mut [f32]) {
        for (subs, found) in subs.chunks(S::LANES).zip(found.chunks_mut(S::LANES)) {
            let mut scales = [0.0; MAX_LANES];
            let x = load(isa, subs);
            symmetric::fit_signed(isa, Q6_K_HALF, &x, &squares(&x))
                .scale
                .store(&mut scales[..S::LANES]);
            found.copy_from_slice(&scales[..found.len()]);
        }
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], found: &[f32; 16]) -> Self {
        Self::assemble(x, found)
    }
}

/// The search for the scales of uneven levels.
#[inline(always)]
fn search_levels<S: Isa>(isa: S, subs: &[[f32; 32]], found: &mut [f32]) {
    for (subs, found) in subs.chunks(S::LANES).zip(found.chunks_mut(S::LANES)) {
        let x = load(isa, subs);
        let mut scales = [0.0; MAX_LANES];
        levels::fit_levels(isa, &x, &squares(&x)).store(&mut scales[..S::LANES]);
        found.copy_from_slice(&scales[..found.len()]);
    }
}

impl LaneSuper<32, 32, 1> for BlockIQ4NL {
    type Found = f32;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 32]], found: &mut [f32]) {
        search_levels(isa, subs, found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; 32], found: &[f32; 1]) -> Self {
        Self::assemble(x, found)
    }
}

impl LaneSuper<QK_K, 32, 8> for BlockIQ4XS {
    type Found = f32;

    #[inline(always)]
    fn search_all<S: Isa>(isa: S, subs: &[[f32; 32]], found: &mut [f32]) {
        search_levels(isa, subs, found);
    }

    #[inline(always)]
    fn assemble(x: &[f32; QK_K], found: &[f32; 8]) -> Self {
        Self::assemble(x, found)
    }
}
