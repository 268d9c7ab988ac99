//! The numbers that describe a model, from its metadata.

use aeolus_arch::{
    Block, Bounds, EmbeddingScale, FAMILIES, Family, Field, Graph, Layer, LayerKind, LogitScale,
    family_of_architecture,
};
use aeolus_gguf::Metadata;

use super::keys::Keys;
use super::rope_scaling::RopeScaling;
use crate::error::{Error, Result};

/// The numbers that describe a model, and what its family computes differently.
#[derive(Clone, Debug)]
pub struct Hyperparameters {
    /// The model's family.
    pub family: &'static Family,
    /// The same numbers by field, which the shapes of the family's tensors are told in.
    pub(super) numbers: aeolus_arch::Hyperparameters,
    /// What its family's forward pass does differently.
    pub graph: Graph,
    /// Number of layers, without those that predict further tokens.
    pub layers: usize,
    /// Positions the model was trained for.
    pub context: usize,
    /// Numbers that stand for a token between layers.
    pub hidden: usize,
    /// Numbers inside the feed-forward part.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers of one head.
    pub head_dim: usize,
    /// Added to the mean square, or the variance, in norms.
    pub norm_eps: f32,
    /// What the embedding of a token is multiplied with.
    pub embedding_scale: f32,
    /// What products of queries and keys are multiplied with.
    pub query_scale: f32,
    /// `c` in `c * tanh(x / c)`, which bounds the scores of attention.
    pub attention_softcap: Option<f32>,
    /// What logits are multiplied with.
    pub logit_scale: f32,
    /// `c` in `c * tanh(x / c)`, which bounds the logits.
    pub logit_softcap: Option<f32>,
    /// Numbers of a head that are rotated: the first ones.
    pub rope_dims: usize,
    /// Base of the rotation's wavelengths.
    pub rope_base: f32,
    /// The same in local layers where these have their own; nothing is stretched there.
    pub local_rope_base: Option<f32>,
    /// Numbers of a head that are rotated in such layers.
    pub local_rope_dims: usize,
    /// How wavelengths are stretched for long contexts.
    pub rope_scaling: RopeScaling,
    /// How queries grow with their position, where they do.
    pub temperature: Option<Temperature>,
    /// The feed-forward network reads what comes into the layer, not what attention has added to it.
    pub is_parallel: bool,
    /// What each half of a layer adds is multiplied with it.
    pub residual_scale: f32,
    /// Positions a token sees in local layers, itself included; `None` for all before it.
    pub sliding_window: Option<usize>,
    /// Number of tokens.
    pub vocab: usize,
}

/// How much larger queries become with their position, for contexts beyond the original one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    scale: f32,
    /// Positions after which it grows again.
    step: usize,
}

impl Temperature {
    /// The factor of the queries at a position.
    pub(super) fn at(self, position: usize) -> f32 {
        1.0 + self.scale * (1.0 + (position / self.step) as f32).ln()
    }
}

