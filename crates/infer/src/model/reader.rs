//! Tensors of a file as what the blocks keep: matrices, vectors, norms.

use std::sync::Arc;

use aeolus_gguf::{GgufFile, TensorInfo};
use aeolus_quant::decode_rows;

use super::linear::Linear;
use super::norm::Norm;
use super::rope::{ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, ROPE_FREQS, RopeFactors};
use crate::error::{Error, Result};
use crate::matmul::{Matrix, Member};

/// Takes tensors out of a file that has been checked.
pub(super) struct Reader<'f> {
    file: &'f GgufFile,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f GgufFile) -> Self {
        Self { file }
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.file.tensor(name).ok_or_else(|| Error::MissingTensor {
            name: name.to_owned(),
            expected: Vec::new(),
        })
    }

    /// A matrix and its bias, if the file has one.
    pub(super) fn linear(&self, name: &str) -> Result<Linear> {
        Ok(Linear {
            matrix: self.matrix(&format!("{name}.weight"))?,
            bias: self.optional_vector(&format!("{name}.bias"))?,
        })
    }

    /// The matrices of a stack, of so many rows each.
    pub(super) fn stack(&self, name: &str, rows: usize) -> Result<Vec<Matrix>> {
        let all = self.matrix(name)?;
        let starts = (0..all.rows()).step_by(rows.max(1));
        let count = starts.len();
        let member = |(index, start): (usize, usize)| {
            let matrix = all.part(start..(start + rows).min(all.rows()));
            matrix.with_member(Member { index, count })
        };
        Ok(starts.enumerate().map(member).collect())
    }

    /// The matrices of a stack, of so many rows each, and their biases, if the file has any.
    pub(super) fn linears(&self, name: &str, rows: usize) -> Result<Vec<Linear>> {
        let matrices = self.stack(&format!("{name}.weight"), rows)?;
        let biases = self.optional_vector(&format!("{name}.bias"))?;
        let bias = |i: usize| {
            biases
                .as_ref()
                .map(|all| all[i * rows..(i + 1) * rows].to_vec())
        };
        let all = matrices.into_iter().enumerate();
        Ok(all
            .map(|(i, matrix)| Linear {
                matrix,
                bias: bias(i),
            })
            .collect())
    }

    pub(super) fn matrix(&self, name: &str) -> Result<Matrix> {
        let info = self.info(name)?;
        let place = self.file.place(info);
        let map = Arc::clone(&self.file.maps()[place.shard]);
        let size = (info.shape.rows() as usize, info.shape.cols() as usize);
        let matrix = Matrix::new(name, info.ty, size, map, place.range.clone());
        // The reader has checked that the tensor's bytes are those of its shape.
        matrix.ok_or_else(|| Error::Shape {
            name: name.to_owned(),
            found: info.shape.dims().to_vec(),
            expected: info.shape.dims().to_vec(),
        })
    }

    pub(super) fn vector(&self, name: &str) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        let len = info.shape.elems() as usize;
        let mut out = vec![0.0; len];
        decode_rows(info.ty, self.file.tensor_bytes(info), len, &mut out).map_err(|source| {
            Error::Decode {
                tensor: name.to_owned(),
                source,
            }
        })?;
        Ok(out)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    pub(super) fn optional_vector(&self, name: &str) -> Result<Option<Vec<f32>>> {
        self.has(name).then(|| self.vector(name)).transpose()
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"))?,
            bias: self.optional_vector(&format!("{name}.bias"))?,
        })
    }

    pub(super) fn optional_norm(&self, name: &str) -> Result<Option<Norm>> {
        let there = self.has(&format!("{name}.weight"));
        there.then(|| self.norm(name)).transpose()
    }

    pub(super) fn rope_factors(&self) -> Result<RopeFactors> {
        let [short, long] = [ROPE_FACTORS_SHORT, ROPE_FACTORS_LONG];
        Ok(
            match (self.optional_vector(short)?, self.optional_vector(long)?) {
                (Some(short), Some(long)) => RopeFactors::ByContext { short, long },
                _ => match self.optional_vector(ROPE_FREQS)? {
                    Some(factors) => RopeFactors::Same(factors),
                    None => RopeFactors::None,
                },
            },
        )
    }
}
