//! Lines of families whose layers are gated delta nets, but for one of every few, which attends.

use super::experts::*;
use super::shared::*;
use crate::{
    Absent, Dim, FfnNorm, Field, Graph, Key, LayerPattern, Line, Recurrence, Require, Required,
    RotaryPairs, TensorLine, When,
};
use Dim::{Convolution, DeltaHeads, DeltaQueryKeyValue, DeltaValue, DeltaValues, Hidden, One};

/// What the reference calls the interval is the one of layers with attention.
const ATTENTION_INTERVAL: Line = Key::line(
    Field::AttentionInterval,
    &["full_attention_interval"],
    "full_attention_interval",
    Absent::Is(4.0),
);
const CONVOLUTION: Line = Key::line(
    Field::Convolution,
    &["linear_conv_kernel_dim"],
    "ssm.conv_kernel",
    Absent::Is(4.0),
);
const DELTA_KEY_DIM: Line = Key::line(
    Field::DeltaKeyDim,
    &["linear_key_head_dim"],
    "ssm.state_size",
    Absent::Is(128.0),
);
const DELTA_KEY_HEADS: Line = Key::line(
    Field::DeltaKeyHeads,
    &["linear_num_key_heads"],
    "ssm.group_count",
    Absent::Is(16.0),
);
const DELTA_HEADS: Line = Key::line(
    Field::DeltaHeads,
    &["linear_num_value_heads"],
    "ssm.time_step_rank",
    Absent::Is(32.0),
);
const DELTA_VALUE_DIM: Line = Key::of_config(
    Field::DeltaValueDim,
    &["linear_value_head_dim"],
    Absent::Is(128.0),
);
const DELTA_VALUES: Line = Key::line(
    Field::DeltaValues,
    &[],
    "ssm.inner_size",
    Absent::Product(Field::DeltaHeads, Field::DeltaValueDim),
);

/// The keys of a delta net, and those of the layers between that come after them.
pub(super) const DELTA_KEYS: [Line; 11] = [
    CONVOLUTION,
    DELTA_KEY_DIM,
    DELTA_KEY_HEADS,
    DELTA_HEADS,
    DELTA_VALUE_DIM,
    DELTA_VALUES,
    Line::RecurrentLayers,
    ATTENTION_INTERVAL,
    rotary_fraction(0.25),
    PARTLY_ROTARY_DIMS,
    VOCAB_OF_EMBEDDING,
];

const ATTENDING: &[When] = &[When::Attention];

/// A tensor of a delta net.
pub(super) const fn delta(
    hf: &'static str,
    gguf: &'static str,
    shape: &'static [Dim],
) -> TensorLine {
    TensorLine::layer(hf, gguf, shape).when(&[When::Recurrent])
}

/// The logarithm of what the state decays by; GGUF has what it is multiplied with.
pub(super) const DECAY: TensorLine = delta("linear_attn.A_log", "ssm_a", &[DeltaHeads]).minus_exp();
pub(super) const CONVOLUTION_WEIGHT: TensorLine = delta(
    "linear_attn.conv1d.weight",
    "ssm_conv1d.weight",
    &[DeltaQueryKeyValue, Convolution],
)
.stored_as(&[DeltaQueryKeyValue, One, Convolution]);
pub(super) const STEP_BIAS: TensorLine = delta("linear_attn.dt_bias", "ssm_dt.bias", &[DeltaHeads]);
pub(super) const VALUE_NORM: TensorLine =
    delta("linear_attn.norm.weight", "ssm_norm.weight", &[DeltaValue]);
pub(super) const OUT: TensorLine = delta(
    "linear_attn.out_proj.weight",
    "ssm_out.weight",
    &[Hidden, DeltaValues],
);

/// Queries of gated attention: each head's are followed by the gates of its output.
const GATED_QUERY: TensorLine = TensorLine::layer(
    "self_attn.q_proj.weight",
    "attn_q.weight",
    &[Dim::QueryAndGate, Hidden],
)
.when(ATTENDING);

const GATED_QUERY_BIAS: TensorLine =
    TensorLine::layer("self_attn.q_proj.bias", "attn_q.bias", &[Dim::QueryAndGate])
        .bias(ATTENTION_BIAS)
        .when(ATTENDING);

/// The number of experts that a token goes to, with what the family's class takes for none.
pub(super) const fn experts_used(absent: Absent) -> Line {
    Key::line(
        Field::ExpertsUsed,
        &["num_experts_per_tok"],
        "expert_used_count",
        absent,
    )
}
pub(super) const SHARED_FEED_FORWARD: Line = Key::line(
    Field::SharedFeedForward,
    &["shared_expert_intermediate_size"],
    "expert_shared_feed_forward_length",
    Absent::Is(512.0),
);

/// The shared network of the families with experts, and the gate of what it gives.
const SHARED_EXPERT: [TensorLine; 3] = shared([
    "mlp.shared_expert.down_proj.weight",
    "mlp.shared_expert.gate_proj.weight",
    "mlp.shared_expert.up_proj.weight",
]);
const SHARED_GATE: TensorLine = TensorLine::layer(
    "mlp.shared_expert_gate.weight",
    "ffn_gate_inp_shexp.weight",
    &[One, Hidden],
);

/// Experts, and the network that all tokens share.
pub(super) const MIXTURE: [TensorLine; 8] = [
    DOWN_EXPERTS,
    GATE_EXPERTS,
    UP_EXPERTS,
    ROUTER,
    SHARED_EXPERT[0],
    SHARED_EXPERT[1],
    SHARED_EXPERT[2],
    SHARED_GATE,
];

/// The norm in front of the feed-forward network, under the name that GGUF has for it here.
const BEHIND_ATTENTION_NORM: TensorLine = TensorLine::layer(
    "post_attention_layernorm.weight",
    "post_attention_norm.weight",
    &[Hidden],
)
.plus_one();

/// Attention with gates, and the norms around what follows it.
pub(super) const GATED_ATTENTION: [TensorLine; 12] = [
    BEHIND_ATTENTION_NORM,
    KEY_NORM.plus_one().when(ATTENDING),
    KEY_BIAS.bias(ATTENTION_BIAS).when(ATTENDING),
    KEY.when(ATTENDING),
    ATTENTION_OUTPUT_BIAS.bias(ATTENTION_BIAS).when(ATTENDING),
    ATTENTION_OUTPUT.when(ATTENDING),
    QUERY_NORM.plus_one().when(ATTENDING),
    GATED_QUERY_BIAS,
    GATED_QUERY,
    VALUE_BIAS.bias(ATTENTION_BIAS).when(ATTENDING),
    VALUE.when(ATTENDING),
    FINAL_NORM.plus_one(),
];

/// Attention is always gated.
pub(super) const OUTPUT_GATE: Require = Require {
    config: "attn_output_gate",
    values: Required::Flag(true),
};

pub(super) const GRAPH: Graph = Graph {
    ffn_norm: FfnNorm::PostAttention,
    rotary_pairs: RotaryPairs::Halves,
    window_layers: LayerPattern::None,
    recurrence: Recurrence::DeltaNet,
    recurrent_layers: LayerPattern::AllButEvery(4),
    ..Graph::PLAIN
};
