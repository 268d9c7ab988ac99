//! Rows of weights to bytes and back.

use crate::{Error, raise};
use aeolus_gguf::TensorType;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use rayon::prelude::*;

/// Weights that one thread encodes or decodes at a time.
const PIECE_WEIGHTS: usize = 64 << 10;

/// A type by its name, in any letter case.
fn parse(name: &str) -> PyResult<TensorType> {
    TensorType::from_name(&name.to_ascii_uppercase()).ok_or_else(|| {
        let known: Vec<&str> = encodable().map(TensorType::name).collect();
        Error::new_err(format!(
            "{name:?} is not a type of weights; there are {}",
            known.join(", ")
        ))
    })
}

fn encodable() -> impl Iterator<Item = TensorType> {
    TensorType::all().filter(|ty| aeolus_quant::is_encodable(*ty))
}

/// Bytes of a row of a type.
fn bytes_of_row(ty: TensorType, cols: usize) -> PyResult<usize> {
    let bytes = ty.row_bytes(cols as u64);
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|_| cols > 0)
        .ok_or_else(|| {
            Error::new_err(format!(
                "rows of {cols} weights cannot be of type {ty}: its blocks do not divide them"
            ))
        })
}

/// The names of the types that can be encoded, and of each whether it heeds an importance and whether it needs one.
#[pyfunction]
pub(crate) fn types() -> Vec<(&'static str, bool, bool)> {
    encodable()
        .map(|ty| {
            (
                ty.name(),
                aeolus_quant::is_guided(ty),
                aeolus_quant::needs_guide(ty),
            )
        })
        .collect()
}

/// Bytes of a row of `cols` weights.
#[pyfunction]
#[pyo3(name = "row_bytes")]
pub(crate) fn row_bytes(ty: &str, cols: usize) -> PyResult<usize> {
    bytes_of_row(parse(ty)?, cols)
}

/// Encodes rows of `cols` float32 weights. `importance` is that of each column.
#[pyfunction]
#[pyo3(signature = (weights, cols, ty, importance=None))]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    weights: PyBuffer<f32>,
    cols: usize,
    ty: &str,
    importance: Option<PyBuffer<f32>>,
) -> PyResult<Bound<'py, PyByteArray>> {
    let ty = parse(ty)?;
    let row_bytes = bytes_of_row(ty, cols)?;
    let weights = weights.to_vec(py)?;
    let importance = importance.map(|buffer| buffer.to_vec(py)).transpose()?;
    if !weights.len().is_multiple_of(cols) {
        return Err(Error::new_err(format!(
            "{} weights are not whole rows of {cols}",
            weights.len()
        )));
    }
    let encoded = py.detach(|| {
        let rows = (PIECE_WEIGHTS / cols).max(1);
        let mut out = vec![0; weights.len() / cols * row_bytes];
        weights
            .par_chunks(rows * cols)
            .zip(out.par_chunks_mut(rows * row_bytes))
            .try_for_each(|(x, out)| {
                aeolus_quant::encode_rows(ty, x, cols, importance.as_deref(), out)
            })
            .map(|()| out)
    });
    Ok(PyByteArray::new(py, &encoded.map_err(raise)?))
}

/// Decodes rows of `cols` weights to float32.
#[pyfunction]
pub(crate) fn decode<'py>(
    py: Python<'py>,
    bytes: PyBuffer<u8>,
    cols: usize,
    ty: &str,
) -> PyResult<Bound<'py, PyByteArray>> {
    let ty = parse(ty)?;
    let row_bytes = bytes_of_row(ty, cols)?;
    let bytes = bytes.to_vec(py)?;
    if !bytes.len().is_multiple_of(row_bytes) {
        return Err(Error::new_err(format!(
            "{} bytes are not whole rows of {cols} weights of type {ty}, each of which takes {row_bytes}",
            bytes.len()
        )));
    }
    let decoded = py.detach(|| {
        let rows = (PIECE_WEIGHTS / cols).max(1);
        let mut out = vec![0.0f32; bytes.len() / row_bytes * cols];
        bytes
            .par_chunks(rows * row_bytes)
            .zip(out.par_chunks_mut(rows * cols))
            .try_for_each(|(bytes, out)| aeolus_quant::decode_rows(ty, bytes, cols, out))
            .map(|()| out)
    });
    let decoded = decoded.map_err(raise)?;
    PyByteArray::new_with(py, decoded.len() * 4, |out| {
        for (out, x) in out.chunks_exact_mut(4).zip(&decoded) {
            out.copy_from_slice(&x.to_ne_bytes());
        }
        Ok(())
    })
}
