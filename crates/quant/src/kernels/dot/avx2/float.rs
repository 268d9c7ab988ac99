//! Products of floats: panels of 32 columns, and rows of F32, F16 and BF16 with one token.

use std::arch::x86_64::*;

use super::matvec::sum_of;
use super::unpack::inlined;
use crate::kernels::dot::PANEL;
use crate::kernels::dot::element::{Bf16, Element, F16, F32};
use crate::kernels::dot::table::{FloatPanel, MatmulArgs};

/// Rows whose sums fit the registers, for sixteen columns: 12 of 16.
const ROWS: usize = 6;

/// What this level makes of a float type.
trait Load: Element {
    /// Eight elements as floats.
    ///
    /// # Safety
    /// The caller enables the features of this folder; eight elements lie at `from`.
    unsafe fn load(from: *const u8) -> __m256;
}

impl Load for F32 {
    inlined! {
        unsafe fn load(from: *const u8) -> __m256 {
            _mm256_loadu_ps(from.cast())
        }
    }
}

impl Load for F16 {
    inlined! {
        unsafe fn load(from: *const u8) -> __m256 {
            _mm256_cvtph_ps(_mm_loadu_si128(from.cast()))
        }
    }
}

impl Load for Bf16 {
    inlined! {
        unsafe fn load(from: *const u8) -> __m256 {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16))
        }
    }
}

/// Sixteen of the 32 columns for some rows.
struct Tile<'a, P> {
    x: &'a [f32],
    x_stride: usize,
    depth: usize,
    panel: *const P,
    panel_stride: usize,
    y: &'a mut [f32],
    y_stride: usize,
}

/// Every row of `x` with 32 columns.
///
/// # Safety
/// The CPU has the features of this folder; the slices are as long as [`MatmulArgs`] demands.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul(args: MatmulArgs<'_>) {
    // SAFETY: as for this function.
    unsafe {
        match args.panel {
            FloatPanel::F32(panel) => matmul_of::<F32, f32>(args, panel),
            FloatPanel::F16(panel) => matmul_of::<F16, u16>(args, panel),
        }
    }
}

/// # Safety
/// As [`matmul`]; `E` describes the elements of type `P`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn matmul_of<E: Load, P>(args: MatmulArgs<'_>, panel: &[P]) {
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
                panel: panel.as_ptr().wrapping_add(16 * half),
                panel_stride: args.panel_stride,
                y: &mut args.y[row * args.y_stride + 16 * half..],
                y_stride: args.y_stride,
            };
            // SAFETY: `count` rows are left, and 16 columns from `16 * half`.
            unsafe {
                match count {
                    ROWS => multiply::<E, P, ROWS>(tile),
                    4 => multiply::<E, P, 4>(tile),
                    2 => multiply::<E, P, 2>(tile),
                    _ => multiply::<E, P, 1>(tile),
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
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply<E: Load, P, const R: usize>(tile: Tile<'_, P>) {
    let x: [*const f32; R] = std::array::from_fn(|r| tile.x[r * tile.x_stride..].as_ptr());
    let mut panel = tile.panel;
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    for d in 0..tile.depth {
        // SAFETY: row `d < depth` of the panel has 16 columns, each row of `x` `depth` terms.
        unsafe {
            let columns = [E::load(panel.cast()), E::load(panel.add(8).cast())];
            panel = panel.wrapping_add(tile.panel_stride);
            for r in 0..R {
                let x = _mm256_set1_ps(*x[r].add(d));
                sums[r][0] = _mm256_fmadd_ps(x, columns[0], sums[r][0]);
                sums[r][1] = _mm256_fmadd_ps(x, columns[1], sums[r][1]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let y = &mut tile.y[r * tile.y_stride..][..16];
        // SAFETY: sixteen floats.
        unsafe {
            _mm256_storeu_ps(y.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(y.as_mut_ptr().add(8), sums[1]);
        }
    }
}

/// Rows of floats with one token.
///
/// # Safety
/// The CPU has the features of this folder; `rows` is `y.len()` rows of `x.len()` elements.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot_rows<E: Load>(rows: &[u8], x: &[f32], y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(E::BYTES * x.len()).zip(y) {
        let mut sums = [_mm256_setzero_ps(); 4];
        let whole = x.len() / 32 * 32;
        for at in (0..whole).step_by(32) {
            for (part, sum) in sums.iter_mut().enumerate() {
                let at = at + 8 * part;
                // SAFETY: `at + 8 <= whole`, in `x` and in the row.
                unsafe {
                    let w = E::load(row.as_ptr().add(E::BYTES * at));
                    *sum = _mm256_fmadd_ps(w, _mm256_loadu_ps(x.as_ptr().add(at)), *sum);
                }
            }
        }
        let tail = row[E::BYTES * whole..]
            .chunks_exact(E::BYTES)
            .zip(&x[whole..]);
        let tail: f32 = tail.map(|(w, x)| E::one(w) * x).sum();
        let (a, b) = (
            _mm256_add_ps(sums[0], sums[1]),
            _mm256_add_ps(sums[2], sums[3]),
        );
        // SAFETY: this function has the features.
        *y = unsafe { sum_of(_mm256_add_ps(a, b)) } + tail;
    }
}

/// Rows of F32 with one token.
///
/// # Safety
/// As [`dot_rows`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_rows_f32(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<F32>(rows, x, y) };
}

/// Rows of F16 with one token.
///
/// # Safety
/// As [`dot_rows`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_rows_f16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<F16>(rows, x, y) };
}

/// Rows of BF16 with one token.
///
/// # Safety
/// As [`dot_rows`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_rows_bf16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<Bf16>(rows, x, y) };
}
