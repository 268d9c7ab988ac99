//! Thirty-two rows of weights, unpacked and turned so that one vector holds one column.

use super::formats::Format;
use super::unpack::{Unpack, Unpacked};
use super::{PANEL, UNIT};

/// 64 bytes at an address that is a multiple of 64: four columns of sixteen rows, row-major.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Quads(pub(super) [[u8; 4]; 16]);

/// 64 bytes of floats at an aligned address: one number for each of sixteen rows.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, bytemuck::Zeroable, bytemuck::Pod)]
pub(super) struct Sixteen(pub(super) [f32; 16]);

/// Up to 32 rows in the common form, ready for [`Kernels::matmul_quant`].
///
/// [`Kernels::matmul_quant`]: super::Kernels::matmul_quant
#[derive(Debug, Default)]
pub struct QuantPanel {
    /// `[unit][4 columns: 64][16 rows: 2]`
    pub(super) quads: Vec<Quads>,
    /// `[unit][group][16 rows: 2]`
    pub(super) scales: Vec<Sixteen>,
    /// `[unit][group][16 rows: 2]`
    pub(super) mins: Vec<Sixteen>,
    pub(super) group: usize,
    pub(super) units: usize,
    pub(super) wide: bool,
    pub(super) offset: f32,
    pub(super) cols: usize,
}

impl QuantPanel {
    /// An empty panel, to be filled by [`Kernels::pack_quant`](super::Kernels::pack_quant).
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills the panel from `rows` of `row_bytes` bytes; `unpack` does one unit. Rows up to the
    /// 32nd that are not there become zero.
    pub(super) fn fill<F: Format>(
        &mut self,
        rows: &[u8],
        cols: usize,
        mut unpack: impl FnMut(&[u8], &mut Unpacked),
    ) {
        let row_bytes = cols / F::TYPE.block_elems() * F::BYTES;
        let count = rows.len() / row_bytes;
        let groups = UNIT / F::GROUP;
        self.units = cols.div_ceil(UNIT);
        (self.group, self.wide, self.cols) = (F::GROUP, F::WIDE, cols);
        self.offset = F::OFFSET;
        let zeros = Sixteen([0.0; 16]);
        if count < PANEL {
            self.quads.clear();
            self.scales.clear();
            self.mins.clear();
        }
        self.quads
            .resize(self.units * UNIT / 4 * 2, Quads([[0; 4]; 16]));
        self.scales.resize(self.units * groups * 2, zeros);
        self.mins.resize(self.units * groups * 2, zeros);
        let mut unpacked = Unpacked::ZERO;
        for (row, bytes) in rows.chunks_exact(row_bytes).enumerate() {
            let (half, lane) = (row / 16, row % 16);
            for (unit, bytes) in bytes.chunks(F::UNIT_BYTES).enumerate() {
                unpack(bytes, &mut unpacked);
                let quads = &mut self.quads[unit * UNIT / 2..][..UNIT / 2];
                for (pair, quad) in quads.chunks_exact_mut(2).zip(unpacked.u.chunks_exact(4)) {
                    pair[half].0[lane].copy_from_slice(quad);
                }
                let at = unit * groups * 2..(unit + 1) * groups * 2;
                for (pair, s) in self.scales[at.clone()]
                    .chunks_exact_mut(2)
                    .zip(unpacked.scale)
                {
                    pair[half].0[lane] = s;
                }
                for (pair, m) in self.mins[at].chunks_exact_mut(2).zip(unpacked.min) {
                    pair[half].0[lane] = m;
                }
            }
        }
    }

    /// [`fill`](Self::fill) with the portable unpacking.
    pub(super) fn fill_portably<F: Unpack>(&mut self, rows: &[u8], cols: usize) {
        self.fill::<F>(rows, cols, F::unpack);
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
