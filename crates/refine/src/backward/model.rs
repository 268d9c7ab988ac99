//! A model as its derivative needs it: which tensors there are, and that there are no others.

use super::attention::Heads;
use super::error::{Error, Result};
use super::tensors::{Backward, Layer, Linear};
use super::weight::Weight;
use aeolus_arch::{Activation, FfnNorm, Graph, Mixer, NormKind, Recurrence};
use aeolus_gguf::TensorType;
use aeolus_infer::{Hyperparameters, Model};
use aeolus_quant::{Cpu, decode_rows};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Takes tensors, and knows which ones were taken.
struct Taker<'m> {
    model: &'m Model,
    taken: RefCell<BTreeSet<&'m str>>,
}

impl<'m> Taker<'m> {
    fn has(&self, name: &str) -> bool {
        self.model.file().tensor(name).is_some()
    }

    fn weight(&self, name: &str) -> Result<Weight<'m>> {
        let file = self.model.file();
        let Some(info) = file.tensor(name) else {
            return Err(Error::Tensor {
                tensor: name.to_owned(),
            });
        };
        self.taken.borrow_mut().insert(&info.name);
        Ok(Weight {
            name: &info.name,
            ty: info.ty,
            rows: info.shape.rows() as usize,
            cols: info.shape.cols() as usize,
            bytes: file.tensor_bytes(info),
        })
    }

    fn optional_vector(&self, name: &str) -> Result<Option<Vec<f32>>> {
        if !self.has(name) {
            return Ok(None);
        }
        let weight = self.weight(name)?;
        let mut out = vec![0.0; weight.rows * weight.cols];
        let decoded = decode_rows(weight.ty, weight.bytes, weight.cols, &mut out);
        decoded.map_err(|source| Error::Decode {
            tensor: name.to_owned(),
            source,
        })?;
        Ok(Some(out))
    }

    fn linear(&self, name: &str) -> Result<Linear<'m>> {
        Ok(Linear {
            weight: self.weight(&format!("{name}.weight"))?,
            bias: self.optional_vector(&format!("{name}.bias"))?,
        })
    }
}

impl<'m> Backward<'m> {
    /// Takes a model's tensors.
    ///
    /// # Errors
    /// [`Error::NotDifferentiable`] with the first thing that has no derivative here.
    pub fn new(model: &'m Model, cpu: Cpu) -> Result<Self> {
        let hyper = model.hyper();
        check(hyper)?;
        let taker = Taker {
            model,
            taken: RefCell::default(),
        };
        let mut norms = BTreeMap::new();
        let mut norm = |name: String| -> Result<Option<String>> {
            let vector = taker.optional_vector(&name)?;
            Ok(vector.map(|vector| {
                norms.insert(name.clone(), vector);
                name
            }))
        };
        let mut layers = Vec::with_capacity(hyper.layers);
        for i in 0..hyper.layers {
            let name = |part: &str| format!("blk.{i}.{part}");
            let weight = |part: &str| name(&format!("{part}.weight"));
            let sizes = hyper.layer(i);
            layers.push(Layer {
                attn_norm: norm(weight("attn_norm"))?,
                q: taker.linear(&name("attn_q"))?,
                k: taker.linear(&name("attn_k"))?,
                v: taker.linear(&name("attn_v"))?,
                q_norm: norm(weight("attn_q_norm"))?,
                k_norm: norm(weight("attn_k_norm"))?,
                output: taker.linear(&name("attn_output"))?,
                post_attention_norm: norm(weight("post_attention_norm"))?,
                ffn_norm: norm(weight("ffn_norm"))?,
                gate: taker.linear(&name("ffn_gate"))?,
                up: taker.linear(&name("ffn_up"))?,
                down: taker.linear(&name("ffn_down"))?,
                post_ffw_norm: norm(weight("post_ffw_norm"))?,
                heads: Heads {
                    count: hyper.heads,
                    kv_count: sizes.kv_heads as usize,
                    dim: sizes.head_dim as usize,
                    scale: hyper.query_scale,
                    window: hyper.window(i),
                    tokens: 0,
                },
                number: i,
            });
        }
        let output_norm = format!("{}.weight", hyper.graph.output_norm);
        let Some(output_norm) = norm(output_norm.clone())? else {
            return Err(Error::Tensor {
                tensor: output_norm,
            });
        };
        let embedding = taker.weight("token_embd.weight")?;
        let output = match taker.has("output.weight") {
            true => taker.weight("output.weight")?,
            false => embedding,
        };
        let output_bias = taker.optional_vector("output.bias")?;
        // Their divisors are part of the rotations.
        for name in ["rope_freqs", "rope_factors_short", "rope_factors_long"] {
            let name = format!("{name}.weight");
            if taker.has(&name) {
                taker.weight(&name)?;
            }
        }
        let taken = taker.taken.into_inner();
        let prediction = |name: &str| {
            let layer = name
                .strip_prefix("blk.")
                .and_then(|rest| rest.split('.').next());
            layer.is_some_and(|n| n.parse().is_ok_and(|n: usize| n >= hyper.layers))
        };
        let mut infos = model.file().tensors().iter();
        let other = infos.find(|info| !taken.contains(&*info.name) && !prediction(&info.name));
        match other {
            Some(other) => Err(refused(hyper, format!("tensor {}", other.name))),
            None => Ok(Self {
                model,
                cpu,
                layers,
                output,
                output_norm,
                output_bias,
                norms,
            }),
        }
    }

