//! What a type costs a tensor, predicted.

use crate::backward::Error;
use crate::{Symmetric, cost};
use aeolus_gguf::TensorType;
use aeolus_quant::{Cpu, needs_guide};
use rayon::prelude::*;

/// Rows of a matrix that are encoded: enough for a mean, and few enough that a large model's tensors are
/// encoded in every type within minutes.
pub const ROWS: usize = 128;

/// The same where the frequency of tokens is their weight: the most frequent ones are taken.
pub const FREQUENT_ROWS: usize = 1024;

/// Rows that are encoded together.
const TOGETHER: usize = 8;

/// How much the rows of a matrix count.
#[derive(Clone, Copy, Debug)]
pub enum RowWeights<'a> {
    /// The mean squares of the gradients at the outputs, `[rows]`.
    Gradients(&'a [f32]),
    /// How often each row's token occurs, as shares of all tokens, `[rows]`.
    Frequencies(&'a [f32]),
    /// All the same, of so many rows: a row's cost is the share of its output's square that is wrong.
    Alike {
        /// Rows that are encoded at most.
        sample: usize,
    },
}

impl RowWeights<'_> {
    /// The rows that are encoded, and what the sum of their costs is multiplied with.
    fn sample(self, rows: usize) -> (Vec<usize>, f64) {
        let spread = |count: usize| -> Vec<usize> {
            match rows <= count {
                true => (0..rows).collect(),
                false => (0..count)
                    .map(|i| (2 * i + 1) * rows / (2 * count))
                    .collect(),
            }
        };
        let (sampled, weights) = match self {
            Self::Gradients(weights) => (spread(ROWS), weights),
            Self::Frequencies(weights) => {
                let mut order: Vec<usize> = (0..rows).collect();
                order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b)));
                order.truncate(FREQUENT_ROWS);
                (order, weights)
            }
            Self::Alike { sample } => return (spread(sample), 1.0),
        };
        // Rows that count more cost more: the sample's share is the one of its weights.
        let all: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let seen: f64 = sampled.iter().map(|i| f64::from(weights[*i])).sum();
        (sampled, if seen > 0.0 { all / seen } else { 0.0 })
    }
}

/// What each of `types` costs a matrix of so many rows, in nats of KL divergence per token: `None` for a
/// type that its rows or the encoder do not allow. `moments` are those of its columns; `row` gives a row of the
/// matrix in f32.
///
/// With [`RowWeights::Alike`] a cost is the share of the square of the rows' outputs that is wrong.
///
/// # Errors
/// Those of `row`.
///
/// # Panics
/// If there are not as many weights as rows.
pub fn sensitivity(
    cpu: Cpu,
    (rows, weights): (usize, RowWeights<'_>),
    moments: &Symmetric,
    types: &[TensorType],
    row: impl Fn(usize) -> Result<Vec<f32>, Error> + Sync,
) -> Result<Vec<Option<f64>>, Error> {
    let cols = moments.n();
    let (sampled, scale) = weights.sample(rows);
    let of_rows: Option<Vec<f32>> = match weights {
        RowWeights::Gradients(weights) | RowWeights::Frequencies(weights) => {
            assert_eq!(weights.len(), rows, "weights of rows");
            Some(sampled.iter().map(|row| weights[*row]).collect())
        }
        RowWeights::Alike { .. } => None,
    };
    let x: Result<Vec<Vec<f32>>, Error> = sampled.par_iter().map(|number| row(*number)).collect();
    let x = x?.concat();
    let guide = moments.diagonal();
    // A column that no input reaches may be anything, but the guide has to be a guide.
    let is_guide =
        guide.iter().all(|g| g.is_finite() && *g >= 0.0) && guide.iter().any(|g| *g > 0.0);
    let guide = Some(&guide[..]).filter(|_| is_guide);
    let factor = match of_rows {
        Some(_) => 0.5 * scale,
        None => 1.0 / cost(cpu, moments, &x, &vec![0.0; x.len()], None).max(f64::MIN_POSITIVE),
    };
    let cost = |ty: &TensorType| -> Option<f64> {
        let q = rounded(cpu, *ty, &x, cols, guide)?;
        Some(factor * cost(cpu, moments, &x, &q, of_rows.as_deref()).max(0.0))
    };
    Ok(types.iter().map(cost).collect())
}

/// What rows `x`, `[rows, cols]`, become in a type; `None` if they cannot have it.
fn rounded(
    cpu: Cpu,
    ty: TensorType,
    x: &[f32],
    cols: usize,
    guide: Option<&[f32]>,
) -> Option<Vec<f32>> {
    let row_bytes = usize::try_from(ty.row_bytes(cols as u64)?).ok()?;
    if guide.is_none() && needs_guide(ty) {
        return None;
    }
    let parts = x.par_chunks(TOGETHER * cols);
    let parts: Option<Vec<Vec<f32>>> = parts
        .map(|x| {
            let mut bytes = vec![0; row_bytes * (x.len() / cols)];
            cpu.encode_rows(ty, x, cols, guide, &mut bytes).ok()?;
            let mut q = vec![0.0; x.len()];
            cpu.decode_rows(ty, &bytes, cols, &mut q).ok()?;
            Some(q)
        })
        .collect();
    Some(parts?.concat())
}
