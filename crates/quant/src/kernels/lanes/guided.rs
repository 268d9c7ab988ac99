//! Encoding with a guide: the importance of each column weighs the errors of all rows.
//!
//! Every format that heeds it takes the same steps. For a batch of blocks: the level of the weights
//! (a mean of squares, of the block or of its row), the weights, the search with a sub-block in
//! each lane, then for the K formats the scales with a super-block in each lane, and at last each
//! block by itself from what was found. `formats` says what they are for each format.

mod formats;

use super::{Float, Isa, MAX_LANES, load, load_parts};
use crate::formats::Block;
use crate::search::guided_weights;
use std::ops::Range;

/// Weights whose blocks are searched before they are assembled: they stay in the second-level
/// cache, and what is found for them in the first.
const BATCH: usize = 16_384;

/// Sub-blocks of a batch, at most.
const BATCH_SUBS: usize = BATCH / 16;

/// What the level of the weights is computed from.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum LevelOf {
    /// The mean of the squares of the row.
    Row,
    /// The sum of the squares of the block.
    Block,
    /// The weights have no level.
    Nothing,
}

/// A format with blocks of `ALL` weights in `SUBS` sub-blocks of `N`.
pub(crate) trait GuidedBlock<const ALL: usize, const N: usize, const SUBS: usize>:
    Block<ALL>
{
    /// What the search finds for a sub-block.
    type Found: Copy + Default;

    /// What [`assemble`](Self::assemble) needs to know of a block besides its weights.
    type Scales: Copy + Default;

    /// What the level is computed from.
    const LEVEL_OF: LevelOf;

    /// The level, from the sum of the squares of a block.
    #[inline(always)]
    fn level<S: Isa>(isa: S, sum: S::F) -> S::F {
        let _ = isa;
        sum
    }

    /// What errors weigh.
    #[inline(always)]
    fn weights<S: Isa>(isa: S, x: &[S::F; N], importance: &[S::F; N], level: S::F) -> [S::F; N] {
        let _ = isa;
        let mut weights = *importance;
        for (w, &v) in weights.iter_mut().zip(x) {
            *w = *w * (level + v * v).sqrt();
        }
        weights
    }

    /// Searches as many sub-blocks as there are lanes, one for each of `found` (the last lanes may
    /// have no place there).
    fn search<S: Isa>(isa: S, group: &Group<'_, S, N>, found: &mut [Self::Found]);

    /// Makes the scales of blocks from what was found for their sub-blocks, whose weights add up
    /// to `sums`.
    fn quantize_scales<S: Isa>(
        isa: S,
        found: &[[Self::Found; SUBS]],
        sums: &[[f32; SUBS]],
        scales: &mut [Self::Scales],
    );

    /// Builds the block.
    fn assemble(x: &[f32; ALL], importance: &[f32; ALL], scales: Self::Scales) -> Self;
}

/// Sub-blocks in lanes.
pub(crate) struct Group<'a, S: Isa, const N: usize> {
    x: [S::F; N],
    weights: [S::F; N],
    subs: &'a [[f32; N]],
    guide: &'a Guide<'a, S, N>,
    first: usize,
    levels: &'a [f32],
}

impl<S: Isa, const N: usize> Group<'_, S, N> {
    /// The sub-block in a lane and what its errors weigh, for doing it again in scalar code.
    fn lane(&self, lane: usize) -> (&[f32; N], [f32; N]) {
        let x = &self.subs[lane];
        let importance = self.guide.of(self.first + lane);
        let weights = guided_weights(x, importance, self.levels[lane]);
        (x, weights)
    }
}

/// The importance of a row's columns, for the sub-blocks of all rows.
struct Guide<'a, S: Isa, const N: usize> {
    subs: &'a [[f32; N]],
    /// The row in lanes, if it fills them: rows share it then.
    lanes: Vec<[S::F; N]>,
}

impl<'a, S: Isa, const N: usize> Guide<'a, S, N> {
    #[inline(always)]
    fn new(isa: S, row: &'a [f32]) -> Self {
        let subs = row.as_chunks::<N>().0;
        let mut lanes = Vec::new();
        if subs.len().is_multiple_of(S::LANES) {
            for subs in subs.chunks(S::LANES) {
                lanes.push(load(isa, subs));
            }
        }
        Self { subs, lanes }
    }

    /// That of a sub-block.
    #[inline(always)]
    fn of(&self, sub: usize) -> &'a [f32; N] {
        &self.subs[sub % self.subs.len()]
    }

    /// That of as many sub-blocks as there are lanes.
    #[inline(always)]
    fn columns(&self, isa: S, first: usize) -> [S::F; N] {
        if !self.lanes.is_empty() {
            return self.lanes[first / S::LANES % self.lanes.len()];
        }
        let mut subs = [&self.subs[0]; MAX_LANES];
        for (lane, sub) in subs[..S::LANES].iter_mut().enumerate() {
            *sub = self.of(first + lane);
        }
        isa.columns(&subs[..S::LANES])
    }
}

