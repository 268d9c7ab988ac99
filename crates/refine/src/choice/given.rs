//! What costs are predicted from: a text, and the model's tensors.

use crate::backward::Error;
use aeolus_gguf::{TensorInfo, TensorType};
use aeolus_infer::Model;
use aeolus_quant::Cpu;
use std::collections::BTreeMap;
use std::path::Path;

/// What costs are predicted from.
#[derive(Clone, Copy, Debug)]
pub struct Calibration<'a> {
    /// Windows of one length.
    pub windows: &'a [Vec<u32>],
    /// The digest of text and cut.
    pub digest: &'a str,
    /// The digest of the source's weights.
    pub source: &'a str,
    /// With it labels are drawn.
    pub seed: u64,
    /// Where the backward pass keeps its temporary file.
    pub folder: &'a Path,
}

/// The costs of tensors by their names.
pub(super) type TableParts = BTreeMap<String, Vec<Option<f64>>>;

/// Adds costs of a tensor to what is known of it; a type that has no cost in one of them has none.
pub(super) fn add(costs: &mut TableParts, name: String, found: Vec<Option<f64>>) {
    match costs.get_mut(&name) {
        None => {
            costs.insert(name, found);
        }
        Some(known) => {
            for (known, other) in known.iter_mut().zip(found) {
                *known = known.zip(other).map(|(known, other)| known + other);
            }
        }
    }
}

/// A tensor in a model's file.
pub(super) struct Stored<'m> {
    pub model: &'m Model,
    pub cpu: Cpu,
    pub info: &'m TensorInfo,
}

impl Stored<'_> {
    /// Some rows in f32.
    pub fn rows(&self, rows: std::ops::Range<usize>) -> Result<Vec<f32>, Error> {
        let cols = self.info.shape.cols() as usize;
        let bytes = self.model.file().tensor_bytes(self.info);
        let row_bytes = bytes.len() / (self.info.shape.rows() as usize).max(1);
        let mut out = vec![0.0; rows.len() * cols];
        let stored = &bytes[rows.start * row_bytes..rows.end * row_bytes];
        let decoded = self.cpu.decode_rows(self.info.ty, stored, cols, &mut out);
        decoded.map_err(|source| Error::Decode {
            tensor: self.info.name.clone(),
            source,
        })?;
        Ok(out)
    }

    /// All of it in another type, if that can be.
    pub fn encoded(&self, ty: TensorType, guide: &[f32]) -> Result<Option<Vec<u8>>, Error> {
        let (rows, cols) = (self.info.shape.rows() as usize, self.info.shape.cols());
        let Some(row_bytes) = ty.row_bytes(cols) else {
            return Ok(None);
        };
        let mut bytes = vec![0; rows * row_bytes as usize];
        let x = self.rows(0..rows)?;
        let encoded = self
            .cpu
            .encode_rows(ty, &x, cols as usize, Some(guide), &mut bytes);
        Ok(encoded.is_ok().then_some(bytes))
    }
}
