//! Collecting an importance matrix: what the matrices of a model see while it reads a text.
//!
//! The text is cut into windows side by side, as for [perplexity](crate::perplexity()). Of every weight
//! matrix within the layers, and of `output.weight` if asked for, the squares of the inputs are added up
//! column by column, and the inputs are counted: what llama-imatrix collects. Embeddings are not
//! multiplied and see nothing, those that serve as output included.
//!
//! Each window's sums are made in f64 by the thread that runs it, and added to the total in the order of
//! the text. So the result does not depend on threads, nor on interruptions: a run can be kept in a
//! [`Saved`] file and continued.

mod saved;
mod sums;
#[cfg(test)]
mod tests;

pub use saved::{Saved, write_file};

use crate::pass::{Job, ROUND, check_tokens};
use crate::scorer::numeric_name;
use crate::{Error, Model, Scorer, Windows};
use aeolus_imatrix::Imatrix;
use aeolus_job::{Event, Figure, Identity};
use std::time::Instant;
use sums::Sums;

/// What is collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collecting {
    /// Collect for `output.weight`, too. Files are better without in most cases.
    pub process_output: bool,
}

/// What a total depends on, whatever the number of windows: the text and its cut, the model, of which
/// `mark` is the [fingerprint](Model::fingerprint), and how it computes.
pub fn identity(
    windows: &Windows,
    mark: &str,
    model: &Model<'_>,
    collecting: Collecting,
) -> Identity {
    Identity::new([
        ("program", env!("CARGO_PKG_VERSION").to_owned()),
        ("text", windows.digest()),
        ("model", mark.to_owned()),
        ("mode", numeric_name(model.numeric()).to_owned()),
        ("output", collecting.process_output.to_string()),
    ])
}

/// Whether an importance matrix can be of the model: of each weight that the model has, it has as many
/// values as the weight's matrices have columns.
///
/// # Errors
/// [`Error::OtherModel`] with the first weight that differs.
pub fn check_model(model: &Model<'_>, imatrix: &Imatrix) -> Result<(), Error> {
    for (tensor, shape) in model.shapes() {
        let Some(entry) = imatrix.get(tensor) else {
            continue;
        };
        let matrices: u64 = shape.dims().iter().skip(2).product();
        let needed = shape.cols().saturating_mul(matrices);
        if entry.values() as u64 != needed {
            return Err(Error::OtherModel {
                model: model.name().into(),
                tensor: tensor.into(),
                found: entry.values(),
                needed,
            });
        }
    }
    Ok(())
}

/// Reads the windows that `saved` does not have yet, and gives the total of all.
///
/// # Errors
/// [`Error::Overflow`] if an input is no number, [`Error::NoOutput`] for `process_output` in a model
/// whose embedding serves as output; [`Error::TokenRange`], [`Error::Model`], [`Error::Cancelled`];
/// [`Error::Source`] if the model's file changed meanwhile; [`Error::Io`] and [`Error::Job`] from the
/// saved file.
pub fn collect(
    job: Job<'_>,
    model: &Model<'_>,
    collecting: Collecting,
    saved: &mut Saved,
) -> Result<Imatrix, Error> {
    let mut tensors = model.shapes();
    if collecting.process_output && !tensors.any(|(name, _)| name == sums::OUTPUT) {
        return Err(Error::NoOutput {
            path: model.path().into(),
        });
    }
    check_tokens(job.windows, model)?;
    saved.tell(job.progress);
    let (name, count) = (model.name(), job.windows.len());
    let (total, known) = (count as u64, saved.windows() as u64);
    job.progress.event(Event::Started { total, known });
    job.progress.event(Event::Next { name, total, known });
    let mut round = model.width().max(1);
    let begun = Instant::now();
    let already = saved.windows();
    while saved.windows() < count {
        if job.cancel.is_set() {
            saved.keep()?;
            return Err(Error::Cancelled);
        }
        let started = Instant::now();
        let first = saved.windows();
        let windows = first..(first + round).min(count);
        let inputs: Vec<Vec<u32>> = windows.clone().map(|w| job.windows.input(w)).collect();
        let sums: Vec<Sums> = windows.clone().map(|_| Sums::new(collecting)).collect();
        model.tapped_windows(&inputs, collecting.process_output, &sums)?;
        model.verify_unchanged()?;
        for (window, sums) in windows.clone().zip(sums) {
            let add = sums.add_to(saved.total());
            add.map_err(|bad| Error::Overflow {
                model: name.into(),
                window,
                tensor: bad.tensor,
                column: bad.column,
            })?;
            saved.advance();
        }
        saved.keep_now_and_then()?;
        let tokens = (saved.windows() - already) * job.windows.n_ctx();
        let rate = tokens as f64 / begun.elapsed().as_secs_f64();
        job.progress.event(Event::Advanced {
            name,
            count: windows.len() as u64,
            figure: Some(Figure::Rate(rate)),
        });
        if started.elapsed() < ROUND / 2 {
            round *= 2;
        }
    }
    Ok(saved.total().clone())
}