/// Encodes rows of as many weights as `guide` has into `out`.
#[inline(always)]
pub(crate) fn encode<S, B, const ALL: usize, const N: usize, const SUBS: usize>(
    isa: S,
    x: &[f32],
    guide: &[f32],
    out: &mut [B],
) where
    S: Isa,
    B: GuidedBlock<ALL, N, SUBS>,
{
    const { assert!(ALL == N * SUBS && BATCH.is_multiple_of(ALL)) };
    let batch = BATCH / ALL;
    let mut levels = [0.0; BATCH_SUBS + MAX_LANES];
    let mut found = [B::Found::default(); BATCH_SUBS];
    let mut sums = [0.0; BATCH_SUBS];
    let mut rows = RowLevels::new(guide.len());
    let block_guides = guide.as_chunks::<ALL>().0;
    let guide = Guide::new(isa, guide);

    let blocks = x.as_chunks::<ALL>().0;
    for (i, (blocks, out)) in blocks.chunks(batch).zip(out.chunks_mut(batch)).enumerate() {
        let first = i * batch;
        match B::LEVEL_OF {
            LevelOf::Row => {
                for (j, level) in levels[..blocks.len()].iter_mut().enumerate() {
                    *level = rows.level(isa, x, (first + j) / block_guides.len());
                }
            }
            LevelOf::Block => block_levels::<S, B, ALL, N, SUBS>(isa, blocks, &mut levels),
            LevelOf::Nothing => {}
        }

        let subs = blocks.as_flattened().as_chunks::<N>().0;
        let first_sub = first * SUBS;
        for start in (0..subs.len()).step_by(S::LANES) {
            let lanes = start..subs.len().min(start + S::LANES);
            let levels = &levels[start..][..S::LANES];
            let x = load(isa, &subs[lanes.clone()]);
            let importance = guide.columns(isa, first_sub + start);
            let group = Group {
                weights: B::weights(isa, &x, &importance, isa.load(levels)),
                x,
                subs: &subs[lanes.clone()],
                guide: &guide,
                first: first_sub + start,
                levels,
            };
            let mut sum = isa.splat(0.0);
            for &w in &group.weights {
                sum = sum + w;
            }
            let places = &mut sums[lanes.clone()];
            places.copy_from_slice(&lanes_of::<S>(sum)[..places.len()]);
            B::search(isa, &group, &mut found[lanes]);
        }

        let found = found[..subs.len()].as_chunks::<SUBS>().0.chunks(MAX_LANES);
        let sums = sums[..subs.len()].as_chunks::<SUBS>().0.chunks(MAX_LANES);
        let chunks = blocks.chunks(MAX_LANES).zip(out.chunks_mut(MAX_LANES));
        for (j, ((blocks, out), (found, sums))) in chunks.zip(found.zip(sums)).enumerate() {
            let first = first + j * MAX_LANES;
            let mut scales = [B::Scales::default(); MAX_LANES];
            B::quantize_scales(isa, found, sums, &mut scales[..blocks.len()]);
            for (j, ((out, x), scales)) in out.iter_mut().zip(blocks).zip(scales).enumerate() {
                let importance = &block_guides[(first + j) % block_guides.len()];
                *out = B::assemble(x, importance, scales);
            }
        }
    }
}

/// The lanes in memory, and zeros.
#[inline(always)]
fn lanes_of<S: Isa>(v: S::F) -> [f32; MAX_LANES] {
    let mut lanes = [0.0; MAX_LANES];
    v.store(&mut lanes[..S::LANES]);
    lanes
}

/// The level of each sub-block from the squares of its block, a block in each lane.
#[inline(always)]
fn block_levels<S, B, const ALL: usize, const N: usize, const SUBS: usize>(
    isa: S,
    blocks: &[[f32; ALL]],
    levels: &mut [f32],
) where
    S: Isa,
    B: GuidedBlock<ALL, N, SUBS>,
{
    for (blocks, levels) in blocks
        .chunks(S::LANES)
        .zip(levels.chunks_mut(S::LANES * SUBS))
    {
        let mut sum = isa.splat(0.0);
        for part in 0..SUBS {
            let part = load_parts(isa, blocks, |block| &block.as_chunks::<N>().0[part]);
            for v in part {
                sum = sum + v * v;
            }
        }
        let lanes = lanes_of::<S>(B::level(isa, sum));
        for (levels, level) in levels.chunks_mut(SUBS).zip(lanes) {
            levels.fill(level);
        }
    }
}

/// The means of the squares of rows, computed for several rows at a time when they are needed.
struct RowLevels {
    cols: usize,
    /// The rows that are there.
    rows: Range<usize>,
    levels: [f32; MAX_LANES],
}

impl RowLevels {
    fn new(cols: usize) -> Self {
        Self {
            cols,
            rows: 0..0,
            levels: [0.0; MAX_LANES],
        }
    }

    /// The mean of the squares of a row of `x`. Sums run in the order of the columns.
    #[inline(always)]
    fn level<S: Isa>(&mut self, isa: S, x: &[f32], row: usize) -> f32 {
        if !self.rows.contains(&row) {
            let end = (x.len() / self.cols).min(row + S::LANES);
            self.rows = row..end;
            let mut rows = [&x[..0]; MAX_LANES];
            for (place, row) in rows.iter_mut().zip(row..end) {
                *place = &x[row * self.cols..][..self.cols];
            }
            let rows = &rows[..end - row];
            let mut sum = isa.splat(0.0);
            for part in 0..self.cols / 32 {
                let part = load_parts(isa, rows, |row| &row.as_chunks::<32>().0[part]);
                for v in part {
                    sum = sum + v * v;
                }
            }
            (sum / isa.splat(self.cols as f32)).store(&mut self.levels[..S::LANES]);
        }
        self.levels[row - self.rows.start]
    }
}
