//! Thirty-two rows of weights, unpacked and turned so that one vector holds one column.

use super::unpack::{Form, Unpack, Unpacked};
use super::{PANEL, UNIT};
use crate::kernels::lanes::{Float, Isa};
use bytemuck::{cast_slice, cast_slice_mut};

/// 64 bytes at an address that is a multiple of 64: four columns of sixteen rows, row-major.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, bytemuck::Zeroable, bytemuck::Pod)]
pub(super) struct Quads(pub(super) [[u8; 4]; 16]);

/// 64 bytes of floats at an aligned address: one number for each of sixteen rows.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, bytemuck::Zeroable, bytemuck::Pod)]
pub(super) struct Sixteen(pub(super) [f32; 16]);

/// A unit of up to 32 rows in the common form, what [`Kernels::matmul_quant`] multiplies with.
///
/// [`Kernels::matmul_quant`]: super::Kernels::matmul_quant
#[repr(C)]
#[derive(Clone, Debug)]
pub(super) struct QuantPanel {
    /// `[4 columns: 64][16 rows: 2]`
    pub(super) quads: [Quads; UNIT / 2],
    /// `[group][16 rows: 2]`
    pub(super) scales: [Sixteen; 32],
    /// `[group of a minimum][16 rows: 2]`
    pub(super) mins: [Sixteen; 32],
    pub(super) form: Form,
}

impl QuantPanel {
    pub(super) const EMPTY: Self = Self {
        quads: [Quads([[0; 4]; 16]); UNIT / 2],
        scales: [Sixteen([0.0; 16]); 32],
        mins: [Sixteen([0.0; 16]); 32],
        form: Form::NONE,
    };

    /// Fills the panel from a unit of `rows` of `cols` weights; `unpack` does one row. With `fold`,
    /// formats that [fold](Unpack::FOLDED) do. Rows up to the 32nd that are not there become zero.
    #[inline(always)]
    pub(super) fn fill<F: Unpack, S: Isa>(
        &mut self,
        isa: S,
        (rows, cols, unit): (&[u8], usize, usize),
        fold: bool,
        mut unpack: impl FnMut(&[F], &mut Unpacked),
    ) {
        let row_blocks = cols / F::TYPE.block_elems();
        let first = unit * F::BLOCKS;
        let width = (row_blocks - first).min(F::BLOCKS);
        self.form = match F::FOLDED {
            Some(folded) if fold => folded,
            _ => Form::stored::<F>(),
        };
        let groups = UNIT / self.form.group;
        let mins = UNIT.checked_div(self.form.min_group).unwrap_or(0);
        let mut unpacked = [Unpacked::ZERO; 16];
        let mut rows = cast_slice::<_, F>(rows).chunks_exact(row_blocks);
        for half in 0..2 {
            for out in &mut unpacked {
                let Some(row) = rows.next() else {
                    *out = Unpacked::ZERO;
                    continue;
                };
                let blocks = &row[first..first + width];
                unpack(blocks, out);
                if fold && F::FOLDED.is_some() {
                    blocks[0].fold(out);
                }
            }
            turn(isa, cast_slice_mut(&mut self.quads), half, |lane| {
                cast_slice(&unpacked[lane].u)
            });
            let scales = &mut self.scales[..2 * groups];
            turn(isa, cast_slice_mut(scales), half, |lane| {
                &unpacked[lane].scale
            });
            let mins = &mut self.mins[..2 * mins];
            turn(isa, cast_slice_mut(mins), half, |lane| &unpacked[lane].min);
        }
    }
}

/// Writes sixteen rows of 4-byte elements as columns 16 to 32 elements apart: `out` is
/// `[columns][half: 2][16]`. A row has whole sixteens of elements, of which the first are taken.
#[inline(always)]
fn turn<'a, S: Isa>(isa: S, out: &mut [f32], half: usize, row: impl Fn(usize) -> &'a [f32]) {
    for (part, out) in out.chunks_mut(16 * PANEL).enumerate() {
        for first in (0..16).step_by(S::LANES) {
            let rows: [&[f32; 16]; 16] =
                std::array::from_fn(|lane| &row((first + lane) % 16).as_chunks::<16>().0[part]);
            let columns = isa.columns::<16>(&rows[..S::LANES]);
            for (column, out) in columns.iter().zip(out.chunks_exact_mut(PANEL)) {
                column.store(&mut out[16 * half + first..][..S::LANES]);
            }
        }
    }
}

/// Up to 32 rows of floats turned on their side, `[depth][32]`: the panel of
/// [`Kernels::matmul_f32`](super::Kernels::matmul_f32).
#[derive(Debug, Default)]
pub struct Panel {
    data: Vec<Sixteen>,
}

impl Panel {
    /// An empty panel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills the panel from at most 32 `rows` of `cols` floats; further rows become zero.
    ///
    /// # Panics
    /// If `rows` is not a whole number of rows, or more than 32.
    pub fn fill(&mut self, rows: &[f32], cols: usize) {
        assert!(
            cols > 0 && rows.len().is_multiple_of(cols) && rows.len() / cols <= PANEL,
            "{} floats are not up to {PANEL} rows of {cols}",
            rows.len()
        );
        if rows.len() / cols < PANEL {
            self.data.clear();
        }
        self.data.resize(2 * cols, Sixteen([0.0; 16]));
        // Eight rows at a time: eight streams read, and each written line is touched four times.
        for (block, rows) in rows.chunks(8 * cols).enumerate() {
            let (half, first) = (block / 2, block % 2 * 8);
            for (r, row) in rows.chunks_exact(cols).enumerate() {
                for (pair, &x) in self.data.chunks_exact_mut(2).zip(row) {
                    pair[half].0[first + r] = x;
                }
            }
        }
    }

    /// The panel as one run of floats with a stride of 32.
    pub fn as_slice(&self) -> &[f32] {
        bytemuck::cast_slice(&self.data)
    }
}
