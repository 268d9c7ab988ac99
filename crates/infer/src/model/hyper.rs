//! The numbers that describe a model, from its metadata.

use aeolus_arch::{Bounds, Family, Field, Graph, Value, family_of_architecture};
use aeolus_gguf::Metadata;

use super::rope::RopeScaling;
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
    /// Number of layers.
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
    /// Added to the mean square in norms.
    pub norm_eps: f32,
    /// Numbers of a head that are rotated: the first ones.
    pub rope_dims: usize,
    /// Base of the rotation's wavelengths.
    pub rope_base: f32,
    /// How wavelengths are stretched for long contexts.
    pub rope_scaling: RopeScaling,
    /// Positions a token sees, itself included; `None` for all before it.
    pub sliding_window: Option<usize>,
    /// Number of tokens.
    pub vocab: usize,
}

/// Metadata under the architecture's prefix.
pub(super) struct Keys<'m> {
    architecture: &'static str,
    metadata: &'m Metadata<'m>,
}

impl<'m> Keys<'m> {
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// A finite float of at least `min`.
    pub(super) fn float(&self, key: &str, min: f32) -> Result<Option<f32>> {
        let name = self.name(key);
        match self.metadata.f32(&name)? {
            Some(x) if !x.is_finite() || x < min => Err(Error::BadValue {
                key: name,
                found: x.to_string(),
                expected: format!("a finite number of at least {min}"),
            }),
            x => Ok(x),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'m str>> {
        Ok(self.metadata.str(&self.name(key))?)
    }

    /// A whole number of at least 1.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let name = self.name(key);
        match self.metadata.u32(&name)? {
            Some(0) => Err(Error::BadValue {
                key: name,
                found: "0".to_owned(),
                expected: "at least 1".to_owned(),
            }),
            n => Ok(n.map(|n| n as usize)),
        }
    }
}

/// The family of a file's architecture.
fn family(metadata: &Metadata<'_>) -> Result<&'static Family> {
    match metadata.str("general.architecture")? {
        Some(name) => family_of_architecture(name).ok_or_else(|| Error::Unsupported {
            what: "architecture",
            found: name.to_owned(),
            supported: "llama (which includes Mistral), qwen2, qwen3, smollm3",
        }),
        None => Err(Error::MissingKey {
            key: "general.architecture".to_owned(),
            needed_for: "the kind of model",
        }),
    }
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
        let experts = keys.name("expert_count");
        if let Ok(Some(experts)) = metadata.u32(&experts)
            && experts > 0
        {
            return Err(Error::Unsupported {
                what: "number of experts",
                found: experts.to_string(),
                supported: "none: dense models",
            });
        }
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
        Ok(Self {
            family,
            graph,
            layers: numbers.layers() as usize,
            context: numbers.context() as usize,
            hidden: numbers.hidden() as usize,
            feed_forward: numbers.feed_forward() as usize,
            heads: numbers.heads() as usize,
            kv_heads: numbers.kv_heads() as usize,
            head_dim: numbers.head_dim() as usize,
            norm_eps: numbers.norm_eps(),
            rope_dims: numbers.rotary_dims() as usize,
            rope_base: numbers.rotary_base(),
            rope_scaling: RopeScaling::from_metadata(&keys)?,
            sliding_window: match numbers.get(Field::SlidingWindow) {
                Some(Value::Size(window)) => Some(window as usize),
                _ => None,
            },
            vocab: numbers.vocab() as usize,
            numbers,
        })
    }

    /// Rows of the query projection.
    pub fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of the key and of the value projection.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}
