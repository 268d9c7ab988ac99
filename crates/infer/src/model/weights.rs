//! The weights of a model, taken from its file.

use std::ops::Range;
use std::sync::Arc;

use aeolus_arch::{FfnNorm, NormKind};
use aeolus_gguf::{GgufFile, TensorInfo};
use aeolus_quant::decode_rows;

use super::hyper::Hyperparameters;
use super::math::{add, layer_norm, rms_norm};
use super::rope::{ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, ROPE_FREQS, RopeFactors};
use crate::error::{Error, Result};
use crate::matmul::Matrix;

/// A matrix `[rows, cols]`, outputs and inputs, and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>, // [rows]
}

/// What a norm multiplies with, and what it adds: `[n]`, for vectors of which each run of n numbers is
/// normed by itself.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
}

/// The weights of one layer. A norm that is not there changes nothing.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attn_norm: Option<Norm>,           // [hidden]
    pub(super) attn_q: Linear,                    // [heads * head_dim, hidden]
    pub(super) attn_k: Linear,                    // [kv_heads * head_dim, hidden]
    pub(super) attn_v: Linear,                    // [kv_heads * head_dim, hidden]
    pub(super) attn_q_norm: Option<Norm>,         // [head_dim]
    pub(super) attn_k_norm: Option<Norm>,         // [head_dim]
    pub(super) attn_output: Linear,               // [hidden, heads * head_dim]
    pub(super) post_attention_norm: Option<Norm>, // [hidden]
    pub(super) ffn_norm: Option<Norm>,            // [hidden]
    pub(super) ffn_gate: Option<Linear>,          // [feed_forward, hidden]
    pub(super) ffn_up: Linear,                    // [feed_forward, hidden]
    pub(super) ffn_down: Linear,                  // [hidden, feed_forward]
    pub(super) post_ffw_norm: Option<Norm>,       // [hidden]
}

/// All weights of a model.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) token_embd: Matrix, // [vocab, hidden]
    /// What is added to the embedding at each position, where positions are learned.
    pub(super) position_embd: Option<Matrix>, // [context, hidden]
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Option<Norm>, // [hidden]
    /// `token_embd` where embeddings are tied.
    pub(super) output: Matrix, // [vocab, hidden]
    pub(super) output_bias: Option<Vec<f32>>, // [vocab]
    /// Divisors of the rotations, where the file has them.
    pub(super) rope_factors: RopeFactors, // [rope_dims / 2]
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
            position_embd: match file.has("position_embd.weight") {
                true => Some(file.matrix("position_embd.weight")?),
                false => None,
            },
            output_bias: file.optional_vector("output.bias")?,
            output_norm: file.optional_norm("output_norm")?,
            token_embd,
            layers,
            output,
            rope_factors: file.rope_factors()?,
        })
    }

    /// Bytes of all weights that one token needs.
    pub(super) fn bytes_for_a_token(&self) -> u64 {
        let layers = self.layers.iter().flat_map(|l| {
            let always = [
                &l.attn_q,
                &l.attn_k,
                &l.attn_v,
                &l.attn_output,
                &l.ffn_up,
                &l.ffn_down,
            ];
            always.into_iter().chain(&l.ffn_gate)
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
        let norm = |part: &str| self.optional_norm(&name(part));
        let [attn_q, attn_k, attn_v] = match self.linear(&name("attn_qkv")) {
            // Its rows are those of the three.
            Ok(whole) => {
                let (q, kv) = (hyper.q_dim(), hyper.kv_dim());
                [0..q, q..q + kv, q + kv..q + 2 * kv].map(|rows| whole.part(rows))
            }
            Err(_) => [linear("attn_q")?, linear("attn_k")?, linear("attn_v")?],
        };
        // The gate's rows may come first in the other matrix.
        let up = linear("ffn_up")?;
        let n = hyper.feed_forward;
        let (ffn_gate, ffn_up) = match self.has(&name("ffn_gate.weight")) {
            true => (Some(linear("ffn_gate")?), up),
            false if up.matrix.rows() == 2 * n => (Some(up.part(0..n)), up.part(n..2 * n)),
            false => (None, up),
        };
        let (post_attention_norm, ffn_norm) = match hyper.graph.ffn_norm {
            FfnNorm::Own => (norm("post_attention_norm")?, norm("ffn_norm")?),
            FfnNorm::PostAttention => (None, norm("post_attention_norm")?),
        };
        Ok(Layer {
            attn_norm: norm("attn_norm")?,
            attn_q,
            attn_k,
            attn_v,
            attn_q_norm: norm("attn_q_norm")?,
            attn_k_norm: norm("attn_k_norm")?,
            attn_output: linear("attn_output")?,
            post_attention_norm,
            ffn_norm,
            ffn_gate,
            ffn_up,
            ffn_down: linear("ffn_down")?,
            post_ffw_norm: norm("post_ffw_norm")?,
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

    fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    fn optional_vector(&self, name: &str) -> Result<Option<Vec<f32>>> {
        self.has(name).then(|| self.vector(name)).transpose()
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"))?,
            bias: self.optional_vector(&format!("{name}.bias"))?,
        })
    }

    fn optional_norm(&self, name: &str) -> Result<Option<Norm>> {
        let there = self.has(&format!("{name}.weight"));
        there.then(|| self.norm(name)).transpose()
    }

    fn rope_factors(&self) -> Result<RopeFactors> {
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

impl Norm {
    /// Norms a vector in place.
    pub(super) fn apply(&self, kind: NormKind, eps: f32, x: &mut [f32]) {
        match kind {
            NormKind::Rms => rms_norm(x, &self.weight, eps),
            NormKind::Layer => layer_norm(x, &self.weight, eps),
        }
        if let Some(bias) = &self.bias {
            x.chunks_exact_mut(bias.len()).for_each(|x| add(x, bias));
        }
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
