//! The record of a family, and the words it is written in.

use crate::{Field, Graph, Hyperparameters};

/// Everything that tells one family of models from another.
#[derive(Debug)]
pub struct Family {
    /// GGUF's name: `general.architecture`, and the prefix of the keys.
    pub architecture: &'static str,
    /// What config.json's `architectures` calls its models.
    pub classes: &'static [&'static str],
    /// The hyperparameters, in the order in which their keys are written.
    pub keys: &'static [Line],
    /// The tensors, in the order in which a converted checkpoint has them: those before the layers,
    /// those of one layer, those after.
    pub tensors: &'static [TensorLine],
    /// Values that config.json's fields must have where they are there, because nothing else is
    /// computed.
    pub requires: &'static [Require],
    /// Fields that one class must state, since their absence means another number there than in the
    /// rest of the family: class and field.
    pub explicit: &'static [(&'static str, &'static str)],
    /// Whether files say that no space is put before a text, where tokenizer_config.json says so.
    pub writes_space_prefix: bool,
    /// When config.json's window of attention counts.
    pub window: WindowSwitch,
    /// How it is computed; `None` where it is converted and quantized only.
    pub graph: Option<Graph>,
}

/// One line of a family's keys.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// A hyperparameter.
    Key(Key),
    /// The keys of the rotary scaling, where a model has one.
    RopeScaling,
}

/// One hyperparameter: where it comes from and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// What it is.
    pub field: Field,
    /// What config.json calls it, newest spelling first. Empty: config.json never has it.
    pub config: &'static [&'static str],
    /// The GGUF key without the architecture's prefix.
    pub gguf: &'static str,
    /// Whether conversion writes it. Files of others may have keys that ours have not.
    pub written: bool,
    /// What a config.json without it means.
    pub absent: Absent,
}

/// What a config.json without a field means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Absent {
    /// It is not a model of this family.
    Error,
    /// The reader's default; no key is written.
    Default,
    /// This number, which is written.
    Is(f64),
    /// The same as another field, which is written.
    Same(Field),
    /// The size of a head, which is written: the hidden size divided by the heads unless the model
    /// states another.
    HeadDim,
}

/// A field of config.json that must have a certain value where it is there.
#[derive(Clone, Copy, Debug)]
pub struct Require {
    /// Its name.
    pub config: &'static str,
    /// The values that mean what is computed.
    pub values: Required,
}

/// Values that mean what is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// One of these words.
    Words(&'static [&'static str]),
    /// This whole number.
    Number(u64),
    /// A list with 1 for every layer that rotates and 0 for every other, as the graph has them.
    RotaryLayers,
}

/// When the sliding window that config.json names is one that the original framework applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSwitch {
    /// Unless `use_sliding_window` is false.
    UnlessOff,
    /// Only if `use_sliding_window` is true.
    IfOn,
}

/// One tensor, or one tensor of every layer.
#[derive(Clone, Copy, Debug)]
pub struct TensorLine {
    /// Where it is: this decides what stands before both names.
    pub scope: Scope,
    /// Hugging Face name; in a layer, after `model.layers.N.`.
    pub hf: &'static str,
    /// GGUF name; in a layer, after `blk.N.`.
    pub gguf: &'static str,
    /// Shape in Hugging Face's order: rows first, row length last.
    pub shape: &'static [Dim],
    /// Whether it has to be there.
    pub presence: Presence,
    /// How the checkpoint's rows become GGUF's. For a vector: its elements.
    pub rows: Rows,
}

/// Outside the layers, or in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Once in the model.
    Model,
    /// Once in every layer.
    Layer,
}

/// Whether a tensor has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Without it there is no model.
    Required,
    /// Required unless the embedding serves as the output.
    Untied,
    /// A bias. The field of config.json whose truth says that there are any; `None` where every model
    /// of the family has them. One that no layer has counts as zero.
    Bias(Option<&'static str>),
}

