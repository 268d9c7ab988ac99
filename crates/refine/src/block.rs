//! The codes of one block of sixteen rows, chosen column after column with feedback.
//!
//! For column `j` there is what the errors before it and the factor `R` make of it, the *carried* error
//! `c_j = sum_{i<j} e_i R_ij`. The entry of `E R` is `z_j = c_j + e_j R_jj`, and codes are best where it is
//! smallest: how they are found is up to [`Round`]. Scale and minimum of a sub-block are tried around where
//! they start, with the codes that feedback gives for each; the pair with the smallest sum of `z_j^2` stays.

use crate::lanes::{LANES, Lane, carry_on, take};
use crate::levels::{EvenLevels, UnevenLevels};
use crate::points::Points;
use crate::round::{Due, Round, Under};

use aeolus_quant::fields::{Geometry, Levels, SUB_BLOCKS};
use aeolus_quant::{Float, Isa, LaneWork, Mask};

/// The most weights in a block.
pub(crate) const LARGEST_BLOCK: usize = 256;

/// The most weights in a sub-block.
const LARGEST_SUB_BLOCK: usize = 32;

/// How far is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Steps of a sub-block's scale and minimum in each direction.
    pub steps: i16,
    /// How often the search goes on around what it found.
    pub rounds: usize,
    /// Factors that `d` and `dmin` are tried with, each alone and both together, besides 1.
    pub factors: &'static [f32],
}

/// Fields of the same block in sixteen rows but for its codes. Scales and minimums are whole numbers.
#[derive(Clone, Debug)]
pub(crate) struct Scales {
    pub d: Lane,
    pub dmin: Lane,
    pub scales: [Lane; SUB_BLOCKS],
    pub mins: [Lane; SUB_BLOCKS],
}

impl Default for Scales {
    fn default() -> Self {
        Self {
            d: [0.0; LANES],
            dmin: [0.0; LANES],
            scales: [[0.0; LANES]; SUB_BLOCKS],
            mins: [[0.0; LANES]; SUB_BLOCKS],
        }
    }
}

impl Scales {
    /// Takes over one row.
    pub(crate) fn copy_row(&mut self, other: &Self, row: usize) {
        self.d[row] = other.d[row];
        self.dmin[row] = other.dmin[row];
        for sub in 0..SUB_BLOCKS {
            self.scales[sub][row] = other.scales[sub][row];
            self.mins[sub][row] = other.mins[sub][row];
        }
    }
}

/// What is chosen for the same block in sixteen rows.
#[derive(Clone, Debug)]
pub(crate) struct BlockLanes {
    pub scales: Scales,
    /// Levels of the codes, or their numbers where levels are uneven: `[block]`.
    pub codes: [Lane; LARGEST_BLOCK],
    /// `w - q`, `[block]`.
    pub errors: [Lane; LARGEST_BLOCK],
    /// `z`, `[block]`.
    pub entries: [Lane; LARGEST_BLOCK],
    /// Sum of the squares of `z`.
    pub cost: Lane,
}

impl BlockLanes {
    /// Nothing chosen yet.
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            scales: Scales::default(),
            codes: [[0.0; LANES]; LARGEST_BLOCK],
            errors: [[0.0; LANES]; LARGEST_BLOCK],
            entries: [[0.0; LANES]; LARGEST_BLOCK],
            cost: [f32::INFINITY; LANES],
        })
    }
}

/// Chooses codes, scales and minimums of a block under given factors `d` and `dmin`. What `block` has for
/// scales and minimums is where the search starts.
pub(crate) struct Choose<'a> {
    pub geometry: &'a Geometry,
    pub search: Search,
    /// The weights, `[block]`.
    pub weights: &'a [Lane],
    /// What errors before the block make of its columns, `[block]`.
    pub carried: &'a [Lane],
    /// Row `i` of the factor from its diagonal on, at least to the end of the block: `[block]`.
    pub factor: &'a [&'a [f32]],
    pub block: &'a mut BlockLanes,
}

