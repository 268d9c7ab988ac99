//! config.json of a Hugging Face checkpoint, read and checked.

mod rope;

pub(crate) use rope::RopeScaling;

use crate::json::{Object, describe};
use crate::{Error, Limits, files};
use aeolus_gguf::TensorType;
use serde_json::Value;
use std::path::Path;

/// The sizes that fix every tensor's shape, and the constants that inference needs.
///
/// All sizes are at least 1; `heads` is a multiple of `kv_heads`; `head_dim` is even.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hyperparameters {
    /// GGUF's name of the architecture: `llama`, which Mistral shares.
    pub architecture: String,
    /// Layers ("blocks").
    pub layers: u32,
    /// Elements of a token's vector between layers.
    pub hidden: u32,
    /// Elements between the feed-forward network's two halves.
    pub ff: u32,
    /// Attention heads (queries).
    pub heads: u32,
    /// Key and value heads, each shared by `heads / kv_heads` queries.
    pub kv_heads: u32,
    /// Elements of one head.
    pub head_dim: u32,
    /// Rows of the embedding: tokens, padding included.
    pub vocab: u32,
    /// Positions the model was trained for.
    pub context: u32,
    /// Epsilon of the RMS norms.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// The output projection is the embedding, and no tensor of its own.
    pub tied_embeddings: bool,
}

impl Hyperparameters {
    /// Rows of attn_q: `heads * head_dim`.
    pub fn q_rows(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.head_dim)
    }

    /// Rows of attn_k and attn_v: `kv_heads * head_dim`.
    pub fn kv_rows(&self) -> u64 {
        u64::from(self.kv_heads) * u64::from(self.head_dim)
    }

    /// Checks the relations between sizes; `error` makes an error of a key and a problem.
    pub(crate) fn check(
        &self,
        keys: &SizeKeys,
        limits: &Limits,
        error: impl Fn(&str, String) -> Error,
    ) -> Result<(), Error> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let heads = self.heads;
            let problem = format!("{} does not divide the {heads} heads", self.kv_heads);
            return Err(error(keys.kv_heads, problem));
        }
        if !self.head_dim.is_multiple_of(2) {
            let problem = format!(
                "a head of {} elements is odd, rotary embeddings turn pairs",
                self.head_dim
            );
            return Err(error(keys.head_dim, problem));
        }
        let max = limits.dimension;
        if self.q_rows() > max.into() {
            let problem = format!("{} heads of it make more than {max} rows", self.heads);
            return Err(error(keys.head_dim, problem));
        }
        Ok(())
    }
}

/// What the keys of the sizes are called in the file at hand.
pub(crate) struct SizeKeys {
    pub(crate) kv_heads: &'static str,
    pub(crate) head_dim: &'static str,
}

/// All that config.json says about a model.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) hyper: Hyperparameters,
    pub(crate) rope_scaling: RopeScaling,
    /// attn_q, attn_k, attn_v and attn_output have biases.
    pub(crate) attention_bias: bool,
    /// ffn_gate, ffn_up and ffn_down have biases.
    pub(crate) mlp_bias: bool,
    /// `torch_dtype` (or `dtype`): what the weights claim to be. Absent means F32 to the
    /// libraries that read it.
    pub(crate) source_type: TensorType,
    /// Special token ids, `(bos, 1)`: those that are whole numbers.
    pub(crate) token_ids: Vec<(&'static str, u32)>,
}

/// The kinds of special tokens that have a key `<kind>_token_id`.
pub(crate) const TOKEN_KINDS: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

