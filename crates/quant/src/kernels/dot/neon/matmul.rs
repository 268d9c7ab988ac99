//! Many tokens with a panel of 32 unpacked rows, a lane for each row; four rows in a vector.

use std::arch::aarch64::*;

use super::{sdot_lane, smmla};
use crate::kernels::dot::activations::ActivationUnit;
use crate::kernels::dot::panel::{Quads, QuantPanel, Sixteen};
use crate::kernels::dot::unpack::Unpack;
use crate::kernels::dot::{PANEL, UNIT};
use crate::kernels::lanes::portable::Portable;

/// Tokens of a tile: their sums with sixteen rows fill half of the registers.
const TOKENS: usize = 4;

/// Sums of `T` tokens with sixteen rows.
type Products<const T: usize> = [[int32x4_t; 4]; T];

/// Fills a panel from a unit of up to 32 rows.
///
/// # Safety
/// Rows are whole.
pub(super) unsafe fn pack<F: Unpack>(panel: &mut QuantPanel, unit: (&[u8], usize, usize)) {
    panel.fill(Portable, unit, true, F::unpack);
}

/// How bytes are multiplied.
trait Multiply {
    /// Adds the products of 16 columns, of which `w` has one half of the panel's rows and `q` the tokens'.
    ///
    /// # Safety
    /// The caller enables the instructions; `w` has every second one of eight [`Quads`], and sixteen bytes lie
    /// at each of `q`.
    unsafe fn add<const T: usize>(
        products: &mut Products<T>,
        w: &[Quads],
        flip: uint8x16_t,
        q: &[*const i8; T],
    );

    /// Four rows of one token in each vector.
    ///
    /// # Safety
    /// The caller enables the instructions.
    unsafe fn by_token<const T: usize>(products: Products<T>) -> Products<T>;
}

/// Four rows of a column of four, as signed bytes.
///
/// # Safety
/// `part` is less than 4.
#[inline(always)]
unsafe fn rows(column: &Quads, part: usize, flip: uint8x16_t) -> int8x16_t {
    // SAFETY: a column has four times sixteen bytes.
    unsafe {
        let u = vld1q_u8(column.0.as_ptr().cast::<u8>().add(16 * part));
        vreinterpretq_s8_u8(veorq_u8(u, flip))
    }
}

/// `sdot`: a vector for each token and four rows.
struct Dot;

impl Multiply for Dot {
    #[inline(always)]
    unsafe fn add<const T: usize>(
        products: &mut Products<T>,
        w: &[Quads],
        flip: uint8x16_t,
        q: &[*const i8; T],
    ) {
        // SAFETY: as the trait says.
        unsafe {
            let q = q.map(|q| vld1q_s8(q));
            macro_rules! column {
                ($lane:literal) => {
                    for part in 0..4 {
                        let w = rows(&w[2 * $lane], part, flip);
                        for t in 0..T {
                            let sums = &mut products[t][part];
                            *sums = sdot_lane::<$lane>(*sums, w, q[t]);
                        }
                    }
                };
            }
            column!(0);
            column!(1);
            column!(2);
            column!(3);
        }
    }

    #[inline(always)]
    unsafe fn by_token<const T: usize>(products: Products<T>) -> Products<T> {
        products
    }
}

/// `smmla`: a vector for two tokens and two rows. Those of an even token and the next one are together
/// the eight pairs of rows.
struct Matrix;

