//! The hyperparameters' names: what a number of a model is, and of which kind.

use super::Bounds;

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
    /// A tenth of the weight of a logarithm whose magnitude YaRN gives to the scores of latent attention,
    /// squared, and takes from the rotated numbers.
    YarnLogTenth,
    /// Attention and the feed-forward network of a layer both read what comes into it.
    ParallelResidual,
    /// The same as [`KvHeads`](Self::KvHeads) in layers that see every position, where these have
    /// their own number.
    GlobalKvHeads,
    /// Elements of one head's query or key in layers with a window, where these have their own size.
    LocalHeadDim,
    /// Elements of one head's value in such layers.
    LocalValueDim,
    /// Elements of a head that are rotated in such layers.
    LocalRotaryDims,
    /// Layers at the end that have no keys of their own.
    SharedKvLayers,
    /// Their feed-forward networks are twice as wide.
    DoubleWide,
    /// Elements of a token's vector for one layer; 0 for none.
    LayerInput,
    /// The feed-forward size that config.json states where the real one follows from it.
    FeedForwardStated,
    /// Whether it does.
    FeedForwardAdjusted,
    /// A factor of the adjusted size.
    FeedForwardFactor,
    /// The adjusted size is a multiple of it.
    FeedForwardMultiple,
    /// Every so many layers one attends, and the others carry a state.
    AttentionInterval,
    /// Positions that a convolution sees.
    Convolution,
    /// Key heads of a delta net.
    DeltaKeyHeads,
    /// Elements of one of its key heads.
    DeltaKeyDim,
    /// Its value heads.
    DeltaHeads,
    /// Elements of one of them, where config.json says it: it gives
    /// [`DeltaValues`](Self::DeltaValues).
    DeltaValueDim,
    /// Elements of all of them.
    DeltaValues,
    /// Experts of a layer; none in a dense model.
    Experts,
    /// Experts that a token goes to.
    ExpertsUsed,
    /// Elements between the two halves of an expert, where it is not [`FeedForward`](Self::FeedForward).
    ExpertFeedForward,
    /// Experts that every token goes to, as one network: so many times as wide as an expert.
    SharedExperts,
    /// Elements between the two halves of that network, where they are not told by
    /// [`SharedExperts`](Self::SharedExperts).
    SharedFeedForward,
    /// Layers before the first with experts.
    DenseLayers,
    /// Groups of experts, of which a token first chooses some.
    ExpertGroups,
    /// Groups that a token chooses.
    ExpertGroupsUsed,
    /// Factor of the weights of the chosen experts.
    ExpertScale,
    /// The weights of the chosen experts are divided by their sum.
    ExpertNorm,
    /// What a router's scores become: see [`Router`](crate::Router).
    Gating,
    /// Last layers that predict further tokens, and are no part of the next one's prediction.
    PredictLayers,
    /// Elements of the latent vector that queries are made of; none where they are made of the token.
    QueryRank,
    /// Elements of the latent vector that keys and values are made of.
    LatentRank,
    /// Elements of one head's query, and of its key as made of the latent vector with its rotated part.
    LatentKeyDim,
    /// The same of its query without the rotated part, where config.json says it by itself.
    UnrotatedDim,
    /// Elements of one head's value, as made of the latent vector.
    LatentValueDim,
}

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number from 1 to a bound.
    Size,
    /// A whole number from 0 to a bound.
    Count,
    /// A finite number above 0.
    Number,
    /// True or false.
    Flag,
    /// A word in config.json and a number in GGUF: one of [`GATINGS`](crate::GATINGS).
    Gating,
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
            | Self::ExpertScale
            | Self::FeedForwardFactor
            | Self::YarnLogMultiplier
            | Self::YarnLogTenth => Kind::Number,
            Self::ParallelResidual
            | Self::ExpertNorm
            | Self::DoubleWide
            | Self::FeedForwardAdjusted => Kind::Flag,
            Self::DenseLayers | Self::SharedExperts | Self::SharedKvLayers | Self::LayerInput => {
                Kind::Count
            }
            Self::Gating => Kind::Gating,
            _ => Kind::Size,
        }
    }

    /// Whether files say 0 where a model has no such thing.
    pub fn zero_is_none(self) -> bool {
        matches!(
            self,
            Self::SlidingWindow
                | Self::TemperatureScale
                | Self::YarnLogMultiplier
                | Self::YarnLogTenth
                | Self::Experts
                | Self::ExpertsUsed
                | Self::ExpertGroups
                | Self::ExpertGroupsUsed
                | Self::ExpertScale
                | Self::SharedFeedForward
                | Self::Gating
                | Self::PredictLayers
                | Self::QueryRank
        )
    }

    /// The smallest size that is accepted.
    pub fn min(self) -> u32 {
        u32::from(self.kind() == Kind::Size)
    }

    /// The largest size that is accepted.
    pub fn max(self, bounds: &Bounds) -> u32 {
        match self {
            Self::Layers | Self::DenseLayers | Self::PredictLayers => bounds.layers,
            Self::Experts | Self::ExpertsUsed | Self::ExpertGroups | Self::ExpertGroupsUsed => {
                bounds.experts
            }
            Self::SharedExperts => bounds.experts,
            Self::Vocab => bounds.vocab,
            Self::Context | Self::OriginalContext | Self::SlidingWindow => u32::MAX,
            _ => bounds.dimension,
        }
    }
}