impl Config {
    /// Reads config.json.
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let value: Value =
            files::read_value(path, limits.config_bytes, limits)?.ok_or_else(|| {
                Error::NotACheckpoint {
                    path: path.into(),
                    problem: "no such file: a checkpoint folder holds config.json".into(),
                }
            })?;
        Self::parse(&Object::new(path, &value)?, limits)
    }

    pub(crate) fn parse(o: &Object<'_>, limits: &Limits) -> Result<Self, Error> {
        let is_mistral = match architecture(o)? {
            "MistralForCausalLM" => true,
            "LlamaForCausalLM" => false,
            other => {
                return Err(o.error(
                    "architectures",
                    format!(
                        "{other} is not supported, supported are MistralForCausalLM and \
                         LlamaForCausalLM"
                    ),
                ));
            }
        };
        refuse_unsupported(o)?;
        let size = |key| o.required(key, o.size(key, limits.dimension)?);
        let heads = size("num_attention_heads")?;
        let kv_heads = match o.size("num_key_value_heads", limits.dimension)? {
            Some(kv_heads) => kv_heads,
            // Files of the first Llama models lack the key: every head has its own.
            None if !is_mistral => heads,
            None => return Err(o.error("num_key_value_heads", "missing")),
        };
        let hidden = size("hidden_size")?;
        let head_dim = match o.size("head_dim", limits.dimension)? {
            Some(head_dim) => head_dim,
            None if hidden % heads == 0 => hidden / heads,
            None => {
                let problem = format!("{hidden} is not a multiple of the {heads} heads");
                return Err(o.error("hidden_size", problem));
            }
        };
        let rope_scaling = RopeScaling::parse(o)?;
        let hyper = Hyperparameters {
            architecture: "llama".into(),
            layers: o.required(
                "num_hidden_layers",
                o.size("num_hidden_layers", limits.layers)?,
            )?,
            hidden,
            ff: size("intermediate_size")?,
            heads,
            kv_heads,
            head_dim,
            vocab: o.required("vocab_size", o.size("vocab_size", limits.vocab)?)?,
            context: o.required(
                "max_position_embeddings",
                o.size("max_position_embeddings", u32::MAX)?,
            )?,
            norm_eps: o.required("rms_norm_eps", o.positive_f32("rms_norm_eps")?)?,
            rope_theta: rope::theta(o)?,
            tied_embeddings: o.bool("tie_word_embeddings")?.unwrap_or(false),
        };
        let keys = SizeKeys {
            kv_heads: "num_key_value_heads",
            head_dim: "head_dim",
        };
        hyper.check(&keys, limits, |key, problem| o.error(key, problem))?;
        Ok(Self {
            hyper,
            rope_scaling,
            attention_bias: o.bool("attention_bias")?.unwrap_or(false),
            mlp_bias: o.bool("mlp_bias")?.unwrap_or(false),
            source_type: source_type(o)?,
            token_ids: token_ids(o)?,
        })
    }
}

/// The one architecture that the file names.
fn architecture<'a>(o: &Object<'a>) -> Result<&'a str, Error> {
    const KEY: &str = "architectures";
    let value = o.required(KEY, o.get(KEY))?;
    let names = value.as_array().map(Vec::as_slice);
    match names {
        Some([Value::String(name)]) => Ok(name),
        _ => Err(o.error(
            KEY,
            format!("expected an array of one string, found {}", describe(value)),
        )),
    }
}

/// Refuses what would give a file that loads and computes something else.
fn refuse_unsupported(o: &Object<'_>) -> Result<(), Error> {
    if let Some(act) = o.str("hidden_act")?.filter(|act| *act != "silu") {
        return Err(o.error(
            "hidden_act",
            format!("{act} is not supported, only silu is"),
        ));
    }
    if let Some(quantization) = o.object("quantization_config")? {
        let method = quantization.str("quant_method")?.unwrap_or("unnamed");
        return Err(o.error(
            "quantization_config",
            format!("already quantized by the method {method}: start from the original weights"),
        ));
    }
    if let Some(part) = o.f32("partial_rotary_factor")?.filter(|x| *x != 1.0) {
        let problem = format!("{part} is not supported, only whole heads (1) are");
        return Err(o.error("partial_rotary_factor", problem));
    }
    Ok(())
}

fn source_type(o: &Object<'_>) -> Result<TensorType, Error> {
    for key in ["dtype", "torch_dtype"] {
        if let Some(name) = o.str(key)? {
            return match name.strip_prefix("torch.").unwrap_or(name) {
                "float32" => Ok(TensorType::F32),
                "float16" => Ok(TensorType::F16),
                "bfloat16" => Ok(TensorType::BF16),
                other => Err(o.error(
                    key,
                    format!("{other} is not supported, supported are float32, float16, bfloat16"),
                )),
            };
        }
    }
    Ok(TensorType::F32)
}

/// The `<kind>_token_id` keys. A list (several end tokens) is passed over, since GGUF holds one;
/// so is -1, with which some early Llama files say "none".
fn token_ids(o: &Object<'_>) -> Result<Vec<(&'static str, u32)>, Error> {
    let mut ids = Vec::new();
    for kind in TOKEN_KINDS {
        let key = format!("{kind}_token_id");
        match o.get(&key) {
            None | Some(Value::Array(_)) => {}
            Some(value) if value.as_i64() == Some(-1) => {}
            Some(value) => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => ids.push((kind, id)),
                None => {
                    let found = describe(value);
                    return Err(o.error(&key, format!("expected a token id, found {found}")));
                }
            },
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
