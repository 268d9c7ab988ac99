//! The numbers that describe a model: one list of fields, filled from config.json or from a GGUF
//! file's keys, completed and checked in one place.

mod by_layer;
mod check;
mod field;

use crate::{
    Absent, Dim, Family, Key, Layer, LayerKind, Line, QueryScale, Recurrence, Router, Written,
};
use aeolus_gguf::{Array, Metadata, Value as GgufValue, ValueType};
pub use field::{Field, Kind};
use std::collections::BTreeMap;
use std::fmt;

/// What files say of a router: config.json's word, GGUF's number, and what it is.
pub const GATINGS: [(&str, u32, Router); 3] = [
    ("softmax", 1, Router::Softmax),
    ("sigmoid", 2, Router::Sigmoid),
    // No word: models of one family have it, and their files have no key for it.
    ("", 3, Router::SoftmaxOfChosen),
];

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Size`], [`Kind::Count`] and [`Kind::Gating`].
    Size(u32),
    /// Of [`Kind::Number`].
    Number(f32),
    /// Of [`Kind::Flag`].
    Flag(bool),
}

/// The largest sizes that are accepted: products of two stay far from overflow.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of any dimension of a tensor.
    pub dimension: u32,
    /// Of the number of layers.
    pub layers: u32,
    /// Of the number of tokens.
    pub vocab: u32,
    /// Of the number of experts.
    pub experts: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            dimension: 1 << 24,
            layers: 4096,
            vocab: 1 << 24,
            experts: 4096,
        }
    }
}

/// A hyperparameter that is missing or impossible. The caller adds the file, and names the field as
/// the file does.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Which.
    pub field: Field,
    /// What is wrong, after the field's name and a colon.
    pub problem: String,
}

/// Something that conversion writes at its place among the keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A key without the architecture's prefix.
    Key(&'static str, GgufValue<'static>),
    /// The keys of the rotary scaling.
    RopeScaling,
    /// The sections of the rotary embedding.
    RotarySections,
}

/// The numbers that describe one model: complete and checked.
///
/// All sizes are at least 1, the heads are a multiple of the key heads, and the rotated part of a
/// head is even and no larger than the head.
#[derive(Clone, Debug)]
pub struct Hyperparameters {
    family: &'static Family,
    values: BTreeMap<Field, Value>,
    /// Those that the model's file states; the others are the reader's defaults.
    stated: Vec<Field>,
    layers: Vec<Layer>,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(n) => n.fmt(f),
            Self::Number(x) => x.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

impl From<Value> for GgufValue<'static> {
    fn from(value: Value) -> Self {
        match value {
            Value::Size(n) => n.into(),
            Value::Number(x) => x.into(),
            Value::Flag(flag) => flag.into(),
        }
    }
}

impl PartialEq for Hyperparameters {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.family, other.family)
            && (&self.values, &self.layers) == (&other.values, &other.layers)
    }
}

impl Hyperparameters {
    /// Completes what a file states with the readers' defaults, and checks that the numbers fit
    /// each other. `kinds` are those of the layers, where the file states them.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn complete(
        family: &'static Family,
        stated: BTreeMap<Field, Value>,
        kinds: Option<Vec<LayerKind>>,
        bounds: &Bounds,
    ) -> Result<Self, Problem> {
        let mut this = Self {
            family,
            stated: stated.keys().copied().collect(),
            values: stated,
            layers: Vec::new(),
        };
        for key in family.fields() {
            this.fill_from_config(key)?;
        }
        this.fill_as_readers_do()?;
        let kinds = match kinds {
            Some(kinds) => kinds,
            None => (0..this.layers()).map(|n| this.usual_kind(n)).collect(),
        };
        this.layers = this.usual_layers(&kinds);
        this.check(bounds)?;
        Ok(this)
    }

    /// The same model with so many more layers, which predict further tokens.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn with_predict_layers(mut self, count: u32, bounds: &Bounds) -> Result<Self, Problem> {
        if count > 0 {
            let layers = self.layers().saturating_add(count);
            if layers > bounds.layers {
                let problem = format!("more than {} layers with them", bounds.layers);
                return Err(Problem {
                    field: Field::PredictLayers,
                    problem,
                });
            }
            // They are built as the last one is.
            let last = self.layers.last().copied();
            self.layers
                .extend(std::iter::repeat_n(last, count as usize).flatten());
            self.values.insert(Field::Layers, Value::Size(layers));
            self.values.insert(Field::PredictLayers, Value::Size(count));
            self.stated.push(Field::PredictLayers);
            self.check(bounds)?;
        }
        Ok(self)
    }

    /// Reads the keys of a GGUF file. `vocab` is the number of rows of the embedding, for families
    /// that have no key for it.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn from_metadata(
        family: &'static Family,
        metadata: &Metadata<'_>,
        vocab: Option<u32>,
        bounds: &Bounds,
    ) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        let mut arrays = BTreeMap::new();
        for key in family.fields() {
            let array = by_layer::read(family, key, metadata, bounds)?;
            let first = array.iter().flatten().find(|size| **size != 0);
            let value = match first {
                Some(first) => Some(Value::Size(*first)),
                None => read_key(family, key, metadata, bounds)?,
            };
            if let Some(value) = value {
                values.insert(key.field, value);
            }
            if let Some(array) = array {
                arrays.insert(key.field, array);
            }
        }
        if let (None, Some(vocab @ 1..)) = (values.get(&Field::Vocab), vocab) {
            values.insert(Field::Vocab, Value::Size(vocab));
        }
        let mut this = Self {
            family,
            stated: values.keys().copied().collect(),
            values,
            layers: Vec::new(),
        };
        this.fill_as_readers_do()?;
        this.layers = this.read_layers(metadata, &arrays)?;
        this.check(bounds)?;
        Ok(this)
    }

    /// What conversion writes, in the family's order.
    pub fn written(&self) -> impl Iterator<Item = Entry> {
        self.family.keys.iter().filter_map(move |line| match line {
            Line::RopeScaling | Line::RopeScalingOrNone => Some(Entry::RopeScaling),
            Line::RotarySections => Some(Entry::RotarySections),
            Line::RecurrentLayers => self.kinds(by_layer::RECURRENT, LayerKind::Recurrent),
            Line::LocalLayers => self.kinds(by_layer::LOCAL, LayerKind::Local),
            Line::Key(key) => {
                let value = self.stated(key.field)?;
                if let Some(array) = self.by_layer(key.field) {
                    return Some(Entry::Key(key.gguf, Array::from_i32s(&array).into()));
                }
                let writes = match (key.written, value) {
                    (Written::Always, _) => true,
                    (Written::Never, _) => false,
                    (Written::Unless(x), Value::Number(number)) => number != x as f32,
                    (Written::Unless(x), Value::Size(size)) => f64::from(size) != x,
                    (Written::Unless(x), Value::Flag(flag)) => flag != (x != 0.0),
                };
                writes.then(|| Entry::Key(key.gguf, value.into()))
            }
        })
    }

    /// An array with true for every layer of a kind.
    fn kinds(&self, key: &'static str, kind: LayerKind) -> Option<Entry> {
        let flags = self
            .layers
            .iter()
            .map(|layer| GgufValue::Bool(layer.kind == kind));
        let flags = Array::from_values(ValueType::Bool, flags).ok()?;
        Some(Entry::Key(key, flags.into()))
    }

    /// What a config.json without a field means; see [`Absent`].
    fn fill_from_config(&mut self, key: &Key) -> Result<(), Problem> {
        if self.values.contains_key(&key.field) {
            return Ok(());
        }
        let value = match key.absent {
            Absent::Default => return Ok(()),
            Absent::Error => return Err(missing(key.field)),
            Absent::Is(x) => Some(match key.field.kind() {
                Kind::Size | Kind::Count | Kind::Gating => Value::Size(x as u32),
                Kind::Number => Value::Number(x as f32),
                Kind::Flag => Value::Flag(x != 0.0),
            }),
            Absent::Same(field) => self.values.get(&field).copied(),
            Absent::Times(n, field) => match self.values.get(&field) {
                Some(Value::Size(size)) => Some(Value::Size(size.saturating_mul(n))),
                _ => None,
            },
            Absent::Product(a, b) => match (self.values.get(&a), self.values.get(&b)) {
                (Some(Value::Size(a)), Some(Value::Size(b))) => {
                    Some(Value::Size(a.saturating_mul(*b)))
                }
                _ => None,
            },
            Absent::FeedForward => self.adjusted_feed_forward().map(Value::Size),
            Absent::Sum(a, b) => match (self.values.get(&a), self.values.get(&b)) {
                (Some(Value::Size(a)), Some(Value::Size(b))) => {
                    Some(Value::Size(a.saturating_add(*b)))
                }
                _ => None,
            },
            Absent::HeadDim => Some(Value::Size(self.own_head_dim()?)),
            Absent::PartOfHead => {
                let head_dim = f64::from(self.own_head_dim()?);
                let part = self.factor(Field::RotaryFraction).map_or(1.0, f64::from);
                // The part is a decimal number: its rounding to 32 bits must not cost an element.
                let dims = head_dim * part * (1.0 + f64::from(f32::EPSILON));
                Some(Value::Size(dims as u32))
            }
        };
        if let Some(value) = value {
            self.values.insert(key.field, value);
            self.stated.push(key.field);
        }
        Ok(())
    }

    /// What every reader of GGUF takes for keys that are not there.
    fn fill_as_readers_do(&mut self) -> Result<(), Problem> {
        for field in [
            Field::Layers,
            Field::Context,
            Field::Hidden,
            Field::Heads,
            Field::NormEps,
            Field::Vocab,
        ] {
            if !self.values.contains_key(&field) {
                return Err(missing(field));
            }
        }
        // Some models have no network but their experts.
        self.or_insert(Field::FeedForward, |this| {
            match this.size(Field::ExpertFeedForward) {
                0 => Err(missing(Field::FeedForward)),
                size => Ok(size),
            }
        })?;
        self.or_insert(Field::KvHeads, |this| Ok(this.heads()))?;
        self.or_insert(Field::HeadDim, Self::divided_head_dim)?;
        self.or_insert(Field::ValueDim, |this| Ok(this.head_dim()))?;
        self.or_insert(Field::RotaryDims, |this| Ok(this.head_dim()))?;
        let base = Value::Number(10_000.0);
        self.values.entry(Field::RotaryBase).or_insert(base);
        if self.family.key(Field::LocalRotaryBase).is_some() {
            self.values.entry(Field::LocalRotaryBase).or_insert(base);
        }
        if self.family.key(Field::LocalHeadDim).is_some() {
            self.or_insert(Field::LocalHeadDim, |this| Ok(this.head_dim()))?;
            self.or_insert(Field::LocalValueDim, |this| {
                Ok(this.size(Field::LocalHeadDim))
            })?;
            self.or_insert(Field::LocalRotaryDims, |this| {
                Ok(this.size(Field::LocalHeadDim))
            })?;
        }
        Ok(())
    }

    fn or_insert(
        &mut self,
        field: Field,
        value: impl FnOnce(&Self) -> Result<u32, Problem>,
    ) -> Result<(), Problem> {
        if !self.values.contains_key(&field) {
            let value = value(self)?;
            self.values.insert(field, Value::Size(value));
        }
        Ok(())
    }

    /// See [`Absent::FeedForward`].
    fn adjusted_feed_forward(&self) -> Option<u32> {
        let Some(Value::Size(stated)) = self.get(Field::FeedForwardStated) else {
            return None;
        };
        if self.flag(Field::FeedForwardAdjusted) != Some(true) {
            return Some(stated);
        }
        let factor = self.factor(Field::FeedForwardFactor).map_or(1.0, f64::from);
        let size = ((2 * u64::from(stated) / 3) as f64 * factor) as u32;
        size.checked_next_multiple_of(self.size(Field::FeedForwardMultiple).max(1))
    }

    /// The size of a head that is stated, or else follows from the hidden size.
    fn own_head_dim(&self) -> Result<u32, Problem> {
        match self.values.get(&Field::HeadDim) {
            Some(Value::Size(size)) => Ok(*size),
            _ => self.divided_head_dim(),
        }
    }

    fn divided_head_dim(&self) -> Result<u32, Problem> {
        let (hidden, heads) = (self.hidden(), self.heads());
        if heads == 0 || !hidden.is_multiple_of(heads) {
            return Err(Problem {
                field: Field::Hidden,
                problem: format!("{hidden} is not a multiple of the {heads} heads"),
            });
        }
        Ok(hidden / heads)
    }

    /// The model's family.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// A field's value, with the readers' defaults; `None` where the model has no such thing.
    pub fn get(&self, field: Field) -> Option<Value> {
        self.values.get(&field).copied()
    }

    /// A field's value where the model's file states it.
    pub fn stated(&self, field: Field) -> Option<Value> {
        self.stated.contains(&field).then(|| self.get(field))?
    }

    /// Leaves the key of a field to its reader's default.
    pub fn leave_unstated(&mut self, field: Field) {
        self.stated.retain(|stated| *stated != field);
    }

    /// Sets a field that nothing else depends on.
    pub fn set(&mut self, field: Field, value: Option<Value>) {
        match value {
            Some(value) => self.values.insert(field, value),
            None => self.values.remove(&field),
        };
    }

    fn size(&self, field: Field) -> u32 {
        match self.get(field) {
            Some(Value::Size(n)) => n,
            _ => 0,
        }
    }

    fn number(&self, field: Field) -> f32 {
        self.factor(field).unwrap_or(0.0)
    }

    /// [`Field::Layers`].
    pub fn layers(&self) -> u32 {
        self.size(Field::Layers)
    }

    /// Layers that predict the next token: all but those of [`Field::PredictLayers`].
    pub fn main_layers(&self) -> u32 {
        self.layers().saturating_sub(self.predict_layers())
    }

    /// [`Field::PredictLayers`], 0 for none.
    pub fn predict_layers(&self) -> u32 {
        self.size(Field::PredictLayers)
    }

    /// [`Field::Experts`]; `None` in a dense model.
    pub fn experts(&self) -> Option<u32> {
        Some(self.size(Field::Experts)).filter(|experts| *experts > 0)
    }

    /// Whether a layer has experts in place of a dense network.
    pub fn has_experts(&self, layer: u32) -> bool {
        self.experts().is_some() && layer >= self.size(Field::DenseLayers)
    }

    /// What a router's scores become: as the file says, else as the family has it.
    pub fn router(&self) -> Router {
        let number = self.size(Field::Gating);
        let said = GATINGS.iter().find(|(_, n, _)| *n == number);
        let own = || {
            self.family
                .graph
                .map_or(Router::Softmax, |graph| graph.router)
        };
        said.map_or_else(own, |(_, _, router)| *router)
    }

    /// [`Field::LatentRank`]; `None` where keys and values are not latent.
    pub fn latent_rank(&self) -> Option<u32> {
        Some(self.size(Field::LatentRank)).filter(|rank| *rank > 0)
    }

    /// A field of [`Kind::Size`] or [`Kind::Count`]; `None` where the model has no such thing.
    pub fn count(&self, field: Field) -> Option<u32> {
        match self.get(field) {
            Some(Value::Size(n)) => Some(n),
            _ => None,
        }
    }

    /// [`Field::Context`].
    pub fn context(&self) -> u32 {
        self.size(Field::Context)
    }

    /// [`Field::Hidden`].
    pub fn hidden(&self) -> u32 {
        self.size(Field::Hidden)
    }

    /// [`Field::FeedForward`].
    pub fn feed_forward(&self) -> u32 {
        self.size(Field::FeedForward)
    }

    /// [`Field::Heads`].
    pub fn heads(&self) -> u32 {
        self.size(Field::Heads)
    }

    /// [`Field::KvHeads`].
    pub fn kv_heads(&self) -> u32 {
        self.size(Field::KvHeads)
    }

    /// [`Field::HeadDim`].
    pub fn head_dim(&self) -> u32 {
        self.size(Field::HeadDim)
    }

    /// [`Field::ValueDim`].
    pub fn value_dim(&self) -> u32 {
        self.size(Field::ValueDim)
    }

    /// [`Field::RotaryDims`].
    pub fn rotary_dims(&self) -> u32 {
        self.size(Field::RotaryDims)
    }

    /// [`Field::Vocab`].
    pub fn vocab(&self) -> u32 {
        self.size(Field::Vocab)
    }

    /// [`Field::RotaryBase`].
    pub fn rotary_base(&self) -> f32 {
        self.number(Field::RotaryBase)
    }

    /// [`Field::NormEps`].
    pub fn norm_eps(&self) -> f32 {
        self.number(Field::NormEps)
    }

    /// [`Field::SlidingWindow`]; `None` where every position sees all before it.
    pub fn sliding_window(&self) -> Option<u32> {
        match self.get(Field::SlidingWindow) {
            Some(Value::Size(window @ 1..)) => Some(window),
            _ => None,
        }
    }

    /// The value of a field of [`Kind::Number`]; `None` where the model has no such thing.
    pub fn factor(&self, field: Field) -> Option<f32> {
        match self.get(field) {
            Some(Value::Number(x)) => Some(x),
            _ => None,
        }
    }

    /// A field that is true or false; `None` where the model does not say.
    pub fn flag(&self, field: Field) -> Option<bool> {
        match self.get(field) {
            Some(Value::Flag(flag)) => Some(flag),
            _ => None,
        }
    }

    /// The number whose root divides scores of attention, by a graph's [`QueryScale`].
    pub fn query_divisor(&self, scale: QueryScale) -> f32 {
        match scale {
            _ if self.latent_rank().is_some() => self.size(Field::LatentKeyDim) as f32,
            QueryScale::HiddenPerHeadAt(layers) if layers == self.layers() => {
                self.hidden() as f32 / self.heads() as f32
            }
            QueryScale::One => 1.0,
            _ => self.head_dim() as f32,
        }
    }

    /// What layers without attention compute.
    pub fn recurrence(&self) -> Recurrence {
        let graph = self.family.graph;
        graph.map_or(Recurrence::None, |graph| graph.recurrence)
    }

    /// The sizes of a layer.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn layer(&self, n: u32) -> Layer {
        self.layers[n as usize]
    }

    /// The layer whose keys and values layer `n` reads: itself, or the last one of its kind that has its
    /// own.
    pub fn keys_of(&self, n: u32) -> u32 {
        let layer = self.layer(n);
        let own = (0..n).rev().find(|other| {
            let other = self.layer(*other);
            other.owns_keys && other.kind == layer.kind
        });
        match layer.owns_keys {
            true => n,
            false => own.unwrap_or(n),
        }
    }

    /// Whether the model has something of which files give a number, and which may be absent.
    pub fn has(&self, field: Field) -> bool {
        !matches!(
            self.get(field),
            None | Some(Value::Size(0) | Value::Flag(false))
        )
    }

    /// A length of a tensor, in a layer or outside.
    pub fn dim(&self, dim: Dim, layer: Option<u32>) -> u64 {
        let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
        let layer = layer.map(|n| self.layer(n));
        let head_dim = layer.map_or(self.head_dim(), |layer| layer.head_dim);
        let kv_heads = layer.map_or(self.kv_heads(), |layer| layer.kv_heads);
        let feed_forward = layer.map_or(self.feed_forward(), |layer| layer.feed_forward);
        let heads = self.heads();
        let size = |field| u64::from(self.size(field));
        let delta_values = size(Field::DeltaValues);
        let delta_keys = size(Field::DeltaKeyHeads) * size(Field::DeltaKeyDim);
        match dim {
            Dim::Hidden => self.hidden().into(),
            Dim::FeedForward => feed_forward.into(),
            Dim::Vocab => self.vocab().into(),
            Dim::Context => self.context().into(),
            Dim::HeadDim => head_dim.into(),
            // A head's values are as long as its keys.
            Dim::Query | Dim::AttentionOutput => product(heads, head_dim),
            Dim::KeyHeads | Dim::ValueHeads => product(kv_heads, head_dim),
            Dim::QueryKeyValue => product(heads, head_dim) + 2 * product(kv_heads, head_dim),
            Dim::GateUp => 2 * u64::from(feed_forward),
            Dim::QueryAndGate => 2 * product(heads, head_dim),
            Dim::One => 1,
            Dim::Convolution => size(Field::Convolution),
            Dim::ThreeHidden => 3 * size(Field::Hidden),
            Dim::DeltaQueryKeyValue => 2 * delta_keys + delta_values,
            Dim::DeltaQueryKeyValueGate => 2 * delta_keys + 2 * delta_values,
            Dim::DeltaValues => delta_values,
            Dim::DeltaHeads => size(Field::DeltaHeads),
            Dim::DeltaHeadsTwice => 2 * size(Field::DeltaHeads),
            Dim::DeltaValue => delta_values / size(Field::DeltaHeads).max(1),
            Dim::LayerInput => size(Field::LayerInput),
            Dim::LayerInputs => product(self.layers(), self.size(Field::LayerInput)),
            Dim::HiddenTwice => 2 * u64::from(self.hidden()),
            Dim::Heads => self.heads().into(),
            Dim::Experts => self.size(Field::Experts).into(),
            Dim::ExpertGateUp => 2 * self.dim(Dim::ExpertForward, None),
            Dim::ExpertForward => match self.size(Field::ExpertFeedForward) {
                0 => self.feed_forward().into(),
                own => own.into(),
            },
            Dim::SharedForward => match self.size(Field::SharedFeedForward) {
                0 => {
                    self.dim(Dim::ExpertForward, None) * u64::from(self.size(Field::SharedExperts))
                }
                own => own.into(),
            },
            Dim::QueryRank => self.size(Field::QueryRank).into(),
            Dim::LatentRank => self.size(Field::LatentRank).into(),
            Dim::LatentKey => {
                u64::from(self.size(Field::LatentRank)) + u64::from(self.rotary_dims())
            }
            Dim::LatentKeyPart => u64::from(
                self.size(Field::LatentKeyDim)
                    .saturating_sub(self.rotary_dims()),
            ),
            Dim::LatentValue => self.size(Field::LatentValueDim).into(),
            Dim::LatentQueries => product(self.heads(), self.size(Field::LatentKeyDim)),
            Dim::LatentOutput => product(self.heads(), self.size(Field::LatentValueDim)),
        }
    }
}

impl Problem {
    /// The file does not have the field.
    pub fn is_missing(&self) -> bool {
        self.problem == MISSING
    }
}

const MISSING: &str = "missing";

fn missing(field: Field) -> Problem {
    Problem {
        field,
        problem: MISSING.into(),
    }
}

/// One key of a GGUF file, checked.
fn read_key(
    family: &Family,
    key: &Key,
    metadata: &Metadata<'_>,
    bounds: &Bounds,
) -> Result<Option<Value>, Problem> {
    let problem = |problem| Problem {
        field: key.field,
        problem,
    };
    if key.gguf.is_empty() {
        return Ok(None);
    }
    let name = format!("{}.{}", family.architecture, key.gguf);
    let text = |error: aeolus_gguf::MetadataError| problem(error.to_string());
    match key.field.kind() {
        Kind::Flag => Ok(metadata.bool(&name).map_err(text)?.map(Value::Flag)),
        Kind::Number => match metadata.f32(&name).map_err(text)? {
            Some(0.0) if key.field.zero_is_none() => Ok(None),
            Some(x) if !(x.is_finite() && x > 0.0) => {
                Err(problem(format!("expected a number above 0, found {x}")))
            }
            number => Ok(number.map(Value::Number)),
        },
        Kind::Gating => {
            let number = metadata.u32(&name).map_err(text)?.filter(|n| *n != 0);
            let known = |n: &u32| GATINGS.iter().any(|(_, number, _)| number == n);
            match number.filter(|n| !known(n)) {
                Some(other) => Err(problem(format!("{other} is not a known kind of router"))),
                None => Ok(number.map(Value::Size)),
            }
        }
        Kind::Size | Kind::Count => {
            // Some writers give one number for each layer: they must agree.
            let size = match metadata.get(&name) {
                Some(GgufValue::Array(items)) => {
                    let mut sizes = items.iter().map(|item| item.as_integer());
                    let first = sizes.next().flatten();
                    if sizes.any(|size| size != first) {
                        return Err(problem(
                            "not the same number for all layers, which is not supported".into(),
                        ));
                    }
                    match first.map(u32::try_from) {
                        Some(Ok(size)) => Some(size),
                        _ => return Err(problem("expected whole numbers".into())),
                    }
                }
                _ => metadata.u32(&name).map_err(text)?,
            };
            let size = size.filter(|size| *size != 0 || !key.field.zero_is_none());
            let (min, max) = (key.field.min(), key.field.max(bounds));
            match size {
                Some(size) if !(min..=max).contains(&size) => Err(problem(format!(
                    "expected a whole number from {min} to {max}, found {size}"
                ))),
                size => Ok(size.map(Value::Size)),
            }
        }
    }
}
