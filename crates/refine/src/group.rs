//! Sixteen rows of a matrix on their way from weights to blocks.

use crate::block::{BlockLanes, Choose, Scales, Search, TakeBetter};
use crate::lanes::{LANES, Lane, transpose};
use crate::{Error, Symmetric};
use aeolus_gguf::TensorType;
use aeolus_quant::fields::{self, Fields, Geometry, Levels};
use aeolus_quant::{Cpu, Float, Isa, LaneWork, f16_to_f32, f32_to_f16};
use std::ops::Range;

/// Columns whose carried errors are made at a time.
pub(crate) const SPAN: usize = 256;

/// Rows of the factor that one pass over a span takes: they stay in the cache for all groups.
pub(crate) const DEPTH: usize = 64;

/// What all rows of a matrix have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'a> {
    pub cpu: Cpu,
    pub ty: TensorType,
    pub geometry: Geometry,
    pub cols: usize,
    /// The factor `R` of the inputs' moments, `[cols, cols]`.
    pub factor: &'a Symmetric,
    /// Importance of the columns for the search that the scales start from, `[cols]`.
    pub importance: &'a [f32],
    pub search: Search,
}

impl Columns<'_> {
    /// Adds products of errors with rows of a matrix: `carried_j += sum_i errors_i factor_ij`.
    pub(crate) fn carry(&self, errors: &[Lane], factor: &[&[f32]], carried: &mut [Lane]) {
        self.cpu.run_lanes(Carry {
            errors,
            factor,
            carried,
        });
    }

    /// Columns `columns` of rows `rows` of the factor, which lie on or before the first of them.
    pub(crate) fn factor_rows(&self, rows: Range<usize>, columns: &Range<usize>) -> Vec<&[f32]> {
        rows.map(|i| &self.factor.row(i)[columns.start - i..columns.end - i])
            .collect()
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.cols / self.geometry.block * self.ty.block_bytes()
    }
}

/// Up to sixteen rows.
#[derive(Debug)]
pub(crate) struct Group {
    rows: usize,
    /// `[cols]`
    weights: Vec<Lane>,
    /// What was chosen for each block besides its codes.
    scales: Vec<Scales>,
    /// `w - q`, `[cols]`, as far as it is known.
    pub errors: Vec<Lane>,
    /// `z`, `[cols]`, as far as it is known.
    pub entries: Vec<Lane>,
    /// What errors before a span make of its columns.
    pub carried: [Lane; SPAN],
    /// The blocks, `[rows, row_bytes]`.
    pub bytes: Vec<u8>,
}

impl Group {
    /// A group of the rows `x`, `[rows, cols]`.
    pub(crate) fn new(columns: &Columns<'_>, x: &[f32]) -> Self {
        let cols = columns.cols;
        let rows = x.len() / cols;
        Self {
            rows,
            weights: transpose(x, cols),
            scales: vec![Scales::default(); cols / columns.geometry.block],
            errors: vec![[0.0; LANES]; cols],
            entries: vec![[0.0; LANES]; cols],
            carried: [[0.0; LANES]; SPAN],
            bytes: vec![0; rows * columns.row_bytes()],
        }
    }

    /// Adds what the errors of columns `rows` make of a span's; `factor` are the factor's rows there.
    pub(crate) fn carry(&mut self, columns: &Columns<'_>, rows: Range<usize>, factor: &[&[f32]]) {
        let len = factor.first().map_or(0, |row| row.len());
        columns.carry(&self.errors[rows], factor, &mut self.carried[..len]);
    }

    /// Chooses the codes of a span that follows on those that are known, with `before` as carried errors to
    /// begin with.
    pub(crate) fn span(
        &mut self,
        columns: &Columns<'_>,
        span: Range<usize>,
        before: &[Lane; SPAN],
    ) -> Result<(), Error> {
        self.carried = *before;
        for first in (0..span.start).step_by(DEPTH) {
            let rows = first..span.start.min(first + DEPTH);
            self.carry(columns, rows.clone(), &columns.factor_rows(rows, &span));
        }
        self.choose(columns, span)
    }

