//! Both modes and both regimes against sums in f64.

use std::io::Write;
use std::sync::Arc;

use aeolus_gguf::TensorType as T;
use aeolus_quant::{decode_rows, encode_rows};
use aeolus_source::Map;

use super::*;

fn wave(n: usize, step: f32) -> Vec<f32> {
    (0..n)
        .map(|i| (i as f32 * step).sin() + 0.3 * (i as f32 * 0.011).cos())
        .collect()
}

/// A matrix in a mapped file, at an odd offset.
fn matrix(
    ty: T,
    rows: usize,
    cols: usize,
    file: &mut tempfile::NamedTempFile,
) -> (Matrix, Vec<f32>) {
    let w = wave(rows * cols, 0.37);
    let mut bytes = vec![0; rows * ty.row_bytes(cols as u64).unwrap() as usize];
    encode_rows(ty, &w, cols, None, &mut bytes).unwrap();
    file.write_all(&[0]).unwrap();
    file.write_all(&bytes).unwrap();
    let map = Arc::new(Map::open(file.path()).unwrap());
    let mut decoded = vec![0.0; rows * cols];
    decode_rows(ty, &bytes, cols, &mut decoded).unwrap();
    let matrix = Matrix::new("w", ty, (rows, cols), map, 1..1 + bytes.len());
    (matrix.unwrap(), decoded)
}

#[test]
fn products_are_right_for_every_type_and_number_of_tokens() {
    for ty in [
        T::F32,
        T::F16,
        T::BF16,
        T::Q8_0,
        T::Q4_0,
        T::Q5_1,
        T::Q2_K,
        T::Q4_K,
        T::Q6_K,
    ] {
        for (rows, cols) in [(1, 256), (33, 512), (150, 2304)] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let (matrix, w) = matrix(ty, rows, cols, &mut file);
            for tokens in [1, FEW, FEW + 1, 17] {
                let x = wave(tokens * cols, 0.53);
                for numeric in [Numeric::Exact, Numeric::Precise, Numeric::Fast] {
                    for parallel in [false, true] {
                        let kernels = aeolus_quant::Cpu::select().unwrap().kernels();
                        let compute = Compute {
                            kernels,
                            numeric,
                            parallel,
                            tap: None,
                        };
                        let mut y = vec![f32::NAN; tokens * rows];
                        let input = compute.input(&x, cols);
                        compute.multiply(&input, &mut [(&matrix, &mut y)]).unwrap();
                        for (i, &y) in y.iter().enumerate() {
                            let (token, row) = (i / rows, i % rows);
                            let terms = w[row * cols..(row + 1) * cols]
                                .iter()
                                .zip(&x[token * cols..]);
                            let terms = terms.map(|(&w, &x)| f64::from(w) * f64::from(x));
                            let expected: f64 = terms.clone().sum();
                            let magnitude: f64 = terms.map(f64::abs).sum();
                            // Half a step of 1/127, or 1/32639, of a block's largest.
                            let bound = match numeric {
                                Numeric::Exact => 2e-6,
                                Numeric::Precise => 4e-5,
                                Numeric::Fast => 1e-2,
                            };
                            let error = (f64::from(y) - expected).abs();
                            assert!(
                                error <= bound * magnitude,
                                "{ty} {rows} {cols} {tokens} {numeric:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn column_blocks_cover_every_row() {
    let mut y = vec![0.0; 3 * 7];
    for (block, rows) in column_blocks(&mut y, 7, 3).into_iter().enumerate() {
        assert_eq!(rows.len(), 3);
        for row in rows {
            row.fill(block as f32);
        }
    }
    for row in y.chunks(7) {
        assert_eq!(row, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]);
    }
    assert!(column_blocks(&mut [], 7, 3).iter().all(Vec::is_empty));
}

#[test]
fn a_matrix_has_the_bytes_of_its_shape() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[0; 100]).unwrap();
    let map = Arc::new(Map::open(file.path()).unwrap());
    let new = |ty, shape, range| Matrix::new("w", ty, shape, map.clone(), range);
    assert!(new(T::F32, (5, 5), 0..100).is_some());
    assert!(new(T::F32, (5, 5), 0..96).is_none(), "too short");
    assert!(new(T::F32, (5, 6), 0..120).is_none(), "past the end");
    assert!(new(T::Q8_0, (1, 33), 0..34).is_none(), "no whole block");
    assert!(new(T::F32, (usize::MAX, 4), 0..100).is_none(), "overflow");
    assert!(new(T::F32, (0, 0), 0..0).is_none(), "no columns");
}
