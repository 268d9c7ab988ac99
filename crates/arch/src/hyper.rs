//! The numbers that describe a model: one list of fields, filled from config.json or from a GGUF
//! file's keys, completed and checked in one place.

use crate::{Absent, Dim, Family, Key, Line, QueryScale, Written};
use aeolus_gguf::{Metadata, Value as GgufValue};
use std::collections::BTreeMap;
use std::fmt;

/// A hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Layers ("blocks").
    Layers,
    /// Positions that the model was trained for.
    Context,
    /// Elements of a token's vector between layers.
    Hidden,
    /// Elements between the feed-forward network's two halves.
    FeedForward,
    /// Attention heads (queries).
    Heads,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    KvHeads,
    /// Elements of one head's query or key.
    HeadDim,
    /// Elements of one head's value.
    ValueDim,
    /// Elements of a head that are rotated: the first ones.
    RotaryDims,
    /// Base of the rotary wavelengths.
    RotaryBase,
    /// The same in layers with a window of attention, where these have their own.
    LocalRotaryBase,
    /// Positions that the model was trained for before its context was extended.
    OriginalContext,
    /// Added to the mean square, or the variance, in norms.
    NormEps,
    /// Tokens: rows of the embedding, padding included.
    Vocab,
    /// Positions that a token sees, itself included; 0 for all.
    SlidingWindow,
    /// `c` in `c * tanh(x / c)`, which bounds scores of attention.
    AttentionSoftcap,
    /// The same for the logits.
    LogitSoftcap,
    /// Factor or divisor of the logits: the graph says which.
    LogitScale,
    /// The part of a head that is rotated, where config.json says it as a part: it gives
    /// [`RotaryDims`](Self::RotaryDims).
    RotaryFraction,
    /// Factor of the products of queries and keys, in place of one over the square root of a head's
    /// size.
    AttentionScale,
    /// The largest number, and its negative the smallest, in queries, keys and values.
    AttentionClamp,
    /// Factor of the embedding.
    EmbeddingScale,
    /// Factor of what each half of a layer adds.
    ResidualScale,
    /// How queries grow with the position: by 1 plus this times the logarithm of 1 plus the number of
    /// original contexts that lie before it.
    TemperatureScale,
    /// YaRN's magnitude is divided by that of a logarithm of this weight.
    YarnLogMultiplier,
    /// Attention and the feed-forward network of a layer both read what comes into it.
    ParallelResidual,
}

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number from 1 to a bound.
    Size,
    /// A finite number above 0.
    Number,
    /// True or false.
    Flag,
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Size`].
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
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            dimension: 1 << 24,
            layers: 4096,
            vocab: 1 << 24,
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
}

impl Field {
    /// What its value is.
    pub fn kind(self) -> Kind {
        match self {
            Self::RotaryBase
            | Self::LocalRotaryBase
            | Self::NormEps
            | Self::AttentionSoftcap
            | Self::LogitSoftcap
            | Self::LogitScale
            | Self::RotaryFraction
            | Self::AttentionScale
            | Self::AttentionClamp
            | Self::EmbeddingScale
            | Self::ResidualScale
            | Self::TemperatureScale
            | Self::YarnLogMultiplier => Kind::Number,
            Self::ParallelResidual => Kind::Flag,
            _ => Kind::Size,
        }
    }

    /// Whether files say 0 where a model has no such thing.
    pub fn zero_is_none(self) -> bool {
        matches!(
            self,
            Self::SlidingWindow | Self::TemperatureScale | Self::YarnLogMultiplier
        )
    }

    /// The largest size that is accepted.
    pub fn max(self, bounds: &Bounds) -> u32 {
        match self {
            Self::Layers => bounds.layers,
            Self::Vocab => bounds.vocab,
            Self::Context | Self::OriginalContext | Self::SlidingWindow => u32::MAX,
            _ => bounds.dimension,
        }
    }
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
        std::ptr::eq(self.family, other.family) && self.values == other.values
    }
}

impl Hyperparameters {
    /// Completes what a file states with the readers' defaults, and checks that the numbers fit
    /// each other.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn complete(
        family: &'static Family,
        stated: BTreeMap<Field, Value>,
        bounds: &Bounds,
    ) -> Result<Self, Problem> {
        let mut this = Self {
            family,
            stated: stated.keys().copied().collect(),
            values: stated,
        };
        for key in family.fields() {
            this.fill_from_config(key)?;
        }
        this.fill_as_readers_do()?;
        this.check(bounds)?;
        Ok(this)
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
        for key in family.fields() {
            if let Some(value) = read_key(family, key, metadata, bounds)? {
                values.insert(key.field, value);
            }
        }
        if let (None, Some(vocab @ 1..)) = (values.get(&Field::Vocab), vocab) {
            values.insert(Field::Vocab, Value::Size(vocab));
        }
        let mut this = Self {
            family,
            stated: values.keys().copied().collect(),
            values,
        };
        this.fill_as_readers_do()?;
        this.check(bounds)?;
        Ok(this)
    }

    /// The keys that conversion writes, without the architecture's prefix, in the family's order;
    /// `None` marks where those of the rotary scaling belong.
    pub fn written(&self) -> impl Iterator<Item = Option<(&'static str, Value)>> {
        self.family.keys.iter().filter_map(|line| match line {
            Line::RopeScaling | Line::RopeScalingOrNone => Some(None),
            Line::Key(key) => {
                let value = self.stated(key.field)?;
                let writes = match (key.written, value) {
                    (Written::Always, _) => true,
                    (Written::Never, _) => false,
                    (Written::Unless(x), Value::Number(number)) => number != x as f32,
                    (Written::Unless(x), Value::Size(size)) => f64::from(size) != x,
                    (Written::Unless(x), Value::Flag(flag)) => flag != (x != 0.0),
                };
                writes.then_some(Some((key.gguf, value)))
            }
        })
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
                Kind::Size => Value::Size(x as u32),
                Kind::Number => Value::Number(x as f32),
                Kind::Flag => Value::Flag(x != 0.0),
            }),
            Absent::Same(field) => self.values.get(&field).copied(),
            Absent::Times(n, field) => match self.values.get(&field) {
                Some(Value::Size(size)) => Some(Value::Size(size.saturating_mul(n))),
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
            Field::FeedForward,
            Field::Heads,
            Field::NormEps,
            Field::Vocab,
        ] {
            if !self.values.contains_key(&field) {
                return Err(missing(field));
            }
        }
        self.or_insert(Field::KvHeads, |this| Ok(this.heads()))?;
        self.or_insert(Field::HeadDim, Self::divided_head_dim)?;
        self.or_insert(Field::ValueDim, |this| Ok(this.head_dim()))?;
        self.or_insert(Field::RotaryDims, |this| Ok(this.head_dim()))?;
        let base = Value::Number(10_000.0);
        self.values.entry(Field::RotaryBase).or_insert(base);
        if self.family.key(Field::LocalRotaryBase).is_some() {
            self.values.entry(Field::LocalRotaryBase).or_insert(base);
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

    fn check(&self, bounds: &Bounds) -> Result<(), Problem> {
        let problem = |field, problem| Err(Problem { field, problem });
        let (heads, kv_heads, head_dim) = (self.heads(), self.kv_heads(), self.head_dim());
        if !heads.is_multiple_of(kv_heads) {
            let text = format!("{kv_heads} does not divide the {heads} heads");
            return problem(Field::KvHeads, text);
        }
        if self.value_dim() != head_dim {
            let text = format!(
                "{} differs from the {head_dim} of keys, which is not supported",
                self.value_dim()
            );
            return problem(Field::ValueDim, text);
        }
        let rotated = self.rotary_dims();
        if rotated == head_dim && !rotated.is_multiple_of(2) {
            let text =
                format!("a head of {head_dim} elements is odd, and rotary embeddings turn pairs");
            return problem(Field::HeadDim, text);
        }
        if rotated == 0 || !rotated.is_multiple_of(2) || rotated > head_dim {
            let text = format!(
                "expected an even number up to the {head_dim} elements of a head, found {rotated}"
            );
            return problem(Field::RotaryDims, text);
        }
        let max = bounds.dimension;
        if self.dim(Dim::Query) > u64::from(max) {
            let text = format!("{heads} heads of it make more than {max} rows");
            return problem(Field::HeadDim, text);
        }
        Ok(())
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
            QueryScale::HiddenPerHeadAt(layers) if layers == self.layers() => {
                self.hidden() as f32 / self.heads() as f32
            }
            _ => self.head_dim() as f32,
        }
    }

    /// A length of a tensor.
    pub fn dim(&self, dim: Dim) -> u64 {
        let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
        match dim {
            Dim::Hidden => self.hidden().into(),
            Dim::FeedForward => self.feed_forward().into(),
            Dim::Vocab => self.vocab().into(),
            Dim::Context => self.context().into(),
            Dim::HeadDim => self.head_dim().into(),
            Dim::Query => product(self.heads(), self.head_dim()),
            Dim::KeyHeads => product(self.kv_heads(), self.head_dim()),
            Dim::ValueHeads => product(self.kv_heads(), self.value_dim()),
            Dim::AttentionOutput => product(self.heads(), self.value_dim()),
            Dim::QueryKeyValue => [Dim::Query, Dim::KeyHeads, Dim::ValueHeads]
                .into_iter()
                .map(|dim| self.dim(dim))
                .sum(),
            Dim::GateUp => 2 * u64::from(self.feed_forward()),
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
        Kind::Size => {
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
            let max = key.field.max(bounds);
            match size {
                Some(size) if !(1..=max).contains(&size) => Err(problem(format!(
                    "expected a whole number from 1 to {max}, found {size}"
                ))),
                size => Ok(size.map(Value::Size)),
            }
        }
    }
}
