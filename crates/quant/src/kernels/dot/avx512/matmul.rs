//! Many tokens with a panel of 32 unpacked rows.
//!
//! One vector holds four columns of sixteen rows, so a lane is a row of weights and no sum ever
//! crosses lanes; four activations of a token are broadcast to all lanes. Up to six tokens at a
//! time use each loaded vector of weights six times: 12 integer and 12 float sums in registers.
//! `vpdpbusd` shares two ports with everything that applies scales, so that work is kept small: an
//! offset costs nothing, since products start from it, and two groups of 16 meet the scale of
//! their activations together.

use std::arch::x86_64::*;

use super::unpack::Unpack512;
use crate::kernels::dot::PANEL;
use crate::kernels::dot::activations::{ActivationUnit, MAGIC, PAIRS};
use crate::kernels::dot::panel::{Quads, QuantPanel, Sixteen};
use crate::kernels::dot::table::CHUNK;
use crate::kernels::dot::unpack::Unpacked;
use crate::kernels::x86_64::avx512::Avx512;

/// Fills a panel from a unit of up to 32 rows, and asks for the next unit of each.
///
/// # Safety
/// The CPU has the features of this folder; rows are whole.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn pack<F: Unpack512>(panel: &mut QuantPanel, unit: (&[u8], usize, usize)) {
    // SAFETY: the CPU has the features.
    let isa = unsafe { Avx512::new_unchecked() };
    panel.fill::<F, _>(isa, unit, true, |unit, out| {
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
unsafe fn unpack<F: Unpack512>(unit: *const F, out: &mut Unpacked) {
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
        _mm512_storeu_ps(out.scale.as_mut_ptr(), factors.first);
        if F::OFFSET == 0.0 {
            let mins = if F::GROUP == 16 {
                factors.second
            } else {
                _mm512_castps256_ps512(_mm512_extractf32x8_ps(factors.first, 1))
            };
            _mm512_storeu_ps(out.min.as_mut_ptr(), mins);
        }
    }
}

/// `T` tokens with a unit of a panel; see [`tile`].
type TileFn = unsafe fn(&QuantPanel, &[ActivationUnit], &mut [f32], usize, bool);

/// The tiles of a form, and their tokens, the most that have their sums in registers first: the
/// shorter the groups, the more of their factors are alive at once.
macro_rules! tiles {
    ($group:literal, $min_group:literal, $($tokens:literal),+) => {
        &[$(($tokens, tile::<$tokens, $group, $min_group> as TileFn)),+]
    };
}

/// Every token with every row of a panel.
///
/// # Safety
/// The CPU has the features of this folder; `y` has 32 columns at each token's multiple of `y_stride`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn multiply(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
    set: bool,
) {
    let tiles: &[(usize, TileFn)] = match (panel.form.group, panel.form.min_group) {
        (32, 0) => tiles!(32, 0, 6, 5, 4, 3, 2, 1),
        (32, 32) => tiles!(32, 32, 6, 5, 4, 3, 2, 1),
        (32, _) => tiles!(32, 16, 6, 5, 4, 3, 2, 1),
        (_, 0) => tiles!(16, 0, 4, 3, 2, 1),
        _ => tiles!(16, 16, 4, 3, 2, 1),
    };
    let mut token = 0;
    while let left = activations.len() - token
        && let Some((count, tile)) = tiles.iter().find(|(count, _)| *count <= left)
    {
        let y = &mut y[token * y_stride..];
        // SAFETY: `count` tokens follow.
        unsafe { tile(panel, &activations[token..], y, y_stride, set) };
        token += count;
    }
}

