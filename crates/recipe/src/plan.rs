//! From shapes to a plan: every tensor's type, who decided it, and what it weighs.

mod overrides;

use crate::mix::{Case, Place, Tensors};
use crate::role::{self, Kept, Named, Role};
use crate::{Error, FileType, Importance, Misfit, Vintage, importance, parse};
use aeolus_gguf::{Shape, TensorType};
use overrides::Overrides;
use regex::Regex;
use std::collections::{BTreeMap, HashSet};

/// What vintages and their mixes ask about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelShape {
    /// GGUF's name of the architecture, `llama`.
    pub architecture: String,
    /// Layers, those that predict further tokens included.
    pub layers: u32,
    /// Attention heads of the first layer.
    pub heads: u32,
    /// Key-value heads of the first layer, 0 if it has no attention.
    pub kv_heads: u32,
    /// Experts of a layer that has some; 0 in a dense model.
    pub experts: u32,
    /// GGUF's name of the tokenizer's kind: `llama` for SentencePiece, `gpt2` for byte-level BPE,
    /// `none`.
    pub tokenizer: String,
    /// Some tensor is a bias.
    pub has_biases: bool,
    /// A tensor has factors of the rotary frequencies.
    pub has_rotary_factors: bool,
    /// F32, F16 or BF16, whichever its weights have in the source: small matrices that are not
    /// quantized keep it. F16 if it is not known.
    pub float: Option<TensorType>,
}

/// How a plan may differ from the default mix.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which year's mix; `None` for the [default](Vintage::default_for).
    pub vintage: Option<Vintage>,
    /// Whether tensors are encoded with an importance matrix.
    pub importance: Importance,
    /// Rules of the user's own, in order: a tensor whose GGUF name the pattern is found in
    /// (anywhere in it) gets the type; the first match wins, over the options below too.
    /// Tensors that are no weight matrices keep their type whatever a rule says.
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
    /// Types that were chosen before.
    pub chosen: Chosen,
    /// Tensors that are MXFP4 in the source. They stay it in files of floats, which would take four times
    /// the bytes for the same numbers, unless a rule of the user's own says otherwise.
    pub mxfp4: HashSet<String>,
}

/// Types that weight matrices get whatever the mix, rules and options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The type of all that are not named.
    pub default: Option<TensorType>,
    /// By GGUF name.
    pub tensors: BTreeMap<String, TensorType>,
}

impl Chosen {
    /// The type that was chosen for a weight matrix.
    fn of(&self, name: &str) -> Option<TensorType> {
        self.tensors.get(name).copied().or(self.default)
    }

    /// Each tensor that is named is a weight matrix of the model.
    fn check(&self, subjects: &[Subject<'_>]) -> Result<(), Error> {
        let known = subjects.iter().map(|subject| (subject.name, subject.kept));
        let known: BTreeMap<&str, Option<Kept>> = known.collect();
        for (name, ty) in &self.tensors {
            let kept = known.get(&**name).copied();
            if kept != Some(None) {
                return Err(Error::ChosenNothing {
                    tensor: name.clone(),
                    ty: *ty,
                    why: match kept.flatten() {
                        Some(kept) => kept.why,
                        None => "the model has no such tensor",
                    },
                });
            }
        }
        Ok(())
    }
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
    /// A mix, rule or option decided: it is a weight matrix, and none that keeps its type.
    pub chosen: bool,
    /// Its type does not go without importance for this very tensor, though the matrix may lack
    /// it.
    pub needs_importance: bool,
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
/// [`Error::VintageLacks`] for what the vintage's tools did not know, [`Error::Layer`] for a
/// tensor of a layer that the model has not; [`Error::ImportanceNeeded`] without an importance
/// matrix where a type needs one;
/// [`Error::ChosenNothing`] for a name in [`chosen`](Options::chosen) that is not a weight matrix's;
/// [`Error::NotWritable`], [`Error::RuleMatchesNothing`], [`Error::RuleMatchesKept`],
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
        Some(vintage) => {
            vintage.check(model, file_type, options.importance)?;
            vintage
        }
        None => Vintage::default_for(model, file_type, options.importance),
    };
    let named = options.tensor_types.iter().map(|rule| rule.1);
    let chosen = options.chosen.tensors.values().copied();
    for ty in named
        .chain(options.output_type)
        .chain(options.embedding_type)
        .chain(options.chosen.default)
        .chain(chosen)
    {
        parse::writable(ty)?;
    }

