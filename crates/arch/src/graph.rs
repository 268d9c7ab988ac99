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
    /// What the embedding of a token is multiplied with.
    pub embedding_scale: EmbeddingScale,
    /// What scores of attention are divided by the root of.
    pub query_scale: QueryScale,
    /// What a scale of the tokens' scores does.
    pub logit_scale: LogitScale,
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
        block: Block::Sequential,
        activation: Activation::Silu,
        rotary_pairs: RotaryPairs::Neighbours,
        rotary_layers: LayerPattern::All,
        window_layers: LayerPattern::All,
        embedding_scale: EmbeddingScale::One,
        query_scale: QueryScale::HeadDim,
        logit_scale: LogitScale::Multiplies,
    };
}
