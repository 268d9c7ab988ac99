//! Today's mix (llama.cpp of late 2026).
//!
//! Told apart from 2023-11 by: Q2_K is Q2_K in ffn_gate and ffn_up, and Q4_K in attn_v where
//! four heads share it; the first layers that ffn_down favours are a fraction of all; an
//! embedding that is the output too is treated as the output.

use super::{Layers, Mix, Models, Rule, rule};
use crate::{FileType as F, Role};
use Layers::{All, First, FirstOneIn, MoreBits};
use Models::{Any, Grouped4, Llama70B};
use Role::{AttnOutput, AttnV, FfnDown, Output};
use aeolus_gguf::TensorType as T;

pub(crate) const MIX: Mix = Mix {
    rules: RULES,
    fallbacks: &[
        (T::Q2_K, T::Q4_0),
        (T::Q3_K, T::Q4_0),
        (T::Q4_K, T::Q5_0),
        (T::Q5_K, T::Q5_1),
        (T::Q6_K, T::Q8_0),
    ],
    tied_embedding: Role::Output,
};

#[rustfmt::skip]
const RULES: &[Rule] = &[
    // The output's errors go straight into the logits; only Q8_0 files have it wider.
    rule(Output,     &[F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q3_K_L, F::Q4_0, F::Q4_1, F::Q4_K_S,
                       F::Q4_K_M, F::Q5_0, F::Q5_1, F::Q5_K_S, F::Q5_K_M, F::Q6_K],
                                                     All,            Any,      T::Q6_K),

    // Eight query heads of a 70B share each row of attn_v: more bits there cost next to nothing.
    rule(AttnV,      &[F::Q4_K_M, F::Q5_K_M],        MoreBits,       Any,      T::Q6_K),
    rule(AttnV,      &[F::Q2_K, F::Q3_K_S, F::Q3_K_M, F::Q4_K_S, F::Q4_K_M],
                                                     All,            Llama70B, T::Q5_K),
    rule(AttnV,      &[F::Q2_K],                     All,            Grouped4, T::Q4_K),
    rule(AttnV,      &[F::Q2_K],                     All,            Any,      T::Q3_K),
    rule(AttnV,      &[F::Q3_K_M],                   First(2),       Any,      T::Q5_K),
    rule(AttnV,      &[F::Q3_K_M],                   All,            Any,      T::Q4_K),
    rule(AttnV,      &[F::Q3_K_L],                   All,            Any,      T::Q5_K),
    rule(AttnV,      &[F::Q4_K_S],                   First(4),       Any,      T::Q5_K),

    rule(AttnOutput, &[F::Q2_K],                     All,            Any,      T::Q3_K),
    rule(AttnOutput, &[F::Q3_K_M],                   All,            Any,      T::Q4_K),
    rule(AttnOutput, &[F::Q3_K_L],                   All,            Any,      T::Q5_K),

    rule(FfnDown,    &[F::Q4_K_M, F::Q5_K_M],        MoreBits,       Any,      T::Q6_K),
    rule(FfnDown,    &[F::Q2_K],                     All,            Any,      T::Q3_K),
    rule(FfnDown,    &[F::Q3_K_M],                   FirstOneIn(16), Any,      T::Q5_K),
    rule(FfnDown,    &[F::Q3_K_M],                   All,            Any,      T::Q4_K),
    rule(FfnDown,    &[F::Q3_K_L],                   All,            Any,      T::Q5_K),
    rule(FfnDown,    &[F::Q4_K_S],                   FirstOneIn(8),  Any,      T::Q5_K),
];