impl LaneWork for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        match self.geometry.levels {
            Levels::Even { lowest, highest } => {
                choose(isa, self, EvenLevels::of(isa, lowest, highest));
            }
            Levels::Uneven(levels) => choose(isa, self, UnevenLevels(levels)),
            Levels::Points(codebook) => match (codebook.group, codebook.even_signs) {
                (8, true) => choose(isa, self, Points::<_, 8, true>::of(isa, &codebook)),
                (8, false) => choose(isa, self, Points::<_, 8, false>::of(isa, &codebook)),
                (_, true) => choose(isa, self, Points::<_, 4, true>::of(isa, &codebook)),
                (_, false) => choose(isa, self, Points::<_, 4, false>::of(isa, &codebook)),
            },
        }
    }
}

/// The columns of a sub-block.
struct SubBlock<'a, F> {
    weights: &'a [F],
    factor: &'a [&'a [f32]],
}

/// How scales and minimums of whole numbers become those of weights.
#[derive(Clone, Copy)]
struct Factors<F> {
    d: F,
    dmin: F,
    offset: F,
}

impl<F: Float> Factors<F> {
    #[inline(always)]
    fn under<S: Isa<F = F>>(self, isa: S, scale: F, min: F) -> Under<F> {
        let scale = self.d * (scale + self.offset);
        let zero = isa.splat(0.0);
        let inverse = isa.splat(1.0) / scale;
        Under {
            scale,
            min: self.dmin * min,
            inverse: zero.or_else(scale.eq(zero), inverse),
        }
    }
}

#[inline(always)]
fn choose<S: Isa, const N: usize, R: Round<S, N>>(isa: S, task: Choose<'_>, levels: R) {
    let Choose {
        geometry,
        search,
        weights,
        carried,
        factor,
        block,
    } = task;
    let size = geometry.sub_block;
    let (low, high) = geometry.scales;
    let largest_min = geometry.mins.unwrap_or(0);
    let scale_steps = if high > low { search.steps } else { 0 };
    let min_steps = if largest_min > 1 { search.steps } else { 0 };
    let (low, high) = (isa.splat(f32::from(low)), isa.splat(f32::from(high)));
    let (zero, largest_min) = (isa.splat(0.0), isa.splat(f32::from(largest_min)));
    let mut all = [zero; LARGEST_BLOCK];
    for (all, carried) in all[..geometry.block].iter_mut().zip(carried) {
        *all = isa.load(carried);
    }
    let factors = Factors {
        d: isa.load(&block.scales.d),
        dmin: isa.load(&block.scales.dmin),
        offset: isa.splat(geometry.scale_offset),
    };
    let mut total = zero;
    for sub in 0..geometry.sub_blocks() {
        let start = sub * size;
        let mut here = [zero; LARGEST_SUB_BLOCK];
        for (here, weights) in here.iter_mut().zip(&weights[start..start + size]) {
            *here = isa.load(weights);
        }
        let columns = SubBlock {
            weights: &here[..size],
            factor: &factor[start..start + size],
        };
        let carried = &all[start..start + size];
        let mut scales = isa.load(&block.scales.scales[sub]);
        let mut mins = isa.load(&block.scales.mins[sub]);
        let mut best = columns.cost(isa, levels, carried, factors.under(isa, scales, mins));
        for _ in 0..search.rounds {
            let around = (scales, mins);
            let mut moved = false;
            for scale_step in -scale_steps..=scale_steps {
                for min_step in -min_steps..=min_steps {
                    if (scale_step, min_step) == (0, 0) {
                        continue;
                    }
                    let step = |from: S::F, step: i16, low: S::F, high: S::F| {
                        (from + isa.splat(f32::from(step))).max(low).min(high)
                    };
                    let other_scales = step(around.0, scale_step, low, high);
                    let other_mins = step(around.1, min_step, zero, largest_min);
                    let under = factors.under(isa, other_scales, other_mins);
                    let cost = columns.cost(isa, levels, carried, under);
                    let better = cost.lt(best);
                    moved |= better.any();
                    take(better, &mut best, cost);
                    take(better, &mut scales, other_scales);
                    take(better, &mut mins, other_mins);
                }
            }
            if !moved || (scale_steps, min_steps) == (0, 0) {
                break;
            }
        }
        scales.store(&mut block.scales.scales[sub]);
        mins.store(&mut block.scales.mins[sub]);
        let under = factors.under(isa, scales, mins);
        for (k, weights) in columns.weights.as_chunks::<N>().0.iter().enumerate() {
            let first = start + k * N;
            let (before, behind) = all[..geometry.block].split_at_mut(first + N);
            let rounded = levels.round(
                isa,
                &Due {
                    weights,
                    carried: &before.as_chunks::<N>().0[first / N],
                    factor: &factor[first..first + N],
                    under,
                },
            );
            for n in 0..N {
                rounded.codes[n].store(&mut block.codes[first + n]);
                rounded.errors[n].store(&mut block.errors[first + n]);
                rounded.entries[n].store(&mut block.entries[first + n]);
                total = total + rounded.entries[n] * rounded.entries[n];
                carry_on(isa, rounded.errors[n], &factor[first + n][N - n..], behind);
            }
        }
    }
    total.store(&mut block.cost);
}

