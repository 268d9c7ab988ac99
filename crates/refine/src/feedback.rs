//! The codes of a whole matrix.

use crate::block::Search;
use crate::descent::Descent;
use crate::group::{Columns, DEPTH, Group, SPAN};
use crate::lanes::LANES;
use crate::two_sided::{Order, Rows};
use crate::{Error, Symmetric};
use aeolus_gguf::TensorType;
use aeolus_quant::{Cpu, fields};
use rayon::prelude::*;

/// Groups of rows that go through the factor together.
const GROUPS: usize = 4;

/// Whether codes of this type can be refined.
pub fn is_refinable(ty: TensorType) -> bool {
    fields::geometry(ty).is_some()
}

/// What the codes of a matrix go by.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// The factor `R` of the second moments of its inputs, `[cols, cols]`.
    pub inputs: &'a Symmetric,
    /// How much each column counts where scales are first looked for, `[cols]`: the moments' diagonal.
    pub importance: &'a [f32],
    /// The second moments of the gradients at its outputs, `[rows, rows]`, and what is added to their
    /// diagonal, in terms of its mean.
    pub gradients: Option<(&'a Symmetric, f32)>,
}

/// Encodes the rows of weights `x`, `[rows, cols]`, as blocks of `ty`, whose bytes fill `out`, with feedback,
/// and then `passes` times descent. On all threads of the current pool.
///
/// # Errors
/// [`Error::NotRefinable`]; [`Error::Encode`] as the plain encoder gives it, and for rows that are not
/// whole blocks; [`Error::NotPositive`] for gradients' moments without a factor.
///
/// # Panics
/// If the moments are of another number of columns or rows.
pub fn choose(
    cpu: Cpu,
    ty: TensorType,
    x: &[f32],
    sides: Sides<'_>,
    (search, passes): (Search, usize),
    out: &mut [u8],
) -> Result<(), Error> {
    let geometry = fields::geometry(ty).ok_or(Error::NotRefinable { ty })?;
    let cols = sides.inputs.n();
    assert_eq!(sides.importance.len(), cols);
    // The encoder's own check of the row length.
    cpu.encode_rows(ty, &[], cols, Some(sides.importance), &mut [])?;
    let columns = Columns {
        cpu,
        ty,
        geometry,
        cols,
        factor: sides.inputs,
        importance: sides.importance,
        search,
    };
    let descent = match passes {
        0 => None,
        _ => Some(Descent::new(&columns)?),
    };
    if let Some((gradients, damping)) = sides.gradients {
        let order = Order::of(x.len() / cols);
        let mut moments = order.permuted(gradients);
        moments.damp(damping);
        let factor = moments.clone().factor(cpu)?;
        let rows = Rows {
            columns: &columns,
            order: &order,
            weights: x,
            moments: &moments,
            factor: &factor,
        };
        let mut groups = rows.feedback()?;
        if let Some(descent) = &descent {
            rows.descend(descent, &mut groups, passes)?;
        }
        rows.write(&groups, out);
        return Ok(());
    }
    let rows = GROUPS * LANES;
    x.par_chunks(rows * cols)
        .zip(out.par_chunks_mut(rows * columns.row_bytes()))
        .try_for_each(|(x, out)| {
            let mut groups = along_rows(&columns, x)?;
            for (group, out) in groups
                .iter_mut()
                .zip(out.chunks_mut(LANES * columns.row_bytes()))
            {
                for _ in 0..passes {
                    if let Some(descent) = &descent {
                        descent.pass(&columns, group)?;
                    }
                }
                out.copy_from_slice(&group.bytes);
            }
            Ok(())
        })
}

/// Feedback along up to [`GROUPS`] groups of rows.
fn along_rows(columns: &Columns<'_>, x: &[f32]) -> Result<Vec<Group>, Error> {
    let cols = columns.cols;
    let parts = x.chunks(LANES * cols);
    let mut groups: Vec<Group> = parts.map(|x| Group::new(columns, x)).collect();
    for start in (0..cols).step_by(SPAN) {
        let span = start..cols.min(start + SPAN);
        for first in (0..start).step_by(DEPTH) {
            let rows = first..start.min(first + DEPTH);
            let factor = columns.factor_rows(rows.clone(), &span);
            for group in &mut groups {
                group.carry(columns, rows.clone(), &factor);
            }
        }
        for group in &mut groups {
            group.choose(columns, span.clone())?;
            group.carried.fill([0.0; LANES]);
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests;
