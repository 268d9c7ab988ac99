//! The tensors of a model, found by name and checked against its numbers.

use std::collections::HashSet;
use std::sync::Arc;

use aeolus_gguf::{GgufFile, TensorInfo};
use aeolus_quant::{decode_rows, is_decodable};

use super::hyper::Hyperparameters;
use crate::error::{Error, Result};
use crate::matmul::Matrix;

/// The weights of one layer. Matrices are `[rows, cols]`: outputs, inputs.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attn_norm: Vec<f32>, // [hidden]
    pub(super) attn_q: Matrix,      // [heads * head_dim, hidden]
    pub(super) attn_k: Matrix,      // [kv_heads * head_dim, hidden]
    pub(super) attn_v: Matrix,      // [kv_heads * head_dim, hidden]
    pub(super) attn_output: Matrix, // [hidden, heads * head_dim]
    pub(super) ffn_norm: Vec<f32>,  // [hidden]
    pub(super) ffn_gate: Matrix,    // [feed_forward, hidden]
    pub(super) ffn_up: Matrix,      // [feed_forward, hidden]
    pub(super) ffn_down: Matrix,    // [hidden, feed_forward]
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

/// Finds tensors and remembers which were used.
struct Finder<'f> {
    file: &'f GgufFile,
    used: HashSet<String>,
}

impl Weights {
    /// Finds and checks every tensor.
    pub(super) fn find(file: &GgufFile, hyper: &Hyperparameters) -> Result<Self> {
        let mut finder = Finder {
            file,
            used: HashSet::new(),
        };
        let hidden = hyper.hidden;
        let vocab = match hyper.vocab {
            Some(vocab) => vocab,
            None => file
                .tensor("token_embd.weight")
                .and_then(|info| usize::try_from(info.shape.rows()).ok())
                .unwrap_or(0),
        };
        // The first layers are looked for before room is made for all: a header may lie.
        let mut layers = Vec::new();
        for i in 0..hyper.layers {
            let mut matrix = |part: &str, rows: usize, cols: usize| {
                finder.matrix(&format!("blk.{i}.{part}.weight"), rows, cols)
            };
            let (q, kv, ff) = (hyper.q_dim(), hyper.kv_dim(), hyper.feed_forward);
            layers.push(Layer {
                attn_q: matrix("attn_q", q, hidden)?,
                attn_k: matrix("attn_k", kv, hidden)?,
                attn_v: matrix("attn_v", kv, hidden)?,
                attn_output: matrix("attn_output", hidden, q)?,
                ffn_gate: matrix("ffn_gate", ff, hidden)?,
                ffn_up: matrix("ffn_up", ff, hidden)?,
                ffn_down: matrix("ffn_down", hidden, ff)?,
                attn_norm: finder.vector(&format!("blk.{i}.attn_norm.weight"), hidden)?,
                ffn_norm: finder.vector(&format!("blk.{i}.ffn_norm.weight"), hidden)?,
            });
        }
        let token_embd = finder.matrix("token_embd.weight", vocab, hidden)?;
        let output = match file.tensor("output.weight") {
            Some(_) => finder.matrix("output.weight", vocab, hidden)?,
            None => token_embd.clone(),
        };
        let rope_factors = match file.tensor("rope_freqs.weight") {
            Some(_) => Some(finder.vector("rope_freqs.weight", hyper.rope_dims / 2)?),
            None => None,
        };
        let weights = Self {
            output_norm: finder.vector("output_norm.weight", hidden)?,
            token_embd,
            layers,
            output,
            rope_factors,
        };
        finder.nothing_is_left()?;
        Ok(weights)
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
            .chain([&self.output])
            .map(|m| m.size_bytes() as u64)
            .sum()
    }
}

impl Finder<'_> {
    fn find(&mut self, name: &str, expected: &[usize]) -> Result<TensorInfo> {
        let expected: Vec<u64> = expected.iter().map(|&n| n as u64).collect();
        let Some(info) = self.file.tensor(name) else {
            return Err(Error::MissingTensor {
                name: name.to_owned(),
                expected,
            });
        };
        // Trailing dimensions of 1 are how some writers fill up to two.
        let dims = info.shape.dims();
        let kept = dims.len() - dims.iter().rev().take_while(|&&d| d == 1).count();
        let wanted = expected.len() - expected.iter().rev().take_while(|&&d| d == 1).count();
        if dims[..kept] != expected[..wanted] || expected.contains(&0) {
            return Err(Error::Shape {
                name: name.to_owned(),
                found: dims.to_vec(),
                expected,
            });
        }
        if !is_decodable(info.ty) {
            return Err(Error::TensorType {
                name: name.to_owned(),
                found: info.ty,
                expected: "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K",
            });
        }
        self.used.insert(name.to_owned());
        Ok(info.clone())
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let info = self.find(name, &[cols, rows])?;
        let place = self.file.place(&info);
        let map = Arc::clone(&self.file.maps()[place.shard]);
        let matrix = Matrix::new(name, info.ty, (rows, cols), map, place.range.clone());
        // The reader has checked that the tensor's bytes are those of its shape.
        matrix.ok_or_else(|| Error::Shape {
            name: name.to_owned(),
            found: info.shape.dims().to_vec(),
            expected: vec![cols as u64, rows as u64],
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let info = self.find(name, &[len])?;
        let mut out = vec![0.0; len];
        decode_rows(info.ty, self.file.tensor_bytes(&info), len, &mut out).map_err(|source| {
            Error::Decode {
                tensor: name.to_owned(),
                source,
            }
        })?;
        Ok(out)
    }

    /// A tensor that is not used would silently change the results: a bias, an expert.
    fn nothing_is_left(&self) -> Result<()> {
        let unused = |info: &&TensorInfo| !self.used.contains(&info.name);
        match self.file.tensors().iter().find(unused) {
            None => Ok(()),
            Some(info) => Err(Error::Unsupported {
                what: "tensor",
                found: info.name.clone(),
                supported: "those of a plain llama model",
            }),
        }
    }
}
