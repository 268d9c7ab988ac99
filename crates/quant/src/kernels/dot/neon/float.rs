//! Products of floats: panels of 32 columns, and rows of F32, F16 and BF16 with one token.

use std::arch::aarch64::*;

use crate::kernels::dot::PANEL;
use crate::kernels::dot::element::{Bf16, Element, F16, F32};
use crate::kernels::dot::table::{FloatPanel, MatmulArgs};

/// Rows whose sums fit the registers, for sixteen columns: 24 of 32.
const ROWS: usize = 6;

/// What this level makes of a float type.
trait Load: Element {
    /// Four elements as floats.
    ///
    /// # Safety
    /// Four elements lie at `from`.
    unsafe fn load(from: *const u8) -> float32x4_t;
}

impl Load for F32 {
    #[inline(always)]
    unsafe fn load(from: *const u8) -> float32x4_t {
        // SAFETY: sixteen bytes; a load of bytes needs no alignment.
        unsafe { vreinterpretq_f32_u8(vld1q_u8(from)) }
    }
}

impl Load for F16 {
    #[inline(always)]
    unsafe fn load(from: *const u8) -> float32x4_t {
        // SAFETY: eight bytes.
        unsafe { vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from))) }
    }
}

impl Load for Bf16 {
    #[inline(always)]
    unsafe fn load(from: *const u8) -> float32x4_t {
        // SAFETY: eight bytes.
        unsafe {
            let bits = vreinterpret_u16_u8(vld1_u8(from));
            vreinterpretq_f32_u32(vshll_n_u16::<16>(bits))
        }
    }
}

/// Sixteen of the 32 columns for some rows.
struct Tile<'a> {
    x: &'a [f32],
    x_stride: usize,
    depth: usize,
    panel: *const u8,
    /// Bytes from one row of the panel to the next.
    panel_stride: usize,
    y: &'a mut [f32],
    y_stride: usize,
}

/// Every row of `x` with 32 columns.
///
/// # Safety
/// The slices are as long as [`MatmulArgs`] demands.
pub(super) unsafe fn matmul(args: MatmulArgs<'_>) {
    // SAFETY: as for this function.
    unsafe {
        match args.panel {
            FloatPanel::F32(panel) => matmul_of::<F32>(args, panel.as_ptr().cast()),
            FloatPanel::F16(panel) => matmul_of::<F16>(args, panel.as_ptr().cast()),
        }
    }
}

/// # Safety
/// As [`matmul`]; `E` describes the elements at `panel`.
unsafe fn matmul_of<E: Load>(args: MatmulArgs<'_>, panel: *const u8) {
    let mut row = 0;
    while row < args.rows {
        let count = match args.rows - row {
            ROWS.. => ROWS,
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        for half in 0..PANEL / 16 {
            let tile = Tile {
                x: &args.x[row * args.x_stride..],
                x_stride: args.x_stride,
                depth: args.depth,
                panel: panel.wrapping_add(E::BYTES * 16 * half),
                panel_stride: E::BYTES * args.panel_stride,
                y: &mut args.y[row * args.y_stride + 16 * half..],
                y_stride: args.y_stride,
            };
            // SAFETY: `count` rows are left, and 16 columns from `16 * half`.
            unsafe {
                match count {
                    ROWS => multiply::<E, ROWS>(tile),
                    4 => multiply::<E, 4>(tile),
                    2 => multiply::<E, 2>(tile),
                    _ => multiply::<E, 1>(tile),
                }
            }
        }
        row += count;
    }
}

/// `R` rows with sixteen columns.
///
/// # Safety
/// As [`matmul_of`]; `tile` has `R` rows.
#[inline(never)]
unsafe fn multiply<E: Load, const R: usize>(tile: Tile<'_>) {
    let x: [*const f32; R] = std::array::from_fn(|r| tile.x[r * tile.x_stride..].as_ptr());
    let mut panel = tile.panel;
    // SAFETY: row `d < depth` of the panel has 16 columns, each row of `x` `depth` terms.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); 4]; R];
        for d in 0..tile.depth {
            let column = |part: usize| E::load(panel.add(E::BYTES * 4 * part));
            let columns = [column(0), column(1), column(2), column(3)];
            panel = panel.wrapping_add(tile.panel_stride);
            for r in 0..R {
                let x = *x[r].add(d);
                for (sum, column) in sums[r].iter_mut().zip(columns) {
                    *sum = vfmaq_n_f32(*sum, column, x);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let y = &mut tile.y[r * tile.y_stride..][..16];
            for (part, sum) in sums.iter().enumerate() {
                vst1q_f32(y.as_mut_ptr().add(4 * part), *sum);
            }
        }
    }
}

/// Rows of floats with one token.
///
/// # Safety
/// `rows` is `y.len()` rows of `x.len()` elements.
#[inline(always)]
unsafe fn dot_rows<E: Load>(rows: &[u8], x: &[f32], y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(E::BYTES * x.len()).zip(y) {
        let whole = x.len() / 16 * 16;
        // SAFETY: `at + 4 <= whole`, in `x` and in the row.
        let sum = unsafe {
            let mut sums = [vdupq_n_f32(0.0); 4];
            for at in (0..whole).step_by(16) {
                for (part, sum) in sums.iter_mut().enumerate() {
                    let at = at + 4 * part;
                    let w = E::load(row.as_ptr().add(E::BYTES * at));
                    *sum = vfmaq_f32(*sum, w, vld1q_f32(x.as_ptr().add(at)));
                }
            }
            let sums = [vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])];
            vaddvq_f32(vaddq_f32(sums[0], sums[1]))
        };
        let tail = row[E::BYTES * whole..].chunks_exact(E::BYTES);
        let tail: f32 = tail.zip(&x[whole..]).map(|(w, x)| E::one(w) * x).sum();
        *y = sum + tail;
    }
}

/// Rows of F32 with one token.
///
/// # Safety
/// As [`dot_rows`].
pub(super) unsafe fn dot_rows_f32(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<F32>(rows, x, y) };
}

/// Rows of F16 with one token.
///
/// # Safety
/// As [`dot_rows`].
pub(super) unsafe fn dot_rows_f16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<F16>(rows, x, y) };
}

/// Rows of BF16 with one token.
///
/// # Safety
/// As [`dot_rows`].
pub(super) unsafe fn dot_rows_bf16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<Bf16>(rows, x, y) };
}
