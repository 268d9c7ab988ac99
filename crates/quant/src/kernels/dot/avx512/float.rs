//! Products of floats: panels of 32 columns, and rows of F32, F16 and BF16 with one token.

use std::arch::x86_64::*;

use super::unpack::inlined;
use crate::kernels::dot::PANEL;
use crate::kernels::dot::element::{Bf16, Element, F16, F32};
use crate::kernels::dot::table::{FloatPanel, MatmulArgs};

/// Rows whose sums fit the registers: 24 of 32.
const ROWS: usize = 12;

/// Where a tile reads and writes.
struct Tile<'a, P> {
    x: &'a [f32],
    x_stride: usize,
    depth: usize,
    panel: &'a [P],
    panel_stride: usize,
    y: &'a mut [f32],
    y_stride: usize,
}

/// What this level makes of a float type.
trait Load: Element {
    /// The elements of a mask as floats, the others as zero.
    ///
    /// # Safety
    /// The caller enables the features of this folder; the masked elements lie at `from`.
    unsafe fn load_some(from: *const u8, mask: __mmask16) -> __m512;

    /// Sixteen elements as floats.
    ///
    /// # Safety
    /// The caller enables the features of this folder; sixteen elements lie at `from`.
    unsafe fn load(from: *const u8) -> __m512;
}

impl Load for F32 {
    inlined! {
        unsafe fn load_some(from: *const u8, mask: __mmask16) -> __m512 {
            _mm512_maskz_loadu_ps(mask, from.cast())
        }
        unsafe fn load(from: *const u8) -> __m512 {
            _mm512_loadu_ps(from.cast())
        }
    }
}

impl Load for F16 {
    inlined! {
        unsafe fn load_some(from: *const u8, mask: __mmask16) -> __m512 {
            _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, from.cast()))
        }
        unsafe fn load(from: *const u8) -> __m512 {
            _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))
        }
    }
}

impl Load for Bf16 {
    inlined! {
        unsafe fn load_some(from: *const u8, mask: __mmask16) -> __m512 {
            widen(_mm256_maskz_loadu_epi16(mask, from.cast()))
        }
        unsafe fn load(from: *const u8) -> __m512 {
            widen(_mm256_loadu_si256(from.cast()))
        }
    }
}

inlined! {
    /// bf16 is the upper half of an f32.
    unsafe fn widen(bits: __m256i) -> __m512 {
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))
    }
}

/// Every row of `x` with 32 columns.
///
/// # Safety
/// The CPU has the features of this folder; the slices are as long as [`MatmulArgs`] demands.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn matmul_of<E: Load, P>(args: MatmulArgs<'_>, panel: &[P]) {
    let mut row = 0;
    while row < args.rows {
        let tile = Tile {
            x: &args.x[row * args.x_stride..],
            x_stride: args.x_stride,
            depth: args.depth,
            panel,
            panel_stride: args.panel_stride,
            y: &mut args.y[row * args.y_stride..],
            y_stride: args.y_stride,
        };
        // SAFETY: as many rows as the tile is high are left.
        row += unsafe {
            match args.rows - row {
                ROWS.. => multiply::<E, P, ROWS>(tile),
                8.. => multiply::<E, P, 8>(tile),
                4.. => multiply::<E, P, 4>(tile),
                2.. => multiply::<E, P, 2>(tile),
                _ => multiply::<E, P, 1>(tile),
            }
        };
    }
}

/// `R` rows with 32 columns; gives `R`. Never inlined: each height needs the registers for itself.
///
/// # Safety
/// As [`matmul_of`]; `tile` has `R` rows.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn multiply<E: Load, P, const R: usize>(tile: Tile<'_, P>) -> usize {
    let x: [*const f32; R] = std::array::from_fn(|r| tile.x[r * tile.x_stride..].as_ptr());
    let mut panel = tile.panel.as_ptr();
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for d in 0..tile.depth {
        // SAFETY: row `d < depth` of the panel has 32 columns, each row of `x` `depth` terms.
        unsafe {
            let columns = [E::load(panel.cast()), E::load(panel.add(16).cast())];
            panel = panel.wrapping_add(tile.panel_stride);
            for r in 0..R {
                let x = _mm512_set1_ps(*x[r].add(d));
                sums[r][0] = _mm512_fmadd_ps(x, columns[0], sums[r][0]);
                sums[r][1] = _mm512_fmadd_ps(x, columns[1], sums[r][1]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let y = &mut tile.y[r * tile.y_stride..][..PANEL];
        // SAFETY: 32 floats.
        unsafe {
            _mm512_storeu_ps(y.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(y.as_mut_ptr().add(16), sums[1]);
        }
    }
    R
}

/// Rows of floats with one token.
///
/// # Safety
/// The CPU has the features of this folder; `rows` is `y.len()` rows of `x.len()` elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn dot_rows<E: Load>(rows: &[u8], x: &[f32], y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(E::BYTES * x.len()).zip(y) {
        let mut sums = [_mm512_setzero_ps(); 4];
        let whole = x.len() / 64 * 64;
        for at in (0..whole).step_by(64) {
            for (part, sum) in sums.iter_mut().enumerate() {
                let at = at + 16 * part;
                // SAFETY: `at + 16 <= whole`, in `x` and in the row.
                unsafe {
                    let w = E::load(row.as_ptr().add(E::BYTES * at));
                    *sum = _mm512_fmadd_ps(w, _mm512_loadu_ps(x.as_ptr().add(at)), *sum);
                }
            }
        }
        for at in (whole..x.len()).step_by(16) {
            let left = (x.len() - at).min(16);
            let mask = (0xffff_u32 >> (16 - left)) as __mmask16;
            // SAFETY: the mask keeps both loads within the row and `x`.
            unsafe {
                let w = E::load_some(row.as_ptr().add(E::BYTES * at), mask);
                let x = _mm512_maskz_loadu_ps(mask, x.as_ptr().add(at));
                sums[0] = _mm512_fmadd_ps(w, x, sums[0]);
            }
        }
        let (a, b) = (
            _mm512_add_ps(sums[0], sums[1]),
            _mm512_add_ps(sums[2], sums[3]),
        );
        *y = _mm512_reduce_add_ps(_mm512_add_ps(a, b));
    }
}

/// Rows of F32 with one token.
///
/// # Safety
/// As [`dot_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn dot_rows_f32(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<F32>(rows, x, y) };
}

/// Rows of F16 with one token.
///
/// # Safety
/// As [`dot_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn dot_rows_f16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<F16>(rows, x, y) };
}

/// Rows of BF16 with one token.
///
/// # Safety
/// As [`dot_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn dot_rows_bf16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    // SAFETY: as for this function.
    unsafe { dot_rows::<Bf16>(rows, x, y) };
}
