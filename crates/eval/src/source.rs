//! The source's weights as f32, rows in the order of the outputs.

use crate::Error;
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::{Endian, TensorType, swap_rows};
use std::ops::Range;

/// Weights decoded at a time, at least one row: 256 KiB of f32 stay in a core's cache.
const TILE_WEIGHTS: usize = 64 << 10;

/// Rows of a tensor that are worked on together.
pub(crate) fn tiles(tensor: &Tensor) -> Vec<Range<usize>> {
    let rows = tensor.shape.rows() as usize;
    let step = (TILE_WEIGHTS / cols(tensor)).max(1);
    (0..rows)
        .step_by(step)
        .map(|first| first..(first + step).min(rows))
        .collect()
}

pub(crate) fn cols(tensor: &Tensor) -> usize {
    tensor.shape.cols() as usize
}

/// The source's bytes of some output rows, little-endian, in output order.
pub(crate) fn bytes(
    source: &Checkpoint,
    tensor: &Tensor,
    rows: Range<usize>,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(rows.len() * tensor.row_bytes());
    for run in tensor.rows(rows) {
        out.extend_from_slice(&run);
    }
    if source.endian == Endian::Big {
        swap_rows(tensor.ty, &mut out).map_err(|e| problem(tensor, e.to_string()))?;
    }
    Ok(out)
}

/// Decodes some output rows, `[rows, cols]`.
pub(crate) fn decode(
    source: &Checkpoint,
    tensor: &Tensor,
    rows: Range<usize>,
) -> Result<Vec<f32>, Error> {
    let count = rows.len();
    decode_bytes(tensor, tensor.ty, &bytes(source, tensor, rows)?, count)
}

/// Decodes `rows` rows of a tensor that are stored as `ty`.
pub(crate) fn decode_bytes(
    tensor: &Tensor,
    ty: TensorType,
    bytes: &[u8],
    rows: usize,
) -> Result<Vec<f32>, Error> {
    let cols = cols(tensor);
    let mut out = vec![0.0; rows * cols];
    aeolus_quant::decode_rows(ty, bytes, cols, &mut out)
        .map_err(|e| problem(tensor, e.to_string()))?;
    Ok(out)
}

/// Something wrong with the source's tensor.
pub(crate) fn problem(tensor: &Tensor, problem: String) -> Error {
    let path = tensor.maps().next().map(|map| map.path().to_path_buf());
    Error::Tensor {
        path: path.unwrap_or_default(),
        tensor: tensor.name.clone(),
        problem,
    }
}
