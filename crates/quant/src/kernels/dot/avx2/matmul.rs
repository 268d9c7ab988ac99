//! Many tokens with a panel of 32 unpacked rows, a lane for each row; eight rows in a vector.
//!
//! `vpmaddubsw` gives sums of two products in 16 bits. The smaller the bytes of a format, the more
//! of these sums are added up before they are widened to 32 bits.

use std::arch::x86_64::*;

use super::matvec::pair_products;
use super::unpack::Unpack256;
use crate::kernels::dot::activations::ActivationUnit;
use crate::kernels::dot::panel::QuantPanel;
use crate::kernels::dot::table::QuantArgs;
use crate::kernels::dot::unpack::{Form, Unpacked};
use crate::kernels::dot::{PANEL, UNIT};
use crate::kernels::x86_64::avx2::Avx2;

/// What differs between the tiles of one panel.
struct Tile<'a> {
    panel: &'a QuantPanel,
    /// `T` tokens of `panel.units` units.
    activations: &'a [ActivationUnit],
    /// Rows 0 to 15 of the panel, or 16 to 31.
    half: usize,
}

/// Fills a panel from up to 32 rows. Formats do not fold: 16 bits hold more sums of small bytes.
///
/// # Safety
/// The CPU has the features of this folder; `rows` are whole rows of `cols` weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn pack<F: Unpack256>(panel: &mut QuantPanel, rows: &[u8], cols: usize) {
    // SAFETY: the CPU has the features.
    let isa = unsafe { Avx2::new_unchecked() };
    panel.fill::<F, _>(isa, rows, cols, false, |unit, out| {
        if unit.len() == F::BLOCKS {
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
unsafe fn unpack<F: Unpack256>(unit: *const F, out: &mut Unpacked) {
    // SAFETY: the unit is whole; there are 8 blocks of 32 bytes, and twice sixteen floats.
    unsafe {
        for b in 0..8 {
            let block = out.u.as_mut_ptr().add(32 * b);
            _mm256_storeu_si256(block.cast(), F::bytes(unit, b));
        }
        let factors = F::factors(unit);
        for half in 0..2 {
            _mm256_storeu_ps(out.scale.as_mut_ptr().add(8 * half), factors.scales[half]);
            _mm256_storeu_ps(out.min.as_mut_ptr().add(8 * half), factors.mins[half]);
        }
    }
}

/// How many sums of two products with this byte fit 16 bits together, up to a group: a power of
/// two. 0 stands for bytes that are taken with their sign.
const fn sums_in_16_bits(form: Form) -> usize {
    if form.largest > 127 {
        return 0;
    }
    let pair = 2 * 127 * form.largest as usize;
    let mut count = form.group / 4;
    while count * pair > i16::MAX as usize {
        count /= 2;
    }
    count
}

/// Two tokens and one token with half a panel; see [`multiply`].
type Multiply = [unsafe fn(Tile<'_>, &mut [f32], usize); 2];

macro_rules! multiply {
    ($group:literal, $min_group:literal, $sums:literal) => {
        [
            multiply::<2, $group, $min_group, $sums>,
            multiply::<1, $group, $min_group, $sums>,
        ]
    };
}

/// The kernels of a form.
fn multiply_of(form: Form) -> Multiply {
    let sums = sums_in_16_bits(form);
    match (form.group, form.min_group != 0, sums) {
        (32, false, 0) => multiply!(32, 0, 0),
        (32, false, 8) => multiply!(32, 0, 8),
        (32, false, 4..) => multiply!(32, 0, 4),
        (32, false, _) => multiply!(32, 0, 1),
        (32, true, 8) => multiply!(32, 32, 8),
        (32, true, 4..) => multiply!(32, 32, 4),
        (32, true, _) => multiply!(32, 32, 1),
        (_, false, 0) => multiply!(16, 0, 0),
        (_, false, 4) => multiply!(16, 0, 4),
        (_, false, 2..) => multiply!(16, 0, 2),
        (_, false, _) => multiply!(16, 0, 1),
        (_, true, 4) => multiply!(16, 16, 4),
        (_, true, _) => multiply!(16, 16, 1),
    }
}

/// Every token with every row of a panel.
///
/// # Safety
/// The CPU has the features of this folder; activations and panel have the same number of
/// units, and `args.y` has room for 32 columns of every token.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul_quant(panel: &QuantPanel, args: QuantArgs<'_>) {
    let [two, one] = multiply_of(panel.form);
    let tokens = args.activations.tokens();
    let mut token = 0;
    while token < tokens {
        let (count, multiply) = match tokens - token {
            1 => (1, one),
            _ => (2, two),
        };
        for half in 0..PANEL / 16 {
            let activations = &args.activations.units[token * panel.units..];
            let tile = Tile {
                panel,
                activations,
                half,
            };
            let y = &mut args.y[token * args.y_stride + 16 * half..];
            // SAFETY: `count` tokens of `panel.units` units follow.
            unsafe { multiply(tile, y, args.y_stride) };
        }
        token += count;
    }
}

/// `T` tokens with sixteen rows, in groups of `G` weights, with minima for every `M` weights or, if
/// that is 0, an offset. `K` sums of two products are added in 16 bits; 0 stands for bytes
/// that are taken with their sign, which takes off their offset.
///
/// # Safety
/// `tile.activations` starts with `T` tokens of `panel.units` units. The panel has groups of `G`
/// and minima for every `M`.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply<const T: usize, const G: usize, const M: usize, const K: usize>(
    tile: Tile<'_>,
    y: &mut [f32],
    y_stride: usize,
) {
    let Tile {
        panel,
        activations,
        half,
    } = tile;
    let (min_groups, groups) = (UNIT.checked_div(M).unwrap_or(0), UNIT / G);
    let mut sums = [[_mm256_setzero_ps(); 2]; T];
    for unit in 0..panel.units {
        let tokens: [&ActivationUnit; T] =
            std::array::from_fn(|t| &activations[t * panel.units + unit]);
        for g in 0..groups {
            let first = (unit * UNIT + g * G) / 4;
            // What the offset takes off: the products start from it.
            let mut products = [[_mm256_setzero_si256(); 2]; T];
            if M == 0 && K != 0 {
                for t in 0..T {
                    let sum = if G == 32 {
                        tokens[t].sum32[g % 8]
                    } else {
                        tokens[t].sum16[g]
                    };
                    let start = -panel.form.offset * i32::from(sum);
                    products[t] = [_mm256_set1_epi32(start); 2];
                }
            }
            for run in 0..G / 4 / K.max(1) {
                let mut words = [[_mm256_setzero_si256(); 2]; T];
                for quad in 0..K.max(1) {
                    let column = &panel.quads[2 * (first + run * K.max(1) + quad) + half];
                    // SAFETY: 64 bytes.
                    let u = unsafe {
                        let from: *const __m256i = column.0.as_ptr().cast();
                        [_mm256_load_si256(from), _mm256_load_si256(from.add(1))]
                    };
                    for t in 0..T {
                        let at = g * G + 4 * (run * K.max(1) + quad);
                        // SAFETY: `at + 4 <= 256`; this function has the features.
                        unsafe {
                            let q = tokens[t].q.as_ptr().add(at).cast::<i32>().read_unaligned();
                            let q = _mm256_set1_epi32(q);
                            for part in 0..2 {
                                let pairs = pair_products(u[part], q, K == 0);
                                words[t][part] = _mm256_add_epi16(words[t][part], pairs);
                            }
                        }
                    }
                }
                for t in 0..T {
                    for part in 0..2 {
                        let quads = _mm256_madd_epi16(words[t][part], _mm256_set1_epi16(1));
                        products[t][part] = _mm256_add_epi32(products[t][part], quads);
                    }
                }
            }
            let scale = &panel.scales[2 * (unit * groups + g) + half];
            for t in 0..T {
                let d = _mm256_set1_ps(tokens[t].d[g * G / 32]);
                let minus_sum = _mm256_set1_ps(if G == 32 {
                    tokens[t].minus_sum32[g % 8]
                } else {
                    tokens[t].minus_sum16[g]
                });
                for part in 0..2 {
                    let x = _mm256_mul_ps(_mm256_cvtepi32_ps(products[t][part]), d);
                    let sum = &mut sums[t][part];
                    // SAFETY: sixteen floats each.
                    unsafe {
                        let scale = _mm256_load_ps(scale.0.as_ptr().add(8 * part));
                        *sum = _mm256_fmadd_ps(x, scale, *sum);
                        if M != 0 {
                            let min = &panel.mins[2 * (unit * min_groups + g) + half];
                            let min = _mm256_load_ps(min.0.as_ptr().add(8 * part));
                            *sum = _mm256_fmadd_ps(min, minus_sum, *sum);
                        }
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
