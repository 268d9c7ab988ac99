//! The transformer: loading, checking, and one forward pass to read from top to bottom.
//!
//! [`Model::open`] maps a GGUF file and checks every number and every tensor before anything is
//! computed. [`Model::forward`] takes the next tokens of a sequence and its [`Cache`] and gives
//! logits for the positions asked for; many tokens at once (a prompt, a window of a text) or one
//! are the same function. [`Windows`] are many windows of a text on their way through the layers: the
//! same steps, with what lies between two layers kept outside.
//!
//! A layer is two blocks with norms around them. Its *mixer* carries something from one position to
//! another and remembers it in the [`Cache`]: `attention`, `latent_attention`, `delta_net` or
//! `short_convolution`. Its *feed-forward* block works on each position by itself: `feed_forward`,
//! `experts`, or both as `dense_and_experts`. Behind them a model may add a vector of the token for
//! that layer: `layer_input`. Each kind of block is a file: its weights, how they are taken from the
//! model's file, what it remembers, what it computes.

mod attention;
mod cache;
mod convolution;
mod delta_net;
mod dense_and_experts;
mod experts;
mod feed_forward;
mod forward;
mod hyper;
mod keys;
mod latent_attention;
mod layer_input;
mod layer_shape;
mod linear;
pub mod math;
mod norm;
mod numbers;
mod pass;
mod reader;
mod rope;
mod rope_scaling;
mod short_convolution;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;
mod windows;

use std::path::Path;

use aeolus_gguf::{Endian, GgufFile, Metadata, Shape, TensorType};

use crate::error::{Error, Result};
pub use cache::Cache;
pub use forward::Logits;
pub use hyper::Hyperparameters;
use layer_shape::LayerShape;
pub use numbers::CacheType;
use rope::Ropes;
pub use rope::rotate;
pub use rope_scaling::RopeScaling;
use weights::Weights;
pub use windows::Windows;

/// A model whose weights lie in a mapped file.
#[derive(Debug)]
pub struct Model {
    file: GgufFile,
    hyper: Hyperparameters,
    weights: Weights,
    ropes: Ropes,
}

impl Model {
    /// Opens a GGUF file (all shards of a split one) and checks that it is a whole model.
    ///
    /// # Errors
    /// [`Error::Gguf`] if it is no good GGUF file, [`Error::BigEndian`], and for a file that is
    /// not a model of a known architecture: missing or impossible metadata, a missing tensor,
    /// a wrong shape, a type without a decoder, a tensor that nothing would use.
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_file(GgufFile::open(path)?)
    }

    /// The model of an open file.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_file(file: GgufFile) -> Result<Self> {
        if file.header().endian == Endian::Big {
            return Err(Error::BigEndian);
        }
        file.require_model()?;
        let infos = file.tensors().iter();
        let facts = infos.map(|info| (&*info.name, info.shape, info.ty));
        let hyper = tensors::check(file.metadata(), facts)?;
        let weights = Weights::read(&file, &hyper)?;
        let ropes = Ropes::new(&hyper, &weights.rope_factors);
        Ok(Self {
            file,
            hyper,
            weights,
            ropes,
        })
    }

    /// Checks that a file of these keys and tensors (name, shape, type) can be run: what
    /// [`Model::open`] would say of it, before there is a file.
    ///
    /// # Errors
    /// As [`Model::open`], but for the file itself.
    pub fn check_plan<'t>(
        metadata: &Metadata<'_>,
        tensors: impl Iterator<Item = (&'t str, Shape, TensorType)>,
    ) -> Result<()> {
        tensors::check(metadata, tensors).map(|_| ())
    }

    /// Lets every position see only the last `window` positions in local layers, itself included; 0
    /// for all. Not every file says so (`llama.attention.sliding_window`), whatever the model was
    /// trained with.
    pub fn set_sliding_window(&mut self, window: usize) {
        self.hyper.sliding_window = Some(window).filter(|window| *window > 0);
    }

    /// The numbers that describe it.
    pub fn hyper(&self) -> &Hyperparameters {
        &self.hyper
    }

    /// Number of tokens: logits of a position.
    pub fn vocab(&self) -> usize {
        self.weights.output.rows()
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &Metadata<'static> {
        self.file.metadata()
    }

    /// The file.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// Bytes of weights that are read to compute one token: what bounds generation.
    pub fn bytes_for_a_token(&self) -> u64 {
        self.weights.bytes_for_a_token()
    }

    /// An empty cache for a sequence of up to `context` positions.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no memory for it.
    pub fn cache(&self, context: usize, ty: CacheType) -> Result<Cache> {
        Cache::new(self.layer_shapes(), context, ty)
    }

    /// Cosines and sines that the heads of a layer turn by at positions 0 to `tokens - 1` of a context of
    /// that length: `[tokens, pairs]`, for [`rotate`]. `None` in layers that do not rotate.
    pub fn turns(&self, layer: usize, tokens: usize) -> Option<Vec<(f32, f32)>> {
        if !self.hyper.graph.rotary_layers.contains(layer) {
            return None;
        }
        let turns = self.ropes.turns(tokens, 0, tokens);
        let is_local = self.hyper.is_local(layer);
        let rows = (0..tokens).flat_map(|t| turns.row(is_local, t));
        Some(rows.copied().collect())
    }

    /// What each layer remembers.
    fn layer_shapes(&self) -> Vec<LayerShape> {
        let layers = self.weights.layers.iter().enumerate();
        layers
            .map(|(i, layer)| layer.memory(&self.hyper, i))
            .collect()
    }
}
