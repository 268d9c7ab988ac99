//! Many tokens with a panel of 32 unpacked rows, a lane for each row; eight rows in a vector.
//!
//! `vpmaddubsw` gives sums of two products in 16 bits. The smaller the bytes of a format, the more
//! of these sums are added up before they are widened to 32 bits.

use std::arch::x86_64::*;

use super::matvec::pair_products;
use super::unpack::Unpack256;
use crate::kernels::dot::activations::ActivationUnit;
use crate::kernels::dot::panel::QuantPanel;
use crate::kernels::dot::unpack::{Form, Unpacked};
use crate::kernels::dot::{PANEL, UNIT};
use crate::kernels::x86_64::avx2::Avx2;

/// What differs between the tiles of one panel.
struct Tile<'a> {
    panel: &'a QuantPanel,
    /// Those of `T` tokens.
    activations: &'a [ActivationUnit],
    /// Rows 0 to 15 of the panel, or 16 to 31.
    half: usize,
    /// Set the sums instead of adding to them.
    set: bool,
}

/// Fills a panel from a unit of up to 32 rows, and asks for the next unit of each. Formats do not fold:
/// 16 bits hold more sums of small bytes.
///
/// # Safety
/// The CPU has the features of this folder; rows are whole.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn pack<F: Unpack256>(panel: &mut QuantPanel, unit: (&[u8], usize, usize)) {
    // SAFETY: the CPU has the features.
    let isa = unsafe { Avx2::new_unchecked() };
    panel.fill::<F, _>(isa, unit, false, |unit, out| {
        for line in 0..F::UNIT_BYTES.div_ceil(64) {
            let next = unit.as_ptr().cast::<i8>().wrapping_add(F::UNIT_BYTES);
            _mm_prefetch(next.wrapping_add(64 * line), _MM_HINT_T1);
        }
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

/// Two tokens and one token with half a panel; see [`tile`].
type Tiles = [unsafe fn(Tile<'_>, &mut [f32], usize); 2];

macro_rules! tiles {
    ($group:literal, $min_group:literal, $sums:literal) => {
        [
            tile::<2, $group, $min_group, $sums>,
            tile::<1, $group, $min_group, $sums>,
        ]
    };
}

/// The kernels of a form.
fn tiles_of(form: Form) -> Tiles {
    let sums = sums_in_16_bits(form);
    match (form.group, form.min_group != 0, sums) {
        (32, false, 0) => tiles!(32, 0, 0),
        (32, false, 8) => tiles!(32, 0, 8),
        (32, false, 4..) => tiles!(32, 0, 4),
        (32, false, _) => tiles!(32, 0, 1),
        (32, true, 8) => tiles!(32, 32, 8),
        (32, true, 4..) => tiles!(32, 32, 4),
        (32, true, _) => tiles!(32, 32, 1),
        (_, false, 0) => tiles!(16, 0, 0),
        (_, false, 4) => tiles!(16, 0, 4),
        (_, false, 2..) => tiles!(16, 0, 2),
        (_, false, _) => tiles!(16, 0, 1),
        (_, true, 4) => tiles!(16, 16, 4),
        (_, true, _) => tiles!(16, 16, 1),
    }
}

/// Every token with every row of a panel.
///
/// # Safety
/// The CPU has the features of this folder; `y` has 32 columns at each token's multiple of `y_stride`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
    set: bool,
) {
    let [two, one] = tiles_of(panel.form);
    for (activations, y) in activations.chunks(2).zip(y.chunks_mut(2 * y_stride)) {
        let tile = if activations.len() == 2 { two } else { one };
        for half in 0..PANEL / 16 {
            let args = Tile {
                panel,
                activations,
                half,
                set,
            };
            // SAFETY: there are as many activations as `tile` takes.
            unsafe { tile(args, &mut y[16 * half..], y_stride) };
        }
    }
}

/// Adds to `y`, or sets it to, the products of `T` tokens with sixteen rows, in groups of `G` weights, with minima for every `M` weights or, if
/// that is 0, an offset. `K` sums of two products are added in 16 bits; 0 stands for bytes
/// that are taken with their sign, which takes off their offset.
///
/// # Safety
/// `args.activations` are those of `T` tokens. The panel has groups of `G`
/// and minima for every `M`.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const T: usize, const G: usize, const M: usize, const K: usize>(
    args: Tile<'_>,
    y: &mut [f32],
    y_stride: usize,
) {
    let Tile {
        panel,
        activations,
        half,
        set,
    } = args;
    let tokens: [&ActivationUnit; T] = std::array::from_fn(|t| &activations[t]);
    let mut sums = [[_mm256_setzero_ps(); 2]; T];
    if !set {
        for (t, sums) in sums.iter_mut().enumerate() {
            let y = &y[t * y_stride..][..16];
            // SAFETY: sixteen floats.
            *sums = unsafe {
                [
                    _mm256_loadu_ps(y.as_ptr()),
                    _mm256_loadu_ps(y.as_ptr().add(8)),
                ]
            };
        }
    }
    for g in 0..UNIT / G {
        let first = g * G / 4;
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
        let scale = &panel.scales[2 * g + half];
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
                        let min = &panel.mins[2 * g + half];
                        let min = _mm256_load_ps(min.0.as_ptr().add(8 * part));
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