/// A length in terms of the hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Elements of a token's vector between layers.
    Hidden,
    /// Elements between the feed-forward network's two halves.
    FeedForward,
    /// Tokens.
    Vocab,
    /// Elements of all query heads.
    Query,
    /// Elements of all key heads.
    KeyHeads,
    /// Elements of all value heads.
    ValueHeads,
    /// Elements of all heads' outputs: query heads, each as long as a value.
    AttentionOutput,
    /// Elements of one head's query or key.
    HeadDim,
}

/// How the rows of a checkpoint's tensor become GGUF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// As they are.
    AsStored,
    /// Inside each head, the two halves interleaved, so that the numbers which the rotary embedding
    /// turns together become neighbours.
    RotaryPairs(Heads),
}

/// The heads of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Query heads.
    Query,
    /// Key heads.
    Key,
}

/// A tensor that one model has.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Hugging Face name.
    pub hf: String,
    /// GGUF name.
    pub gguf: String,
    /// Hugging Face order: row length last.
    pub shape: Vec<u64>,
    /// Whether it has to be there.
    pub presence: Presence,
    /// How its rows come.
    pub rows: Rows,
}

/// GGUF tensors of a layer whose rows may be stored as one: the fused name and the parts, in order.
/// Converters write either; readers take both.
const FUSED: [(&str, [&str; 3]); 1] = [("attn_qkv", ["attn_q", "attn_k", "attn_v"])];

/// The GGUF tensor that may hold the rows of another one: `blk.3.attn_qkv.bias` for
/// `blk.3.attn_k.bias`.
pub fn fused_name(gguf: &str) -> Option<String> {
    let rest = gguf.strip_prefix(GGUF_LAYERS)?;
    let (layer, rest) = split_layer(rest)?;
    let (module, kind) = rest.rsplit_once('.')?;
    let mut fused = FUSED.iter();
    let (fused, _) = fused.find(|(_, parts)| parts.contains(&module))?;
    Some(format!("{GGUF_LAYERS}{layer}.{fused}.{kind}"))
}

impl Key {
    pub(crate) const fn line(
        field: Field,
        config: &'static [&'static str],
        gguf: &'static str,
        absent: Absent,
    ) -> Line {
        Line::Key(Self {
            field,
            config,
            gguf,
            written: true,
            absent,
        })
    }

    /// A key that is read where it is and never written.
    pub(crate) const fn unwritten(
        field: Field,
        config: &'static [&'static str],
        gguf: &'static str,
        absent: Absent,
    ) -> Line {
        Line::Key(Self {
            field,
            config,
            gguf,
            written: false,
            absent,
        })
    }
}

impl TensorLine {
    const fn new(
        scope: Scope,
        hf: &'static str,
        gguf: &'static str,
        shape: &'static [Dim],
    ) -> Self {
        Self {
            scope,
            hf,
            gguf,
            shape,
            presence: Presence::Required,
            rows: Rows::AsStored,
        }
    }

    /// A tensor outside the layers.
    pub(crate) const fn model(hf: &'static str, gguf: &'static str, shape: &'static [Dim]) -> Self {
        Self::new(Scope::Model, hf, gguf, shape)
    }

    /// A tensor of every layer.
    pub(crate) const fn layer(hf: &'static str, gguf: &'static str, shape: &'static [Dim]) -> Self {
        Self::new(Scope::Layer, hf, gguf, shape)
    }

    pub(crate) const fn bias(mut self, declared_by: Option<&'static str>) -> Self {
        self.presence = Presence::Bias(declared_by);
        self
    }

    pub(crate) const fn untied(mut self) -> Self {
        self.presence = Presence::Untied;
        self
    }

    pub(crate) const fn rotary(mut self, heads: Heads) -> Self {
        self.rows = Rows::RotaryPairs(heads);
        self
    }

