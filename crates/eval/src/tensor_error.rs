//! What quantization did to each tensor, without running the model.
//!
//! For weights `x` of the source and `y` of the file:
//!
//! ```text
//! RMSE      sqrt(mean (y - x)^2)
//! max       largest |y - x|
//! relative  RMSE over the root mean square of x
//! cosine    sum x y / sqrt(sum x^2 sum y^2)
//! ```
//!
//! The relative error compares tensors and types with each other. It says nothing of how much a
//! tensor matters: that is what [`divergence`](crate::divergence()) measures.

use crate::{Error, source};
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::{Endian, GgufFile, TensorInfo, TensorType, swap_rows};
use aeolus_job::Cancel;
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// One tensor of one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorError {
    /// GGUF name.
    #[serde(rename = "name")]
    pub tensor: String,
    /// Its type in the file.
    #[serde(rename = "type", serialize_with = "type_name")]
    pub ty: TensorType,
    /// Number of weights.
    pub weights: u64,
    /// Root mean square error.
    pub rmse: f64,
    /// Largest absolute error.
    pub max: f64,
    /// RMSE over the source's root mean square; 0 where both are 0, infinite where only the
    /// source is.
    pub relative: f64,
    /// Cosine of the angle between source and file; 1 where both are 0.
    pub cosine: f64,
}

fn type_name<S: serde::Serializer>(ty: &TensorType, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(ty.name())
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    error2: f64,
    max: f64,
    x2: f64,
    y2: f64,
    xy: f64,
}

impl Sums {
    fn of(x: &[f32], y: &[f32]) -> Self {
        let mut sums = Self::default();
        for (&x, &y) in x.iter().zip(y) {
            let (x, y) = (f64::from(x), f64::from(y));
            let error = y - x;
            sums.error2 += error * error;
            sums.max = sums.max.max(error.abs());
            sums.x2 += x * x;
            sums.y2 += y * y;
            sums.xy += x * y;
        }
        sums
    }

    fn and(self, other: Self) -> Self {
        Self {
            error2: self.error2 + other.error2,
            max: self.max.max(other.max),
            x2: self.x2 + other.x2,
            y2: self.y2 + other.y2,
            xy: self.xy + other.xy,
        }
    }

    fn error(self, info: &TensorInfo) -> TensorError {
        let weights = info.shape.elems();
        let ratio = |part: f64, whole: f64, neither: f64| match (part == 0.0, whole == 0.0) {
            (true, true) => neither,
            _ => part / whole,
        };
        let product = (self.x2 * self.y2).sqrt();
        TensorError {
            tensor: info.name.clone(),
            ty: info.ty,
            weights,
            rmse: (self.error2 / weights as f64).sqrt(),
            max: self.max,
            relative: ratio(self.error2, self.x2, 0.0).sqrt(),
            cosine: if self.x2 == 0.0 && self.y2 == 0.0 {
                1.0
            } else {
                ratio(self.xy, product, 0.0)
            },
        }
    }
}

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
        let tiles: Vec<Vec<Sums>> = source::tiles(tensor)
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
                        Ok(Sums::of(&x, &y))
                    })
                    .collect()
            })
            .collect::<Result<_, Error>>()?;
        // In the order of the tiles: the same bits whatever the number of threads.
        for (i, info) in infos.iter().enumerate() {
            let sums = tiles.iter().map(|tile| tile[i]);
            all[i].push(sums.fold(Sums::default(), Sums::and).error(info));
        }
        done(tensor.size_bytes());
    }
    for errors in &mut all {
        errors.sort_by(|a, b| b.relative.total_cmp(&a.relative));
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
