//! Every kernel set of this machine against sums in f64 over `decode_rows`.

use aeolus_gguf::TensorType as T;

use std::mem::offset_of;

use super::panel::QuantPanel;
use super::unpack::Form;
use super::unpack::{Unpack, Unpacked};
use super::*;
use crate::formats::*;
use crate::registry::with_product;
use crate::{Cpu, bf16_to_f32, decode_rows, f16_to_f32, f32_to_f16};

/// Every format with the places of its half floats in a block.
fn formats() -> Vec<(T, Vec<usize>)> {
    macro_rules! places {
        ($block:ident $($field:ident)+) => {
            (<$block as Product>::TYPE, vec![$(offset_of!($block, $field)),+])
        };
    }
    let places = vec![
        places!(BlockQ4_0 d),
        places!(BlockQ4_1 d m),
        places!(BlockQ5_0 d),
        places!(BlockQ5_1 d m),
        places!(BlockQ8_0 d),
        places!(BlockQ2K d dmin),
        places!(BlockQ3K d),
        places!(BlockQ4K d dmin),
        places!(BlockQ5K d dmin),
        places!(BlockQ6K d),
        places!(BlockIQ4NL d),
        places!(BlockIQ4XS d),
        (T::MXFP4, vec![]), // its scale is a byte
        places!(BlockIQ1S d),
        (T::IQ1_M, vec![]), // its scale is in pieces
        places!(BlockIQ2XXS d),
        places!(BlockIQ2XS d),
        places!(BlockIQ2S d),
        places!(BlockIQ3XXS d),
        places!(BlockIQ3S d),
        places!(BlockTQ1_0 d),
        places!(BlockTQ2_0 d),
        (T::NVFP4, vec![]), // its scales are bytes
        places!(BlockQ1_0 d),
        places!(BlockQ2_0 d),
    ];
    let registered = T::all().filter(|ty| has_integer_kernel(*ty)).count();
    assert_eq!(
        places.len(),
        registered,
        "a format with products is missing here"
    );
    places
}

/// A small reproducible source of bits.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn float(&mut self) -> f32 {
        (self.next() % 20_001) as f32 / 10_000.0 - 1.0
    }
    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
    /// Rows in which every byte takes every value, but half floats are ordinary numbers.
    fn blocks(&mut self, ty: T, halves: &[usize], blocks: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..blocks * ty.block_bytes())
            .map(|_| self.next() as u8)
            .collect();
        for block in bytes.chunks_exact_mut(ty.block_bytes()) {
            for &at in halves {
                let half = f32_to_f16(self.float());
                block[at..at + 2].copy_from_slice(&half.to_le_bytes());
            }
            if ty == T::MXFP4 {
                block[offset_of!(BlockMXFP4, e)] = 120 + block[0] % 16;
            }
            if ty == T::IQ1_M {
                // The upper half of every upper byte; exponents 0 to 15 of 31.
                block[offset_of!(BlockIQ1M, scales) + 7] &= 0xbf;
            }
        }
        bytes
    }
}

fn kernel_sets() -> Vec<&'static Kernels> {
    let sets: Vec<_> = Cpu::available().map(Cpu::kernels).collect();
    println!(
        "kernels: {:?}",
        sets.iter().map(|k| k.name()).collect::<Vec<_>>()
    );
    assert_eq!(sets[0].name(), "scalar");
    sets
}

/// Row lengths of a format: below, at and above a unit.
fn row_lengths(ty: T) -> &'static [usize] {
    match ty.block_elems() {
        32 => &[32, 64, 224, 256, 288, 768, 800],
        64 => &[64, 192, 256, 320, 704],
        128 => &[128, 256, 384, 640],
        _ => &[256, 512, 1280],
    }
}

