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
        /// The ends of the ramp between the two are rounded to whole pairs.
        truncate: bool,
    },
    /// LongRoPE: the file has two sets of divisors, one for contexts up to the original one and one
    /// for longer ones, and the rotated numbers are made larger.
    Long {
        /// The context the model was trained for before.
        original_context: usize,
        /// Times that the rotated numbers are larger, in any context.
        attention_factor: f32,
    },
}

/// A key of our own: false where the ends of YaRN's ramp are not rounded. Other readers round them.
const YARN_TRUNCATE: &str = "aeolus.yarn_truncate";

/// GGUF's names of the tensors of divisors.
pub(super) const ROPE_FREQS: &str = "rope_freqs.weight";
pub(super) const ROPE_FACTORS_LONG: &str = "rope_factors_long.weight";
pub(super) const ROPE_FACTORS_SHORT: &str = "rope_factors_short.weight";

/// What divides the turns, `[rope_dims / 2]` each.
#[derive(Debug)]
pub(super) enum RopeFactors {
    /// Nothing.
    None,
    /// The same in every context.
    Same(Vec<f32>),
    /// Up to the original context, and beyond it.
    ByContext { short: Vec<f32>, long: Vec<f32> },
}

impl RopeScaling {
    /// `log_multiplier` is the weight of the logarithm that YaRN's magnitude is divided by.
    pub(super) fn from_metadata(keys: &Keys<'_>, log_multiplier: Option<f32>) -> Result<Self> {
        let factor = keys.float("rope.scaling.factor", f32::MIN_POSITIVE)?;
        // Files of 2023 had one key of their own.
        let old = keys.float("rope.scale_linear", f32::MIN_POSITIVE)?;
        let original = keys.count("rope.scaling.original_context_length")?;
        let attention_factor = keys.float("rope.scaling.attn_factor", 0.0)?;
        let context = keys.count("context_length")?;
        let long = || Self::Long {
            original_context: original.or(context).unwrap_or(usize::MAX),
            attention_factor: attention_factor.unwrap_or(1.0),
        };
        Ok(match keys.text("rope.scaling.type")? {
            None => match old.or(factor) {
                Some(factor) if factor != 1.0 => Self::Linear { factor },
                // The reference names no type for LongRoPE.
                _ if original.is_some() || attention_factor.is_some() => long(),
                _ => Self::None,
            },
            Some("longrope") => long(),
            Some("none") => Self::None,
            Some("linear") => Self::Linear {
                factor: factor.unwrap_or(1.0),
            },
            Some("yarn") => {
                let Some(original) = original.or(context) else {
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
                let multiple = whole.map_or(1.0, |whole| whole / yarn_magnitude(factor, 1.0));
                let divisor = log_multiplier.map_or(1.0, |weight| yarn_magnitude(factor, weight));
                Self::Yarn {
                    factor,
                    original_context: original as f32,
                    attention_factor: attention_factor.unwrap_or(multiple) / divisor,
                    beta_fast: or("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: or("rope.scaling.yarn_beta_slow", 1.0)?,
                    truncate: keys.flag(YARN_TRUNCATE)?.unwrap_or(true),
                }
            }
            Some(other) => {
                return Err(Error::Unsupported {
                    what: "rope scaling",
                    found: other.to_owned(),
                    supported: "none, linear, yarn, longrope".into(),
                });
            }
        })
    }
}

/// How much larger YaRN makes the rotated numbers of a context that is `factor` times longer: the
/// usual `weight` of the logarithm is 1.
fn yarn_magnitude(factor: f32, weight: f32) -> f32 {
    1.0 + 0.1 * weight * factor.max(1.0).ln()
}

/// The rotations of a model.
#[derive(Clone, Debug)]
pub(super) struct Ropes {
    /// Of layers that see the whole context.
    global: Rope,
    /// The same in contexts longer than this, where the file has other divisors for these.
    long: Option<(usize, Rope)>,
    /// Of local layers, where these have their own.
    local: Option<Rope>,
}

impl Ropes {
    pub(super) fn new(hyper: &Hyperparameters, factors: &RopeFactors) -> Self {
        let (dims, scaling) = (hyper.rope_dims, hyper.rope_scaling);
        let global = |factors| Rope::new(dims, hyper.rope_base, scaling, factors);
        let (factors, long) = match factors {
            RopeFactors::None => (None, None),
            RopeFactors::Same(factors) => (Some(&**factors), None),
            RopeFactors::ByContext { short, long } => (Some(&**short), Some(&**long)),
        };
        Self {
            global: global(factors),
            long: long.map(|factors| match scaling {
                RopeScaling::Long {
                    original_context, ..
                } => (original_context, global(Some(factors))),
                _ => (hyper.context, global(Some(factors))),
            }),
            local: hyper
                .local_rope_base
                .map(|base| Rope::new(hyper.local_rope_dims, base, RopeScaling::None, None)),
        }
    }

    /// Cosines and sines of positions `first` to `first + count - 1` in a context of some length.
    pub(super) fn turns(&self, context: usize, first: usize, count: usize) -> Turns {
        let global = match &self.long {
            Some((original, long)) if context > *original => long,
            _ => &self.global,
        };
        Turns {
            global: global.table(first, count),
            local: self.local.as_ref().map(|rope| rope.table(first, count)),
        }
    }
}

/// Cosines and sines of some positions in both kinds of layers.
pub(super) struct Turns {
    global: Table,
    local: Option<Table>,
}

/// Cosines and sines of some positions, `[positions, pairs]`.
struct Table {
    pairs: usize,
    turns: Vec<(f32, f32)>,
}

impl Turns {
    /// Those of one position, one for each pair of a head.
    pub(super) fn row(&self, is_local: bool, position: usize) -> &[(f32, f32)] {
        let local = self.local.as_ref().filter(|_| is_local);
        let Table { pairs, turns } = local.unwrap_or(&self.global);
        &turns[position * pairs..][..*pairs]
    }
}

/// One rotation.
#[derive(Clone, Debug)]
struct Rope {
    /// Radians that pair `i` turns with each position, `[rope_dims / 2]`.
    turns: Vec<f32>,
    /// Factor of the rotated numbers.
    magnitude: f32,
}

impl Rope {
    /// `factors`, `[rope_dims / 2]`, divide the turns where the file has them.
    fn new(dims: usize, base: f32, scaling: RopeScaling, factors: Option<&[f32]>) -> Self {
        let pairs = dims / 2;
        let (dims, base) = (dims as f64, f64::from(base));
        let mut turns: Vec<f64> = (0..pairs)
            .map(|pair| base.powf(-2.0 * pair as f64 / dims))
            .collect();
        if let Some(factors) = factors {
            for (turn, factor) in turns.iter_mut().zip(factors) {
                *turn /= f64::from(*factor);
            }
        }
        let mut magnitude = 1.0;
        match scaling {
            RopeScaling::None => {}
            RopeScaling::Long {
                attention_factor, ..
            } => magnitude = attention_factor,
            RopeScaling::Linear { factor } => {
                turns.iter_mut().for_each(|turn| *turn /= f64::from(factor));
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                attention_factor,
                beta_fast,
                beta_slow,
                truncate,
            } => {
                // The pair that makes `beta` turns in the original context.
                let pair_with = |beta: f32| {
                    let turns =
                        f64::from(original_context) / (f64::from(beta) * std::f64::consts::TAU);
                    dims * turns.ln() / (2.0 * base.ln())
                };
                let (low, high) = (pair_with(beta_fast), pair_with(beta_slow));
                let (low, high) = match truncate {
                    true => (low.floor(), high.ceil()),
                    false => (low, high),
                };
                let (low, high) = (low.max(0.0), high.min(dims - 1.0));
                for (pair, turn) in turns.iter_mut().enumerate() {
                    let stretched = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    *turn *= 1.0 - stretched + stretched / f64::from(factor);
                }
                magnitude = attention_factor * yarn_magnitude(factor, 1.0);
            }
        }
        Self {
            turns: turns.into_iter().map(|turn| turn as f32).collect(),
            magnitude,
        }
    }

    /// Cosines and sines of positions `first` to `first + count - 1`.
    fn table(&self, first: usize, count: usize) -> Table {
        let mut turns = Vec::with_capacity(count * self.turns.len());
        for position in first..first + count {
            for &turn in &self.turns {
                let (sin, cos) = (position as f32 * turn).sin_cos();
                turns.push((cos * self.magnitude, sin * self.magnitude));
            }
        }
        Table {
            pairs: self.turns.len(),
            turns,
        }
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
