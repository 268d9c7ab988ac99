//! The products of one level as a table, and the safe methods that check every length first.

use aeolus_gguf::TensorType;

use super::activations::{ActivationUnit, Activations, Token};
use super::elementwise::Elementwise;
use super::formats::has_integer_kernel;
use super::panel::{Panel, QuantPanel};
use super::{PANEL, UNIT};

/// `y[t] = row · activations` for the rows of one token.
pub(super) type DotRows = unsafe fn(&[u8], usize, Token<'_>, &mut [f32]);
/// `y[r] = row · x` for rows of floats.
pub(super) type DotFloats = unsafe fn(&[u8], &[f32], &mut [f32]);
/// Fills a panel from a unit, counted from 0, of rows of bytes of so many weights.
pub(super) type Pack = unsafe fn(&mut QuantPanel, (&[u8], usize, usize));
/// Adds the products of a panel with a unit of some tokens to 32 sums of each, rows so many floats apart;
/// with `true` sets them.
pub(super) type Multiply = unsafe fn(&QuantPanel, &[ActivationUnit], &mut [f32], usize, bool);

/// A panel of floats, in f32 or as the bits of f16.
#[derive(Clone, Copy, Debug)]
pub(super) enum FloatPanel<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
}

/// Checked arguments of a float product; see [`Matmul`].
pub(super) struct MatmulArgs<'a> {
    pub(super) x: &'a [f32],
    pub(super) x_stride: usize,
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) panel: FloatPanel<'a>,
    pub(super) panel_stride: usize,
    pub(super) y: &'a mut [f32],
    pub(super) y_stride: usize,
}

/// Tokens that pass by the panels of a unit before the next tokens do: they stay in the second cache
/// meanwhile. A multiple of the tokens that each kernel takes at a time.
pub(super) const CHUNK: usize = 96;

/// Room for the unpacked weights of [`Kernels::matmul_quant`], to be kept from one product to the next.
#[derive(Debug, Default)]
pub struct QuantPanels(Vec<QuantPanel>);

impl QuantPanels {
    /// No room yet: the first product makes it.
    pub const fn new() -> Self {
        Self(Vec::new())
    }
}

/// The operands of a float product: `y[r][0..32] = sum over d of x[r][d] * panel[d][0..32]`.
#[derive(Debug)]
pub struct Matmul<'a> {
    /// The left side, `[rows, depth]`, rows `x_stride` floats apart.
    pub x: &'a [f32],
    /// Floats from one row of `x` to the next.
    pub x_stride: usize,
    /// Rows of `x` and `y`.
    pub rows: usize,
    /// Terms of every sum.
    pub depth: usize,
    /// The result, `[rows, 32]`, rows `y_stride` floats apart.
    pub y: &'a mut [f32],
    /// Floats from one row of `y` to the next.
    pub y_stride: usize,
}

impl<'a> Matmul<'a> {
    fn checked(self, panel: FloatPanel<'a>, panel_stride: usize) -> MatmulArgs<'a> {
        let panel_len = match panel {
            FloatPanel::F32(panel) => panel.len(),
            FloatPanel::F16(panel) => panel.len(),
        };
        check_rows("x", self.x.len(), self.rows, self.depth, self.x_stride);
        check_rows("panel", panel_len, self.depth, PANEL, panel_stride);
        check_rows("y", self.y.len(), self.rows, PANEL, self.y_stride);
        MatmulArgs {
            x: self.x,
            x_stride: self.x_stride,
            rows: self.rows,
            depth: self.depth,
            panel,
            panel_stride,
            y: self.y,
            y_stride: self.y_stride,
        }
    }
}

/// `rows` runs of `width` elements, `stride` apart, must lie within `len` elements.
fn check_rows(what: &str, len: usize, rows: usize, width: usize, stride: usize) {
    let end = (rows.saturating_sub(1))
        .checked_mul(stride)
        .and_then(|start| start.checked_add(width));
    assert!(
        rows == 0 || end.is_some_and(|end| end <= len),
        "{what}: {rows} rows of {width}, {stride} apart, do not fit {len} elements"
    );
}

/// The products of one CPU level. Get them from [`Cpu::kernels`](crate::Cpu::kernels).
#[derive(Debug)]
pub struct Kernels {
    pub(super) name: &'static str,
    pub(super) dot_rows: fn(TensorType) -> Option<DotRows>,
    pub(super) dot_floats: fn(TensorType) -> Option<DotFloats>,
    pub(super) pack: fn(TensorType) -> Option<Pack>,
    pub(super) multiply: Multiply,
    pub(super) matmul_f32: unsafe fn(MatmulArgs<'_>),
    pub(super) elementwise: Elementwise,
}

impl Kernels {
    /// The name of the level.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `y[r] = rows[r] · activations[token]` over whole rows of blocks.
    ///
    /// # Panics
    /// If `ty` has no integer kernel, the row length is no whole number of blocks, `rows` is not
    /// `y.len()` rows, there is no such token, or there are more than [`FEW`](super::FEW).
    pub fn matvec(
        &self,
        ty: TensorType,
        rows: &[u8],
        activations: &Activations,
        token: usize,
        y: &mut [f32],
    ) {
        let row_bytes = quant_row_bytes(ty, activations.cols());
        assert_eq!(
            rows.len(),
            row_bytes * y.len(),
            "bytes of {} rows of {ty}",
            y.len()
        );
        let Some(dot_rows) = (self.dot_rows)(ty) else {
            panic!("{ty} has no integer kernel");
        };
        // SAFETY: a level is only handed out where the CPU has its features. The rows have
        // `row_bytes` bytes each, and the token one unit for every 256 weights of a row.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            dot_rows(rows, row_bytes, activations.token(token), y);
        }
    }

