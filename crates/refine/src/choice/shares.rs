//! The costs of a model without a backward pass: which share of each matrix's outputs a type gets wrong.
//!
//! The text passes through the layers once. Of an expert's matrix the share counts as much as tokens were sent
//! to it; one that no token reached counts nothing.

use super::given::{Calibration, Stored, TableParts, add};
use super::sensitivity::{ROWS, RowWeights, sensitivity};
use crate::backward::{Error, Step};
use crate::moments::Sum;
use crate::stream::{Part, Stream};
use aeolus_gguf::TensorType;
use aeolus_infer::{Model, Runtime};
use aeolus_quant::Cpu;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Rows of each expert's matrix, if the many experts' share of [`ROWS`] is less.
const EXPERT_ROWS: usize = 8;

/// The costs of all matrices that inputs reach.
///
/// # Errors
/// [`Error::Model`] if it does not run, [`Error::Decode`], [`Error::Cancelled`].
pub(super) fn shares(
    (model, runtime): (&Model, &Runtime),
    cpu: Cpu,
    text: Calibration<'_>,
    types: &[TensorType],
    progress: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<TableParts, Error> {
    let layers = model.hyper().layers;
    let names: BTreeSet<String> = model
        .file()
        .tensors()
        .iter()
        .map(|info| info.name.clone())
        .collect();
    let mut stream = Stream::new((model, runtime), text.windows)?;
    let mut costs = TableParts::new();
    for layer in 0..=layers {
        let step = Step {
            done: layer,
            total: layers + 1,
        };
        if progress(step).is_break() {
            return Err(Error::Cancelled);
        }
        let part = match layer < layers {
            true => Part::Layer(layer),
            false => Part::Output,
        };
        let sums = stream.sums(part, cpu, &names, &|| Ok::<_, Error>(()))?;
        let found = of_sums(model, cpu, sums, types)?;
        costs.extend(found);
    }
    Ok(costs)
}

/// The costs of the matrices whose inputs were summed up.
fn of_sums(
    model: &Model,
    cpu: Cpu,
    sums: BTreeMap<(String, usize), Sum>,
    types: &[TensorType],
) -> Result<TableParts, Error> {
    let mut tokens: BTreeMap<String, u64> = BTreeMap::new();
    for ((first, _), sum) in &sums {
        *tokens.entry(first.clone()).or_default() += sum.tokens;
    }
    let mut costs = TableParts::new();
    for ((first, member), sum) in sums {
        let share = sum.tokens as f64 / tokens[&first].max(1) as f64;
        let tensors = sum.tensors.clone();
        let moments = sum.mean();
        for name in tensors {
            let Some(info) = model.file().tensor(&name) else {
                continue;
            };
            let tensor = Stored { model, cpu, info };
            let rows = info.shape.dims().get(1).map_or(1, |n| *n as usize);
            let members = (info.shape.rows() as usize / rows.max(1)).max(1);
            let sample = (ROWS / members).max(EXPERT_ROWS.min(ROWS));
            let of = (rows, RowWeights::Alike { sample });
            let found = sensitivity(cpu, of, &moments, types, |row| {
                let row = member * rows + row;
                tensor.rows(row..row + 1)
            })?;
            let found = found.into_iter().map(|cost| cost.map(|cost| share * cost));
            add(&mut costs, name, found.collect());
        }
    }
    Ok(costs)
}