    /// Chooses the codes of the columns of a span, for which [`carried`](Self::carried) is known.
    pub(crate) fn choose(
        &mut self,
        columns: &Columns<'_>,
        span: Range<usize>,
    ) -> Result<(), Error> {
        let size = columns.geometry.block;
        let (mut best, mut trial) = (BlockLanes::new(), BlockLanes::new());
        for first in span.clone().step_by(size) {
            let block = first..first + size;
            let factor: Vec<&[f32]> = block.clone().map(|i| columns.factor.row(i)).collect();
            let at = first - span.start;
            let carried = self.carried[at..at + size].to_vec();
            best.scales = self.start(columns, first, &carried, &factor)?;
            let weights = &self.weights[block.clone()];
            search(columns, weights, &carried, &factor, (&mut best, &mut trial));
            self.errors[block.clone()].copy_from_slice(&best.errors[..size]);
            self.entries[block.clone()].copy_from_slice(&best.entries[..size]);
            let behind = block.end..span.end;
            if !behind.is_empty() {
                let factor = columns.factor_rows(block.clone(), &behind);
                columns.carry(
                    &self.errors[block],
                    &factor,
                    &mut self.carried[behind.start - span.start..span.len()],
                );
            }
            for row in 0..self.rows {
                self.write(columns, first / size, &best, row)?;
            }
        }
        Ok(())
    }

    /// Searches a block again from the fields it has.
    pub(crate) fn search_again(
        &self,
        columns: &Columns<'_>,
        number: usize,
        carried: &[Lane],
        factor: &[&[f32]],
        found: &mut BlockLanes,
    ) {
        let size = columns.geometry.block;
        let weights = &self.weights[number * size..(number + 1) * size];
        found.scales = self.scales[number].clone();
        let mut trial = BlockLanes::new();
        search(columns, weights, carried, factor, (found, &mut trial));
    }

    /// Takes over what was found for a block in the rows where `is_better`.
    pub(crate) fn replace(
        &mut self,
        columns: &Columns<'_>,
        number: usize,
        found: &BlockLanes,
        is_better: impl Fn(usize) -> bool,
    ) -> Result<(), Error> {
        for row in (0..self.rows).filter(|&row| is_better(row)) {
            self.write(columns, number, found, row)?;
        }
        Ok(())
    }

    /// Keeps the fields of a block in one row, and writes its bytes.
    fn write(
        &mut self,
        columns: &Columns<'_>,
        number: usize,
        found: &BlockLanes,
        row: usize,
    ) -> Result<(), Error> {
        let (ty, size) = (columns.ty, columns.ty.block_bytes());
        self.scales[number].copy_row(&found.scales, row);
        let at = row * columns.row_bytes() + number * size;
        let fields = found.fields(&columns.geometry, row);
        fields::pack(ty, &fields, &mut self.bytes[at..at + size]).ok_or(Error::NotRefinable { ty })
    }

    /// `e R` over all columns, `[cols]`.
    pub(crate) fn times_factor(&self, columns: &Columns<'_>) -> Vec<Lane> {
        let mut product = vec![[0.0; LANES]; columns.cols];
        for (i, e) in self.errors.iter().enumerate() {
            columns.carry(
                std::slice::from_ref(e),
                &[columns.factor.row(i)],
                &mut product[i..],
            );
        }
        product
    }

    /// Where the search of a block starts: the fields that the plain encoder chooses for the weights as the
    /// errors before the block move them.
    fn start(
        &self,
        columns: &Columns<'_>,
        first: usize,
        carried: &[Lane],
        factor: &[&[f32]],
    ) -> Result<Scales, Error> {
        let Columns { ty, geometry, .. } = *columns;
        let size = geometry.block;
        let mut moved = vec![0.0; self.rows * size];
        for (i, row) in factor.iter().enumerate() {
            let (w, c) = (&self.weights[first + i], &carried[i]);
            for l in 0..self.rows {
                moved[l * size + i] = w[l] + c[l] / row[0];
            }
        }
        let mut bytes = vec![0; self.rows * ty.block_bytes()];
        let importance = Some(&columns.importance[first..first + size]);
        columns
            .cpu
            .encode_rows(ty, &moved, size, importance, &mut bytes)?;
        let mut scales = Scales::default();
        for (row, block) in bytes.chunks_exact(ty.block_bytes()).enumerate() {
            let fields = fields::unpack(ty, block).ok_or(Error::NotRefinable { ty })?;
            scales.d[row] = fields.d;
            scales.dmin[row] = fields.dmin;
            for sub in 0..geometry.sub_blocks() {
                scales.scales[sub][row] = f32::from(fields.scales[sub]);
                scales.mins[sub][row] = f32::from(fields.mins[sub]);
            }
        }
        Ok(scales)
    }
}