    let subjects: Vec<Subject<'_>> = tensors
        .iter()
        .map(|(name, shape)| Subject {
            name: name.as_ref(),
            shape: *shape,
            named: role::named(name.as_ref()),
            kept: role::kept(name.as_ref(), shape),
        })
        .collect();
    options.chosen.check(&subjects)?;
    let tied = !subjects.iter().any(|s| s.named.role == Role::Output);
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
    for (subject, place) in subjects.iter().zip(decider.places(&subjects)) {
        plan.push(decider.tensor(subject, place)?)?;
    }
    decider
        .overrides
        .check_effect(subjects.iter().map(|subject| subject.name))?;
    if options.no_fallback {
        plan.check_no_fallback()?;
    }
    if options.importance == Importance::None {
        plan.check_importance()?;
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

    /// For a file without an importance matrix.
    fn check_importance(&self) -> Result<(), Error> {
        let mut needing = self.tensors.iter().filter(|t| t.needs_importance);
        let Some(first) = needing.next() else {
            return Ok(());
        };
        Err(Error::ImportanceNeeded {
            file_type: self.file_type,
            tensors: 1 + needing.count(),
            first: first.name.clone(),
            ty: first.ty,
        })
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

/// A tensor to decide about.
struct Subject<'a> {
    name: &'a str,
    shape: Shape,
    named: Named<'a>,
    kept: Option<Kept>,
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
    fn tensor(&mut self, subject: &Subject<'_>, place: Place) -> Result<PlannedTensor, Error> {
        let &Subject {
            name, shape, named, ..
        } = subject;
        if let Some(layer) = named.layer.filter(|&l| l >= u64::from(self.model.layers)) {
            return Err(Error::Layer {
                tensor: name.to_owned(),
                layer,
                layers: self.model.layers,
            });
        }
        let mut output = false;
        let (wanted, rule) = if let Some(kept) = subject.kept {
            let ty = self.kept_type(kept);
            self.overrides.pass_over(name, ty, kept.why);
            (ty, format!("stays {ty}: {}", kept.why))
        } else if let Some(ty) = self.options.chosen.of(name) {
            (ty, format!("plan: {ty}"))
        } else if let Some(decided) = self.overrides.decide(name, named.role) {
            decided
        } else if !self.file_type.is_quantized() && self.options.mxfp4.contains(name) {
            let ty = TensorType::MXFP4;
            (ty, format!("stays {ty}, as the source has it"))
        } else {
            output = !self.options.pure && self.part(named.role) == Role::Output;
            self.mix(subject, place)
        };
        let ty = self
            .vintage
            .facts()
            .mix
            .fitting(wanted, shape.cols(), output);
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
            chosen: subject.kept.is_none(),
            needs_importance: importance::is_needed(ty, named.role, self.file_type),
        })
    }

    fn kept_type(&self, kept: Kept) -> TensorType {
        if kept.f32 {
            TensorType::F32
        } else if self.file_type.is_quantized() {
            self.model.float.unwrap_or(TensorType::F16)
        } else {
            self.file_type.base()
        }
    }

    /// The role that the mix's rules see.
    fn part(&self, role: Role) -> Role {
        let mix = self.vintage.facts().mix;
        match role {
            Role::TokenEmbd if self.tied => mix.tied_embedding,
            Role::AttnQkv => mix.fused_attention,
            role => role,
        }
    }

    /// The file type's own choice for a weight matrix.
    fn mix(&self, subject: &Subject<'_>, place: Place) -> (TensorType, String) {
        let (file_type, vintage) = (self.file_type, self.vintage);
        let base = file_type.base();
        if !file_type.is_quantized() {
            return (base, format!("{file_type} file"));
        }
        if self.options.pure {
            return (base, format!("pure {file_type}: {base}"));
        }
        let &Subject { shape, named, .. } = subject;
        let role = self.part(named.role);
        let rule = vintage.facts().mix.rule(Case {
            role,
            stacked: shape.dims().get(2).is_some_and(|&matrices| matrices > 1),
            place,
            file_type,
            importance: self.options.importance,
            model: self.model,
        });
        let Some(rule) = rule else {
            let text = format!("recipe {vintage}: anything else of {file_type}: {base}");
            return (base, text);
        };
        let text = format!("recipe {vintage}: {}", rule.within(file_type));
        let note = if named.role == Role::TokenEmbd && role != named.role {
            " (the embedding is the output too)".to_owned()
        } else if named.word != role.name() && rule.tensors == Tensors::Of(role) {
            format!(" ({} counts as {})", named.word, role.name())
        } else {
            String::new()
        };
        (rule.ty, text + &note)
    }

    /// Where each tensor stands for rules that ask about layers.
    ///
    /// The reference counts the tensors of a role as they come, in the order of layers and names. In a
    /// model with experts, a layer may have several of the feed-forward network; there the layer in
    /// the name is asked, but by rules for the first tensors. What holds values is counted in any
    /// model, since not every layer may have attention.
    fn places(&self, subjects: &[Subject<'_>]) -> Vec<Place> {
        let mut places = vec![Place::default(); subjects.len()];
        for role in [Role::AttnV, Role::FfnGate, Role::FfnUp, Role::FfnDown] {
            let mut those: Vec<(usize, Named<'_>)> = subjects
                .iter()
                .map(|subject| (subject.kept, subject.named))
                .enumerate()
                .filter_map(|(i, (kept, named))| {
                    (kept.is_none() && self.part(named.role) == role).then_some((i, named))
                })
                .collect();
            those.sort_by_key(|(_, named)| (named.layer, named.word));
            let by_layer = self.model.experts > 1 && role != Role::AttnV;
            let layers = match role {
                Role::AttnV => those.len() as u64,
                _ => self.model.layers.into(),
            };
            for (tensor, (i, named)) in those.into_iter().enumerate() {
                let tensor = Some(tensor as u64);
                places[i] = Place {
                    layer: if by_layer { named.layer } else { tensor },
                    layers,
                    tensor,
                };
            }
        }
        places
    }
}
