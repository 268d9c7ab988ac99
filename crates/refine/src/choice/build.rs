//! The costs of a model's tensors, from a calibration text.

use super::given::{Calibration, Stored, TableParts, add};
use super::sensitivity::{ROWS, RowWeights, sensitivity};
use super::shares::shares;
use super::table::{Row, Table, Unit};
use crate::backward::{self, Backward, Error, LayerMoments, Position, Step, moments};
use crate::frequencies::frequencies;
use aeolus_gguf::TensorType;
use aeolus_infer::{Model, Runtime};
use aeolus_quant::Cpu;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A prediction beside what one tensor really costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The only tensor that was encoded.
    pub tensor: String,
    /// Its type.
    pub ty: TensorType,
    /// The cost in the table.
    pub predicted: f64,
    /// Mean KL divergence from the source over [`CHECK_WINDOWS`], in nats per token.
    pub measured: f64,
}

/// Windows that checks are measured on: the last ones of the calibration.
pub const CHECK_WINDOWS: usize = 4;

/// What is said of both in a table: how its costs were predicted.
fn calibration(calibration: &Calibration<'_>) -> String {
    format!("{}-{}", calibration.digest, calibration.seed)
}

/// The costs of all matrices of a model in each of `types`, and a few of them checked. A model without a
/// backward pass has [shares](Unit::Share) in place of nats, and nothing is checked.
///
/// # Errors
/// Those of the [backward pass](crate::backward).
pub fn build(
    (model, runtime): (&Model, &Runtime),
    cpu: Cpu,
    text: Calibration<'_>,
    types: &[TensorType],
    progress: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<(Table, Vec<Checked>), Error> {
    let (unit, costs, checked) = match Backward::new(model, cpu) {
        Ok(backward) => {
            let (costs, checked) = nats(&backward, model, cpu, text, types, progress)?;
            (Unit::Nats, costs, checked)
        }
        Err(Error::NotDifferentiable { .. }) => {
            let costs = shares((model, runtime), cpu, text, types, progress)?;
            (Unit::Share, costs, Vec::new())
        }
        Err(error) => return Err(error),
    };
    let tensors = model.file().tensors().iter();
    let rows = tensors.filter_map(|info| {
        Some(Row {
            name: info.name.clone(),
            costs: costs.get(&info.name)?.clone(),
        })
    });
    let table = Table {
        source: text.source.to_owned(),
        calibration: calibration(&text),
        unit,
        types: types.to_vec(),
        rows: rows.collect(),
    };
    Ok((table, checked))
}

/// The costs in nats, from the backward pass.
fn nats(
    backward: &Backward<'_>,
    model: &Model,
    cpu: Cpu,
    text: Calibration<'_>,
    types: &[TensorType],
    progress: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<(TableParts, Vec<Checked>), Error> {
    let frequencies = frequencies(text.windows, backward.vocab());
    let checked = to_be_checked(model);
    let mut encoded: Vec<Encoded> = Vec::new();
    let mut costs = TableParts::new();
    let mut visit = |part: LayerMoments| -> Result<(), Error> {
        for (name, moments) in &part.moments {
            let Some(info) = model.file().tensor(name) else {
                continue;
            };
            let tensor = Stored { model, cpu, info };
            let gradients = moments.gradients.as_ref().map(|g| g.diagonal());
            let weights = match (part.position, &gradients) {
                (Position::Layer(_), Some(gradients)) => RowWeights::Gradients(gradients),
                (Position::Layer(_), None) => RowWeights::Alike { sample: ROWS },
                (Position::Output | Position::Embedding, _) => {
                    RowWeights::Frequencies(&frequencies)
                }
            };
            let rows = info.shape.rows() as usize;
            let found = sensitivity(cpu, (rows, weights), &moments.inputs, types, |row| {
                tensor.rows(row..row + 1)
            })?;
            if checked.contains(name) {
                let guide = moments.inputs.diagonal();
                // The type that costs most is measured best.
                let known = found
                    .iter()
                    .zip(types)
                    .filter_map(|(cost, ty)| Some((cost.as_ref()?, ty)));
                if let Some((cost, ty)) = known.max_by(|a, b| a.0.total_cmp(b.0)) {
                    encoded.extend(tensor.encoded(*ty, &guide)?.map(|bytes| Encoded {
                        tensor: name.clone(),
                        ty: *ty,
                        predicted: *cost,
                        bytes,
                    }));
                }
            }
            // A tied embedding is both.
            add(&mut costs, name.clone(), found);
        }
        Ok(())
    };
    let all = backward::Text {
        windows: text.windows,
        held_out: 0,
        wanted: &|_| true,
        seed: text.seed,
        folder: text.folder,
    };
    moments(backward, all, &mut visit, progress)?;
    let windows = &text.windows[text.windows.len().saturating_sub(CHECK_WINDOWS)..];
    let hidden = backward.last_hidden(windows)?;
    let mut results = Vec::with_capacity(encoded.len());
    for one in &encoded {
        let mut changed = Backward::new(model, cpu)?;
        changed.replace(&one.tensor, one.ty, &one.bytes);
        results.push(Checked {
            tensor: one.tensor.clone(),
            ty: one.ty,
            predicted: one.predicted,
            measured: changed.divergence((backward, &hidden), windows)?,
        });
    }
    Ok((costs, results))
}

/// A table from its text, if it is of this model, calibration and types.
///
/// # Errors
/// As [`Table::parse`].
pub fn parse(
    text: &str,
    of: Calibration<'_>,
    types: &[TensorType],
) -> Result<Table, super::TableError> {
    Table::parse(text, of.source, &calibration(&of), types)
}

/// A tensor in another type.
struct Encoded {
    tensor: String,
    ty: TensorType,
    predicted: f64,
    bytes: Vec<u8>,
}

/// A few tensors of different roles in the first, a middle and the last layer.
fn to_be_checked(model: &Model) -> BTreeSet<String> {
    let layers = model.hyper().layers;
    let at = [
        (0, "attn_v"),
        (layers / 2, "ffn_up"),
        (layers.saturating_sub(1), "ffn_down"),
    ];
    at.map(|(layer, part)| format!("blk.{layer}.{part}.weight"))
        .into()
}
