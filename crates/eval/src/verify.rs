//! Whether files are what their source and recipe make them.
//!
//! The plan says every byte of a header and every length; each tensor's bytes are recomputed from
//! the source's weights and compared. This is a second reader of source and plan, written apart
//! from the pipeline's pass: it shares the codecs with it, not the loop, the offsets or the
//! threads. Nothing is written.
//!
//! Of a file that says its codes were refined, the source and a recipe do not tell the bytes: tensors
//! whose bytes are not those of the plain encoder are judged by their error there. So are norms of a file that
//! says they were tuned.

use crate::subject::Subject;
use crate::{Error, source};
use aeolus_checkpoint::{Checkpoint, Forecastable, Tensor};
use aeolus_gguf::{Endian, GgufFile, Header, Limits, Parse, TensorType, Value, swap_rows};
use aeolus_job::Cancel;
use aeolus_pipeline::{
    Codes, Format, Guide, IMATRIX_FILE_KEY, Output, REFINE_EFFORT_KEY, REFINE_KEYS,
    REFINE_NORMS_KEY, Via,
};
use rayon::prelude::*;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// How the files were made.
#[derive(Clone, Debug)]
pub struct Making {
    /// Which tensor got which type.
    pub recipe: aeolus_recipe::Options,
    /// What weights were rounded to first; `None` for [`Via::default_for`] each tensor.
    pub via: Option<Via>,
    /// What guided the encoders, if anything did.
    pub guide: Option<Guide>,
}

/// What was found of one file. Empty lists and equal numbers mean that it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes by the plan.
    pub forecast: u64,
    /// Keys, or other parts of the header, that are not as planned.
    pub header: Vec<String>,
    /// Tensors whose type or bytes are not as recomputed, or whose refined codes have too large an error.
    pub tensors: Vec<String>,
    /// Tensors that were judged by their error, since their codes are refined.
    pub by_error: usize,
}

impl Verdict {
    /// Nothing differs.
    pub fn is_right(&self) -> bool {
        self.bytes == self.forecast && self.header.is_empty() && self.tensors.is_empty()
    }
}

impl Subject {
    /// The plan by which it should have been made: its own container, model name and name of the
    /// importance matrix, the source's everything else.
    fn plan(&self, facts: &Forecastable, making: &Making) -> Result<Output, Error> {
        let mut facts = facts.clone();
        let metadata = self.file.metadata();
        if let Ok(Some(name)) = metadata.str("general.name") {
            facts.metadata.insert("general.name", name.to_owned());
        }
        let says_guide = metadata.str(IMATRIX_FILE_KEY).ok().flatten();
        let guide = match (&making.guide, says_guide) {
            (None, Some(file)) if facts.metadata.get(IMATRIX_FILE_KEY).is_none() => {
                return Err(Error::Guided {
                    path: self.path.clone(),
                    file: file.to_owned(),
                });
            }
            (guide, None) => guide.clone(),
            (guide, Some(file)) => guide.as_ref().map(|guide| guide.called(file)),
        };
        let header = self.file.header();
        let format = Format {
            version: header.version.max(2),
            endian: header.endian,
        };
        let plan = Output::plan(
            &facts,
            self.file_type,
            &making.recipe,
            format,
            guide.as_ref(),
        )?;
        Ok(match self.is_refined() {
            true => plan.with_codes(Arc::new(Said(self.refine_keys())))?,
            false => plan,
        })
    }

    /// Whether it says that its codes were refined.
    pub fn is_refined(&self) -> bool {
        self.file.metadata().get(REFINE_EFFORT_KEY).is_some()
    }

    /// Whether it says that its norms were tuned, and this is one.
    fn is_tuned_norm(&self, tensor: &Tensor, ty: TensorType) -> bool {
        let says = self.file.metadata().bool(REFINE_NORMS_KEY);
        let is_vector = ty == TensorType::F32 && tensor.shape.dims().len() == 1;
        is_vector && tensor.name.contains("norm") && says == Ok(Some(true))
    }

