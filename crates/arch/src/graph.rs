//! What a family's forward pass does differently from the plain one.
//!
//! The plain block is `x += attention(norm(x)); x += feed_forward(norm(x))`, with RMS norms, a SiLU
//! gate and rotary positions. What a file shows by itself is no feature: biases, norms of queries
//! and keys and norms behind a half of the block are computed where their tensors are, softcaps where
//! their keys are.

/// Features of the one forward function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph {
    /// How vectors are normed.
    pub norm: NormKind,
    /// What GGUF calls the norm in front of the feed-forward network.
    pub ffn_norm: FfnNorm,
    /// What GGUF calls the norm behind the layers, without `.weight`.
    pub output_norm: &'static str,
    /// How the two halves of a layer follow each other.
    pub block: Block,
    /// What the feed-forward network does to its gate.
    pub activation: Activation,
    /// Which numbers of a head turn together.
    pub rotary_pairs: RotaryPairs,
    /// In which layers positions are rotated.
    pub rotary_layers: LayerPattern,
    /// In which layers a window of attention counts, where the model has one.
    pub window_layers: LayerPattern,
    /// What layers without attention compute.
    pub recurrence: Recurrence,
    /// In which order a delta net's value heads are.
    pub delta_order: DeltaOrder,
    /// Which layers these are, where neither config.json nor a file says.
    pub recurrent_layers: LayerPattern,
    /// What the embedding of a token is multiplied with.
    pub embedding_scale: EmbeddingScale,
    /// What scores of attention are divided by the root of.
    pub query_scale: QueryScale,
    /// Whether every head's values are normed, by RMS and without weights.
    pub value_norm: bool,
    /// What a scale of the tokens' scores does.
    pub logit_scale: LogitScale,
    /// How a router's scores choose experts, where no key says it.
    pub router: Router,
    /// The weights of the chosen experts are divided by their sum, where no key says it.
    pub normed_experts: bool,
    /// What carries something from one position to another.
    pub mixer: Mixer,
}

/// How a router's scores choose experts and become their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// Softmax over all experts; the largest are chosen.
    Softmax,
    /// The sigmoid of each score. A bias may be added for the choice, and not for the weight.
    Sigmoid,
    /// The largest scores are chosen; softmax over these.
    SoftmaxOfChosen,
}

/// What carries something from one position to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixer {
    /// Attention over keys and values.
    Attention,
    /// Attention over latent vectors, which keys and values are made of.
    LatentAttention,
}

/// Which key head of a delta net serves which value head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaOrder {
    /// The value heads of a key head follow each other.
    Grouped,
    /// The first value head of every key head, then the second ones, and so on.
    Dealt,
}

/// What a layer computes that carries a state from token to token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recurrence {
    /// No layer does.
    None,
    /// A convolution over a few tokens, gated before and behind.
    ShortConvolution,
    /// A gated delta net behind a short convolution.
    DeltaNet,
}

/// What [`Field::LogitScale`](crate::Field::LogitScale) does, where a model has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitScale {
    /// The scores are multiplied by it.
    Multiplies,
    /// The scores are divided by it.
    Divides,
}

/// How a vector is normed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Divided by the root of its mean square.
    Rms,
    /// LayerNorm: its mean is taken off, and the rest divided by the root of its variance.
    Layer,
}

/// What GGUF calls the norm in front of the feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FfnNorm {
    /// `ffn_norm`; a `post_attention_norm` norms what attention adds.
    Own,
    /// `post_attention_norm`, after its place behind attention.
    PostAttention,
}

/// How attention and feed-forward network follow each other in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// The feed-forward network sees what attention has added.
    Sequential,
    /// Both see what comes into the layer, and both results are added. Where the feed-forward network
    /// has no norm of its own, it sees attention's normed vector.
    Parallel,
    /// [`Parallel`](Self::Parallel) unless the model's
    /// [`Field::ParallelResidual`](crate::Field::ParallelResidual) is false.
    ParallelUnlessOff,
}

/// The function of the feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU by the error function: `x / 2 * (1 + erf(x / sqrt(2)))`.
    Gelu,
    /// The square of what is above 0.
    SquaredRelu,
    /// GELU in its form with tanh: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// SiLU of `1.702 x`, bounded: `min(gate, 7) * sigmoid(1.702 * min(gate, 7)) * (1 + up)`, with `up`
    /// from -7 to 7.
    ClampedSwiglu,
}

/// Which two numbers of a head make a pair that the rotary embedding turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryPairs {
    /// `(2i, 2i + 1)`: what conversion makes of Llama's rows.
    Neighbours,
    /// `(i, i + n / 2)`, as GPT-NeoX and most Hugging Face models have it.
    Halves,
}

/// Some of a model's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerPattern {
    /// All.
    All,
    /// All but every `n`th, counted from 1.
    AllButEvery(u32),
    /// None.
    None,
}

/// What the embedding of a token is multiplied with, where the model has no
/// [`Field::EmbeddingScale`](crate::Field::EmbeddingScale).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingScale {
    /// Nothing.
    One,
    /// The root of the hidden size.
    SqrtHidden,
}

/// What scores of attention are divided by the root of, where the model has no
/// [`Field::AttentionScale`](crate::Field::AttentionScale).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryScale {
    /// The elements of a head.
    HeadDim,
    /// The same, but in models of this many layers the elements of the hidden size for each head. No
    /// key says so: the largest model of a family is told by its layers.
    HiddenPerHeadAt(u32),
    /// One: they are not divided.
    One,
}

impl LayerPattern {
    /// Whether layer number `layer`, counted from 0, is one.
    pub fn contains(self, layer: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::AllButEvery(n) => !(layer + 1).is_multiple_of(n as usize),
        }
    }
}

impl Graph {
    /// Llama's: the plain block.
    pub const PLAIN: Self = Self {
        norm: NormKind::Rms,
        ffn_norm: FfnNorm::Own,
        output_norm: "output_norm",
        block: Block::Sequential,
        activation: Activation::Silu,
        rotary_pairs: RotaryPairs::Neighbours,
        rotary_layers: LayerPattern::All,
        window_layers: LayerPattern::All,
        recurrence: Recurrence::None,
        delta_order: DeltaOrder::Grouped,
        recurrent_layers: LayerPattern::None,
        embedding_scale: EmbeddingScale::One,
        query_scale: QueryScale::HeadDim,
        value_norm: false,
        logit_scale: LogitScale::Multiplies,
        router: Router::Softmax,
        normed_experts: false,
        mixer: Mixer::Attention,
    };
}