/// The codes of a block under the factors that the search starts from, and under others near them: the
/// first of `blocks` begins with where to start and ends with what is best, the second is room for trials.
fn search(
    columns: &Columns<'_>,
    weights: &[Lane],
    carried: &[Lane],
    factor: &[&[f32]],
    (best, trial): (&mut BlockLanes, &mut BlockLanes),
) {
    let Columns { cpu, geometry, .. } = columns;
    let choose = |block: &mut BlockLanes| {
        cpu.run_lanes(Choose {
            geometry,
            search: columns.search,
            weights,
            carried,
            factor,
            block,
        });
    };
    let start = best.scales.clone();
    choose(best);
    for (d, dmin) in trials(geometry, columns.search.factors) {
        trial.scales = start.times(geometry, d, dmin);
        choose(trial);
        cpu.run_lanes(TakeBetter {
            block: best,
            other: trial,
            len: geometry.block,
        });
    }
}

impl Scales {
    /// The fields with other factors `d` and `dmin`, and scales and minimums that come to the same as
    /// before.
    fn times(&self, geometry: &Geometry, d: f32, dmin: f32) -> Self {
        // Scales stand for themselves and the offset, minimums for themselves.
        let moved =
            |lane: &Lane, factor: f32, (low, high): (f32, f32), offset: f32| match high - low > 1.0
            {
                true => lane.map(|x| ((x + offset) / factor - offset).round().clamp(low, high)),
                false => *lane,
            };
        let limits = (f32::from(geometry.scales.0), f32::from(geometry.scales.1));
        let largest = f32::from(geometry.mins.unwrap_or(0));
        let mut other = self.clone();
        other.d = self.d.map(|x| to_f16(x * d));
        other.dmin = self.dmin.map(|x| to_f16(x * dmin));
        for sub in 0..geometry.sub_blocks() {
            other.scales[sub] = moved(&self.scales[sub], d, limits, geometry.scale_offset);
            other.mins[sub] = moved(&self.mins[sub], dmin, (0.0, largest), 0.0);
        }
        other
    }
}

/// Pairs of factors for `d` and `dmin`.
fn trials(geometry: &Geometry, factors: &[f32]) -> Vec<(f32, f32)> {
    let each = factors.iter().flat_map(|&f| match geometry.mins {
        Some(_) => vec![(f, 1.0), (1.0, f), (f, f)],
        None => vec![(f, 1.0)],
    });
    each.collect()
}

fn to_f16(x: f32) -> f32 {
    f16_to_f32(f32_to_f16(x))
}

impl BlockLanes {
    /// The fields of one row.
    fn fields(&self, geometry: &Geometry, row: usize) -> Fields {
        let mut fields = Fields {
            d: self.scales.d[row],
            dmin: self.scales.dmin[row],
            ..Fields::default()
        };
        for sub in 0..geometry.sub_blocks() {
            fields.scales[sub] = self.scales.scales[sub][row] as i16;
            fields.mins[sub] = self.scales.mins[sub][row] as i16;
        }
        let lowest = match geometry.levels {
            Levels::Even { lowest, .. } => f32::from(lowest),
            Levels::Uneven(_) | Levels::Points(_) => 0.0,
        };
        for (code, lane) in fields.codes.iter_mut().zip(&self.codes[..geometry.block]) {
            *code = (lane[row] - lowest) as u8;
        }
        fields
    }
}

/// Adds what some errors make of the columns of a span: `carried_j += sum_i e_i R_ij`.
struct Carry<'a> {
    /// `[rows of the factor]`
    errors: &'a [Lane],
    /// Columns of the span in each of these rows: `[rows of the factor][span]`.
    factor: &'a [&'a [f32]],
    /// `[span]`
    carried: &'a mut [Lane],
}

/// Columns that are summed up at a time.
const TILE: usize = 4;

impl LaneWork for Carry<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let len = self.carried.len();
        let (tiles, rest) = self.carried.as_chunks_mut::<TILE>();
        for (tile, carried) in tiles.iter_mut().enumerate() {
            let mut sums = [isa.splat(0.0); TILE];
            for (e, row) in self.errors.iter().zip(self.factor) {
                let e = isa.load(e);
                let row = &row.as_chunks::<TILE>().0[tile];
                for t in 0..TILE {
                    sums[t] = sums[t] + e * isa.splat(row[t]);
                }
            }
            for (carried, sum) in carried.iter_mut().zip(sums) {
                (isa.load(carried) + sum).store(carried);
            }
        }
        let first = len - rest.len();
        for (t, carried) in rest.iter_mut().enumerate() {
            let mut sum = isa.splat(0.0);
            for (e, row) in self.errors.iter().zip(self.factor) {
                sum = sum + isa.load(e) * isa.splat(row[first + t]);
            }
            (isa.load(carried) + sum).store(carried);
        }
    }
}
