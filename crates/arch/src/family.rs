//! The record of a family, and the words it is written in.

mod tensor_line;

use crate::{Field, Graph, Hyperparameters, Value};
pub use tensor_line::{
    Columns, Delta, Dim, EXPERT, Expected, ExpectedStored, Heads, Part, Presence, Rows, Scope,
    Stored, TensorLine, Values, When,
};

/// Everything that tells one family of models from another.
#[derive(Debug)]
pub struct Family {
    /// GGUF's name: `general.architecture`, and the prefix of the keys.
    pub architecture: &'static str,
    /// What config.json's `architectures` calls its models.
    pub classes: &'static [&'static str],
    /// What stands in Hugging Face names before what the tensors' lines say.
    pub names: HfNames,
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
    /// What absence of a number means in one class, where it means another thing in the rest of the family:
    /// class, number and value, which is written; without a value, the reader's default, and no key is
    /// written.
    pub defaults: &'static [(&'static str, Field, Option<Value>)],
    /// Special tokens that the family has whether or not the tokenizer's files name them: kind (`eot`)
    /// and text. What the files name counts more.
    pub special_tokens: &'static [(&'static str, &'static str)],
    /// Whether files say that no space is put before a text, where tokenizer_config.json says so.
    pub writes_space_prefix: bool,
    /// GGUF's name of the kind of tokenizer, where the tokenizer's files do not tell it from another.
    pub tokenizer: Option<&'static str>,
    /// When config.json's window of attention counts.
    pub window: WindowSwitch,
    /// Whether the embedding serves as the output where config.json does not say.
    pub tied: bool,
    /// How it is computed; `None` where it is converted and quantized only.
    pub graph: Option<Graph>,
}

/// What a family's Hugging Face names begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HfNames {
    /// What the framework's class calls the model without its output: all names begin with it, but
    /// for the output's.
    pub backbone: &'static str,
    /// What stands before a layer's number, after [`backbone`](Self::backbone).
    pub layers: &'static str,
}

impl HfNames {
    /// `model.layers.7.input_layernorm.weight`.
    pub const USUAL: Self = Self {
        backbone: "model.",
        layers: "layers.",
    };
    /// `transformer.h.7.ln_1.weight`, as GPT-2 began it.
    pub const GPT2: Self = Self {
        backbone: "transformer.",
        layers: "h.",
    };
}

/// One line of a family's keys.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// A hyperparameter.
    Key(Key),
    /// The keys of the rotary scaling, where a model has one.
    RopeScaling,
    /// The same, with a key that says so where it has none.
    RopeScalingOrNone,
    /// How many pairs turn by each of several positions (time, height, width), which are one in a
    /// text.
    RotarySections,
    /// Which layers carry a state.
    RecurrentLayers,
    /// Which layers see a window.
    LocalLayers,
}

/// One hyperparameter: where it comes from and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// What it is.
    pub field: Field,
    /// What config.json calls it, newest spelling first. What follows `rope.` is looked for within the
    /// object of the rotary embedding, `rope_parameters` or `rope_scaling`, what follows `local.` within
    /// that of layers with a window, and what follows `global.` within what `per_layer_config` has for
    /// layers that see everything. Empty: config.json never has it.
    pub config: &'static [&'static str],
    /// The GGUF key without the architecture's prefix. Empty: GGUF files never have it.
    pub gguf: &'static str,
    /// When conversion writes it. Files of others may have keys that ours have not.
    pub written: Written,
    /// What a config.json without it means.
    pub absent: Absent,
}

/// When conversion writes a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Written {
    /// Where the model has it.
    Always,
    /// Never.
    Never,
    /// Where it is another number than this one, which readers take anyway.
    Unless(f64),
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
    /// So many times another field, which is written.
    Times(u32, Field),
    /// The product of two fields, which is written.
    Product(Field, Field),
    /// The feed-forward size that config.json states, by [`Field::FeedForwardStated`]: two thirds of it
    /// times a factor, as a multiple, where the file says so. It is written.
    FeedForward,
    /// The size of a head, which is written: the hidden size divided by the heads unless the model
    /// states another.
    HeadDim,
    /// The part of a head that [`Field::RotaryFraction`] says, all of it without one; it is written.
    PartOfHead,
    /// Two fields together, which is written.
    Sum(Field, Field),
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Required {
    /// One of these words.
    Words(&'static [&'static str]),
    /// This whole number.
    Number(u64),
    /// True, or false.
    Flag(bool),
    /// A number, whole or not.
    Factor(f64),
    /// An empty list, or null.
    Nothing,
    /// A list with 1 for every layer that rotates and 0 for every other, as the graph has them.
    RotaryLayers,
    /// A list of the layers' kinds of attention, with a window where the graph has one.
    WindowLayers,
    /// The number whose root divides scores of attention, as the graph has it.
    QueryScale,
}

/// When the sliding window that config.json names is one that the original framework applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSwitch {
    /// Unless `use_sliding_window` is false.
    UnlessOff,
    /// Only if `use_sliding_window` is true.
    IfOn,
    /// Always, and the file says so: the family has a key that conversion writes.
    Written,
}