impl<F: Float> SubBlock<'_, F> {
    /// What a scale and a minimum cost, with the codes that feedback gives for them.
    #[inline(always)]
    fn cost<S: Isa<F = F>, const N: usize, R: Round<S, N>>(
        &self,
        isa: S,
        levels: R,
        carried: &[F],
        under: Under<F>,
    ) -> F {
        let size = self.weights.len();
        let mut all = [isa.splat(0.0); LARGEST_SUB_BLOCK];
        all[..size].copy_from_slice(carried);
        let mut cost = isa.splat(0.0);
        for (k, weights) in self.weights.as_chunks::<N>().0.iter().enumerate() {
            let first = k * N;
            let (before, behind) = all[..size].split_at_mut(first + N);
            let rounded = levels.round(
                isa,
                &Due {
                    weights,
                    carried: &before.as_chunks::<N>().0[k],
                    factor: &self.factor[first..first + N],
                    under,
                },
            );
            for n in 0..N {
                cost = cost + rounded.entries[n] * rounded.entries[n];
                carry_on(
                    isa,
                    rounded.errors[n],
                    &self.factor[first + n][N - n..],
                    behind,
                );
            }
        }
        cost
    }
}

/// Takes over what another trial of the same block has for the rows where that costs less.
pub(crate) struct TakeBetter<'a> {
    pub block: &'a mut BlockLanes,
    pub other: &'a BlockLanes,
    pub len: usize,
}

impl LaneWork for TakeBetter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let (block, other) = (self.block, self.other);
        let better = isa.load(&other.cost).lt(isa.load(&block.cost));
        if !better.any() {
            return;
        }
        let take = |lane: &mut Lane, other: &Lane| {
            isa.load(other).or_else(better, isa.load(lane)).store(lane);
        };
        take(&mut block.cost, &other.cost);
        let (scales, others) = (&mut block.scales, &other.scales);
        take(&mut scales.d, &others.d);
        take(&mut scales.dmin, &others.dmin);
        for sub in 0..SUB_BLOCKS {
            take(&mut scales.scales[sub], &others.scales[sub]);
            take(&mut scales.mins[sub], &others.mins[sub]);
        }
        for i in 0..self.len {
            take(&mut block.codes[i], &other.codes[i]);
            take(&mut block.errors[i], &other.errors[i]);
            take(&mut block.entries[i], &other.entries[i]);
        }
    }
}
