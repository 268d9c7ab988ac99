//! The weights of a model, taken from its file.

use aeolus_arch::{FfnNorm, LayerKind, Recurrence};
use aeolus_gguf::GgufFile;

use super::attention::Attention;
use super::delta_net::DeltaNet;
use super::dense_and_experts::DenseAndExperts;
use super::experts::Experts;
use super::feed_forward::Dense;
use super::hyper::Hyperparameters;
use super::latent_attention::LatentAttention;
use super::layer_input::{LayerInput, LayerInputs};
use super::layer_shape::LayerShape;
use super::linear::Linear;
use super::norm::Norm;
use super::reader::Reader;
use super::rope::RopeFactors;
use super::short_convolution::ShortConvolution;
use crate::error::Result;
use crate::matmul::Matrix;

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
        let file = Reader::new(file);
        let mut layers = Vec::new();
        for i in 0..hyper.layers {
            layers.push(Layer::read(&file, i, hyper)?);
        }
        let token_embd = file.matrix("token_embd.weight")?;
        let output = match file.has("output.weight") {
            true => file.matrix("output.weight")?,
            false => token_embd.clone(),
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
            feed_forward: match hyper.has_experts(i) {
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
