//! Codes that are free of each other: each column is rounded to the level nearest to `w + c / R_jj`, which
//! makes its own entry as small as it can be.

use crate::round::{Due, Round, Rounded};
use aeolus_quant::{Float, Isa};

/// See [`aeolus_quant::fields::Levels::Even`]. Codes are the levels themselves.
#[derive(Clone, Copy)]
pub(crate) struct EvenLevels<F> {
    lowest: F,
    highest: F,
}

impl<F: Float> EvenLevels<F> {
    /// From one to another.
    #[inline(always)]
    pub(crate) fn of<S: Isa<F = F>>(isa: S, lowest: i16, highest: i16) -> Self {
        Self {
            lowest: isa.splat(f32::from(lowest)),
            highest: isa.splat(f32::from(highest)),
        }
    }
}

impl<S: Isa> Round<S, 1> for EvenLevels<S::F> {
    #[inline(always)]
    fn round(self, isa: S, due: &Due<'_, S::F, 1>) -> Rounded<S::F, 1> {
        let level = target(isa, due).max(self.lowest).min(self.highest).round();
        rounded(isa, due, level, level)
    }
}

/// See [`aeolus_quant::fields::Levels::Uneven`]. Codes are numbers of levels.
#[derive(Clone, Copy)]
pub(crate) struct UnevenLevels(pub &'static [f32; 16]);

impl<S: Isa> Round<S, 1> for UnevenLevels {
    #[inline(always)]
    fn round(self, isa: S, due: &Due<'_, S::F, 1>) -> Rounded<S::F, 1> {
        let target = target(isa, due);
        let (mut code, mut level) = (isa.splat(0.0), isa.splat(self.0[0]));
        for (i, pair) in self.0.windows(2).enumerate() {
            let is_above = isa.splat((pair[0] + pair[1]) / 2.0).lt(target);
            code = isa.splat((i + 1) as f32).or_else(is_above, code);
            level = isa.splat(pair[1]).or_else(is_above, level);
        }
        rounded(isa, due, code, level)
    }
}

/// Where the weights of a column would best be, in units of the scale.
#[inline(always)]
fn target<S: Isa>(isa: S, due: &Due<'_, S::F, 1>) -> S::F {
    let carried = due.carried[0] * isa.splat(1.0 / due.factor[0][0]);
    (due.weights[0] + carried + due.under.min) * due.under.inverse
}

/// A column whose codes are known, and their levels.
#[inline(always)]
fn rounded<S: Isa>(isa: S, due: &Due<'_, S::F, 1>, code: S::F, level: S::F) -> Rounded<S::F, 1> {
    let error = due.weights[0] - (level * due.under.scale - due.under.min);
    Rounded {
        codes: [code],
        errors: [error],
        entries: [due.carried[0] + error * isa.splat(due.factor[0][0])],
    }
}