/// Adds to `y`, or sets it to, the products of `T` tokens with a panel, in groups of `G` weights, with
/// minima for every `M` weights or, if that is 0, an offset. Never inlined: each size needs all
/// registers for itself, and twelve of them in one function spill.
///
/// # Safety
/// `activations` starts with those of `T` tokens; `y` has 32 columns at each of `T` multiples of
/// `y_stride`. The panel has groups of `G` and minima for every `M`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn tile<const T: usize, const G: usize, const M: usize>(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
    set: bool,
) {
    let mut quads: *const Quads = panel.quads.as_ptr();
    let mut scales: *const Sixteen = panel.scales.as_ptr();
    let mut mins: *const Sixteen = panel.mins.as_ptr();
    let minus_offset = _mm512_set1_epi32(-panel.form.offset);
    let tokens: [&ActivationUnit; T] = std::array::from_fn(|t| &activations[t]);
    let mut sums = [[_mm512_setzero_ps(); 2]; T];
    if !set {
        for t in 0..T {
            let y = &y[t * y_stride..][..PANEL];
            // SAFETY: 32 floats.
            sums[t] = unsafe {
                [
                    _mm512_loadu_ps(y.as_ptr()),
                    _mm512_loadu_ps(y.as_ptr().add(16)),
                ]
            };
        }
    }
    // The products start from the bits of `MAGIC`, and from what the offset takes off each group.
    let mut starts = [[MAGIC.to_bits() as i32; 16]; T];
    if M == 0 {
        for t in 0..T {
            // SAFETY: eight or sixteen sums; sixteen starts.
            unsafe {
                let sums = if G == 32 {
                    let sums = _mm_loadu_si128(tokens[t].sum32.as_ptr().cast());
                    _mm512_castsi256_si512(_mm256_cvtepi16_epi32(sums))
                } else {
                    let sums = _mm256_loadu_si256(tokens[t].sum16.as_ptr().cast());
                    _mm512_cvtepi16_epi32(sums)
                };
                let offset = _mm512_mullo_epi32(sums, minus_offset);
                let starts = starts[t].as_mut_ptr().cast();
                let magic = _mm512_loadu_si512(starts);
                _mm512_storeu_si512(starts.cast(), _mm512_add_epi32(magic, offset));
            }
        }
    }
    for block in 0..8 {
        for token in tokens {
            let ahead: *const ActivationUnit = token;
            let ahead = ahead
                .wrapping_add(CHUNK)
                .cast::<i8>()
                .wrapping_add(64 * block);
            _mm_prefetch(ahead, _MM_HINT_T1);
        }
        for part in 0..32 / G {
            let g = block * 32 / G + part;
            let mut products = [[_mm512_set1_epi32(MAGIC.to_bits() as i32); 2]; T];
            if M == 0 {
                for t in 0..T {
                    products[t] = [_mm512_set1_epi32(starts[t][g]); 2];
                }
            }
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
                        let q = tokens[t].q.as_ptr().add(g * G + 4 * column);
                        _mm512_set1_epi32(q.cast::<i32>().read_unaligned())
                    };
                    products[t][0] = _mm512_dpbusd_epi32(products[t][0], u[0], q);
                    products[t][1] = _mm512_dpbusd_epi32(products[t][1], u[1], q);
                }
            }
            for half in 0..2 {
                // SAFETY: two vectors of scales for every group; aligned.
                let scale = unsafe { _mm512_load_ps(scales.add(half).cast()) };
                for t in 0..T {
                    let d = _mm512_set1_ps(tokens[t].d[block]);
                    let minus_magic = _mm512_set1_ps(tokens[t].minus_magic[block]);
                    let x = _mm512_castsi512_ps(products[t][half]);
                    let x = _mm512_fmadd_ps(x, d, minus_magic);
                    sums[t][half] = _mm512_fmadd_ps(x, scale, sums[t][half]);
                }
            }
            // SAFETY: as above.
            scales = unsafe { scales.add(2) };
        }
        for part in 0..32_usize.checked_div(M).unwrap_or(0) {
            // SAFETY: two vectors of minima for every group of `M`; aligned.
            let pair = unsafe {
                let pair = [
                    _mm512_load_ps(mins.cast()),
                    _mm512_load_ps(mins.add(1).cast()),
                ];
                mins = mins.add(2);
                pair
            };
            for (half, min) in pair.into_iter().enumerate() {
                for t in 0..T {
                    let minus_sum = if M == 32 {
                        tokens[t].minus_sum32[block]
                    } else {
                        tokens[t].minus_sum16[2 * block + part]
                    };
                    let minus_sum = _mm512_set1_ps(minus_sum);
                    sums[t][half] = _mm512_fmadd_ps(min, minus_sum, sums[t][half]);
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
