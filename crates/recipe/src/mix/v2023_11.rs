//! The mix of November 2023: what llama.cpp wrote when most published tables were made.
//!
//! Told apart from today's by: Q2_K keeps ffn_gate and ffn_up in Q3_K, fixed counts of first
//! layers where today has fractions, and an embedding that keeps the base type even when it is
//! the output too.
//!
//! Two things that year's tool could not do get today's answer here: BF16 files, and rows that
//! 32 does not divide, which become F16 (it cut blocks across the ends of rows, and no reader
//! could use them).

use super::{Layers, Mix, Models, Rule, rule};
use crate::{FileType as F, Role};
use Layers::{All, First, MoreBits};
use Models::{Any, Llama70B};
use Role::{AttnOutput, AttnQkv, AttnV, FfnDown, FfnGate, FfnUp, Output};
use aeolus_gguf::TensorType as T;

pub(crate) const MIX: Mix = Mix {
    rules: &[RULES],
    fallbacks: &[(T::Q3_K, T::Q4_1)],
    tied_embedding: Role::TokenEmbd,
    fused_attention: Role::AttnQkv,
};

#[rustfmt::skip]
const RULES: &[Rule] = &[
    // The output's errors go straight into the logits; only Q8_0 files have it wider.
    rule(Output,     &[F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q3_K_L, F::Q4_0, F::Q4_1, F::Q4_K_S,
                       F::Q4_K_M, F::Q5_0, F::Q5_1, F::Q5_K_S, F::Q5_K_M, F::Q6_K],
                                                     All,      Any,      T::Q6_K),

    // Eight query heads of a 70B share each row of attn_v: more bits there cost next to nothing.
    rule(AttnV,      &[F::Q4_K_M, F::Q5_K_M],        MoreBits, Any,      T::Q6_K),
    rule(AttnV,      &[F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q4_K_S, F::Q4_K_M],
                                                     All,      Llama70B, T::Q5_K),
    rule(AttnV,      &[F::Q2_K],                     All,      Any,      T::Q3_K),
    rule(AttnV,      &[F::Q3_K_M],                   First(2), Any,      T::Q5_K),
    rule(AttnV,      &[F::Q3_K_M],                   All,      Any,      T::Q4_K),
    rule(AttnV,      &[F::Q3_K_L],                   All,      Any,      T::Q5_K),
    rule(AttnV,      &[F::Q4_K_S],                   First(4), Any,      T::Q5_K),

    rule(AttnQkv,    &[F::Q3_K_M, F::Q3_K_L],        All,      Any,      T::Q4_K),
    rule(AttnQkv,    &[F::Q4_K_M],                   All,      Any,      T::Q5_K),
    rule(AttnQkv,    &[F::Q5_K_M],                   All,      Any,      T::Q6_K),

    rule(AttnOutput, &[F::Q2_K],                     All,      Any,      T::Q3_K),
    rule(AttnOutput, &[F::Q3_K_M],                   All,      Any,      T::Q4_K),
    rule(AttnOutput, &[F::Q3_K_L],                   All,      Any,      T::Q5_K),

    rule(FfnDown,    &[F::Q4_K_M, F::Q5_K_M],        MoreBits, Any,      T::Q6_K),
    rule(FfnDown,    &[F::Q2_K],                     All,      Any,      T::Q3_K),
    rule(FfnDown,    &[F::Q3_K_M],                   First(2), Any,      T::Q5_K),
    rule(FfnDown,    &[F::Q3_K_M],                   All,      Any,      T::Q4_K),
    rule(FfnDown,    &[F::Q3_K_L],                   All,      Any,      T::Q5_K),
    rule(FfnDown,    &[F::Q4_K_S],                   First(4), Any,      T::Q5_K),

    rule(FfnGate,    &[F::Q2_K],                     All,      Any,      T::Q3_K),
    rule(FfnUp,      &[F::Q2_K],                     All,      Any,      T::Q3_K),
];