/// The exact product of a row with the rounded activations of a token, and the error that
/// rounding each product and sum to f32 may cause.
fn oracle(ty: T, row: &[u8], activations: &Activations, token: usize) -> (f64, f64) {
    let cols = activations.cols();
    let mut weights = vec![0.0; cols];
    decode_rows(ty, row, cols, &mut weights).unwrap();
    let (mut sum, mut magnitude) = (0.0, 0.0);
    let units = (0..cols.div_ceil(UNIT)).map(|unit| &activations.unit(unit)[token]);
    let units: Vec<_> = units.collect();
    for (i, w) in weights.iter().enumerate() {
        let unit = units[i / UNIT];
        let (d, q) = (unit.d[i % UNIT / 32], unit.q[i % UNIT]);
        sum += f64::from(*w) * f64::from(d) * f64::from(q);
    }
    // Kernels add scale * u * x and subtract min * x: the error goes with these, not with the sum.
    let mut unpacked = Unpacked::ZERO;
    let ((), group) = with_product!(ty, F => {
        let row: &[F] = bytemuck::cast_slice(row);
        for (blocks, unit) in row.chunks(F::BLOCKS).zip(&units) {
            F::unpack(blocks, &mut unpacked);
            let group = F::GROUP;
            for i in 0..UNIT {
                let x = f64::from(unit.d[i / 32]) * f64::from(unit.q[i]).abs();
                let scale = f64::from(unpacked.scale[i / group]).abs();
                magnitude += x * scale * f64::from(unpacked.u[i]);
                magnitude += x * f64::from(unpacked.min[i / group]).abs();
            }
        }
        ((), F::GROUP)
    }, unreachable!());
    assert!(group == 16 || group == 32);
    // At most 40 roundings of 2^-24 lie on the way of a product to the sum.
    (sum, 40.0 * magnitude / f64::from(1 << 24) + 1e-12)
}

#[test]
fn portable_unpacking_equals_decoding() {
    let mut random = Random(1);
    for (ty, halves) in formats() {
        let blocks = UNIT / ty.block_elems();
        let unit = random.blocks(ty, &halves, blocks);
        let mut expected = vec![0.0; UNIT];
        decode_rows(ty, &unit, UNIT, &mut expected).unwrap();
        let mut unpacked = Unpacked::ZERO;
        let group = with_product!(ty, F => {
            F::unpack(bytemuck::cast_slice(&unit), &mut unpacked);
            let largest = unpacked.u.iter().max();
            assert!(largest <= Some(&F::LARGEST), "{ty}: {largest:?}");
            F::GROUP
        }, unreachable!());
        for (i, expected) in expected.iter().enumerate() {
            let (scale, min) = (unpacked.scale[i / group], unpacked.min[i / group]);
            let w = scale * f32::from(unpacked.u[i]) - min;
            assert!(
                (w - expected).abs() <= 1e-4 * min.abs().max(w.abs()),
                "{ty} weight {i}"
            );
        }
    }
}

#[test]
fn one_token_with_rows_of_blocks() {
    let sets = kernel_sets();
    let mut random = Random(2);
    for (ty, halves) in formats() {
        for &cols in row_lengths(ty) {
            let rows = random.blocks(ty, &halves, 3 * cols / ty.block_elems());
            let row_bytes = rows.len() / 3;
            let mut activations = Activations::new();
            activations.quantize(&random.floats(2 * cols), cols);
            for kernels in &sets {
                // An odd address: rows in a file start anywhere.
                let mut shifted = vec![0];
                shifted.extend_from_slice(&rows);
                let mut y = [f32::NAN; 3];
                kernels.matvec(ty, &shifted[1..], &activations, 1, &mut y);
                for (row, y) in rows.chunks_exact(row_bytes).zip(y) {
                    let (expected, bound) = oracle(ty, row, &activations, 1);
                    let error = (f64::from(y) - expected).abs();
                    assert!(
                        error <= bound,
                        "{} {ty} {cols}: {y} {expected} {bound}",
                        kernels.name()
                    );
                }
            }
        }
    }
}

