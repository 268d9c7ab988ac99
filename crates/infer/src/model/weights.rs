//! The weights of a model, taken from its file.

use std::ops::Range;
use std::sync::Arc;

use aeolus_gguf::{GgufFile, TensorInfo};
use aeolus_quant::decode_rows;

use super::hyper::Hyperparameters;
use crate::error::{Error, Result};
use crate::matmul::Matrix;

/// A matrix `[rows, cols]`, outputs and inputs, and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>, // [rows]
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attn_norm: Vec<f32>,           // [hidden]
    pub(super) attn_q: Linear,                // [heads * head_dim, hidden]
    pub(super) attn_k: Linear,                // [kv_heads * head_dim, hidden]
    pub(super) attn_v: Linear,                // [kv_heads * head_dim, hidden]
    pub(super) attn_q_norm: Option<Vec<f32>>, // [head_dim]
    pub(super) attn_k_norm: Option<Vec<f32>>, // [head_dim]
    pub(super) attn_output: Linear,           // [hidden, heads * head_dim]
    pub(super) ffn_norm: Vec<f32>,            // [hidden]
    pub(super) ffn_gate: Linear,              // [feed_forward, hidden]
    pub(super) ffn_up: Linear,                // [feed_forward, hidden]
    pub(super) ffn_down: Linear,              // [hidden, feed_forward]
}

/// All weights of a model.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) token_embd: Matrix, // [vocab, hidden]
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Vec<f32>, // [hidden]
    /// `token_embd` where embeddings are tied.
    pub(super) output: Matrix, // [vocab, hidden]
    /// Divisors of the rotations, where the file has them.
    pub(super) rope_factors: Option<Vec<f32>>, // [rope_dims / 2]
}

impl Weights {
    /// Takes the tensors of a file that [`tensors::check`](super::tensors::check) has passed.
    pub(super) fn read(file: &GgufFile, hyper: &Hyperparameters) -> Result<Self> {
        let file = Reader { file };
        let mut layers = Vec::new();
        for i in 0..hyper.layers {
            layers.push(file.layer(i, hyper)?);
        }
        let token_embd = file.matrix("token_embd.weight")?;
        let output = match file.file.tensor("output.weight") {
            Some(_) => file.matrix("output.weight")?,
            None => token_embd.clone(),
        };
        Ok(Self {
            output_norm: file.vector("output_norm.weight")?,
            token_embd,
            layers,
            output,
            rope_factors: file.optional_vector("rope_freqs.weight")?,
        })
    }

    /// Bytes of all weights that one token needs.
    pub(super) fn bytes_for_a_token(&self) -> u64 {
        let layers = self.layers.iter().flat_map(|l| {
            [
                &l.attn_q,
                &l.attn_k,
                &l.attn_v,
                &l.attn_output,
                &l.ffn_gate,
                &l.ffn_up,
                &l.ffn_down,
            ]
        });
        layers
            .map(|linear| &linear.matrix)
            .chain([&self.output])
            .map(|m| m.size_bytes() as u64)
            .sum()
    }
}

struct Reader<'f> {
    file: &'f GgufFile,
}

impl Reader<'_> {
    fn layer(&self, i: usize, hyper: &Hyperparameters) -> Result<Layer> {
        let name = |part: &str| format!("blk.{i}.{part}");
        let linear = |part: &str| self.linear(&name(part));
        let norm = |part: &str| self.vector(&name(part));
        let [attn_q, attn_k, attn_v] = match self.linear(&name("attn_qkv")) {
            // Its rows are those of the three.
            Ok(whole) => {
                let (q, kv) = (hyper.q_dim(), hyper.kv_dim());
                [0..q, q..q + kv, q + kv..q + 2 * kv].map(|rows| whole.part(rows))
            }
            Err(_) => [linear("attn_q")?, linear("attn_k")?, linear("attn_v")?],
        };
        Ok(Layer {
            attn_norm: norm("attn_norm.weight")?,
            attn_q,
            attn_k,
            attn_v,
            attn_q_norm: self.optional_vector(&name("attn_q_norm.weight"))?,
            attn_k_norm: self.optional_vector(&name("attn_k_norm.weight"))?,
            attn_output: linear("attn_output")?,
            ffn_norm: norm("ffn_norm.weight")?,
            ffn_gate: linear("ffn_gate")?,
            ffn_up: linear("ffn_up")?,
            ffn_down: linear("ffn_down")?,
        })
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.file.tensor(name).ok_or_else(|| Error::MissingTensor {
            name: name.to_owned(),
            expected: Vec::new(),
        })
    }

    /// A matrix and its bias, if the file has one.
    fn linear(&self, name: &str) -> Result<Linear> {
        Ok(Linear {
            matrix: self.matrix(&format!("{name}.weight"))?,
            bias: self.optional_vector(&format!("{name}.bias"))?,
        })
    }

    fn matrix(&self, name: &str) -> Result<Matrix> {
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

    fn vector(&self, name: &str) -> Result<Vec<f32>> {
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

    fn optional_vector(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let there = self.file.tensor(name).is_some();
        there.then(|| self.vector(name)).transpose()
    }
}

impl Linear {
    /// Some of its rows.
    fn part(&self, rows: Range<usize>) -> Self {
        Self {
            matrix: self.matrix.part(rows.clone()),
            bias: self.bias.as_ref().map(|bias| bias[rows].to_vec()),
        }
    }
}
