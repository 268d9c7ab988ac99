//! One line of a family's tensors, and the words it is written in: where a tensor is, how long it is, and
//! how a checkpoint's becomes GGUF's.

use super::gguf_full_name;
use crate::{Field, Hyperparameters, LayerKind, Router};

/// One tensor, or one tensor of every layer.
#[derive(Clone, Copy, Debug)]
pub struct TensorLine {
    /// Where it is: this decides what stands before both names.
    pub scope: Scope,
    /// Hugging Face name; in a layer, after `model.layers.N.`, or what the family's [`HfNames`](super::HfNames) say.
    pub hf: &'static str,
    /// GGUF name; in a layer, after `blk.N.`.
    pub gguf: &'static str,
    /// Shape in Hugging Face's order: rows first, row length last.
    pub shape: &'static [Dim],
    /// The shape of the checkpoint's tensor where that is another one.
    pub stored: Option<&'static [Dim]>,
    /// Which models, and which of their layers, have it: all that these have in common.
    pub when: &'static [When],
    /// Whether it has to be there.
    pub presence: Presence,
    /// How the checkpoint's rows become GGUF's. For a vector: its elements.
    pub rows: Rows,
    /// How the elements of the checkpoint's rows become GGUF's.
    pub columns: Columns,
    /// How the checkpoint's numbers become GGUF's.
    pub values: Values,
    /// Which part of the checkpoint's tensor it is.
    pub part: Part,
    /// The other ways in which checkpoints store it.
    pub also: &'static [Stored],
}

/// One way in which checkpoints store a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The name, as [`TensorLine::hf`].
    pub hf: &'static str,
    /// Which part of it the tensor is.
    pub part: Part,
    /// The name of the tensor with the scales of its blocks: MXFP4, four bits a weight in the tensor
    /// itself.
    pub scales: Option<&'static str>,
}

/// Which models, or which of their layers, have a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Layers without experts.
    Dense,
    /// Layers with experts.
    Experts,
    /// Models with experts that all tokens share.
    Shared,
    /// Layers that predict further tokens.
    Predicting,
    /// Layers with attention.
    Attention,
    /// Layers with attention and with keys of their own.
    OwnKeys,
    /// Layers that carry a state.
    Recurrent,
    /// Models that have the number: one above 0.
    Has(Field),
    /// Models that do not have it.
    Lacks(Field),
    /// Models whose router is of this kind.
    Routed(Router),
}