    fn expected(&self, hyper: &Hyperparameters, layer: Option<u32>) -> Expected {
        Expected {
            hf: full_name(HF_LAYERS, layer, self.hf),
            gguf: full_name(GGUF_LAYERS, layer, self.gguf),
            shape: self.shape.iter().map(|dim| hyper.dim(*dim)).collect(),
            presence: self.presence,
            rows: self.rows,
        }
    }
}

/// What stands before a layer's number in Hugging Face names, and in GGUF's.
const HF_LAYERS: &str = "model.layers.";
const GGUF_LAYERS: &str = "blk.";

impl Family {
    /// The keys without the places of the rotary scaling.
    pub fn fields(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().filter_map(|line| match line {
            Line::Key(key) => Some(key),
            Line::RopeScaling => None,
        })
    }

    /// The line of a hyperparameter.
    pub fn key(&self, field: Field) -> Option<&'static Key> {
        self.fields().find(|key| key.field == field)
    }

    /// All tensors of a model, in the order in which a converted checkpoint has them.
    pub fn expected(&'static self, hyper: &Hyperparameters) -> impl Iterator<Item = Expected> {
        let in_layers = |line: &&TensorLine| line.scope == Scope::Layer;
        let first = self.tensors.iter().position(|line| in_layers(&line));
        let (before, rest) = self.tensors.split_at(first.unwrap_or(self.tensors.len()));
        let layers = (0..hyper.layers()).flat_map(move |n| {
            let layer = rest.iter().filter(in_layers);
            layer.map(move |line| line.expected(hyper, Some(n)))
        });
        let after = rest.iter().filter(move |line| !in_layers(line));
        let outside = |line: &TensorLine| line.expected(hyper, None);
        let before = before.iter().map(outside);
        before.chain(layers).chain(after.map(outside))
    }

    /// The line of a Hugging Face tensor; `None` for names that no model of the family has.
    pub fn line_of_hf(&self, hf: &str) -> Option<&'static TensorLine> {
        self.line(hf, HF_LAYERS, |line| line.hf)
            .map(|(line, _)| line)
    }

    /// The GGUF name of a Hugging Face tensor; `None` for names that no model of the family has.
    pub fn gguf_name(&self, hf: &str) -> Option<String> {
        let (line, layer) = self.line(hf, HF_LAYERS, |line| line.hf)?;
        Some(full_name(GGUF_LAYERS, layer, line.gguf))
    }

    /// The Hugging Face name of a GGUF tensor; `None` for names that no model of the family has.
    pub fn hf_name(&self, gguf: &str) -> Option<String> {
        let (line, layer) = self.line(gguf, GGUF_LAYERS, |line| line.gguf)?;
        Some(full_name(HF_LAYERS, layer, line.hf))
    }

    /// The line of a name, and the number of its layer.
    fn line(
        &self,
        name: &str,
        layers: &str,
        of: impl Fn(&TensorLine) -> &'static str,
    ) -> Option<(&'static TensorLine, Option<u32>)> {
        let (scope, layer, rest) = match name.strip_prefix(layers) {
            Some(rest) => {
                let (layer, rest) = split_layer(rest)?;
                (Scope::Layer, Some(layer), rest)
            }
            None => (Scope::Model, None, name),
        };
        let tensors: &'static [TensorLine] = self.tensors;
        let mut lines = tensors.iter();
        let line = lines.find(|line| line.scope == scope && of(line) == rest)?;
        Some((line, layer))
    }
}

/// A tensor's name with what stands before it in a layer.
fn full_name(layers: &str, layer: Option<u32>, name: &str) -> String {
    match layer {
        Some(n) => format!("{layers}{n}.{name}"),
        None => name.to_owned(),
    }
}

/// `12.x` as (12, `x`). Only the usual spelling of a number counts: `012` and `+12` are not
/// layer 12, or two names would mean one tensor.
fn split_layer(rest: &str) -> Option<(u32, &str)> {
    let (digits, module) = rest.split_once('.')?;
    let layer: u32 = digits.parse().ok()?;
    (layer.to_string() == digits).then_some((layer, module))
}
