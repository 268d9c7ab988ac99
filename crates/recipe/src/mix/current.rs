//! Today's mix (llama.cpp of October 2026).
//!
//! Told apart from 2023-11 by: Q2_K is Q2_K in ffn_gate and ffn_up, and Q4_K in attn_v where
//! four heads share it; the first layers that ffn_down favours are a fraction of all; an
//! embedding that is the output too is treated as the output; experts, codebook types and
//! importance matrices exist.
//!
//! A rule names files of one kind, so the order of the lists does not matter, but that publishers'
//! names and architectures with rules of their own come first.

mod codebook;

use super::{Layers, Mix, Models, Rule, Tensors, rule};
use crate::{FileType as F, Importance, Role};
use Layers::{All, First, FirstOneIn, MoreBits};
use Models::{Any, Experts8, Grouped4, Grouped4Llama70B, Llama70B};
use Role::{AttnK, AttnOutput, AttnV, FfnDown, Output, TokenEmbd};
use aeolus_gguf::TensorType as T;

pub(crate) const MIX: Mix = Mix {
    rules: &[PUBLISHERS, BLOCKS, codebook::RULES, TRAINED],
    fallbacks: &[(T::Q3_K, T::Q4_0)],
    tied_embedding: Output,
    fused_attention: AttnV,
};

/// What publishers call a mix with embedding and output in Q8_0.
#[rustfmt::skip]
const PUBLISHERS: &[Rule] = &[
    rule(Output,     LARGE,                          All,            Any,      T::Q8_0),
    rule(TokenEmbd,  LARGE,                          All,            Any,      T::Q8_0),
];

const LARGE: &[F] = &[F::Q2_K_L, F::Q3_K_XL, F::Q4_K_L, F::Q5_K_L, F::Q6_K_L];

/// Files of the types with scales and no codebook.
#[rustfmt::skip]
const BLOCKS: &[Rule] = &[
    // The output's errors go straight into the logits; only Q8_0 files have it wider.
    rule(Output,     &[F::Q2_K_S, F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q3_K_L, F::Q4_0, F::Q4_1,
                       F::Q4_K_S, F::Q4_K_M, F::Q5_0, F::Q5_1, F::Q5_K_S, F::Q5_K_M, F::Q6_K],
                                                     All,            Any,      T::Q6_K),

    // Next to the experts of a Mixtral, attn_k and attn_v are small.
    rule(AttnV,      &[F::Q2_K_S, F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q3_K_L, F::Q4_0, F::Q4_1,
                       F::Q4_K_S, F::Q4_K_M, F::Q5_0, F::Q5_1, F::Q5_K_S, F::Q5_K_M, F::Q6_K],
                                                     All,            Experts8, T::Q8_0),
    // Eight query heads of a 70B share each row of attn_v: more bits there cost next to nothing.
    rule(AttnV,      &[F::Q4_K_M, F::Q5_K_M],        MoreBits,       Any,      T::Q6_K),
    rule(AttnV,      &[F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q4_K_S, F::Q4_K_M],
                                                     All,            Llama70B, T::Q5_K),
    rule(AttnV,      &[F::Q2_K_S],                   All,    Grouped4Llama70B, T::Q5_K),
    rule(AttnV,      &[F::Q2_K_S, F::Q2_K],          All,            Grouped4, T::Q4_K),
    rule(AttnV,      &[F::Q2_K],                     All,            Any,      T::Q3_K),
    rule(AttnV,      &[F::Q3_K_M],                   First(2),       Any,      T::Q5_K),
    rule(AttnV,      &[F::Q3_K_M],                   All,            Any,      T::Q4_K),
    rule(AttnV,      &[F::Q3_K_L],                   All,            Any,      T::Q5_K),
    rule(AttnV,      &[F::Q4_K_S],                   First(4),       Any,      T::Q5_K),

    rule(AttnK,      &[F::Q2_K_S, F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q3_K_L, F::Q4_0, F::Q4_1,
                       F::Q4_K_S, F::Q4_K_M, F::Q5_0, F::Q5_1, F::Q5_K_S, F::Q5_K_M, F::Q6_K],
                                                     All,            Experts8, T::Q8_0),

    rule(AttnOutput, &[F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q4_K_S, F::Q4_K_M],
                                                     All,            Experts8, T::Q5_K),
    rule(AttnOutput, &[F::Q3_K_L],                   All,            Experts8, T::Q3_K),
    rule(AttnOutput, &[F::Q2_K],                     All,            Any,      T::Q3_K),
    rule(AttnOutput, &[F::Q3_K_M],                   All,            Any,      T::Q4_K),
    rule(AttnOutput, &[F::Q3_K_L],                   All,            Any,      T::Q5_K),

    rule(FfnDown,    &[F::Q4_K_M, F::Q5_K_M],        MoreBits,       Any,      T::Q6_K),
    rule(FfnDown,    &[F::Q2_K_S],                   FirstOneIn(8),  Any,      T::Q4_K),
    rule(FfnDown,    &[F::Q2_K],                     All,            Any,      T::Q3_K),
    rule(FfnDown,    &[F::Q3_K_M],                   FirstOneIn(16), Any,      T::Q5_K),
    rule(FfnDown,    &[F::Q3_K_M],                   All,            Any,      T::Q4_K),
    rule(FfnDown,    &[F::Q3_K_L],                   All,            Any,      T::Q5_K),
    rule(FfnDown,    &[F::Q4_K_S],                   FirstOneIn(8),  Any,      T::Q5_K),
    // The first layers' outliers: with a minimum they fit, but only guided, else that does harm.
    rule(FfnDown,    &[F::Q4_0],                     FirstOneIn(8),  Any,      T::Q4_1).only(Importance::Given),
    rule(FfnDown,    &[F::Q5_0],                     FirstOneIn(8),  Any,      T::Q5_1).only(Importance::Given),
];

/// Files for models that were trained in such types.
#[rustfmt::skip]
const TRAINED: &[Rule] = &[
    rule(Output,     &[F::Q1_0, F::TQ1_0, F::TQ2_0, F::Q2_0],
                                                     All,            Any,      T::Q6_K),
    rule(TokenEmbd,  &[F::TQ1_0, F::TQ2_0, F::Q2_0], All,            Any,      T::Q4_K),
    rule(AttnV,      &[F::Q1_0, F::TQ1_0, F::TQ2_0, F::Q2_0],
                                                     All,            Experts8, T::Q8_0),
    rule(AttnK,      &[F::Q1_0, F::TQ1_0, F::TQ2_0, F::Q2_0],
                                                     All,            Experts8, T::Q8_0),
    Rule {
        tensors: Tensors::Single,
        files: &[F::MXFP4_MOE],
        layers: All,
        models: Any,
        importance: None,
        ty: T::Q8_0,
    },
];
