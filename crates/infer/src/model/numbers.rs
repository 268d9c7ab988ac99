//! Keys or values as they are kept: in 32, 16 or 8 bits.
//!
//! In 8 bits, 32 numbers of a position and head share a scale, their largest magnitude over 127: the block of
//! Q8_0, with a scale in f32. They are widened to f32 before they are multiplied, a panel of keys or some
//! columns of values at a time, which every query of a task then shares.

use aeolus_quant::dot::{Kernels, Matmul, PANEL};
use aeolus_quant::f32_to_f16;
use std::cell::RefCell;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// 16 bits: half the memory, with the rounding of f16.
    #[default]
    F16,
    /// 32 bits: exact.
    F32,
    /// 8 bits in blocks of 32 with a scale for each: a little more than half the memory of f16.
    Q8_0,
}

/// Numbers in one of the types. Runs of them are `stride` apart: 1, or [`PANEL`] for those that are turned
/// on their side, which then begin within the first row of 32 rows.
#[derive(Clone, Debug)]
pub(super) enum Numbers {
    F16(Vec<u16>),
    F32(Vec<f32>),
    /// Codes, and a scale for every 32 of them: `[block][place in a row]` where they are turned.
    Q8(Vec<i8>, Vec<f32>),
}

thread_local! {
    /// Widened numbers.
    static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Numbers {
    /// Zeros that take no memory until they are written, a multiple of 32.
    pub(super) fn zeros(ty: CacheType, len: usize) -> Self {
        match ty {
            CacheType::F16 => Self::F16(vec![0; len]),
            CacheType::F32 => Self::F32(vec![0.0; len]),
            CacheType::Q8_0 => Self::Q8(vec![0; len], vec![0.0; len / PANEL]),
        }
    }

    /// Bytes of so many, a multiple of 32; `None` if they cannot be counted.
    pub(super) fn bytes(ty: CacheType, len: usize) -> Option<usize> {
        match ty {
            CacheType::F16 => len.checked_mul(2),
            CacheType::F32 => len.checked_mul(4),
            CacheType::Q8_0 => len.checked_add(len / PANEL * size_of::<f32>()),
        }
    }

    /// Writes `numbers` at `start`, `stride` apart.
    pub(super) fn write(&mut self, start: usize, stride: usize, numbers: &[f32]) {
        match self {
            Self::F16(all) => {
                for (place, x) in all[start..].iter_mut().step_by(stride).zip(numbers) {
                    *place = f32_to_f16(*x);
                }
            }
            Self::F32(all) => {
                for (place, x) in all[start..].iter_mut().step_by(stride).zip(numbers) {
                    *place = *x;
                }
            }
            Self::Q8(codes, scales) => {
                for (block, numbers) in numbers.chunks(PANEL).enumerate() {
                    let at = start + PANEL * block * stride;
                    let d = scale_of(numbers);
                    scales[scale_at(at, stride)] = d;
                    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
                    let places = codes[at..].iter_mut().step_by(stride);
                    for (place, x) in places.zip(numbers) {
                        *place = (x * inverse).round_ties_even() as i8;
                    }
                }
            }
        }
    }

    /// A product with 32 columns of numbers that are turned, `[depth][32]` from `start` on.
    pub(super) fn multiply_columns(&self, kernels: &Kernels, start: usize, operands: Matmul<'_>) {
        match self {
            Self::F16(all) => kernels.matmul_f16(&all[start..], PANEL, operands),
            Self::F32(all) => kernels.matmul_f32(&all[start..], PANEL, operands),
            Self::Q8(codes, scales) => WIDE.with_borrow_mut(|wide| {
                let len = operands.depth * PANEL;
                wide.resize(len, 0.0);
                let blocks = operands.depth.div_ceil(PANEL);
                let scales = &scales[scale_at(start, PANEL)..][..blocks * PANEL];
                kernels.widen_columns(&codes[start..start + len], scales, wide);
                kernels.matmul_f32(wide, PANEL, operands);
            }),
        }
    }

    /// A product with 32 columns of numbers as they come, rows `stride` apart from `start` on, a multiple
    /// of 32.
    pub(super) fn multiply_rows(
        &self,
        kernels: &Kernels,
        start: usize,
        stride: usize,
        operands: Matmul<'_>,
    ) {
        match self {
            Self::F16(all) => kernels.matmul_f16(&all[start..], stride, operands),
            Self::F32(all) => kernels.matmul_f32(&all[start..], stride, operands),
            Self::Q8(codes, scales) => WIDE.with_borrow_mut(|wide| {
                wide.resize(operands.depth * PANEL, 0.0);
                let scales = (&scales[scale_at(start, 1)..], stride / PANEL);
                kernels.widen_rows((&codes[start..], stride), scales, wide);
                kernels.matmul_f32(wide, PANEL, operands);
            }),
        }
    }
}

/// Where the scale is of the 32 numbers that begin at `start`, `stride` apart.
fn scale_at(start: usize, stride: usize) -> usize {
    start / (PANEL * stride) * stride + start % stride
}

/// The scale of some numbers. What is not finite stays so, as it does in f32: the product says so.
fn scale_of(numbers: &[f32]) -> f32 {
    let magnitudes = numbers.iter().map(|x| x.to_bits() & 0x7fff_ffff);
    f32::from_bits(magnitudes.fold(0, u32::max)) / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_quant::Cpu;

    /// Products of numbers that were written position by position, as those in f32 are.
    #[test]
    fn eight_bits_are_within_half_a_step_wherever_they_lie() {
        let kernels = Cpu::select().unwrap().kernels();
        for (dim, positions) in [(32_usize, 32_usize), (80, 64), (128, 96), (33, 40)] {
            let (row, rows) = (
                dim.next_multiple_of(PANEL),
                positions.next_multiple_of(PANEL),
            );
            let number = |p: usize, i: usize| ((p * 37 + i * 11) % 101) as f32 * 0.3 - 14.0;
            let of = |ty| {
                let mut columns = Numbers::zeros(ty, row * rows);
                let mut plain = Numbers::zeros(ty, row * rows);
                for p in 0..positions {
                    let numbers: Vec<f32> = (0..dim).map(|i| number(p, i)).collect();
                    columns.write(p / PANEL * PANEL * row + p % PANEL, PANEL, &numbers);
                    plain.write(p * row, 1, &numbers);
                }
                (columns, plain)
            };
            let multiply = |(columns, plain): &(Numbers, Numbers)| {
                let x: Vec<f32> = (0..dim.max(positions)).map(|i| (i as f32).sin()).collect();
                let mut scores = vec![f32::NAN; rows];
                for first in (0..positions).step_by(PANEL) {
                    let operands = Matmul {
                        x: &x,
                        x_stride: dim,
                        rows: 1,
                        depth: dim,
                        y: &mut scores[first..],
                        y_stride: PANEL,
                    };
                    columns.multiply_columns(kernels, first * row, operands);
                }
                let mut sums = vec![f32::NAN; row];
                for first in (0..row).step_by(PANEL) {
                    let operands = Matmul {
                        x: &x,
                        x_stride: positions,
                        rows: 1,
                        depth: positions,
                        y: &mut sums[first..],
                        y_stride: PANEL,
                    };
                    plain.multiply_rows(kernels, first, row, operands);
                }
                scores.truncate(positions);
                sums.truncate(dim);
                [scores, sums].concat()
            };
            let (exact, rounded) = (of(CacheType::F32), of(CacheType::Q8_0));
            // Half a step is 16.3 / 254; sums of x are below the root of their number, nearly.
            let bound = 0.065 * (dim.max(positions) as f32);
            let (exact, rounded) = (multiply(&exact), multiply(&rounded));
            for (i, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
                assert!(
                    (exact - rounded).abs() < bound,
                    "{dim}: {i} is {rounded}, not {exact}"
                );
            }
            assert_ne!(exact, rounded);
        }
    }

    #[test]
    fn what_is_not_finite_is_not_rounded_away() {
        let kernels = Cpu::select().unwrap().kernels();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut numbers = Numbers::zeros(CacheType::Q8_0, PANEL * PANEL);
            let mut row = [1.0; PANEL];
            row[5] = bad;
            numbers.write(PANEL, 1, &row);
            let mut sums = [0.0; PANEL];
            let operands = Matmul {
                x: &[1.0, 1.0],
                x_stride: 2,
                rows: 1,
                depth: 2,
                y: &mut sums,
                y_stride: PANEL,
            };
            numbers.multiply_rows(kernels, 0, PANEL, operands);
            assert!(sums.iter().any(|x| !x.is_finite()), "{bad}: {sums:?}");
        }
        assert_eq!(Numbers::bytes(CacheType::Q8_0, 64), Some(64 + 8));
        assert_eq!(Numbers::bytes(CacheType::F32, usize::MAX), None);
    }
}