impl Multiply for Matrix {
    #[inline(always)]
    unsafe fn add<const T: usize>(
        products: &mut Products<T>,
        w: &[Quads],
        flip: uint8x16_t,
        q: &[*const i8; T],
    ) {
        const { assert!(T.is_multiple_of(2)) };
        // SAFETY: as the trait says.
        unsafe {
            for eight in 0..2 {
                let two = |t: usize| {
                    let at = |q: *const i8| vld1_s8(q.add(8 * eight));
                    vcombine_s8(at(q[t]), at(q[t + 1]))
                };
                for part in 0..4 {
                    let column = |k: usize| {
                        let bytes = rows(&w[2 * (2 * eight + k)], part, flip);
                        vreinterpretq_s32_s8(bytes)
                    };
                    let (first, second) = (column(0), column(1));
                    let pairs = [vzip1q_s32(first, second), vzip2q_s32(first, second)];
                    for t in (0..T).step_by(2) {
                        for (pair, w) in pairs.into_iter().enumerate() {
                            let sums = &mut products[t + part / 2][2 * (part % 2) + pair];
                            *sums = smmla(*sums, vreinterpretq_s8_s32(w), two(t));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn by_token<const T: usize>(products: Products<T>) -> Products<T> {
        let mut out = products;
        for t in (0..T).step_by(2) {
            for part in 0..4 {
                let pairs = &products[t + part / 2][2 * (part % 2)..];
                // SAFETY: NEON belongs to every aarch64.
                unsafe {
                    out[t][part] = vuzp1q_s32(pairs[0], pairs[1]);
                    out[t + 1][part] = vuzp2q_s32(pairs[0], pairs[1]);
                }
            }
        }
        out
    }
}

/// What differs between the tiles of one panel.
#[derive(Clone, Copy)]
struct Tile<'a> {
    panel: &'a QuantPanel,
    /// Those of `T` tokens.
    activations: &'a [ActivationUnit],
    /// Rows 0 to 15 of the panel, or 16 to 31.
    half: usize,
    /// Set the sums instead of adding to them.
    set: bool,
}

/// Every token with every row of a panel, by `sdot`.
///
/// # Safety
/// The CPU has `dotprod`; `y` has 32 columns at each token's multiple of `y_stride`.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn multiply(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
    set: bool,
) {
    let run = |tile: Tile<'_>, y: &mut [f32]| {
        // SAFETY: this function has the features; there are as many activations as the tile takes.
        unsafe {
            match tile.activations.len() {
                TOKENS => dot_tile::<TOKENS>(tile, y, y_stride),
                _ => dot_tile::<1>(tile, y, y_stride),
            }
        }
    };
    tiles(panel, activations, (y, y_stride), set, run);
}

/// Every token with every row of a panel, four tokens at a time by `smmla`.
///
/// # Safety
/// The CPU has `dotprod` and `i8mm`; `y` is as for [`multiply`].
#[target_feature(enable = "neon,dotprod,i8mm")]
pub(super) unsafe fn multiply_i8mm(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
    set: bool,
) {
    let run = |tile: Tile<'_>, y: &mut [f32]| {
        // SAFETY: as for `multiply`.
        unsafe {
            match tile.activations.len() {
                TOKENS => matrix_tile::<TOKENS>(tile, y, y_stride),
                _ => dot_tile::<1>(tile, y, y_stride),
            }
        }
    };
    tiles(panel, activations, (y, y_stride), set, run);
}

/// Calls `run` with tiles of [`TOKENS`] tokens or one, and the sums from the tile's first row on.
#[inline(always)]
fn tiles(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    (y, y_stride): (&mut [f32], usize),
    set: bool,
    mut run: impl FnMut(Tile<'_>, &mut [f32]),
) {
    let mut token = 0;
    while token < activations.len() {
        let count = match activations.len() - token {
            TOKENS.. => TOKENS,
            _ => 1,
        };
        for half in 0..PANEL / 16 {
            let tile = Tile {
                panel,
                activations: &activations[token..token + count],
                half,
                set,
            };
            run(tile, &mut y[token * y_stride + 16 * half..]);
        }
        token += count;
    }
}

/// # Safety
/// As [`tile`], for `sdot`.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot_tile<const T: usize>(args: Tile<'_>, y: &mut [f32], y_stride: usize) {
    // SAFETY: as for this function.
    unsafe {
        match args.panel.form.group {
            32 => tile::<Dot, T, 32>(args, y, y_stride),
            _ => tile::<Dot, T, 16>(args, y, y_stride),
        }
    }
}

/// # Safety
/// As [`tile`], for `smmla`.
#[inline(never)]
#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn matrix_tile<const T: usize>(args: Tile<'_>, y: &mut [f32], y_stride: usize) {
    // SAFETY: as for this function.
    unsafe {
        match args.panel.form.group {
            32 => tile::<Matrix, T, 32>(args, y, y_stride),
            _ => tile::<Matrix, T, 16>(args, y, y_stride),
        }
    }
}

/// Adds to `y`, or sets it to, the products of `T` tokens with sixteen rows, in groups of `G` weights.
///
/// # Safety
/// The caller enables the instructions; `args.activations` are those of `T` tokens, and the panel has groups
/// of `G`.
#[inline(always)]
unsafe fn tile<M: Multiply, const T: usize, const G: usize>(
    args: Tile<'_>,
    y: &mut [f32],
    y_stride: usize,
) {
    let (panel, half) = (args.panel, args.half);
    let form = panel.form;
    let tokens: [&ActivationUnit; T] = std::array::from_fn(|t| &args.activations[t]);
    let is_wide = form.largest > 127;
    let offset = if is_wide { 0 } else { form.offset };
    // SAFETY: arrays have the lengths that loads and stores of four numbers, or sixteen bytes, ask for.
    unsafe {
        let flip = vdupq_n_u8(if is_wide { 0x80 } else { 0 });
        let mut sums = [[vdupq_n_f32(0.0); 4]; T];
        if !args.set {
            for (t, sums) in sums.iter_mut().enumerate() {
                *sums = four_vectors(&y[t * y_stride..]);
            }
        }
        for g in 0..UNIT / G {
            let mut products = [[vdupq_n_s32(0); 4]; T];
            for at in (g * G..(g + 1) * G).step_by(16) {
                let columns = &panel.quads[2 * (at / 4) + half..][..7];
                let q = tokens.map(|token| token.q[at..at + 16].as_ptr());
                M::add(&mut products, columns, flip, &q);
            }
            let products = M::by_token(products);
            let scales = four_of(&panel.scales[2 * g + half]);
            for t in 0..T {
                let sum = match G {
                    32 => tokens[t].sum32[g % 8],
                    _ => tokens[t].sum16[g],
                };
                let taken_off = vdupq_n_s32(offset * i32::from(sum));
                let d = tokens[t].d[g * G / 32];
                for part in 0..4 {
                    let products = vcvtq_f32_s32(vsubq_s32(products[t][part], taken_off));
                    let products = vmulq_n_f32(products, d);
                    sums[t][part] = vfmaq_f32(sums[t][part], products, scales[part]);
                }
            }
        }
        for g in 0..UNIT.checked_div(form.min_group).unwrap_or(0) {
            let mins = four_of(&panel.mins[2 * g + half]);
            for t in 0..T {
                let minus_sum = match form.min_group {
                    32 => tokens[t].minus_sum32[g % 8],
                    _ => tokens[t].minus_sum16[g],
                };
                for part in 0..4 {
                    sums[t][part] = vfmaq_n_f32(sums[t][part], mins[part], minus_sum);
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            let y = &mut y[t * y_stride..][..16];
            for (part, sum) in sums.iter().enumerate() {
                vst1q_f32(y.as_mut_ptr().add(4 * part), *sum);
            }
        }
    }
}

#[inline(always)]
fn four_of(sixteen: &Sixteen) -> [float32x4_t; 4] {
    four_vectors(&sixteen.0)
}

/// The first sixteen floats.
#[inline(always)]
fn four_vectors(x: &[f32]) -> [float32x4_t; 4] {
    let x = &x[..16];
    // SAFETY: sixteen floats.
    std::array::from_fn(|part| unsafe { vld1q_f32(x.as_ptr().add(4 * part)) })
}