/// The part of a checkpoint's tensor that a tensor of GGUF is. Where it is a stack of matrices, the
/// part is one of every matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first half of the rows: the gate, in a matrix that holds gate and up.
    FirstRows,
    /// The second half of the rows: up.
    LastRows,
    /// Rows 0, 2, 4 ..: the gate, where gate and up alternate. Of vectors: elements.
    EvenRows,
    /// Rows 1, 3, 5 ..
    OddRows,
    /// All of it, stored with its rows as columns.
    Transposed,
    /// Rows 0, 2, 4 .. of what is stored with its rows as columns.
    TransposedEvenRows,
    /// Rows 1, 3, 5 .. of it.
    TransposedOddRows,
    /// Of a matrix that makes keys and values of latent vectors, head by head: the rows of the keys, with
    /// rows as columns.
    LatentKeys,
    /// The rows of the values.
    LatentValues,
    /// Of a matrix that has, for each key head of a delta net, its query, its key, the values that it
    /// serves and their gates: all queries, all keys, all values.
    DeltaQueryKeyValue,
    /// All gates of it.
    DeltaGates,
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
    /// The embedding once more, as the output: readers of the family's files take none, and conversion
    /// leaves it out.
    Copy,
    /// A bias. The field of config.json whose truth says that there are any; `None` where every model
    /// of the family has them. One that no layer has counts as zero.
    Bias(Option<&'static str>),
    /// Not there in layers that see every position, if this field of config.json is true.
    NotInGlobal(&'static str),
    /// Not there if this field of config.json is true.
    Unless(&'static str),
    /// The framework does without it.
    Optional,
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
    /// Positions that the model was trained for.
    Context,
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
    /// Elements of all query heads, all key heads and all value heads.
    QueryKeyValue,
    /// Elements between the feed-forward network's two halves, once for the gate and once more.
    GateUp,
    /// Elements of all query heads, each followed by as many that gate its output.
    QueryAndGate,
    /// One.
    One,
    /// Positions that a convolution sees.
    Convolution,
    /// Inputs of a short convolution: what is convolved, and a gate before and behind it.
    ThreeHidden,
    /// Queries and keys of a delta net by its key heads, and its values.
    DeltaQueryKeyValue,
    /// The same and the gates of its values.
    DeltaQueryKeyValueGate,
    /// Elements of all value heads of a delta net.
    DeltaValues,
    /// Value heads of a delta net.
    DeltaHeads,
    /// Two numbers for each value head of a delta net.
    DeltaHeadsTwice,
    /// Elements of one value head of a delta net.
    DeltaValue,
    /// Elements of a token's vector for one layer.
    LayerInput,
    /// The same for all layers.
    LayerInputs,
    /// Elements of a token's vector, twice.
    HiddenTwice,
    /// Query heads.
    Heads,
    /// Experts of a layer.
    Experts,
    /// Elements between the two halves of an expert.
    ExpertForward,
    /// The same, once for the gate and once more.
    ExpertGateUp,
    /// Elements between the two halves of the experts that all tokens share.
    SharedForward,
    /// Elements of the latent vector that queries are made of.
    QueryRank,
    /// Elements of the latent vector that keys and values are made of.
    LatentRank,
    /// The same with the rotated part of a key, which is no part of it.
    LatentKey,
    /// Elements of one head's key that are made of the latent vector.
    LatentKeyPart,
    /// Elements of one head's value.
    LatentValue,
    /// Elements of all heads' queries, with their rotated parts, where keys are latent.
    LatentQueries,
    /// Elements of all heads' outputs, where values are latent.
    LatentOutput,
}

/// How the numbers of a checkpoint's tensor become GGUF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// As they are.
    AsStored,
    /// 1 is added: the weights of a norm are stored as their difference from it. Vectors only.
    PlusOne,
    /// Minus the exponential function of each: what a state decays by is stored as a logarithm. Vectors
    /// only.
    MinusExp,
}

/// How the rows of a checkpoint's tensor become GGUF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// As they are.
    AsStored,
    /// Inside each head, the two halves interleaved, so that the numbers which the rotary embedding
    /// turns together become neighbours.
    RotaryPairs(Heads),
    /// Queries, keys and values in one matrix, stored by key head: the query heads that it serves, itself,
    /// its value head. They become all query heads, all key heads, all value heads.
    ByKeyHead,
    /// Value heads of a delta net, stored by the key head that serves them, become those that the first
    /// value head of every key head is, then the second ones and so on.
    DeltaHeads(Delta),
}

/// Which rows of a tensor are value heads of a delta net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta {
    /// All, a head of values each.
    Values,
    /// All, one row for each head.
    Numbers,
    /// Those behind the queries and keys.
    BehindKeys,
}

/// How the elements of rows become GGUF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// As they are.
    AsStored,
    /// Heads of values of a delta net, reordered as its rows are by [`Rows::DeltaHeads`].
    DeltaHeads,
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
    /// The shape of the checkpoint's tensor, in the same order, where it is another one.
    pub stored: Option<Vec<u64>>,
    /// Whether it has to be there.
    pub presence: Presence,
    /// How its rows come.
    pub rows: Rows,
    /// How the elements of its rows come.
    pub columns: Columns,
    /// How its numbers come.
    pub values: Values,
    /// Which part of the checkpoint's tensor it is.
    pub part: Part,
    /// The other ways in which checkpoints store it.
    pub also: Vec<ExpectedStored>,
}

/// Another way in which a checkpoint may store a tensor that one model has.
#[derive(Clone, Debug)]
pub struct ExpectedStored {
    /// Hugging Face name.
    pub hf: String,
    /// Which part of it the tensor is.
    pub part: Part,
    /// The name of the tensor with the scales of its blocks.
    pub scales: Option<String>,
}