#[test]
fn many_tokens_with_a_panel() {
    let sets = kernel_sets();
    let mut random = Random(3);
    for (ty, halves) in formats() {
        for &cols in row_lengths(ty) {
            for (tokens, count) in [(1, 32), (2, 1), (5, 31), (6, 16), (7, 17), (13, 32)] {
                let rows = random.blocks(ty, &halves, count * cols / ty.block_elems());
                let row_bytes = rows.len() / count;
                let mut activations = Activations::new();
                activations.quantize(&random.floats(tokens * cols), cols);
                let stride = PANEL + 3;
                for kernels in &sets {
                    let mut panels = QuantPanels::new();
                    let mut y = vec![f32::NAN; tokens * stride];
                    // What a panel held before must not show.
                    let old = random.blocks(ty, &halves, 32 * cols / ty.block_elems());
                    kernels.matmul_quant(ty, &old, &activations, (&mut y, stride), &mut panels);
                    kernels.matmul_quant(ty, &rows, &activations, (&mut y, stride), &mut panels);
                    for (token, y) in y.chunks_exact(stride).enumerate() {
                        assert!(y[PANEL..].iter().all(|y| y.is_nan()), "wrote past the tile");
                        assert!(y[count..PANEL].iter().all(|&y| y == 0.0), "missing rows");
                        for (row, &y) in rows.chunks_exact(row_bytes).zip(y) {
                            let (expected, bound) = oracle(ty, row, &activations, token);
                            let error = (f64::from(y) - expected).abs();
                            assert!(error <= bound, "{} {ty} {cols} {tokens}", kernels.name());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn float_panels() {
    let sets = kernel_sets();
    let mut random = Random(4);
    let (x_stride, panel_stride, y_stride) = (70, 33, 40);
    for depth in [0, 1, 2, 33, 64] {
        for rows in [0, 1, 2, 3, 6, 7, 11, 12, 13, 25] {
            let x = random.floats(rows * x_stride);
            let panel = random.floats(depth * panel_stride);
            let bits: Vec<u16> = panel.iter().map(|&p| f32_to_f16(p)).collect();
            for kernels in &sets {
                for half in [false, true] {
                    let mut y = vec![f32::NAN; rows * y_stride];
                    let operands = Matmul {
                        x: &x,
                        x_stride,
                        rows,
                        depth,
                        y: &mut y,
                        y_stride,
                    };
                    if half {
                        kernels.matmul_f16(&bits, panel_stride, operands);
                    } else {
                        kernels.matmul_f32(&panel, panel_stride, operands);
                    }
                    for (r, y) in y.chunks_exact(y_stride).enumerate() {
                        assert!(y[PANEL..].iter().all(|y| y.is_nan()), "wrote past the tile");
                        for (c, &y) in y[..PANEL].iter().enumerate() {
                            let term = |d: usize| {
                                let p = d * panel_stride + c;
                                let p = if half { f16_to_f32(bits[p]) } else { panel[p] };
                                f64::from(x[r * x_stride + d]) * f64::from(p)
                            };
                            let sum: f64 = (0..depth).map(term).sum();
                            let bound = (0..depth).map(|d| term(d).abs()).sum::<f64>() * 4e-6;
                            assert!(
                                (f64::from(y) - sum).abs() <= bound,
                                "{} {r} {c}",
                                kernels.name()
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn packed_panels_are_rows_turned() {
    let rows: Vec<f32> = (0..35 * 5).map(|i| i as f32).collect();
    let mut panel = Panel::new();
    for count in [32, 1, 17] {
        panel.fill(&rows[..count * 5], 5);
        for (col, column) in panel.as_slice().chunks_exact(PANEL).enumerate() {
            for (row, &w) in column.iter().enumerate() {
                let expected = if row < count {
                    rows[row * 5 + col]
                } else {
                    0.0
                };
                assert_eq!(w, expected, "{count} rows, row {row}, column {col}");
            }
        }
    }
}

#[test]
fn one_token_with_rows_of_floats() {
    let sets = kernel_sets();
    let mut random = Random(5);
    for len in [0, 1, 7, 15, 16, 17, 63, 64, 65, 200] {
        let x = random.floats(len);
        let w = random.floats(3 * len);
        let encoded: [(T, Vec<u8>); 3] = [
            (T::F32, w.iter().flat_map(|w| w.to_le_bytes()).collect()),
            (
                T::F16,
                w.iter()
                    .flat_map(|&w| f32_to_f16(w).to_le_bytes())
                    .collect(),
            ),
            (
                T::BF16,
                w.iter()
                    .flat_map(|&w| crate::f32_to_bf16(w).to_le_bytes())
                    .collect(),
            ),
        ];
        for (ty, bytes) in &encoded {
            let decode = |bytes: &[u8]| match *ty {
                T::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
                T::F16 => f16_to_f32(u16::from_le_bytes(bytes.try_into().unwrap())),
                _ => bf16_to_f32(u16::from_le_bytes(bytes.try_into().unwrap())),
            };
            for kernels in &sets {
                let mut shifted = vec![0];
                shifted.extend_from_slice(bytes);
                let mut y = [f32::NAN; 3];
                kernels.matvec_float(*ty, &shifted[1..], &x, &mut y);
                for (r, y) in y.into_iter().enumerate() {
                    let size = ty.block_bytes();
                    let row = &bytes[r * len * size..(r + 1) * len * size];
                    let terms = row
                        .chunks_exact(size)
                        .zip(&x)
                        .map(|(w, &x)| f64::from(decode(w)) * f64::from(x));
                    let sum: f64 = terms.clone().sum();
                    let bound = terms.map(f64::abs).sum::<f64>() * 4e-6;
                    assert!(
                        (f64::from(y) - sum).abs() <= bound,
                        "{} {ty} {len}",
                        kernels.name()
                    );
                }
            }
        }
    }
}

#[test]
fn dot_products_of_floats() {
    let mut random = Random(6);
    for len in [0, 1, 40, 129] {
        let (a, b) = (random.floats(len), random.floats(len));
        let expected: f64 = a
            .iter()
            .zip(&b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        for kernels in kernel_sets() {
            assert!((f64::from(kernels.dot(&a, &b)) - expected).abs() < 1e-4);
        }
    }
}

#[test]
#[should_panic(expected = "do not fit")]
fn short_outputs_are_refused() {
    let mut y = [0.0; 32];
    let x = [0.0; 2];
    let operands = Matmul {
        x: &x,
        x_stride: 1,
        rows: 2,
        depth: 1,
        y: &mut y,
        y_stride: 32,
    };
    Cpu::available()
        .last()
        .unwrap()
        .kernels()
        .matmul_f32(&[0.0; 32], 32, operands);
}

/// What is not finite, in weights or in activations, must not become a number on its way.
#[test]
fn values_that_are_not_finite_reach_the_products() {
    let sets = kernel_sets();
    let mut random = Random(8);
    for (ty, halves) in formats() {
        let cols = 768;
        let row_bytes = cols / ty.block_elems() * ty.block_bytes();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for in_weights in [true, false] {
                if in_weights && halves.is_empty() {
                    continue; // every scale is finite
                }
                let mut rows = random.blocks(ty, &halves, 3 * cols / ty.block_elems());
                let mut x = random.floats(6 * cols);
                // Nibbles and scales at random may be zeros; the whole block is not.
                let damaged = match in_weights {
                    true => {
                        let at = row_bytes + 5 * ty.block_bytes() % row_bytes + halves[0];
                        rows[at..at + 2].copy_from_slice(&f32_to_f16(bad).to_le_bytes());
                        |token: usize, row: usize| row == 1 && token < 6
                    }
                    false => {
                        x[3 * cols + 300] = bad;
                        |token: usize, _: usize| token == 3
                    }
                };
                let mut activations = Activations::new();
                activations.quantize(&x, cols);
                for kernels in &sets {
                    let (mut panels, mut tiles) = (QuantPanels::new(), vec![0.0; 6 * PANEL]);
                    let y = (&mut tiles[..], PANEL);
                    kernels.matmul_quant(ty, &rows, &activations, y, &mut panels);
                    for (token, tile) in tiles.chunks_exact(PANEL).enumerate() {
                        let mut y = [0.0; 3];
                        let mut one = Activations::new();
                        one.quantize(&x[token * cols..][..cols], cols);
                        kernels.matvec(ty, &rows, &one, 0, &mut y);
                        for row in 0..3 {
                            let case = format!("{} {ty} {bad} {token} {row}", kernels.name());
                            let finite = !damaged(token, row);
                            assert_eq!(y[row].is_finite(), finite, "{case}: {}", y[row]);
                            assert_eq!(tile[row].is_finite(), finite, "{case}: {}", tile[row]);
                        }
                    }
                }
            }
        }
    }
}

/// No format has bytes above 127 in groups of 16. One that comes must not lose their sign.
#[test]
fn wide_bytes_in_groups_of_sixteen() {
    let mut random = Random(9);
    let tokens = 3;
    let mut panel = QuantPanel::EMPTY;
    for quads in &mut panel.quads {
        quads.0 = std::array::from_fn(|_| std::array::from_fn(|_| random.next() as u8));
    }
    for scales in &mut panel.scales {
        scales.0 = std::array::from_fn(|_| random.float());
    }
    panel.form = Form {
        group: 16,
        min_group: 0,
        offset: 128,
        largest: 255,
    };
    let mut activations = Activations::new();
    activations.quantize(&random.floats(tokens * UNIT), UNIT);
    let mut found = vec![];
    for kernels in kernel_sets() {
        let mut y = vec![f32::NAN; tokens * PANEL];
        for set in [true, false] {
            kernels.multiply(&panel, activations.unit(0), &mut y, PANEL, set);
        }
        found.push((kernels.name(), y));
    }
    let (_, expected) = found[0].clone();
    for (name, y) in found {
        for (y, e) in y.iter().zip(&expected) {
            assert!((y - e).abs() < 0.02, "{name}: {y}, expected {e}");
        }
    }
}

#[test]
fn scales_of_mxfp4_are_exact_in_every_kernel() {
    // Eight blocks, so that the whole unit is unpacked in vectors.
    for first in (0..=255u8).step_by(8) {
        let mut row = [0x11; 8 * 17];
        for (block, bytes) in row.chunks_exact_mut(17).enumerate() {
            bytes[offset_of!(BlockMXFP4, e)] = first + block as u8;
        }
        let mut decoded = [0.0; 256];
        decode_rows(T::MXFP4, &row, 256, &mut decoded).unwrap();
        for kernels in kernel_sets() {
            let mut panel = QuantPanel::EMPTY;
            kernels.pack(T::MXFP4, (&row, 256, 0), &mut panel);
            for block in 0..8 {
                let (scale, e) = (panel.scales[2 * block].0[0], usize::from(first) + block);
                assert_eq!(scale, decoded[32 * block], "{} {e}", kernels.name());
            }
        }
    }
}

#[test]
fn scales_of_nvfp4_are_exact_in_every_kernel() {
    // Four blocks of four scales: a unit with sixteen of the 256.
    for first in (0..=255u8).step_by(16) {
        let mut row = [0x11; 4 * 36];
        for (i, bytes) in row.chunks_exact_mut(36).enumerate() {
            bytes[..4].copy_from_slice(&std::array::from_fn::<u8, 4, _>(|j| {
                first + (4 * i + j) as u8
            }));
        }
        let mut decoded = [0.0; 256];
        decode_rows(T::NVFP4, &row, 256, &mut decoded).unwrap();
        for kernels in kernel_sets() {
            let mut panel = QuantPanel::EMPTY;
            kernels.pack(T::NVFP4, (&row, 256, 0), &mut panel);
            for group in 0..16 {
                let (scale, bits) = (panel.scales[2 * group].0[0], usize::from(first) + group);
                assert_eq!(scale, decoded[16 * group], "{} {bits}", kernels.name());
            }
        }
    }
}
