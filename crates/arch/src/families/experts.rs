//! Lines of families with mixtures of experts.

use crate::{Absent, Dim, Field, Key, Line, Part, Stored, TensorLine, When, Written};
use Dim::{ExpertForward, Experts, Hidden, SharedForward};

pub(super) const IN_DENSE: &[When] = &[When::Dense];
pub(super) const WITH_EXPERTS: &[When] = &[When::Experts];

/// The number of experts, under the name that the family's class has for it; a model without is dense.
pub(super) const fn experts(config: &'static [&'static str], absent: Absent) -> Line {
    Key::line(Field::Experts, config, "expert_count", absent)
}

/// The number of experts that a token goes to.
pub(super) const EXPERTS_USED: Line = Key::line(
    Field::ExpertsUsed,
    &["num_experts_per_tok", "experts_per_token"],
    "expert_used_count",
    Absent::Default,
);
pub(super) const EXPERT_GROUPS: Line = Key::line(
    Field::ExpertGroups,
    &["n_group"],
    "expert_group_count",
    Absent::Default,
);
pub(super) const EXPERT_GROUPS_USED: Line = Key::line(
    Field::ExpertGroupsUsed,
    &["topk_group"],
    "expert_group_used_count",
    Absent::Default,
);
pub(super) const EXPERT_FEED_FORWARD: Line = Key::line(
    Field::ExpertFeedForward,
    &["moe_intermediate_size"],
    "expert_feed_forward_length",
    Absent::Error,
);
/// The same for families whose experts are as wide as their dense networks, and whose files say so by
/// the latter's key.
pub(super) const EXPERT_FEED_FORWARD_READ: Line = Key::unwritten(
    Field::ExpertFeedForward,
    &[],
    "expert_feed_forward_length",
    Absent::Default,
);
pub(super) const SHARED_EXPERTS: Line = Key::line(
    Field::SharedExperts,
    &["n_shared_experts"],
    "expert_shared_count",
    Absent::Is(0.0),
);
pub(super) const DENSE_LAYERS: Line = Key::line(
    Field::DenseLayers,
    &["first_k_dense_replace"],
    "leading_dense_block_count",
    Absent::Is(0.0),
);
pub(super) const EXPERT_SCALE: Line = Key::line(
    Field::ExpertScale,
    &["routed_scaling_factor"],
    "expert_weights_scale",
    Absent::Default,
);
/// Last layers that predict further tokens: in the file where they are kept.
pub(super) const PREDICT_LAYERS: Line = Key::line(
    Field::PredictLayers,
    &["num_nextn_predict_layers"],
    "nextn_predict_layers",
    Absent::Default,
);

/// Whether the weights of chosen experts are divided by their sum. The reference writes only what is
/// true in some families.
pub(super) const fn expert_norm(written: Written) -> Line {
    Line::Key(Key {
        field: Field::ExpertNorm,
        config: &["norm_topk_prob"],
        gguf: "expert_weights_norm",
        written,
        absent: Absent::Default,
    })
}

pub(super) const ROUTER: TensorLine =
    TensorLine::layer("mlp.gate.weight", "ffn_gate_inp.weight", &[Experts, Hidden])
        .when(WITH_EXPERTS);
/// What is added to the sigmoid of a router's scores for the choice alone.
pub(super) const ROUTER_CORRECTION: TensorLine = TensorLine::layer(
    "mlp.gate.e_score_correction_bias",
    "exp_probs_b.bias",
    &[Experts],
)
.when(&[When::Experts, When::Routed(crate::Router::Sigmoid)])
.bias(None);

/// Stacks of experts that are stored one by one.
pub(super) const DOWN_EXPERTS: TensorLine = TensorLine::layer(
    "mlp.experts.{}.down_proj.weight",
    "ffn_down_exps.weight",
    &[Experts, Hidden, ExpertForward],
)
.when(WITH_EXPERTS)
.or(&[Stored {
    hf: "mlp.experts.down_proj",
    part: Part::Whole,
    scales: None,
}]);
pub(super) const GATE_EXPERTS: TensorLine = TensorLine::layer(
    "mlp.experts.{}.gate_proj.weight",
    "ffn_gate_exps.weight",
    &[Experts, ExpertForward, Hidden],
)
.when(WITH_EXPERTS)
.or(&[gate_up(Part::FirstRows)]);
pub(super) const UP_EXPERTS: TensorLine = TensorLine::layer(
    "mlp.experts.{}.up_proj.weight",
    "ffn_up_exps.weight",
    &[Experts, ExpertForward, Hidden],
)
.when(WITH_EXPERTS)
.or(&[gate_up(Part::LastRows)]);

/// Gate and up of all experts in one tensor, as the framework has them in memory.
const fn gate_up(part: Part) -> Stored {
    Stored {
        hf: "mlp.experts.gate_up_proj",
        part,
        scales: None,
    }
}

/// The network that all tokens share, under the name that the family's class has for it.
pub(super) const fn shared(hf: [&'static str; 3]) -> [TensorLine; 3] {
    let [down, gate, up] = hf;
    [
        TensorLine::layer(down, "ffn_down_shexp.weight", &[Hidden, SharedForward]),
        TensorLine::layer(gate, "ffn_gate_shexp.weight", &[SharedForward, Hidden]),
        TensorLine::layer(up, "ffn_up_shexp.weight", &[SharedForward, Hidden]),
    ]
}

/// What a layer that predicts a further token has beside the tensors of any layer.
pub(super) const PREDICTING: [TensorLine; 6] = [
    predicting(
        "eh_proj.weight",
        "nextn.eh_proj.weight",
        &[Hidden, Dim::HiddenTwice],
    ),
    predicting(
        "embed_tokens.weight",
        "nextn.embed_tokens.weight",
        &[Dim::Vocab, Hidden],
    )
    .optional(),
    predicting("enorm.weight", "nextn.enorm.weight", &[Hidden]),
    predicting("hnorm.weight", "nextn.hnorm.weight", &[Hidden]),
    predicting(
        "shared_head.head.weight",
        "nextn.shared_head_head.weight",
        &[Dim::Vocab, Hidden],
    )
    .optional(),
    predicting(
        "shared_head.norm.weight",
        "nextn.shared_head_norm.weight",
        &[Hidden],
    )
    .optional(),
];

const fn predicting(hf: &'static str, gguf: &'static str, shape: &'static [Dim]) -> TensorLine {
    TensorLine::layer(hf, gguf, shape).when(&[When::Predicting])
}
