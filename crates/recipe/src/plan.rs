//! From shapes to a plan: every tensor's type, who decided it, and what it weighs.

mod overrides;

use crate::role::{Role, kept_f32};
use crate::{Error, FileType, Misfit, Vintage, parse};
use aeolus_gguf::{Shape, TensorType};
use overrides::Overrides;
use regex::Regex;

/// What vintages and their mixes ask about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelShape {
    /// GGUF's name of the architecture, `llama`.
    pub architecture: String,
    /// Layers.
    pub layers: u32,
    /// Attention heads.
    pub heads: u32,
    /// Key-value heads.
    pub kv_heads: u32,
    /// GGUF's name of the tokenizer's kind: `llama` for SentencePiece, `gpt2` for byte-level BPE,
    /// `none`.
    pub tokenizer: String,
    /// Some tensor is a bias.
    pub has_biases: bool,
    /// A tensor has factors of the rotary frequencies.
    pub has_rotary_factors: bool,
}

/// How a plan may differ from the default mix.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which year's mix; `None` for the model's [default](Vintage::default_for).
    pub vintage: Option<Vintage>,
    /// Rules of the user's own, in order: a tensor whose GGUF name the pattern is found in
    /// (anywhere in it) gets the type; the first match wins, over the options below too.
    /// Tensors that are no weight matrices stay F32 whatever a rule says.
    pub tensor_types: Vec<(Regex, TensorType)>,
    /// The type of `output.weight`; in a model without one, of `token_embd.weight`, which then
    /// serves as the output, unless [`embedding_type`](Self::embedding_type) names its type.
    pub output_type: Option<TensorType>,
    /// The type of `token_embd.weight`.
    pub embedding_type: Option<TensorType>,
    /// Every weight matrix gets the file's base type; the mix has no say.
    pub pure: bool,
    /// A type that does not fit a tensor's rows is an error instead of a fallback.
    pub no_fallback: bool,
}

/// The types and sizes of all tensors of one file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The type of the file.
    pub file_type: FileType,
    /// The mix that was used.
    pub vintage: Vintage,
    /// In the order given.
    pub tensors: Vec<PlannedTensor>,
    bytes: u64,
    weights: u64,
}

/// The plan for one tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedTensor {
    /// Its GGUF name.
    pub name: String,
    /// Its shape, the same in every file.
    pub shape: Shape,
    /// Its type in the file.
    pub ty: TensorType,
    /// Its bytes in the file, without the padding to the file's alignment.
    pub bytes: u64,
    /// What decided, in words: `recipe 2023-11: ffn_down of Q2_K: Q3_K`.
    pub rule: String,
    /// What the rule wanted, where rows did not allow it.
    pub fallback: Option<Fallback>,
    /// Its weights are encoded in blocks: `ty` is no plain float type.
    pub quantized: bool,
}

/// A type that did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The type that the rule named.
    pub wanted: TensorType,
    /// Why it was not possible: `a row of 320 weights is not a multiple of 256, the block of Q4_K`.
    pub reason: String,
}

impl Plan {
    /// Bytes of all tensors, without padding.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Weights (elements) of all tensors, norms included.
    pub fn weights(&self) -> u64 {
        self.weights
    }

    /// Bits per weight over all tensors, scales included; 0 for a plan without tensors.
    pub fn bits_per_weight(&self) -> f64 {
        if self.weights == 0 {
            return 0.0;
        }
        self.bytes as f64 * 8.0 / self.weights as f64
    }

    /// The tensors that did not get the type their rule named.
    pub fn fallbacks(&self) -> impl Iterator<Item = (&PlannedTensor, &Fallback)> {
        self.tensors
            .iter()
            .filter_map(|tensor| Some((tensor, tensor.fallback.as_ref()?)))
    }
}

/// Decides the type of every tensor of a file of `file_type`. `tensors` are all that the file
/// holds, by GGUF name: whether `output.weight` is among them tells whether the embedding serves
/// as output too. Order does not matter for the result, and is kept.
///
/// # Errors
/// [`Error::VintageLacks`] for a model that the vintage's tools could not convert, [`Error::Layer`]
/// for a tensor of a layer that the model has not;
/// [`Error::NotWritable`], [`Error::RuleMatchesNothing`], [`Error::RuleMatchesF32`],
/// [`Error::RuleShadowed`] and [`Error::OptionDecidesNothing`] for options that name an
/// impossible type or have no effect; [`Error::Fallbacks`] under
/// [`no_fallback`](Options::no_fallback), counting the tensors whose type does not fit;
/// [`Error::TooLarge`] if the sizes overflow 64 bits.
pub fn plan(
    model: &ModelShape,
    tensors: &[(impl AsRef<str>, Shape)],
    file_type: FileType,
    options: &Options,
) -> Result<Plan, Error> {
    let vintage = match options.vintage {
        Some(vintage) => vintage.check(model).map(|()| vintage)?,
        None => Vintage::default_for(model),
    };
    let named = options.tensor_types.iter().map(|rule| rule.1);
    for ty in named
        .chain(options.output_type)
        .chain(options.embedding_type)
    {
        parse::writable(ty)?;
    }

    let tied = !tensors
        .iter()
        .any(|t| Role::of(t.0.as_ref()).0 == Role::Output);
    let mut decider = Decider {
        model,
        file_type,
        vintage,
        options,
        tied,
        overrides: Overrides::new(options, tied),
    };
    let mut plan = Plan {
        file_type,
        vintage,
        tensors: Vec::with_capacity(tensors.len()),
        bytes: 0,
        weights: 0,
    };
    for (name, shape) in tensors {
        plan.push(decider.tensor(name.as_ref(), *shape)?)?;
    }
    decider
        .overrides
        .check_effect(tensors.iter().map(|tensor| tensor.0.as_ref()))?;
    if options.no_fallback {
        plan.check_no_fallback()?;
    }
    Ok(plan)
}