/// What stands for the number of an expert in a Hugging Face name: there are as many tensors as
/// experts, and GGUF's is their stack.
pub const EXPERT: &str = "{}";

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
            stored: None,
            when: &[],
            presence: Presence::Required,
            rows: Rows::AsStored,
            columns: Columns::AsStored,
            values: Values::AsStored,
            part: Part::Whole,
            also: &[],
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

    pub(crate) const fn copy(mut self) -> Self {
        self.presence = Presence::Copy;
        self
    }

    pub(crate) const fn rotary(mut self, heads: Heads) -> Self {
        self.rows = Rows::RotaryPairs(heads);
        self
    }

    pub(crate) const fn by_key_head(mut self) -> Self {
        self.rows = Rows::ByKeyHead;
        self
    }

    pub(crate) const fn plus_one(mut self) -> Self {
        self.values = Values::PlusOne;
        self
    }

    pub(crate) const fn minus_exp(mut self) -> Self {
        self.values = Values::MinusExp;
        self
    }

    pub(crate) const fn stored_as(mut self, shape: &'static [Dim]) -> Self {
        self.stored = Some(shape);
        self
    }

    pub(crate) const fn not_in_global(mut self, config: &'static str) -> Self {
        self.presence = Presence::NotInGlobal(config);
        self
    }

    pub(crate) const fn delta_heads(mut self, delta: Delta) -> Self {
        self.rows = Rows::DeltaHeads(delta);
        self
    }

    pub(crate) const fn delta_columns(mut self) -> Self {
        self.columns = Columns::DeltaHeads;
        self
    }

    pub(crate) const fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    pub(crate) const fn when(mut self, when: &'static [When]) -> Self {
        self.when = when;
        self
    }

    pub(crate) const fn part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    pub(crate) const fn or(mut self, also: &'static [Stored]) -> Self {
        self.also = also;
        self
    }

    /// Whether a checkpoint's tensor of this name is the line's, or a part of it.
    pub(super) fn is_stored_as(&self, hf: &str) -> bool {
        let is = |pattern: &str| match pattern.split_once(EXPERT) {
            None => pattern == hf,
            Some((before, after)) => hf
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|number| number.parse::<u32>().is_ok_and(|n| n.to_string() == number)),
        };
        let also = self.also.iter();
        is(self.hf)
            || also
                .into_iter()
                .any(|other| is(other.hf) || other.scales.is_some_and(is))
    }

    /// The tensor of a layer, or of the model, that has it.
    pub(super) fn expected(&self, hyper: &Hyperparameters, layer: Option<u32>) -> Option<Expected> {
        let attends = |n| hyper.layer(n).kind != LayerKind::Recurrent;
        let dims = |dims: &[Dim]| dims.iter().map(|dim| hyper.dim(*dim, layer)).collect();
        let has = |when: &When| match *when {
            When::Dense => layer.is_some_and(|n| !hyper.has_experts(n)),
            When::Experts => layer.is_some_and(|n| hyper.has_experts(n)),
            When::Shared => hyper.dim(Dim::SharedForward, None) > 0,
            When::Attention => layer.is_some_and(attends),
            When::OwnKeys => layer.is_some_and(|n| attends(n) && hyper.layer(n).owns_keys),
            When::Recurrent => layer.is_some_and(|n| !attends(n)),
            When::Predicting => layer.is_some_and(|n| n >= hyper.main_layers()),
            When::Has(field) => hyper.has(field),
            When::Lacks(field) => !hyper.has(field),
            When::Routed(router) => hyper.router() == router,
        };
        let name = |name: &str| match layer {
            Some(n) => hyper.family().names.in_layer(n, name),
            None => name.to_owned(),
        };
        self.when.iter().all(has).then(|| Expected {
            hf: name(self.hf),
            gguf: gguf_full_name(layer, self.gguf),
            shape: dims(self.shape),
            stored: self.stored.map(dims),
            columns: self.columns,
            presence: match self.presence {
                Presence::NotInGlobal(field) => {
                    match layer.is_some_and(|n| hyper.layer(n).kind == LayerKind::Global) {
                        true => Presence::Unless(field),
                        false => Presence::Required,
                    }
                }
                presence => presence,
            },
            rows: self.rows,
            values: self.values,
            part: self.part,
            also: self
                .also
                .iter()
                .map(|stored| ExpectedStored {
                    hf: name(stored.hf),
                    part: stored.part,
                    scales: stored.scales.map(name),
                })
                .collect(),
        })
    }
}