    /// `y[r] = rows[r] · x` over rows of F32, F16 or BF16 (little-endian bytes, any alignment).
    ///
    /// # Panics
    /// If `ty` is another type or `rows` is not `y.len()` rows of `x.len()`.
    pub fn matvec_float(&self, ty: TensorType, rows: &[u8], x: &[f32], y: &mut [f32]) {
        let row_bytes = ty.block_bytes() * x.len();
        assert_eq!(
            rows.len(),
            row_bytes * y.len(),
            "bytes of {} rows of {ty}",
            y.len()
        );
        let Some(dot_floats) = (self.dot_floats)(ty) else {
            panic!("{ty} has no float kernel");
        };
        if x.is_empty() {
            y.fill(0.0);
            return;
        }
        // SAFETY: as above; every row has `x.len()` floats.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            dot_floats(rows, x, y);
        }
    }

    /// The dot product of two vectors.
    ///
    /// # Panics
    /// If they differ in length.
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "lengths of a dot product");
        if cfg!(target_endian = "big") {
            return a.iter().zip(b).map(|(a, b)| a * b).sum();
        }
        let mut sum = [0.0];
        self.matvec_float(TensorType::F32, bytemuck::cast_slice(a), b, &mut sum);
        sum[0]
    }

    /// `y[t][r] = rows[r] · activations[t]`, the sums of each token `y_stride` floats apart.
    ///
    /// Weights are unpacked a unit of all rows at a time, `panels` being the room for that: 12 KiB for
    /// every 32 rows. The more rows, the less often activations are read. `y` needs room for whole
    /// panels, and what is beyond the last row becomes zero.
    ///
    /// # Panics
    /// If `ty` has no integer kernel, the row length is no whole number of blocks, `rows` are not
    /// whole rows, or `y` is too short.
    pub fn matmul_quant(
        &self,
        ty: TensorType,
        rows: &[u8],
        activations: &Activations,
        (y, y_stride): (&mut [f32], usize),
        panels: &mut QuantPanels,
    ) {
        let row_bytes = quant_row_bytes(ty, activations.cols());
        let bytes = rows.len();
        assert!(
            bytes.is_multiple_of(row_bytes),
            "{bytes} bytes are no rows of {row_bytes} bytes"
        );
        let panels = &mut panels.0;
        panels.resize((bytes / row_bytes).div_ceil(PANEL), QuantPanel::EMPTY);
        let width = panels.len() * PANEL;
        assert!(width <= y_stride, "{width} columns, {y_stride} apart");
        check_rows("y", y.len(), activations.tokens(), width, y_stride);
        for unit in 0..activations.row_units() {
            for (panel, rows) in panels.iter_mut().zip(rows.chunks(PANEL * row_bytes)) {
                self.pack(ty, (rows, activations.cols(), unit), panel);
            }
            let chunks = activations.unit(unit).chunks(CHUNK);
            for (tokens, y) in chunks.zip(y.chunks_mut(CHUNK * y_stride)) {
                for (p, panel) in panels.iter().enumerate() {
                    self.multiply(panel, tokens, &mut y[p * PANEL..], y_stride, unit == 0);
                }
            }
        }
    }

    /// Unpacks a unit, counted from 0, of up to 32 whole rows of so many weights.
    pub(super) fn pack(
        &self,
        ty: TensorType,
        (rows, cols, unit): (&[u8], usize, usize),
        panel: &mut QuantPanel,
    ) {
        let row_bytes = quant_row_bytes(ty, cols);
        assert!(rows.len().is_multiple_of(row_bytes) && rows.len() / row_bytes <= PANEL);
        assert!(unit < cols.div_ceil(UNIT));
        let Some(pack) = (self.pack)(ty) else {
            panic!("{ty} has no integer kernel");
        };
        // SAFETY: a level is only handed out where the CPU has its features; rows are whole and have
        // the unit.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            pack(panel, (rows, cols, unit));
        }
    }

    /// Adds the products of a unit of up to 32 rows with that of some tokens to their sums, or sets them.
    pub(super) fn multiply(
        &self,
        panel: &QuantPanel,
        tokens: &[ActivationUnit],
        y: &mut [f32],
        y_stride: usize,
        set: bool,
    ) {
        check_rows("y", y.len(), tokens.len(), PANEL, y_stride);
        // SAFETY: a level is only handed out where the CPU has its features; `y` has room for 32
        // columns of each token.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            (self.multiply)(panel, tokens, y, y_stride, set);
        }
    }

    /// A float product with a packed panel.
    ///
    /// # Panics
    /// If a slice is too short for its rows and strides.
    pub fn matmul_panel(&self, panel: &Panel, operands: Matmul<'_>) {
        self.matmul_f32(panel.as_slice(), PANEL, operands);
    }

    /// A float product with 32 columns of any f32 matrix, `[depth, panel_stride]`.
    ///
    /// # Panics
    /// If a slice is too short for its rows and strides.
    pub fn matmul_f32(&self, panel: &[f32], panel_stride: usize, operands: Matmul<'_>) {
        self.matmul(operands.checked(FloatPanel::F32(panel), panel_stride));
    }

    /// A float product with 32 columns of a matrix of f16 bits, `[depth, panel_stride]`.
    ///
    /// # Panics
    /// If a slice is too short for its rows and strides.
    pub fn matmul_f16(&self, panel: &[u16], panel_stride: usize, operands: Matmul<'_>) {
        self.matmul(operands.checked(FloatPanel::F16(panel), panel_stride));
    }

    /// Turns scores into weights, `e^x` over the sum of all. `beside` is a further score that takes part in
    /// the sum, negative infinity for none. The same bits on every level.
    pub fn softmax(&self, x: &mut [f32], beside: f32) {
        // SAFETY: a level is only handed out where the CPU has its features.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            (self.elementwise.softmax)(x, beside);
        }
    }

    /// `out[r][c] = q[r][c] * d[r / 32][c]`, rows of 32 numbers.
    ///
    /// # Panics
    /// If lengths differ, or `d` has not a row for every 32.
    pub fn widen_columns(&self, q: &[i8], d: &[f32], out: &mut [f32]) {
        assert!(q.len() == out.len() && q.len().is_multiple_of(PANEL));
        assert_eq!(d.len(), PANEL * q.len().div_ceil(PANEL * PANEL), "scales");
        // SAFETY: as above.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            (self.elementwise.widen_columns)(q, d, out);
        }
    }

    /// `out[r][c] = q[r][c] * d[r]`, rows of 32 numbers, those of `q` so many apart, and so are the numbers
    /// of `d`.
    ///
    /// # Panics
    /// If `q` or `d` is too short for the rows of `out`.
    pub fn widen_rows(
        &self,
        (q, q_stride): (&[i8], usize),
        (d, d_stride): (&[f32], usize),
        out: &mut [f32],
    ) {
        let rows = out.len() / PANEL;
        check_rows("q", q.len(), rows, PANEL, q_stride);
        check_rows("d", d.len(), rows, 1, d_stride);
        // SAFETY: as above.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            (self.elementwise.widen_rows)(q, q_stride, d, d_stride, out);
        }
    }

    fn matmul(&self, args: MatmulArgs<'_>) {
        // SAFETY: a level is only handed out where the CPU has its features; the lengths of all
        // three operands were checked when `args` was made.
        #[allow(unsafe_code, reason = "call of a kernel")]
        unsafe {
            (self.matmul_f32)(args);
        }
    }
}

/// Bytes of a row of blocks.
fn quant_row_bytes(ty: TensorType, cols: usize) -> usize {
    assert!(
        has_integer_kernel(ty) && cols > 0 && cols.is_multiple_of(ty.block_elems()),
        "{cols} columns are no whole number of blocks of {ty}"
    );
    cols / ty.block_elems() * ty.block_bytes()
}
