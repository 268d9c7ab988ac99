//! Many tokens with a panel of 32 unpacked rows, a lane for each row; eight rows in a vector.

use std::arch::x86_64::*;

use super::matvec::quad_products;
use super::unpack::Unpack256;
use crate::kernels::dot::activations::ActivationUnit;
use crate::kernels::dot::panel::QuantPanel;
use crate::kernels::dot::table::QuantArgs;
use crate::kernels::dot::unpack::Unpacked;
use crate::kernels::dot::{PANEL, UNIT};

/// What differs between the tiles of one panel.
struct Tile<'a> {
    panel: &'a QuantPanel,
    /// `T` tokens of `panel.units` units.
    activations: &'a [ActivationUnit],
    /// Rows 0 to 15 of the panel, or 16 to 31.
    half: usize,
}

/// Fills a panel from up to 32 rows.
///
/// # Safety
/// The CPU has the features of this folder; `rows` are whole rows of `cols` weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn pack<F: Unpack256>(panel: &mut QuantPanel, rows: &[u8], cols: usize) {
    panel.fill::<F>(rows, cols, |unit, out| {
        if unit.len() == F::UNIT_BYTES {
            // SAFETY: the unit is whole.
            unsafe { unpack::<F>(unit.as_ptr(), out) };
        } else {
            F::unpack(unit, out);
        }
    });
}

/// Unpacks one unit.
///
/// # Safety
/// The caller enables the features of this folder; `unit` points to a whole unit.
#[inline(always)]
unsafe fn unpack<F: Unpack256>(unit: *const u8, out: &mut Unpacked) {
    // SAFETY: the unit is whole; there are 8 blocks of 32 bytes, and twice sixteen floats.
    unsafe {
        for b in 0..8 {
            let block = out.u.as_mut_ptr().add(32 * b);
            _mm256_storeu_si256(block.cast(), F::bytes(unit, b));
        }
        let factors = F::factors(unit);
        let offset = _mm256_set1_ps(if F::OFFSET == 0.0 { 1.0 } else { F::OFFSET });
        for half in 0..2 {
            let min = _mm256_mul_ps(factors.mins[half], offset);
            _mm256_storeu_ps(out.scale.as_mut_ptr().add(8 * half), factors.scales[half]);
            _mm256_storeu_ps(out.min.as_mut_ptr().add(8 * half), min);
        }
    }
}

/// Every token with every row of a panel.
///
/// # Safety
/// The CPU has the features of this folder; activations and panel have the same number of
/// units, and `args.y` has room for 32 columns of every token.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul_quant(panel: &QuantPanel, args: QuantArgs<'_>) {
    let tokens = args.activations.tokens();
    let mut token = 0;
    while token < tokens {
        let count = (tokens - token).min(2);
        for half in 0..PANEL / 16 {
            let activations = &args.activations.units[token * panel.units..];
            let tile = Tile {
                panel,
                activations,
                half,
            };
            let y = &mut args.y[token * args.y_stride + 16 * half..];
            // SAFETY: `count` tokens of `panel.units` units follow.
            unsafe {
                match (count, panel.group, panel.wide) {
                    (2, 32, false) => multiply::<2, 32, false>(tile, y, args.y_stride),
                    (2, 32, true) => multiply::<2, 32, true>(tile, y, args.y_stride),
                    (2, _, _) => multiply::<2, 16, false>(tile, y, args.y_stride),
                    (_, 32, false) => multiply::<1, 32, false>(tile, y, args.y_stride),
                    (_, 32, true) => multiply::<1, 32, true>(tile, y, args.y_stride),
                    _ => multiply::<1, 16, false>(tile, y, args.y_stride),
                }
            }
        }
        token += count;
    }
}

/// `T` tokens with sixteen rows, in groups of `G` weights.
///
/// # Safety
/// `tile.activations` starts with `T` tokens of `panel.units` units.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply<const T: usize, const G: usize, const WIDE: bool>(
    tile: Tile<'_>,
    y: &mut [f32],
    y_stride: usize,
) {
    let Tile {
        panel,
        activations,
        half,
    } = tile;
    let groups = UNIT / G;
    let mut sums = [[_mm256_setzero_ps(); 2]; T];
    for unit in 0..panel.units {
        let tokens: [&ActivationUnit; T] =
            std::array::from_fn(|t| &activations[t * panel.units + unit]);
        for g in 0..groups {
            let mut products = [[_mm256_setzero_si256(); 2]; T];
            let first = (unit * UNIT + g * G) / 4;
            for column in 0..G / 4 {
                let quads = &panel.quads[2 * (first + column) + half];
                // SAFETY: 64 bytes.
                let u = unsafe {
                    let from: *const __m256i = quads.0.as_ptr().cast();
                    [_mm256_load_si256(from), _mm256_load_si256(from.add(1))]
                };
                for t in 0..T {
                    let at = g * G + 4 * column;
                    // SAFETY: `at + 4 <= 256`.
                    let q = unsafe { tokens[t].q.as_ptr().add(at).cast::<i32>().read_unaligned() };
                    let q = _mm256_set1_epi32(q);
                    for part in 0..2 {
                        // SAFETY: this function has the features.
                        let quads = unsafe { quad_products(u[part], q, WIDE) };
                        products[t][part] = _mm256_add_epi32(products[t][part], quads);
                    }
                }
            }
            let at = (unit * groups + g) * 2 + half;
            let (scale, min) = (&panel.scales[at].0, &panel.mins[at].0);
            for t in 0..T {
                let d = _mm256_set1_ps(tokens[t].d[g * G / 32]);
                let minus_sum = _mm256_set1_ps(if G == 32 {
                    tokens[t].minus_sum32[g % 8]
                } else {
                    tokens[t].minus_sum16[g]
                });
                for part in 0..2 {
                    // SAFETY: sixteen floats.
                    let (scale, min) = unsafe {
                        (
                            _mm256_load_ps(scale.as_ptr().add(8 * part)),
                            _mm256_load_ps(min.as_ptr().add(8 * part)),
                        )
                    };
                    let x = _mm256_cvtepi32_ps(products[t][part]);
                    let sum = &mut sums[t][part];
                    *sum = _mm256_fmadd_ps(x, _mm256_mul_ps(scale, d), *sum);
                    // Signed products need no minimum: the offset is already taken off.
                    if !WIDE {
                        *sum = _mm256_fmadd_ps(min, minus_sum, *sum);
                    }
                }
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        let y = &mut y[t * y_stride..][..16];
        // SAFETY: sixteen floats.
        unsafe {
            _mm256_storeu_ps(y.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(y.as_mut_ptr().add(8), sums[1]);
        }
    }
}
