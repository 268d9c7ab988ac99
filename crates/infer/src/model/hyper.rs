//! The numbers that describe a model, from its metadata.

use aeolus_gguf::{Metadata, Value};

use super::rope::RopeScaling;
use crate::error::{Error, Result};

/// The numbers that describe a model of the llama architecture (Mistral included).
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
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
    /// Number of tokens, where the file says it apart from its tensors.
    pub vocab: Option<usize>,
}

/// Largest value of any dimension: no such model exists, and products of two stay far from
/// overflow.
const MAX_DIMENSION: u32 = 1 << 26;
/// Most layers.
const MAX_LAYERS: u32 = 1 << 14;

/// Metadata under the architecture's prefix.
pub(super) struct Keys<'m> {
    metadata: &'m Metadata<'m>,
}

impl<'m> Keys<'m> {
    pub(super) fn new(metadata: &'m Metadata<'m>) -> Self {
        Self { metadata }
    }

    pub(super) fn name(key: &str) -> String {
        format!("llama.{key}")
    }

    /// An integer from 1 to `max`.
    fn dimension(&self, key: &str, max: u32) -> Result<Option<usize>> {
        let name = Self::name(key);
        // Some writers give one number for each layer: they must agree.
        let value = match self.metadata.get(&name) {
            Some(Value::Array(_)) => self.same_in_all_layers(&name)?,
            _ => self.metadata.u32(&name)?,
        };
        match value {
            Some(n) if n == 0 || n > max => Err(bad(&name, &n, &format!("1 to {max}"))),
            n => Ok(n.map(|n| n as usize)),
        }
    }

    fn same_in_all_layers(&self, name: &str) -> Result<Option<u32>> {
        let mut items = self.metadata.array(name)?.into_iter().flatten();
        let first = items.next().and_then(|item| item.as_integer());
        if items.any(|item| item.as_integer() != first) {
            return Err(Error::Unsupported {
                what: "metadata key with a number for each layer",
                found: name.to_owned(),
                supported: "the same number for all layers",
            });
        }
        match first.map(u32::try_from) {
            Some(Ok(n)) => Ok(Some(n)),
            _ => Err(bad(name, &"an array without a number", "an integer")),
        }
    }

    fn needed(&self, key: &str, max: u32, needed_for: &'static str) -> Result<usize> {
        self.dimension(key, max)?.ok_or_else(|| Error::MissingKey {
            key: Self::name(key),
            needed_for,
        })
    }

    /// A finite float of at least `min`.
    pub(super) fn float(&self, key: &str, min: f32) -> Result<Option<f32>> {
        let name = Self::name(key);
        match self.metadata.f32(&name)? {
            Some(x) if !x.is_finite() || x < min => Err(bad(
                &name,
                &x,
                &format!("a finite number of at least {min}"),
            )),
            x => Ok(x),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'m str>> {
        Ok(self.metadata.str(&Self::name(key))?)
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        self.dimension(key, u32::MAX)
    }
}

fn bad(key: &str, found: &dyn std::fmt::Display, expected: &str) -> Error {
    Error::BadValue {
        key: key.to_owned(),
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}

impl Hyperparameters {
    /// Reads and checks the `llama.*` keys.
    ///
    /// # Errors
    /// Another architecture, a missing key, or numbers that fit no model.
    pub fn from_metadata(metadata: &Metadata<'_>) -> Result<Self> {
        match metadata.str("general.architecture")? {
            Some("llama") => {}
            Some(other) => {
                return Err(Error::Unsupported {
                    what: "architecture",
                    found: other.to_owned(),
                    supported: "llama, which includes Mistral",
                });
            }
            None => {
                return Err(Error::MissingKey {
                    key: "general.architecture".to_owned(),
                    needed_for: "the kind of model",
                });
            }
        }
        let keys = Keys::new(metadata);
        if let Ok(Some(experts)) = metadata.u32("llama.expert_count")
            && experts > 0
        {
            return Err(Error::Unsupported {
                what: "number of experts",
                found: experts.to_string(),
                supported: "none: dense models",
            });
        }
        let hidden = keys.needed("embedding_length", MAX_DIMENSION, "the size of a token")?;
        let heads = keys.needed("attention.head_count", MAX_DIMENSION, "attention")?;
        let kv_heads = keys.dimension("attention.head_count_kv", MAX_DIMENSION)?;
        let kv_heads = kv_heads.unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(bad(
                "llama.attention.head_count",
                &heads,
                &format!("a multiple of the {kv_heads} key heads"),
            ));
        }
        let head_dim = match keys.dimension("attention.key_length", MAX_DIMENSION)? {
            Some(head_dim) => head_dim,
            None if hidden % heads == 0 => hidden / heads,
            None => {
                return Err(bad(
                    "llama.embedding_length",
                    &hidden,
                    &format!("a multiple of the {heads} heads"),
                ));
            }
        };
        if let Some(value_dim) = keys.dimension("attention.value_length", MAX_DIMENSION)?
            && value_dim != head_dim
        {
            return Err(Error::Unsupported {
                what: "size of value heads",
                found: value_dim.to_string(),
                supported: "that of the key heads",
            });
        }
        let rope_dims = keys.dimension("rope.dimension_count", MAX_DIMENSION)?;
        let rope_dims = rope_dims.unwrap_or(head_dim);
        if rope_dims > head_dim || rope_dims % 2 != 0 {
            return Err(bad(
                "llama.rope.dimension_count",
                &rope_dims,
                &format!("an even number up to the head size of {head_dim}"),
            ));
        }
        let needed_eps = || Error::MissingKey {
            key: Keys::name("attention.layer_norm_rms_epsilon"),
            needed_for: "norms",
        };
        let eps = keys.float("attention.layer_norm_rms_epsilon", 0.0)?;
        Ok(Self {
            layers: keys.needed("block_count", MAX_LAYERS, "the number of layers")?,
            context: keys.needed("context_length", u32::MAX, "the length of the context")?,
            hidden,
            feed_forward: keys.needed("feed_forward_length", MAX_DIMENSION, "the layers")?,
            heads,
            kv_heads,
            head_dim,
            norm_eps: eps.ok_or_else(needed_eps)?,
            rope_dims,
            rope_base: keys
                .float("rope.freq_base", f32::MIN_POSITIVE)?
                .unwrap_or(10_000.0),
            rope_scaling: RopeScaling::from_metadata(&keys)?,
            sliding_window: keys.count("attention.sliding_window")?,
            vocab: keys.dimension("vocab_size", MAX_DIMENSION)?,
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
