//! What quantization did to each tensor, read from finished files without running the model.
//!
//! The figures are [`TensorError`]'s. The relative error compares tensors and types with each other. It says
//! nothing of how much a tensor matters: that is what [`divergence`](crate::divergence()) measures.

use crate::{Error, source};
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::{Endian, GgufFile, TensorInfo, swap_rows};
use aeolus_job::Cancel;
use aeolus_pipeline::{ErrorSums, TensorError, worst_first};
use rayon::prelude::*;
use std::path::Path;

/// The errors of every tensor of each of `files` against `source`: for each file, the worst
/// relative error first. The source is read and decoded once for all files; `done` is told its
/// bytes as they are done.
///
/// # Errors
/// [`Error::Tensor`] for tensors that one side lacks, or has in another shape, or that hold NaN
/// or infinity; [`Error::Cancelled`].
pub fn tensor_errors(
    source: &Checkpoint,
    files: &[(&Path, &GgufFile)],
    done: &(dyn Fn(u64) + Sync),
    cancel: &Cancel,
) -> Result<Vec<Vec<TensorError>>, Error> {
    for (path, file) in files {
        check_tensors(source, path, file)?;
    }
    let mut all: Vec<Vec<TensorError>> = vec![Vec::new(); files.len()];
    for tensor in &source.tensors {
        let infos: Vec<&TensorInfo> = files
            .iter()
            .filter_map(|(_, file)| file.tensor(&tensor.name))
            .collect();
        let tiles: Vec<Vec<ErrorSums>> = source::tiles(tensor)
            .into_par_iter()
            .map(|rows| {
                if cancel.is_set() {
                    return Err(Error::Cancelled);
                }
                let x = finite(source::decode(source, tensor, rows.clone())?, |p| {
                    source::problem(tensor, p)
                })?;
                files
                    .iter()
                    .zip(&infos)
                    .map(|((path, file), info)| {
                        let y = decode_rows_of(tensor, path, file, info, rows.clone())?;
                        Ok(ErrorSums::of_rows(&x, &y, source::cols(tensor)))
                    })
                    .collect()
            })
            .collect::<Result<_, Error>>()?;
        // In the order of the tiles: the same bits whatever the number of threads.
        for (i, info) in infos.iter().enumerate() {
            let sums = tiles.iter().map(|tile| tile[i]);
            all[i].push(sums.fold(ErrorSums::default(), ErrorSums::and).error(info));
        }
        done(tensor.size_bytes());
    }
    for errors in &mut all {
        worst_first(errors);
    }
    Ok(all)
}

fn finite(values: Vec<f32>, error: impl Fn(String) -> Error) -> Result<Vec<f32>, Error> {
    match aeolus_quant::first_nonfinite(&values) {
        Some(i) => Err(error(format!(
            "holds {}, finite numbers were expected",
            values[i]
        ))),
        None => Ok(values),
    }
}

fn decode_rows_of(
    tensor: &Tensor,
    path: &Path,
    file: &GgufFile,
    info: &TensorInfo,
    rows: std::ops::Range<usize>,
) -> Result<Vec<f32>, Error> {
    let problem = |problem: String| Error::Tensor {
        path: path.into(),
        tensor: info.name.clone(),
        problem,
    };
    let bytes = file.tensor_bytes(info);
    let stride = bytes.len() / info.shape.rows() as usize;
    let mut part = bytes[rows.start * stride..rows.end * stride].to_vec();
    if file.header().endian == Endian::Big {
        swap_rows(info.ty, &mut part).map_err(|e| problem(e.to_string()))?;
    }
    let values = source::decode_bytes(tensor, info.ty, &part, rows.len())
        .map_err(|_| problem(format!("weights of type {} cannot be read", info.ty)))?;
    finite(values, problem)
}

/// The same tensors in the same shapes.
fn check_tensors(source: &Checkpoint, path: &Path, file: &GgufFile) -> Result<(), Error> {
    let problem = |tensor: &str, problem: String| {
        Err(Error::Tensor {
            path: path.into(),
            tensor: tensor.into(),
            problem,
        })
    };
    for tensor in &source.tensors {
        match file.tensor(&tensor.name) {
            None => return problem(&tensor.name, "is missing; the source has it".into()),
            Some(info) if info.shape != tensor.shape => {
                return problem(
                    &tensor.name,
                    format!("has shape {}, the source has {}", info.shape, tensor.shape),
                );
            }
            Some(_) => {}
        }
    }
    let known = |name: &str| source.tensors.iter().any(|t| t.name == name);
    match file.tensors().iter().find(|t| !known(&t.name)) {
        Some(extra) => problem(&extra.name, "is not in the source".into()),
        None => Ok(()),
    }
}