/// The family of a file's architecture.
fn family(metadata: &Metadata<'_>) -> Result<&'static Family> {
    match metadata.str("general.architecture")? {
        Some(name) => family_of_architecture(name).ok_or_else(|| Error::Unsupported {
            what: "architecture",
            found: name.to_owned(),
            supported: runnable().into(),
        }),
        None => Err(Error::MissingKey {
            key: "general.architecture".to_owned(),
            needed_for: "the kind of model",
        }),
    }
}

/// The architectures that can be run.
fn runnable() -> String {
    let known = FAMILIES.iter().filter(|family| family.graph.is_some());
    let names: Vec<&str> = known.map(|family| family.architecture).collect();
    names.join(", ")
}

impl Hyperparameters {
    /// Reads and checks the keys of the model's family. `vocab` is the number of rows of the
    /// embedding, for files that have no key for it.
    ///
    /// # Errors
    /// Another architecture, a missing key, or numbers that fit no model.
    pub fn from_metadata(metadata: &Metadata<'_>, vocab: Option<u32>) -> Result<Self> {
        let family = family(metadata)?;
        let Some(graph) = family.graph else {
            return Err(Error::NoGraph {
                architecture: family.architecture,
            });
        };
        let keys = Keys {
            architecture: family.architecture,
            metadata,
        };
        let numbers = aeolus_arch::Hyperparameters::from_metadata(
            family,
            metadata,
            vocab,
            &Bounds::default(),
        );
        let numbers = numbers.map_err(|problem| {
            let key = match family.key(problem.field) {
                Some(key) => keys.name(key.gguf),
                None => format!("{:?}", problem.field),
            };
            match problem.is_missing() {
                true => Error::MissingKey {
                    key,
                    needed_for: "the model's shape",
                },
                false => Error::Key {
                    key,
                    problem: problem.problem,
                },
            }
        })?;
        let layers = numbers.main_layers() as usize;
        let log_tenth = numbers.factor(Field::YarnLogTenth);
        // What it takes from the rotated numbers is what they have.
        let log_multiplier = match log_tenth {
            Some(_) => Some(1.0),
            None => numbers.factor(Field::YarnLogMultiplier),
        };
        let rope_scaling = RopeScaling::from_metadata(&keys, log_multiplier)?;
        let latent_scale = match (rope_scaling, log_tenth) {
            (RopeScaling::Yarn { factor, .. }, Some(tenth)) => {
                (1.0 + tenth * factor.max(1.0).ln()).powi(2)
            }
            _ => 1.0,
        };
        Ok(Self {
            family,
            graph,
            layers,
            context: numbers.context() as usize,
            hidden: numbers.hidden() as usize,
            feed_forward: numbers.feed_forward() as usize,
            heads: numbers.heads() as usize,
            kv_heads: numbers.kv_heads() as usize,
            head_dim: numbers.head_dim() as usize,
            norm_eps: numbers.norm_eps(),
            embedding_scale: match graph.embedding_scale {
                EmbeddingScale::One => numbers.factor(Field::EmbeddingScale).unwrap_or(1.0),
                EmbeddingScale::SqrtHidden => (numbers.hidden() as f32).sqrt(),
            },
            query_scale: numbers
                .factor(Field::AttentionScale)
                .unwrap_or_else(|| latent_scale / numbers.query_divisor(graph.query_scale).sqrt()),
            attention_softcap: numbers.factor(Field::AttentionSoftcap),
            logit_scale: match (numbers.factor(Field::LogitScale), graph.logit_scale) {
                (None, _) => 1.0,
                (Some(scale), LogitScale::Multiplies) => scale,
                (Some(scale), LogitScale::Divides) => 1.0 / scale,
            },
            logit_softcap: numbers.factor(Field::LogitSoftcap),
            rope_dims: numbers.rotary_dims() as usize,
            rope_base: numbers.rotary_base(),
            rope_scaling,
            local_rope_base: numbers.factor(Field::LocalRotaryBase),
            local_rope_dims: numbers
                .count(Field::LocalRotaryDims)
                .unwrap_or(numbers.rotary_dims()) as usize,
            sliding_window: numbers.sliding_window().map(|window| window as usize),
            temperature: match numbers.factor(Field::TemperatureScale) {
                Some(scale) => Some(Temperature {
                    scale,
                    step: keys
                        .count("rope.scaling.original_context_length")?
                        .unwrap_or(numbers.context() as usize),
                }),
                None => None,
            },
            is_parallel: match graph.block {
                Block::Sequential => false,
                Block::Parallel => true,
                Block::ParallelUnlessOff => numbers.flag(Field::ParallelResidual) != Some(false),
            },
            residual_scale: numbers.factor(Field::ResidualScale).unwrap_or(1.0),
            vocab: numbers.vocab() as usize,
            numbers,
        })
    }

    /// The sizes of a layer.
    pub fn layer(&self, n: usize) -> Layer {
        self.numbers.layer(n as u32)
    }

    /// Whether a layer has experts.
    pub fn has_experts(&self, layer: usize) -> bool {
        self.numbers.has_experts(layer as u32)
    }

    /// Whether a layer sees a window, where the model has one, and rotates by a base of its own, where
    /// such layers have one.
    pub(super) fn is_local(&self, layer: usize) -> bool {
        self.layer(layer).kind == LayerKind::Local
    }

    /// Positions that a token sees in a layer, itself included.
    pub fn window(&self, layer: usize) -> usize {
        let window = self.sliding_window.filter(|_| self.is_local(layer));
        window.unwrap_or(usize::MAX)
    }
}