    /// Tokens of the vocabulary.
    pub fn vocab(&self) -> usize {
        self.output.rows
    }

    /// The vectors of all norms by the names of their tensors.
    pub fn norms(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.norms
    }

    /// Replaces the vectors of norms. Names that the model does not have, and vectors of other lengths,
    /// change nothing.
    pub fn set_norms(&mut self, norms: &BTreeMap<String, Vec<f32>>) {
        for (name, vector) in &mut self.norms {
            if let Some(new) = norms.get(name).filter(|new| new.len() == vector.len()) {
                vector.clone_from(new);
            }
        }
    }

    /// Takes other bytes for a matrix, of the same shape in another type. A name that no matrix has changes
    /// nothing.
    pub(crate) fn replace(&mut self, name: &str, ty: TensorType, bytes: &'m [u8]) {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            [
                &mut layer.q,
                &mut layer.k,
                &mut layer.v,
                &mut layer.output,
                &mut layer.gate,
                &mut layer.up,
                &mut layer.down,
            ]
        });
        let weights = layers.map(|linear| &mut linear.weight);
        for weight in weights
            .chain([&mut self.output])
            .filter(|weight| weight.name == name)
        {
            (weight.ty, weight.bytes) = (ty, bytes);
        }
    }

    pub(super) fn norm(&self, name: &Option<String>) -> Option<&[f32]> {
        let vector = name.as_ref().and_then(|name| self.norms.get(name));
        vector.map(|vector| &**vector)
    }
}

fn refused(hyper: &Hyperparameters, what: String) -> Error {
    Error::NotDifferentiable {
        architecture: hyper.family.architecture,
        what,
    }
}

/// Whether the graph is the plain block, but for what is differentiated. What else a model's tensors may have
/// shows when they are [taken](Backward::new).
///
/// # Errors
/// [`Error::NotDifferentiable`].
pub fn check(hyper: &Hyperparameters) -> Result<()> {
    let Graph {
        norm,
        ffn_norm,
        activation,
        recurrence,
        value_norm,
        mixer,
        ..
    } = hyper.graph;
    let experts = (0..hyper.layers).any(|layer| hyper.has_experts(layer));
    let shared = (0..hyper.layers).any(|layer| !hyper.layer(layer).owns_keys);
    let capped = hyper.attention_softcap.is_some() || hyper.logit_softcap.is_some();
    let found = [
        (norm != NormKind::Rms, "LayerNorm"),
        (
            ffn_norm != FfnNorm::Own,
            "a norm behind attention that is the next half's",
        ),
        (
            activation != Activation::Silu,
            "another activation than SiLU",
        ),
        (recurrence != Recurrence::None, "layers that carry a state"),
        (value_norm, "normed values"),
        (mixer != Mixer::Attention, "latent attention"),
        (hyper.is_parallel, "halves of a layer side by side"),
        (experts, "experts"),
        (shared, "keys that layers share"),
        (capped, "softcaps"),
        (
            hyper.temperature.is_some(),
            "queries that grow with the position",
        ),
    ];
    match found.into_iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(refused(hyper, what.to_owned())),
        None => Ok(()),
    }
}
