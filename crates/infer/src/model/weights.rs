//! The weights of a model, taken from its file.

use std::ops::Range;
use std::sync::Arc;

use aeolus_arch::{FfnNorm, LayerKind, NormKind, Recurrence};
use aeolus_gguf::{GgufFile, TensorInfo};
use aeolus_quant::decode_rows;

use super::attention::Attention;
use super::cache::LayerShape;
use super::delta_net::DeltaNet;
use super::dense_and_experts::DenseAndExperts;
use super::experts::Experts;
use super::feed_forward::Dense;
use super::hyper::Hyperparameters;
use super::latent_attention::LatentAttention;
use super::layer_input::{LayerInput, LayerInputs};
use super::math::{add, layer_norm, rms_norm};
use super::rope::{ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, ROPE_FREQS, RopeFactors};
use super::short_convolution::ShortConvolution;
use crate::error::{Error, Result};
use crate::matmul::{Compute, Matrix, Member};

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

/// The block of a layer that carries something from one position to another.
#[derive(Debug)]
pub(super) enum Mixer {
    /// Attention over keys and values.
    Attention(Attention),
    /// A short convolution.
    Convolution(ShortConvolution),
    /// A gated delta net.
    Delta(DeltaNet),
    /// Attention over latent vectors.
    LatentAttention(LatentAttention),
}

/// The block of a layer that works on each position by itself.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each layer, and none is moved"
)]
#[derive(Debug)]
pub(super) enum FeedForward {
    /// All of it for every token.
    Dense(Dense),
    /// A few of many networks for each token.
    Experts(Experts),
    /// A dense network and experts beside each other.
    Both(DenseAndExperts),
}

/// The weights of one layer. A norm that is not there changes nothing.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attn_norm: Option<Norm>, // [hidden]
    pub(super) mixer: Mixer,
    pub(super) post_attention_norm: Option<Norm>, // [hidden]
    pub(super) ffn_norm: Option<Norm>,            // [hidden]
    pub(super) feed_forward: FeedForward,
    pub(super) post_ffw_norm: Option<Norm>, // [hidden]
    pub(super) layer_input: Option<LayerInput>,
    /// What leaves the layer is multiplied with it.
    pub(super) output_scale: f32,
}

/// All weights of a model.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) token_embd: Matrix, // [vocab, hidden]
    /// What is added to the embedding at each position, where positions are learned.
    pub(super) position_embd: Option<Matrix>, // [context, hidden]
    pub(super) layer_inputs: Option<LayerInputs>,
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
            layers.push(Layer::read(&file, i, hyper)?);
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
            output_norm: file.optional_norm(hyper.graph.output_norm)?,
            layer_inputs: LayerInputs::read(&file, hyper)?,
            token_embd,
            layers,
            output,
            rope_factors: file.rope_factors()?,
        })
    }

    /// Bytes of all weights that one token needs.
    pub(super) fn bytes_for_a_token(&self) -> u64 {
        let layers = self.layers.iter();
        let layers: u64 = layers.map(|layer| layer.bytes_for_a_token()).sum();
        layers + self.output.size_bytes() as u64
    }
}

impl Layer {
    fn read(file: &Reader<'_>, i: usize, hyper: &Hyperparameters) -> Result<Self> {
        let norm = |part: &str| file.optional_norm(&format!("blk.{i}.{part}"));
        let (post_attention_norm, ffn_norm) = match hyper.graph.ffn_norm {
            FfnNorm::Own => (norm("post_attention_norm")?, norm("ffn_norm")?),
            FfnNorm::PostAttention => (None, norm("post_attention_norm")?),
        };
        Ok(Self {
            attn_norm: norm("attn_norm")?,
            mixer: match (hyper.layer(i).kind, hyper.graph.recurrence) {
                (LayerKind::Recurrent, Recurrence::ShortConvolution) => {
                    Mixer::Convolution(ShortConvolution::read(file, i, hyper)?)
                }
                (LayerKind::Recurrent, Recurrence::DeltaNet) => {
                    Mixer::Delta(DeltaNet::read(file, i, hyper)?)
                }
                _ if hyper.graph.mixer == aeolus_arch::Mixer::LatentAttention => {
                    Mixer::LatentAttention(LatentAttention::read(file, i, hyper)?)
                }
                _ => Mixer::Attention(Attention::read(file, i, hyper)?),
            },
            post_attention_norm,
            ffn_norm,
            feed_forward: match hyper.numbers.has_experts(i as u32) {
                true if file.has(&format!("blk.{i}.ffn_down.weight")) => {
                    FeedForward::Both(DenseAndExperts::read(file, i, hyper)?)
                }
                true => FeedForward::Experts(Experts::read(file, i, hyper)?),
                false => FeedForward::Dense(Dense::read(file, i, hyper)?),
            },
            post_ffw_norm: norm("post_ffw_norm")?,
            layer_input: LayerInput::read(file, i)?,
            output_scale: file
                .optional_vector(&format!("blk.{i}.layer_output_scale.weight"))?
                .map_or(1.0, |scale| scale[0]),
        })
    }

    fn bytes_for_a_token(&self) -> u64 {
        let bytes = |linear: &Linear| linear.matrix.size_bytes() as u64;
        let mixer: u64 = match &self.mixer {
            Mixer::Attention(attention) => attention.linears().map(bytes).sum(),
            Mixer::Convolution(convolution) => convolution.linears().map(bytes).sum(),
            Mixer::Delta(delta) => delta.linears().map(bytes).sum(),
            Mixer::LatentAttention(attention) => {
                attention.matrices().map(|m| m.size_bytes() as u64).sum()
            }
        };
        let input = self.layer_input.iter().flat_map(LayerInput::linears);
        let input: u64 = input.map(bytes).sum();
        let feed_forward: u64 = match &self.feed_forward {
            FeedForward::Dense(dense) => dense.linears().map(bytes).sum(),
            FeedForward::Experts(experts) => experts.bytes_for_a_token(),
            FeedForward::Both(both) => both.bytes_for_a_token(),
        };
        mixer + feed_forward + input
    }

    /// What the layer remembers, being number `layer`.
    pub(super) fn memory(&self, hyper: &Hyperparameters, layer: usize) -> LayerShape {
        match &self.mixer {
            Mixer::Attention(_) => Attention::memory(hyper, layer),
            Mixer::Convolution(convolution) => convolution.memory(hyper),
            Mixer::Delta(delta) => delta.memory(),
            Mixer::LatentAttention(attention) => attention.memory(),
        }
    }
}

/// Takes tensors out of a file that has been checked.
pub(super) struct Reader<'f> {
    file: &'f GgufFile,
}

impl Reader<'_> {
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
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        Self {
            matrix: self.matrix.part(rows.clone()),
            bias: self.bias.as_ref().map(|bias| bias[rows].to_vec()),
        }
    }
    /// Adds the bias to products `[tokens, rows]`.
    pub(super) fn add_bias(&self, compute: Compute, products: &mut [f32]) {
        if let Some(bias) = &self.bias {
            compute.for_rows(products, bias.len(), |_, products| add(products, bias));
        }
    }
}
