//! Rotary positions: each pair of numbers of a head turns by an angle that grows with the
//! position, slower for later pairs.

use aeolus_arch::RotaryPairs;

use super::hyper::{Hyperparameters, Keys};
use crate::error::{Error, Result};

/// How wavelengths are stretched so that a longer context looks like the trained one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every position divided by the factor.
    Linear {
        /// How many times longer the context is.
        factor: f32,
    },
    /// YaRN: long wavelengths divided by the factor, short ones kept, and the rotated numbers
    /// made a little larger.
    Yarn {
        /// How many times longer the context is.
        factor: f32,
        /// The context the model was trained for before.
        original_context: f32,
        /// Times that the rotated numbers are larger, beside what the factor gives.
        attention_factor: f32,
        /// Wavelengths with more turns than this in the original context are kept.
        beta_fast: f32,
        /// Wavelengths with fewer turns than this are divided in full.
        beta_slow: f32,
    },
}

impl RopeScaling {
    pub(super) fn from_metadata(keys: &Keys<'_>) -> Result<Self> {
        let factor = keys.float("rope.scaling.factor", f32::MIN_POSITIVE)?;
        // Files of 2023 had one key of their own.
        let old = keys.float("rope.scale_linear", f32::MIN_POSITIVE)?;
        Ok(match keys.text("rope.scaling.type")? {
            None => match old.or(factor) {
                Some(factor) if factor != 1.0 => Self::Linear { factor },
                _ => Self::None,
            },
            Some("none") => Self::None,
            Some("linear") => Self::Linear {
                factor: factor.unwrap_or(1.0),
            },
            Some("yarn") => {
                let original = keys.count("rope.scaling.original_context_length")?;
                let Some(original) = original.or(keys.count("context_length")?) else {
                    return Err(Error::MissingKey {
                        key: keys.name("rope.scaling.original_context_length"),
                        needed_for: "YaRN",
                    });
                };
                let or = |key, default| Ok::<_, Error>(keys.float(key, 0.0)?.unwrap_or(default));
                let factor = factor.unwrap_or(1.0);
                // The reference converter writes the whole magnitude under this key; the other
                // one is a multiple of the usual magnitude, and counts where both are there.
                let whole = keys.float("rope.scaling.yarn_attn_factor", 0.0)?;
                let multiple = whole.map_or(1.0, |whole| whole / yarn_magnitude(factor));
                Self::Yarn {
                    factor,
                    original_context: original as f32,
                    attention_factor: or("rope.scaling.attn_factor", multiple)?,
                    beta_fast: or("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: or("rope.scaling.yarn_beta_slow", 1.0)?,
                }
            }
            Some(other) => {
                return Err(Error::Unsupported {
                    what: "rope scaling",
                    found: other.to_owned(),
                    supported: "none, linear, yarn",
                });
            }
        })
    }
}

/// How much larger YaRN makes the rotated numbers of a context that is `factor` times longer.
fn yarn_magnitude(factor: f32) -> f32 {
    1.0 + 0.1 * factor.max(1.0).ln()
}

/// The rotation of a model.
#[derive(Clone, Debug)]
pub(super) struct Rope {
    /// Radians that pair `i` turns with each position, `[rope_dims / 2]`.
    turns: Vec<f32>,
    /// Factor of the rotated numbers.
    magnitude: f32,
}

impl Rope {
    /// `factors`, `[rope_dims / 2]`, divide the turns where the file has them.
    pub(super) fn new(hyper: &Hyperparameters, factors: Option<&[f32]>) -> Self {
        let dims = hyper.rope_dims as f64;
        let base = f64::from(hyper.rope_base);
        let mut turns: Vec<f64> = (0..hyper.rope_dims / 2)
            .map(|pair| base.powf(-2.0 * pair as f64 / dims))
            .collect();
        if let Some(factors) = factors {
            for (turn, factor) in turns.iter_mut().zip(factors) {
                *turn /= f64::from(*factor);
            }
        }
        let mut magnitude = 1.0;
        match hyper.rope_scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => {
                turns.iter_mut().for_each(|turn| *turn /= f64::from(factor));
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                attention_factor,
                beta_fast,
                beta_slow,
            } => {
                // The pair that makes `beta` turns in the original context.
                let pair_with = |beta: f32| {
                    let turns =
                        f64::from(original_context) / (f64::from(beta) * std::f64::consts::TAU);
                    dims * turns.ln() / (2.0 * base.ln())
                };
                let low = pair_with(beta_fast).floor().max(0.0);
                let high = pair_with(beta_slow).ceil().min(dims - 1.0);
                for (pair, turn) in turns.iter_mut().enumerate() {
                    let stretched = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    *turn *= 1.0 - stretched + stretched / f64::from(factor);
                }
                magnitude = attention_factor * yarn_magnitude(factor);
            }
        }
        Self {
            turns: turns.into_iter().map(|turn| turn as f32).collect(),
            magnitude,
        }
    }

    /// Cosines and sines of positions `first` to `first + count - 1`,
    /// `[count, rope_dims / 2]`.
    pub(super) fn table(&self, first: usize, count: usize) -> Vec<(f32, f32)> {
        let mut table = Vec::with_capacity(count * self.turns.len());
        for position in first..first + count {
            for &turn in &self.turns {
                let (sin, cos) = (position as f32 * turn).sin_cos();
                table.push((cos * self.magnitude, sin * self.magnitude));
            }
        }
        table
    }

    /// Number of pairs.
    pub(super) fn pairs(&self) -> usize {
        self.turns.len()
    }
}

/// Turns every head of one token, `[heads, head_dim]`, by a row of the table.
pub(super) fn rotate(heads: &mut [f32], head_dim: usize, pairs: RotaryPairs, row: &[(f32, f32)]) {
    for head in heads.chunks_exact_mut(head_dim) {
        match pairs {
            RotaryPairs::Neighbours => {
                for (pair, turn) in head.chunks_exact_mut(2).zip(row) {
                    (pair[0], pair[1]) = turned(pair[0], pair[1], turn);
                }
            }
            RotaryPairs::Halves => {
                let (first, second) = head[..2 * row.len()].split_at_mut(row.len());
                for ((a, b), turn) in first.iter_mut().zip(second).zip(row) {
                    (*a, *b) = turned(*a, *b, turn);
                }
            }
        }
    }
}

fn turned(a: f32, b: f32, (cos, sin): &(f32, f32)) -> (f32, f32) {
    (a * cos - b * sin, a * sin + b * cos)
}
