//! Files of the codebook types, IQ1 to IQ4.

use super::super::{Layers, Models, Rule, rule};
use crate::{FileType as F, Importance, Role};
use Layers::{All, FirstOneIn, FirstTensors, Middle, MoreBits};
use Models::{Any, Experts4, Experts8, Grouped4, Grouped4Llama70B, Llama70B};
use Role::{AttnK, AttnOutput, AttnQ, AttnV, FfnDown, FfnGate, FfnUp, Output, TokenEmbd};
use aeolus_gguf::TensorType as T;

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    rule(Output,     &[F::IQ1_S, F::IQ1_M, F::IQ2_XXS, F::IQ2_XS, F::IQ2_S, F::IQ2_M, F::IQ3_XXS],
                                                     All,            Any,      T::Q5_K),
    rule(Output,     &[F::IQ3_XS, F::IQ3_S, F::IQ3_M, F::IQ4_XS, F::IQ4_NL],
                                                     All,            Any,      T::Q6_K),

    rule(TokenEmbd,  LOWEST,                         All,            Any,      T::Q2_K),
    rule(TokenEmbd,  &[F::IQ2_S, F::IQ2_M, F::IQ3_XXS],
                                                     All,            Any,      T::IQ3_S),

    // Below three bits, models with experts have rules of their own.
    rule(AttnV,      LOW,                            All,            Grouped4, T::Q4_K),
    rule(AttnV,      LOW,                            All,            Experts4, T::Q4_K),
    rule(AttnV,      &[F::IQ2_S, F::IQ2_M],          All,            Any,      T::IQ3_S),
    rule(AttnV,      LOWEST,                         All,            Any,      T::Q2_K),
    // From three bits on, as in other files.
    rule(AttnV,      HIGH,                           All,            Experts8, T::Q8_0),
    rule(AttnV,      &[F::IQ3_M],                    All,            Llama70B, T::Q5_K),
    rule(AttnV,      &[F::IQ3_XXS, F::IQ3_XS, F::IQ3_S],
                                                     All,    Grouped4Llama70B, T::Q5_K),
    rule(AttnV,      &[F::IQ3_XXS, F::IQ3_XS, F::IQ3_S],
                                                     All,            Grouped4, T::Q4_K),
    rule(AttnV,      &[F::IQ4_XS, F::IQ4_NL],        All,            Grouped4, T::Q5_K),
    rule(AttnV,      &[F::IQ3_XXS],                  All,            Any,      T::IQ3_S).only(Importance::None),
    rule(AttnV,      &[F::IQ3_M],                    All,            Any,      T::Q4_K),

    rule(AttnK,      LOW,                            All,            Experts8, T::Q4_K),
    rule(AttnK,      HIGH,                           All,            Experts8, T::Q8_0),
    rule(AttnK,      &[F::IQ3_XS],                   All,            Any,      T::IQ3_XXS),
    rule(AttnK,      &[F::IQ3_XXS],                  All,            Any,      T::IQ2_S),
    rule(AttnQ,      &[F::IQ3_XS],                   All,            Any,      T::IQ3_XXS),
    rule(AttnQ,      &[F::IQ3_XXS],                  All,            Any,      T::IQ2_S),

    rule(AttnOutput, LOW,                            All,            Experts8, T::Q5_K),
    rule(AttnOutput, HIGH,                           All,            Experts8, T::Q5_K),
    rule(AttnOutput, &[F::IQ1_S, F::IQ1_M],          All,            Any,      T::IQ2_XXS),
    rule(AttnOutput, &[F::IQ2_S, F::IQ2_M],          All,            Any,      T::IQ3_S),
    rule(AttnOutput, &[F::IQ3_XXS],                  All,            Any,      T::IQ3_S),
    rule(AttnOutput, &[F::IQ3_M],                    All,            Any,      T::Q4_K),

    rule(FfnDown,    &[F::IQ2_S, F::IQ2_M],          FirstTensors(8), Any,     T::IQ3_S),
    rule(FfnDown,    LOWEST,                         FirstTensors(8), Any,     T::Q2_K),
    rule(FfnDown,    &[F::IQ3_XXS],                  FirstOneIn(8),  Any,      T::Q4_K).only(Importance::None),
    rule(FfnDown,    &[F::IQ3_XXS],                  All,            Any,      T::Q3_K).only(Importance::None),
    rule(FfnDown,    &[F::IQ3_M],                    FirstOneIn(8),  Any,      T::Q4_K),
    rule(FfnDown,    &[F::IQ3_M],                    MoreBits,       Experts8, T::Q4_K),
    rule(FfnDown,    &[F::IQ4_XS, F::IQ4_NL],        FirstOneIn(8),  Any,      T::Q5_K).only(Importance::None),

    rule(FfnGate,    &[F::IQ3_XS],                   Middle,         Any,      T::IQ3_XXS),
    rule(FfnUp,      &[F::IQ3_XS],                   Middle,         Any,      T::IQ3_XXS),
];

/// Around two bits and below.
const LOWEST: &[F] = &[F::IQ1_S, F::IQ1_M, F::IQ2_XXS, F::IQ2_XS];

/// Below three bits.
const LOW: &[F] = &[
    F::IQ1_S,
    F::IQ1_M,
    F::IQ2_XXS,
    F::IQ2_XS,
    F::IQ2_S,
    F::IQ2_M,
];

/// Three bits and more.
const HIGH: &[F] = &[
    F::IQ3_XXS,
    F::IQ3_XS,
    F::IQ3_S,
    F::IQ3_M,
    F::IQ4_XS,
    F::IQ4_NL,
];