/// GGUF tensors of a layer whose rows may be stored as one: the fused name and the parts, in order.
/// Converters write either; readers take both.
const FUSED: [(&str, &[&str]); 2] = [
    ("attn_qkv", &["attn_q", "attn_k", "attn_v"]),
    ("ffn_gate_up_exps", &["ffn_gate_exps", "ffn_up_exps"]),
];

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
            written: Written::Always,
            absent,
        })
    }

    /// A number of config.json that only says something about others.
    pub(crate) const fn of_config(
        field: Field,
        config: &'static [&'static str],
        absent: Absent,
    ) -> Line {
        Self::unwritten(field, config, "", absent)
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
            written: Written::Never,
            absent,
        })
    }
}

/// What stands before a layer's number in GGUF's names.
const GGUF_LAYERS: &str = "blk.";

impl Family {
    /// The keys without the places of the rotary scaling.
    pub fn fields(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().filter_map(|line| match line {
            Line::Key(key) => Some(key),
            _ => None,
        })
    }

    /// Whether a field of config.json is one of the family's: by its name, or by `rope.` and its name
    /// for one within the object of the rotary embedding.
    pub fn reads(&self, config: &str) -> bool {
        let declares = |line: &TensorLine| match line.presence {
            Presence::Bias(Some(key)) | Presence::NotInGlobal(key) | Presence::Unless(key) => {
                key == config
            }
            _ => false,
        };
        let is_read = |name: &&str| match name.starts_with("global.") {
            true => config == "per_layer_config",
            false => *name == config,
        };
        self.fields().any(|key| key.config.iter().any(is_read))
            || self.requires.iter().any(|require| require.config == config)
            || self.tensors.iter().any(declares)
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
            layer.filter_map(move |line| line.expected(hyper, Some(n)))
        });
        let after = rest.iter().filter(move |line| !in_layers(line));
        let outside = |line: &TensorLine| line.expected(hyper, None);
        let before = before.iter().filter_map(outside);
        before.chain(layers).chain(after.filter_map(outside))
    }

    /// The line of a Hugging Face tensor; `None` for names that no model of the family has.
    pub fn line_of_hf(&self, hf: &str) -> Option<&'static TensorLine> {
        self.line_in_hf(hf).map(|(line, _)| line)
    }

    /// The GGUF name of a Hugging Face tensor; `None` for names that no model of the family has.
    pub fn gguf_name(&self, hf: &str) -> Option<String> {
        let (line, layer) = self.line_in_hf(hf)?;
        Some(gguf_full_name(layer, line.gguf))
    }

    /// The Hugging Face name of a GGUF tensor; `None` for names that no model of the family has.
    pub fn hf_name(&self, gguf: &str) -> Option<String> {
        let numbered = gguf.strip_prefix(GGUF_LAYERS);
        let (line, layer) = self.line(gguf, numbered, |line, name| line.gguf == name)?;
        Some(match layer {
            Some(n) => self.names.in_layer(n, line.hf),
            None => line.hf.to_owned(),
        })
    }

    /// The number of the layer that a Hugging Face name is in, whether or not there is such a tensor.
    pub fn layer_of_hf(&self, hf: &str) -> Option<u32> {
        let (layer, _) = split_layer(self.names.numbered(hf)?)?;
        Some(layer)
    }

    /// The module of the output, whose name no wrapper of the backbone touches: `lm_head.`.
    pub fn output(&self) -> &'static str {
        let lines: &'static [TensorLine] = self.tensors;
        let output = lines.iter().find(|line| line.gguf == "output.weight");
        let output = output.and_then(|line| line.hf.strip_suffix("weight"));
        output.unwrap_or("lm_head.")
    }

    /// A Hugging Face name without what names the layer: `self_attn.q_proj.bias`.
    pub fn without_layer<'n>(&self, hf: &'n str) -> &'n str {
        let rest = self.names.numbered(hf).and_then(split_layer);
        rest.map_or(hf, |(_, module)| module)
    }

    fn line_in_hf(&self, hf: &str) -> Option<(&'static TensorLine, Option<u32>)> {
        self.line(hf, self.names.numbered(hf), TensorLine::is_stored_as)
    }

    /// The line of a name, and the number of its layer; `numbered` is what follows the beginning of a
    /// layer's names.
    fn line(
        &self,
        name: &str,
        numbered: Option<&str>,
        is_called: impl Fn(&TensorLine, &str) -> bool,
    ) -> Option<(&'static TensorLine, Option<u32>)> {
        let (scope, layer, rest) = match numbered {
            Some(rest) => {
                let (layer, rest) = split_layer(rest)?;
                (Scope::Layer, Some(layer), rest)
            }
            None => (Scope::Model, None, name),
        };
        let tensors: &'static [TensorLine] = self.tensors;
        let mut lines = tensors.iter();
        let line = lines.find(|line| line.scope == scope && is_called(line, rest))?;
        Some((line, layer))
    }
}

impl HfNames {
    /// The name of a tensor of layer `n`.
    fn in_layer(self, n: u32, name: &str) -> String {
        let Self { backbone, layers } = self;
        format!("{backbone}{layers}{n}.{name}")
    }

    /// What follows the beginning of a layer's names: `7.input_layernorm.weight`.
    fn numbered(self, hf: &str) -> Option<&str> {
        hf.strip_prefix(self.backbone)?.strip_prefix(self.layers)
    }
}

/// A tensor's GGUF name with what stands before it in a layer.
fn gguf_full_name(layer: Option<u32>, name: &str) -> String {
    match layer {
        Some(n) => format!("{GGUF_LAYERS}{n}.{name}"),
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