impl Plan {
    fn push(&mut self, tensor: PlannedTensor) -> Result<(), Error> {
        let bytes = self.bytes.checked_add(tensor.bytes);
        let weights = self.weights.checked_add(tensor.shape.elems());
        let (Some(bytes), Some(weights)) = (bytes, weights) else {
            return Err(Error::TooLarge {
                tensor: tensor.name,
            });
        };
        (self.bytes, self.weights) = (bytes, weights);
        self.tensors.push(tensor);
        Ok(())
    }

    fn check_no_fallback(&self) -> Result<(), Error> {
        let mut misfits: Vec<Misfit> = Vec::new();
        for (tensor, fallback) in self.fallbacks() {
            let types = (fallback.wanted, tensor.ty);
            match misfits.iter_mut().find(|m| (m.wanted, m.fallback) == types) {
                Some(misfit) => misfit.tensors += 1,
                None => misfits.push(Misfit {
                    wanted: fallback.wanted,
                    fallback: tensor.ty,
                    tensors: 1,
                    first: tensor.name.clone(),
                    cols: tensor.shape.cols(),
                }),
            }
        }
        if misfits.is_empty() {
            return Ok(());
        }
        Err(Error::Fallbacks {
            file_type: self.file_type,
            misfits,
        })
    }
}

/// Who decides, in the order of the crate's documentation.
struct Decider<'a> {
    model: &'a ModelShape,
    file_type: FileType,
    vintage: Vintage,
    options: &'a Options,
    /// There is no output: the embedding serves as one.
    tied: bool,
    overrides: Overrides<'a>,
}

impl Decider<'_> {
    fn tensor(&mut self, name: &str, shape: Shape) -> Result<PlannedTensor, Error> {
        let (role, layer) = Role::of(name);
        if let Some(layer) = layer.filter(|&layer| layer >= u64::from(self.model.layers)) {
            return Err(Error::Layer {
                tensor: name.to_owned(),
                layer,
                layers: self.model.layers,
            });
        }
        let (wanted, rule) = if let Some(why) = kept_f32(name, shape.dims().len()) {
            self.overrides.pass_over(name, why);
            (TensorType::F32, format!("stays F32: {why}"))
        } else if let Some(decided) = self.overrides.decide(name, role) {
            decided
        } else {
            self.mix(role, layer)
        };
        let ty = self.vintage.facts().mix.fitting(wanted, shape.cols());
        let bytes = ty
            .row_bytes(shape.cols())
            .and_then(|row| row.checked_mul(shape.rows()))
            .ok_or_else(|| Error::TooLarge {
                tensor: name.to_owned(),
            })?;
        Ok(PlannedTensor {
            name: name.to_owned(),
            shape,
            ty,
            bytes,
            rule,
            fallback: (ty != wanted).then(|| Fallback {
                wanted,
                reason: format!(
                    "a row of {} weights is not a multiple of {}, the block of {wanted}",
                    shape.cols(),
                    wanted.block_elems()
                ),
            }),
            quantized: ty.is_quantized(),
        })
    }

    /// The file type's own choice for a weight matrix.
    fn mix(&self, role: Role, layer: Option<u64>) -> (TensorType, String) {
        let (file_type, vintage) = (self.file_type, self.vintage);
        let base = file_type.base();
        if !file_type.is_quantized() {
            return (base, format!("{file_type} file"));
        }
        if self.options.pure {
            return (base, format!("pure {file_type}: {base}"));
        }
        let mix = vintage.facts().mix;
        let (role, note) = match role {
            Role::TokenEmbd if self.tied && mix.tied_embedding != role => {
                (mix.tied_embedding, " (the embedding is the output too)")
            }
            role => (role, ""),
        };
        match mix.rule(role, file_type, layer, self.model) {
            Some(rule) => (
                rule.ty,
                format!("recipe {vintage}: {}{note}", rule.within(file_type)),
            ),
            None => (
                base,
                format!("recipe {vintage}: anything else of {file_type}: {base}"),
            ),
        }
    }
}
