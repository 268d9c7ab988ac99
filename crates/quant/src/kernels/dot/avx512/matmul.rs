//! Many tokens with a panel of 32 unpacked rows.
//!
//! One vector holds four columns of sixteen rows, so a lane is a row of weights and no sum ever
//! crosses lanes; four activations of a token are broadcast to all lanes. Up to
//! six tokens at a time use each loaded vector of weights six times: 12 integer and 12 float
//! sums in registers.

use std::arch::x86_64::*;

use super::unpack::Unpack512;
use crate::kernels::dot::activations::{ActivationUnit, PAIRS};
use crate::kernels::dot::panel::{Quads, QuantPanel, Sixteen};
use crate::kernels::dot::table::QuantArgs;
use crate::kernels::dot::unpack::Unpacked;
use crate::kernels::dot::{PANEL, UNIT};

/// Tokens whose sums fit the registers, for groups of 32 and of 16: the shorter the group, the
/// more of its factors are alive at once.
const TOKENS: (usize, usize) = (6, 4);

/// Fills a panel from up to 32 rows.
///
/// # Safety
/// The CPU has the features of this folder; `rows` are whole rows of `cols` weights.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn pack<F: Unpack512>(panel: &mut QuantPanel, rows: &[u8], cols: usize) {
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
unsafe fn unpack<F: Unpack512>(unit: *const u8, out: &mut Unpacked) {
    // SAFETY: the unit is whole; blocks 0 to 7 have 32 bytes each, both arrays sixteen floats.
    unsafe {
        for j in 0..4 {
            let mut bytes = F::bytes(unit, j);
            if F::HIGH_TIMES_16 && j % 2 == 1 {
                bytes = _mm512_srli_epi16(bytes, 4);
            }
            let place = |block: usize| if F::PAIRED { PAIRS[block] } else { block };
            let (low, high) = (
                _mm512_castsi512_si256(bytes),
                _mm512_extracti64x4_epi64(bytes, 1),
            );
            let blocks: *mut __m256i = out.u.as_mut_ptr().cast();
            _mm256_storeu_si256(blocks.add(place(2 * j)), low);
            _mm256_storeu_si256(blocks.add(place(2 * j + 1)), high);
        }
        let factors = F::factors(unit);
        let mins = if F::GROUP == 16 {
            factors.second
        } else {
            _mm512_castps256_ps512(_mm512_extractf32x8_ps(factors.first, 1))
        };
        let offset = if F::OFFSET == 0.0 { 1.0 } else { F::OFFSET };
        _mm512_storeu_ps(out.scale.as_mut_ptr(), factors.first);
        _mm512_storeu_ps(
            out.min.as_mut_ptr(),
            _mm512_mul_ps(mins, _mm512_set1_ps(offset)),
        );
    }
}

/// Every token with every row of a panel.
///
/// # Safety
/// The CPU has the features of this folder; activations and panel have the same number of
/// units, and `args.y` has room for 32 columns of every token.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn matmul_quant(panel: &QuantPanel, args: QuantArgs<'_>) {
    let tokens = args.activations.tokens();
    let mut token = 0;
    while token < tokens {
        let most = if panel.group == 32 {
            TOKENS.0
        } else {
            TOKENS.1
        };
        let count = (tokens - token).min(most);
        let activations = &args.activations.units[token * panel.units..];
        let y = &mut args.y[token * args.y_stride..];
        // SAFETY: `count` tokens of `panel.units` units follow, and `count` rows of `y`.
        unsafe {
            match (count, panel.group) {
                (6.., 32) => tile::<6, 32>(panel, activations, y, args.y_stride),
                (5, 32) => tile::<5, 32>(panel, activations, y, args.y_stride),
                (4, 32) => tile::<4, 32>(panel, activations, y, args.y_stride),
                (3, 32) => tile::<3, 32>(panel, activations, y, args.y_stride),
                (2, 32) => tile::<2, 32>(panel, activations, y, args.y_stride),
                (_, 32) => tile::<1, 32>(panel, activations, y, args.y_stride),
                (4.., _) => tile::<4, 16>(panel, activations, y, args.y_stride),
                (3, _) => tile::<3, 16>(panel, activations, y, args.y_stride),
                (2, _) => tile::<2, 16>(panel, activations, y, args.y_stride),
                _ => tile::<1, 16>(panel, activations, y, args.y_stride),
            }
        }
        token += count;
    }
}

/// `T` tokens with the panel, in groups of `G` weights. Never inlined: each size needs all
/// registers for itself, and twelve of them in one function spill.
///
/// # Safety
/// `activations` starts with `T` tokens of `panel.units` units; `y` has 32 columns at each
/// of `T` multiples of `y_stride`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn tile<const T: usize, const G: usize>(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
) {
    let groups = UNIT / G;
    let mut quads: *const Quads = panel.quads.as_ptr();
    let mut scales: *const Sixteen = panel.scales.as_ptr();
    let mut mins: *const Sixteen = panel.mins.as_ptr();
    let mut sums = [[_mm512_setzero_ps(); 2]; T];
    for unit in 0..panel.units {
        let tokens: [&ActivationUnit; T] =
            std::array::from_fn(|t| &activations[t * panel.units + unit]);
        for g in 0..groups {
            let mut products = [[_mm512_setzero_si512(); 2]; T];
            for column in 0..G / 4 {
                // SAFETY: two vectors for every four columns of every unit; aligned.
                let u = unsafe {
                    let u = [
                        _mm512_load_si512(quads.cast()),
                        _mm512_load_si512(quads.add(1).cast()),
                    ];
                    quads = quads.add(2);
                    u
                };
                for t in 0..T {
                    // SAFETY: `g * G + 4 * column + 4 <= 256`.
                    let q = unsafe {
                        tokens[t]
                            .q
                            .as_ptr()
                            .add(g * G + 4 * column)
                            .cast::<i32>()
                            .read_unaligned()
                    };
                    let q = _mm512_set1_epi32(q);
                    products[t][0] = _mm512_dpbusd_epi32(products[t][0], u[0], q);
                    products[t][1] = _mm512_dpbusd_epi32(products[t][1], u[1], q);
                }
            }
            // SAFETY: two vectors of scales and of minima for every group; aligned.
            let (scale, min) = unsafe {
                let pair = (
                    [
                        _mm512_load_ps(scales.cast()),
                        _mm512_load_ps(scales.add(1).cast()),
                    ],
                    [
                        _mm512_load_ps(mins.cast()),
                        _mm512_load_ps(mins.add(1).cast()),
                    ],
                );
                (scales, mins) = (scales.add(2), mins.add(2));
                pair
            };
            for t in 0..T {
                let d = _mm512_set1_ps(tokens[t].d[g * G / 32]);
                let minus_sum = _mm512_set1_ps(if G == 32 {
                    tokens[t].minus_sum32[g % 8]
                } else {
                    tokens[t].minus_sum16[g]
                });
                for half in 0..2 {
                    let x = _mm512_cvtepi32_ps(products[t][half]);
                    let scale = _mm512_mul_ps(scale[half], d);
                    sums[t][half] = _mm512_fmadd_ps(x, scale, sums[t][half]);
                    sums[t][half] = _mm512_fmadd_ps(min[half], minus_sum, sums[t][half]);
                }
            }
        }
    }
    for t in 0..T {
        let y = &mut y[t * y_stride..][..PANEL];
        // SAFETY: 32 floats.
        unsafe {
            _mm512_storeu_ps(y.as_mut_ptr(), sums[t][0]);
            _mm512_storeu_ps(y.as_mut_ptr().add(16), sums[t][1]);
        }
    }
}
