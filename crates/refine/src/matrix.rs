//! One matrix: its moments factored, its codes chosen, and the choice judged on other windows.

use crate::block::Search;
use crate::cost::{cost, cost_of_both};
use crate::{Error, Moments, Sides, Symmetric, choose};
use aeolus_gguf::TensorType;
use aeolus_quant::Cpu;

/// How much is done for a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Feedback along rows.
    One,
    /// A wider search, and descent.
    Two,
    /// Feedback from row to row too.
    Three,
}

impl Effort {
    /// From 1 to 3.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The effort of a number from 1 to 3.
    pub fn of_number(number: u8) -> Option<Self> {
        [Self::One, Self::Two, Self::Three]
            .into_iter()
            .find(|effort| effort.number() == number)
    }

    /// How far is searched, and how often there is descent.
    fn search(self) -> (Search, usize) {
        let search = |steps, factors| Search {
            steps,
            rounds: 3,
            factors,
        };
        match self {
            Self::One => (search(1, &[0.96, 1.04]), 0),
            Self::Two | Self::Three => (search(2, &[0.96, 1.04, 0.92, 0.88]), 2),
        }
    }
}

/// What is added to the diagonal of a type's moments, in terms of its mean: the fewer bits, the larger
/// the errors and the less the moments of one text can be trusted with them.
fn damping(ty: TensorType, effort: Effort) -> f32 {
    let bits = ty.block_bytes() as f32 * 8.0 / ty.block_elems() as f32;
    let one_sided = match bits {
        ..3.0 => 0.1,
        3.0..4.0 => 0.05,
        4.0..5.0 => 0.02,
        _ => 0.01,
    };
    match effort {
        Effort::Three => 2.0 * one_sided,
        _ => one_sided,
    }
}

/// The codes of a matrix.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its blocks.
    pub bytes: Vec<u8>,
    /// What plain codes cost on the held-out windows.
    pub plain_cost: f64,
    /// What the refined ones cost there.
    pub refined_cost: f64,
}

impl Chosen {
    /// Plain codes of a matrix that nothing is known about, `[rows, cols]`.
    pub(crate) fn plain(cpu: Cpu, ty: TensorType, x: &[f32], cols: usize) -> Result<Self, Error> {
        let mut bytes = vec![0; x.len() / ty.block_elems() * ty.block_bytes()];
        cpu.encode_rows(ty, x, cols, None, &mut bytes)?;
        Ok(Self {
            bytes,
            plain_cost: 0.0,
            refined_cost: 0.0,
        })
    }

    /// Whether the refined codes are better on the held-out windows; the bytes are those of the better
    /// ones.
    pub fn is_refined(&self) -> bool {
        self.refined_cost < self.plain_cost
    }
}

/// What the codes of a matrix go by.
#[derive(Debug)]
pub struct Task<'a> {
    /// The CPU level.
    pub cpu: Cpu,
    /// The type of the blocks.
    pub ty: TensorType,
    /// How much is done.
    pub effort: Effort,
    /// Means over the calibration windows.
    pub moments: &'a Moments,
    /// The same over the held-out windows.
    pub held_out: &'a Moments,
    /// How much each row counts where codes are judged, `[rows]`, if not all count the same: how often the
    /// token of an embedding's row occurs in the held-out windows.
    pub row_weights: Option<&'a [f32]>,
}

/// A factor of moments, with as much damping as it takes.
fn factor(cpu: Cpu, moments: &Symmetric, damping: f32) -> Result<Symmetric, Error> {
    let attempt = |damping: f32| {
        let mut moments = moments.clone();
        moments.damp(damping);
        moments.factor(cpu)
    };
    let more = |factor: f32| move |_| attempt(damping * factor);
    Ok(attempt(damping).or_else(more(4.0)).or_else(more(16.0))?)
}

impl Task<'_> {
    /// Chooses the codes of `x`, `[rows, cols]`. On all threads of the current pool.
    ///
    /// # Errors
    /// [`Error::NotRefinable`], [`Error::Encode`] and [`Error::NotPositive`], which say why there are no
    /// refined codes.
    pub fn choose(&self, x: &[f32]) -> Result<Chosen, Error> {
        let Self { cpu, ty, .. } = *self;
        let moments = &*self.moments.inputs;
        let cols = moments.n();
        let damping = damping(ty, self.effort);
        let factor = factor(cpu, moments, damping)?;
        let mut importance = moments.diagonal();
        let mean = importance.iter().sum::<f32>() / cols as f32;
        for value in &mut importance {
            *value += damping * mean;
        }
        let row_bytes = cols / ty.block_elems() * ty.block_bytes();
        let mut bytes = vec![0; x.len() / cols * row_bytes];
        let gradients = self.moments.gradients.as_deref();
        let sides = Sides {
            inputs: &factor,
            importance: &importance,
            gradients: gradients
                .filter(|_| self.effort == Effort::Three)
                .map(|gradients| (gradients, damping)),
        };
        choose(cpu, ty, x, sides, self.effort.search(), &mut bytes)?;
        let mut plain = vec![0; bytes.len()];
        let guide = aeolus_quant::needs_guide(ty).then_some(&importance[..]);
        cpu.encode_rows(ty, x, cols, guide, &mut plain)?;
        let mut decoded = vec![0.0; x.len()];
        let mut judge = |bytes: &[u8]| -> Result<f64, Error> {
            cpu.decode_rows(ty, bytes, cols, &mut decoded)?;
            Ok(match self.row_weights {
                None => cost_of_both(cpu, self.held_out, x, &decoded),
                weights => cost(cpu, &self.held_out.inputs, x, &decoded, weights),
            })
        };
        let (plain_cost, refined_cost) = (judge(&plain)?, judge(&bytes)?);
        let chosen = Chosen {
            bytes,
            plain_cost,
            refined_cost,
        };
        Ok(match chosen.is_refined() {
            true => chosen,
            false => Chosen {
                bytes: plain,
                ..chosen
            },
        })
    }
}