    /// What it says of that.
    fn refine_keys(&self) -> Vec<(String, Value<'static>)> {
        let metadata = self.file.metadata();
        let known = REFINE_KEYS.iter().filter_map(|key| {
            let value = metadata.get(key)?;
            Some(((*key).to_owned(), value.clone()))
        });
        known.collect()
    }
}

/// Refined codes of which there are only the keys.
#[derive(Debug)]
struct Said(Vec<(String, Value<'static>)>);

impl Codes for Said {
    fn has(&self, _: &str, _: TensorType, _: Via) -> bool {
        false
    }

    fn read(
        &self,
        _: &str,
        _: TensorType,
        _: Via,
        _: Range<usize>,
        _: &mut [u8],
    ) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn identity(&self) -> String {
        String::new()
    }

    fn keys(&self) -> Vec<(String, Value<'static>)> {
        self.0.clone()
    }
}

/// The most that the squared error of refined codes may be, in terms of that of plain ones: feedback pays
/// for a smaller error of products with a larger one of weights.
const MOST_ERROR: f64 = 4.0;

/// The most by which tuning may change a norm, as a share of its length.
const MOST_TUNED: f64 = 0.25;

/// Verifies files against their source. The source is read and decoded once for all, each
/// distinct type encoded once. `done` is told the source's bytes as they are done.
///
/// # Errors
/// [`Error::Tensor`] for weights of the source that cannot be encoded; [`Error::Pipeline`] if there
/// is no plan; [`Error::Guided`] for a file that an importance matrix guided where none is given;
/// [`Error::Cancelled`].
pub fn verify(
    source: &Checkpoint,
    subjects: &[Subject],
    making: &Making,
    done: &(dyn Fn(u64) + Sync),
    cancel: &Cancel,
) -> Result<Vec<Verdict>, Error> {
    let facts = Forecastable::from(source);
    let mut plans = Vec::new();
    let mut verdicts = Vec::new();
    for subject in subjects {
        let plan = subject.plan(&facts, making)?;
        verdicts.push(Verdict {
            bytes: subject.file.file_bytes(),
            forecast: plan.layout().file_bytes(),
            header: header_differences(subject, &plan),
            tensors: unknown_tensors(source, &subject.file),
            by_error: 0,
        });
        plans.push(plan);
    }
    for (index, tensor) in source.tensors.iter().enumerate() {
        let kind = |plan: &Output| {
            let default = Via::default_for(plan.types().vintage, tensor.ty);
            (
                plan.types().tensors[index].ty,
                making.via.unwrap_or(default),
            )
        };
        let kinds: Vec<Kind> = plans.iter().map(kind).collect();
        let how = How {
            source,
            tensor,
            guide: making.guide.as_ref(),
        };
        let wrong = wrong_files(&how, subjects, &kinds, cancel)?;
        for (i, verdict) in verdicts.iter_mut().enumerate() {
            let (problem, by_error) = &wrong[i];
            verdict.by_error += usize::from(*by_error);
            if let Some(problem) = problem {
                verdict.tensors.push(format!("{}: {problem}", tensor.name));
            }
        }
        done(tensor.size_bytes());
    }
    source.verify_unchanged()?;
    Ok(verdicts)
}

/// Tensors of a file that its source does not have.
fn unknown_tensors(source: &Checkpoint, file: &GgufFile) -> Vec<String> {
    let known: HashSet<&str> = source.tensors.iter().map(|t| t.name.as_str()).collect();
    let names = file.tensors().iter().map(|t| t.name.as_str());
    names
        .filter(|name| !known.contains(name))
        .map(|name| format!("{name}: is not in the source"))
        .collect()
}

/// A type, and what weights were rounded to before they were encoded in it.
type Kind = (TensorType, Via);

/// How the pipeline should have encoded a tensor.
struct How<'a> {
    source: &'a Checkpoint,
    tensor: &'a Tensor,
    guide: Option<&'a Guide>,
}

/// What is wrong with one tensor in each file, and whether it was judged by its error.
fn wrong_files(
    how: &How<'_>,
    subjects: &[Subject],
    kinds: &[Kind],
    cancel: &Cancel,
) -> Result<Vec<(Option<String>, bool)>, Error> {
    let tensor = how.tensor;
    let mut wrong: Vec<(Option<String>, bool)> = vec![(None, false); subjects.len()];
    for (((wrong, _), subject), (ty, _)) in wrong.iter_mut().zip(subjects).zip(kinds) {
        *wrong = match subject.file.tensor(&tensor.name) {
            None => Some("is missing".into()),
            Some(info) if info.shape != tensor.shape => Some(format!(
                "has shape {}, the source has {}",
                info.shape, tensor.shape
            )),
            Some(info) if info.ty != *ty => Some(format!("is {}, planned {ty}", info.ty)),
            Some(_) => None,
        };
    }
    let mut distinct: Vec<Kind> = Vec::new();
    for kind in kinds {
        if !distinct.contains(kind) {
            distinct.push(*kind);
        }
    }
    let rows = tensor.shape.rows() as usize;
    // For each file, where it differs.
    let differences: Vec<Vec<Difference>> = source::tiles(tensor)
        .into_par_iter()
        .map(|tile| {
            if cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let mut differs = vec![Difference::default(); subjects.len()];
            for kind in &distinct {
                let expected = how.encode(*kind, tile.clone())?;
                let stride = expected.len() / tile.len();
                let users =
                    (0..subjects.len()).filter(|i| kinds[*i] == *kind && wrong[*i].0.is_none());
                for i in users {
                    let file = &subjects[i].file;
                    let Some(info) = file.tensor(&tensor.name) else {
                        continue;
                    };
                    let bytes = file.tensor_bytes(info);
                    let found = &bytes[tile.start * stride..tile.end * stride];
                    let swapped = match file.header().endian {
                        Endian::Little => None,
                        Endian::Big => {
                            let mut bytes = expected.clone();
                            swap_rows(kind.0, &mut bytes)
                                .map_err(|e| source::problem(tensor, e.to_string()))?;
                            Some(bytes)
                        }
                    };
                    let by_error = kind.0.is_quantized() && subjects[i].is_refined()
                        || subjects[i].is_tuned_norm(tensor, kind.0);
                    if by_error && swapped.is_none() {
                        differs[i].errors = how.errors(*kind, tile.clone(), [found, &expected])?;
                    }
                    let expected = swapped.as_ref().unwrap_or(&expected);
                    if found != &expected[..] {
                        let mut pairs = found.chunks(stride).zip(expected.chunks(stride));
                        let row = pairs.position(|(a, b)| a != b).unwrap_or(0);
                        differs[i].row = Some(tile.start + row);
                    }
                }
            }
            Ok(differs)
        })
        .collect::<Result<_, Error>>()?;
    for (i, wrong) in wrong.iter_mut().enumerate() {
        let first = differences.iter().find_map(|tile| tile[i].row);
        let (Some(row), None) = (first, &wrong.0) else {
            continue;
        };
        let errors = differences.iter().map(|tile| tile[i].errors);
        let sums = errors.fold([0.0; 3], |sum, e| [0, 1, 2].map(|i| sum[i] + e[i]));
        let [found, plain, squares] = sums;
        if subjects[i].is_tuned_norm(tensor, kinds[i].0) && squares > 0.0 {
            wrong.1 = true;
            let share = (found / squares).sqrt();
            if share.is_nan() || share > MOST_TUNED {
                wrong.0 = Some(format!(
                    "is changed by {:.0}% of its length, expected at most {:.0}% of a tuned norm",
                    100.0 * share,
                    100.0 * MOST_TUNED
                ));
            }
            continue;
        }
        if plain == 0.0 {
            wrong.0 = Some(format!("bytes differ from row {row} of {rows} on"));
            continue;
        }
        wrong.1 = true;
        if found.is_nan() || found > MOST_ERROR * plain {
            let times = (found / plain).sqrt();
            wrong.0 = Some(format!(
                "its refined codes are off by {times:.1} times as much as plain ones, expected at most {}",
                MOST_ERROR.sqrt()
            ));
        }
    }
    Ok(wrong)
}

/// How some rows of a tensor differ from what they should be.
#[derive(Clone, Copy, Default)]
struct Difference {
    /// The first row whose bytes do.
    row: Option<usize>,
    /// Where tensors are judged by their error, the squared errors of what is there and of what is expected, and
    /// the squares of the weights.
    errors: [f64; 3],
}

impl How<'_> {
    /// The squared errors of blocks of the same rows, and the squares of these.
    fn errors(
        &self,
        (ty, via): Kind,
        rows: Range<usize>,
        blocks: [&[u8]; 2],
    ) -> Result<[f64; 3], Error> {
        let mut x = source::decode(self.source, self.tensor, rows.clone())?;
        if via == Via::F16 {
            aeolus_quant::round_through_f16(&mut x)
                .map_err(|e| source::problem(self.tensor, e.to_string()))?;
        }
        let mut errors = [0.0, 0.0, x.iter().map(|x| f64::from(*x).powi(2)).sum()];
        for (error, blocks) in errors.iter_mut().zip(blocks) {
            let y = source::decode_bytes(self.tensor, ty, blocks, rows.len())?;
            let squares = x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2));
            *error = squares.sum();
        }
        Ok(errors)
    }

    /// Some rows as they should have been written, little-endian.
    fn encode(&self, (ty, via): Kind, rows: Range<usize>) -> Result<Vec<u8>, Error> {
        let tensor = self.tensor;
        // A quantized source keeps its blocks where the plan has the same type.
        if ty == tensor.ty && ty.is_quantized() {
            return source::bytes(self.source, tensor, rows);
        }
        let problem = |what: String| source::problem(tensor, what);
        let cols = source::cols(tensor);
        let mut x = source::decode(self.source, tensor, rows.clone())?;
        if ty.is_quantized() && via == Via::F16 {
            aeolus_quant::round_through_f16(&mut x).map_err(|e| problem(e.to_string()))?;
        }
        let row_bytes = ty
            .row_bytes(cols as u64)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| {
                problem(format!(
                    "a row of {cols} weights is not a multiple of the block of {ty}"
                ))
            })?;
        let heeded = self.guide.filter(|_| aeolus_quant::is_guided(ty));
        let guide = heeded.and_then(|guide| guide.of(&tensor.name, &tensor.shape));
        let runs: Vec<(Range<usize>, Option<Vec<f32>>)> = match guide {
            None => vec![(rows, None)],
            Some(guide) => guide.runs(rows).map(|(run, x)| (run, Some(x))).collect(),
        };
        let mut out = vec![0; x.len() / cols * row_bytes];
        let (mut x, mut rest) = (&x[..], &mut out[..]);
        for (run, importance) in runs {
            let (weights, after) = x.split_at(run.len() * cols);
            let (bytes, behind) = rest.split_at_mut(run.len() * row_bytes);
            aeolus_quant::encode_rows(ty, weights, cols, importance.as_deref(), bytes)
                .map_err(|e| problem(e.to_string()))?;
            (x, rest) = (after, behind);
        }
        Ok(out)
    }
}

/// What of a file's header is not as planned, key by key.
fn header_differences(subject: &Subject, plan: &Output) -> Vec<String> {
    let planned = plan.layout().encode_header();
    let whole = match subject.file.maps() {
        [map] => map.bytes(),
        _ => return vec!["the file is split, the plan is one file".into()],
    };
    if whole.starts_with(&planned) {
        return Vec::new();
    }
    let parsed = Header::parse(
        &planned,
        Some(plan.layout().file_bytes()),
        &Limits::default(),
    );
    let mut differences = Vec::new();
    let Ok(Parse::Done(header)) = parsed else {
        return vec!["the planned header cannot be read".into()];
    };
    let (found, expected) = (subject.file.metadata(), &header.metadata);
    for (key, value) in expected.iter() {
        match found.get(key) {
            None => differences.push(format!("{key} is missing")),
            Some(other) if other != value => differences.push(format!("{key} differs")),
            Some(_) => {}
        }
    }
    let extra = found.iter().filter(|(key, _)| expected.get(key).is_none());
    differences.extend(extra.map(|(key, _)| format!("{key} is not planned")));
    if differences.is_empty() {
        differences.push("order of keys or tensors, or the container".into());
    }
    differences
}
