//! Rotary positions: each pair of numbers of a head turns by an angle that grows with the
//! position, slower for later pairs.

use aeolus_arch::RotaryPairs;

use super::hyper::Hyperparameters;
use super::rope_scaling::{RopeScaling, yarn_magnitude};

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

/// Turns every head of one token, `[heads, head_dim]`, by the cosines and sines of its position, one for
/// each pair of a head's first numbers.
pub fn rotate(heads: &mut [f32], head_dim: usize, pairs: RotaryPairs, row: &[(f32, f32)]) {
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
