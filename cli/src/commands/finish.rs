//! What `table` leaves beside the files that it measured, so that their folder can be published as it is:
//!
//! | file | |
//! |---|---|
//! | `quality.json` | how far each file is from the source (`aeolus.compare/1`) |
//! | `errors.json` | how far each tensor is (`aeolus.errors/1`) |
//! | `report.html` | both, as charts |
//! | `README.md` | the model card |
//!
//! beside `SHA256SUMS` and the plan, which are there in any case. The folder's files are those of its plan.
//!
//! A second run makes only what is missing: a file is kept if the plan says that it was made as this run would
//! make it, its header is the one that this run would write, and its bytes have the digest of the plan. Its
//! figures and errors are kept if they are of a file with that digest, and of the same text and windows. In
//! README.md [`Readme`] keeps what somebody wrote. What this program did not write, or a later version
//! of it did, is refused before any work, or left alone and said.

use super::card::{self, CardArgs};
use super::evaluate::CutArgs;
use crate::figures;
use crate::output::{self, say};
use crate::plan;
use crate::readme::{read, updated};
use aeolus_checkpoint::Checkpoint;
use aeolus_imatrix::{Document, Imatrix};
use aeolus_job::Cancel;
use aeolus_pipeline::{Guide, Output, Sums, Written};
use aeolus_recipe::{PlanEntry, PlanFile};
use aeolus_report::documents::{FileErrors, FileQuality, Measured};
use aeolus_report::{Provenance, Quality, Readme, Report, TensorErrors};
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

const QUALITY: &str = "quality.json";
const ERRORS: &str = "errors.json";
const REPORT: &str = "report.html";
const README: &str = "README.md";
/// What every page of a report has, of whatever version.
const REPORT_MARK: &str = ": quantization report</title>";

/// A folder before the run, and what its card needs.
pub struct Folder {
    path: PathBuf,
    plan: Option<PlanFile>,
    quality: Option<Quality>,
    errors: Option<TensorErrors>,
    card: card::Prepared,
}

/// Figures of files that need not be measured again.
pub struct Known {
    pub measured: Measured,
    /// One for each output that was asked about.
    pub files: Vec<Option<FileQuality>>,
}

/// A run whose files were written and measured.
pub struct Run<'a> {
    pub checkpoint: &'a Checkpoint,
    /// The plan that it wrote.
    pub plan: &'a Path,
    pub guide: Option<&'a Guide>,
    pub written: &'a [Written],
    /// The quality of its files.
    pub quality: &'a Quality,
    pub threads: Option<u16>,
    pub quiet: bool,
    pub cancel: &'a Cancel,
}

impl Folder {
    /// Looks at what is there, before any work.
    ///
    /// # Errors
    /// For files that the run would have to replace and did not write, and for files of another model.
    pub fn open(
        path: &Path,
        model: &str,
        weights: &str,
        args: &CardArgs,
        source: &Path,
    ) -> Result<Self> {
        let plan_path = plan::path_of_all(&path.join(model), model);
        for (name, other) in plan::beside_all(path)? {
            if other.source.is_some_and(|source| source.weights != weights) {
                bail!(
                    "{}: has files of another model ({} is their plan), and a folder is published as one \
                     model; give another folder, or leave out -f",
                    path.display(),
                    name.display()
                );
            }
        }
        let quality_schemas = [Quality::SCHEMA, "aeolus.files/1", "aeolus.verify/1"];
        let report = path.join(REPORT);
        if report.exists() && !read(&report)?.contains(REPORT_MARK) {
            bail!(
                "{}: is not a report of this program, which would replace it; move it away",
                report.display()
            );
        }
        let readme = path.join(README);
        if readme.exists() {
            Readme::parse(&read(&readme)?)
                .with_context(|| format!("{}: cannot be updated", readme.display()))?;
        }
        Ok(Self {
            plan: plan_path
                .exists()
                .then(|| plan::read(&plan_path))
                .transpose()?,
            quality: document(&path.join(QUALITY), &quality_schemas)?,
            errors: document(&path.join(ERRORS), &[TensorErrors::SCHEMA])?,
            card: args.prepare(Some(source))?,
            path: path.into(),
        })
    }

    /// The importance matrix that an earlier run collected of this model over a text with the digest
    /// `calibration`, if its plan is here and the file as it was.
    pub fn collected(&self, file: &str, weights: &str, calibration: &str) -> Option<Guide> {
        let plan = self.plan.as_ref()?;
        let planned = plan.imatrix.as_ref()?;
        let is_same = plan.source.as_ref()?.weights == weights
            && planned.calibration.as_deref() == Some(calibration)
            && planned.file == file;
        if !is_same {
            return None;
        }
        let imatrix = Imatrix::open(&self.path.join(file)).ok()?;
        let guide = Guide::new(imatrix, file.to_owned());
        (aeolus_source::hex(guide.sha256()) == planned.importance).then_some(guide)
    }

    /// The outputs that are there already as `run` would make them, each with its digest.
    pub fn kept(
        &self,
        run: &PlanFile,
        entries: &[PlanEntry],
        outputs: &[(PathBuf, Output)],
        cancel: &Cancel,
    ) -> Result<Vec<Option<Written>>> {
        let Some(plan) = self.plan.as_ref().filter(|plan| plan.with(run).is_some()) else {
            return Ok(outputs.iter().map(|_| None).collect());
        };
        let kept = |(entry, (path, output)): (&PlanEntry, &(PathBuf, Output))| {
            let Some(sha256) = planned(plan, entry, path, output) else {
                return Ok(None);
            };
            let header = output.layout().encode_header();
            if !begins_with(path, &header).unwrap_or(false)
                || aeolus_pipeline::sha256(path, &|_| (), cancel)? != sha256
            {
                return Ok(None);
            }
            Ok(Some(Written {
                path: path.clone(),
                bytes: output.layout().file_bytes(),
                sha256: Some(sha256),
                errors: None,
            }))
        };
        entries.iter().zip(outputs).map(kept).collect()
    }

    /// The figures of these files, as far as they are of this text and cut.
    pub fn known(
        &self,
        text: &str,
        cut: &CutArgs,
        mode: &str,
        written: &[Written],
    ) -> Option<Known> {
        let quality = self.quality.as_ref()?;
        let measured = &quality.measured;
        if measured.text_sha256 != Some(figures::text_sha256(text))
            || measured.mode.as_deref() != Some(mode)
            || !cut.is_of(measured)
        {
            return None;
        }
        let of = |written: &Written| {
            let same =
                |file: &&FileQuality| file.quality.is_some() && file.sha256 == written.sha256;
            let found = quality
                .files
                .iter()
                .filter(|file| file.sha256.is_some())
                .find(same);
            found.cloned()
        };
        Some(Known {
            measured: measured.clone(),
            files: written.iter().map(of).collect(),
        })
    }

    /// Writes what goes beside the files, where it is not there already.
    pub fn finish(&self, run: &Run<'_>) -> Result<()> {
        let plan_name = file_name(run.plan);
        let plan = plan::read(run.plan)?;
        let sums = Sums::read(&self.path)?;
        let listed = |name: &str| sums.as_ref().and_then(|sums| sums.get(name));
        let files = plan.files.iter().filter_map(|entry| entry.file.as_ref());
        let files: Vec<&String> = files
            .filter(|file| self.path.join(file).is_file())
            .collect();

        let quality = self.quality_of(run.quality, &files, &listed);
        let errors = self.errors_of(run, &files, &listed)?;
        let paths: Vec<PathBuf> = files.iter().map(|file| self.path.join(file)).collect();
        let mut collection = card::open_local(&paths)?.collection;
        collection.model.model_type = self.card.model_type.clone();
        for part in collection.files.iter_mut().flat_map(|file| &mut file.parts) {
            part.sha256 = listed(&part.name).map(str::to_owned);
        }
        let imatrix_sha256 = plan.imatrix.as_ref().and_then(|imatrix| {
            let name = Path::new(&imatrix.file).file_name()?.to_str()?;
            let of_run = run
                .guide
                .map(|guide| aeolus_source::hex(&guide.imatrix().sha256));
            of_run.or_else(|| listed(name).map(str::to_owned))
        });
        let provenance = Provenance {
            revision: self.card.revision.clone(),
            plan: Some((plan_name, plan)),
            imatrix_sha256,
        };
        let importance = run.guide.map(|guide| Document::new(guide.imatrix()));
        let report = Report {
            quality: Some(&quality),
            errors: Some(&errors),
            importance: importance.as_ref(),
            ..Report::new(&collection)
        };
        let card = self
            .card
            .render(&collection, Some(&quality), provenance, None)?;
        let readme = updated(&self.path.join(README), &card)?;

        let mut changed = Vec::new();
        for (name, text) in [
            (QUALITY, Some(output::json(&quality)?)),
            (ERRORS, Some(output::json(&errors)?)),
            (REPORT, Some(report.page()?)),
            (README, readme),
        ] {
            let (path, Some(text)) = (self.path.join(name), text) else {
                continue;
            };
            if std::fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
                continue;
            }
            output::write_file(&path, text.as_bytes())
                .with_context(|| format!("{}: cannot write", path.display()))?;
            changed.push(name);
        }
        if !changed.is_empty() {
            say(format_args!(
                "{}: wrote {}",
                self.path.display(),
                changed.join(", ")
            ));
        }
        Ok(())
    }

    /// The quality of all files of the folder: the run's, and of others what was known before.
    fn quality_of<'a>(
        &self,
        run: &Quality,
        files: &[&String],
        listed: &impl Fn(&str) -> Option<&'a str>,
    ) -> Quality {
        let same = self.quality.as_ref().filter(|old| {
            let of = |m: &Measured| {
                (
                    m.text_sha256.clone(),
                    m.n_ctx,
                    m.chunks,
                    m.stride,
                    m.mode.clone(),
                )
            };
            old.measured.text_sha256.is_some() && of(&old.measured) == of(&run.measured)
        });
        let old = same.map_or(&[][..], |old| old.files.as_slice());
        let of = |name: &&String| {
            let sha256 = listed(name)?;
            let mut all = run.files.iter().chain(old);
            let found = all.find(|file| file.sha256.as_deref() == Some(sha256))?;
            Some(FileQuality {
                path: (*name).clone(),
                ..found.clone()
            })
        };
        let mut found: Vec<FileQuality> = files.iter().filter_map(of).collect();
        mark_beaten(&mut found);
        let mut measured = run.measured.clone();
        // The folder goes to others, to whom paths on this disk say nothing.
        measured.text = measured
            .text
            .as_deref()
            .map(|text| file_name(Path::new(text)));
        if let Some(base) = &mut measured.base {
            base.path = self.card.source_name(&base.path);
        }
        let left_out = files.len() - found.len();
        if left_out > 0 {
            say(format_args!(
                "note: {}: {left_out} files of the folder were measured otherwise, or not at all: \
                 {QUALITY} is without them; `aeolus table` with all types and -f measures them",
                self.path.display()
            ));
        }
        Quality {
            schema: Quality::SCHEMA.into(),
            measured,
            seconds: None,
            files: found,
        }
    }

    /// The errors of all files of the folder: those that the run took while it encoded, those that are known,
    /// and the others read from the files.
    fn errors_of<'a>(
        &self,
        run: &Run<'_>,
        files: &[&String],
        listed: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<TensorErrors> {
        let mut found: Vec<Option<FileErrors>> = files
            .iter()
            .map(|name| {
                let sha256 = listed(name)?;
                let path = self.path.join(name);
                let mut of_run = run.written.iter();
                let of_run = of_run.find(|w| w.sha256.as_deref() == Some(sha256));
                if let Some(errors) = of_run.and_then(|written| written.errors.as_ref()) {
                    return Some(FileErrors {
                        path: (*name).clone(),
                        sha256: Some(sha256.into()),
                        file_type: aeolus_eval::file_type(&path).map(|ty| ty.name().into()),
                        tensors: figures::tensor_errors(errors),
                    });
                }
                let old = self.errors.as_ref()?.files.iter();
                let mut old = old.filter(|old| old.sha256.as_deref() == Some(sha256));
                Some(FileErrors {
                    path: (*name).clone(),
                    ..old.next()?.clone()
                })
            })
            .collect();
        let missing: Vec<usize> = (0..files.len()).filter(|i| found[*i].is_none()).collect();
        if !missing.is_empty() {
            let paths: Vec<PathBuf> = missing.iter().map(|i| self.path.join(files[*i])).collect();
            let errors =
                super::errors::measure(run.checkpoint, &paths, run.threads, run.quiet, run.cancel)?;
            for ((i, path), errors) in missing.iter().zip(&paths).zip(&errors) {
                found[*i] = Some(FileErrors {
                    path: files[*i].clone(),
                    sha256: listed(files[*i]).map(str::to_owned),
                    file_type: aeolus_eval::file_type(path).map(|ty| ty.name().into()),
                    tensors: figures::tensor_errors(errors),
                });
            }
        }
        Ok(TensorErrors {
            schema: TensorErrors::SCHEMA.into(),
            source: self.card.source_name(&run.checkpoint.name),
            files: found.into_iter().flatten().collect(),
        })
    }
}

/// Marks the files that another beats.
pub fn mark_beaten(files: &mut [FileQuality]) {
    let point = |file: &FileQuality| {
        let kld = file.quality.as_ref()?.kld_mean?.value;
        Some((file.bytes? as f64, kld)).filter(|(_, kld)| kld.is_finite())
    };
    let points: Vec<Option<(f64, f64)>> = files.iter().map(point).collect();
    let names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    for (file, by) in files.iter_mut().zip(aeolus_report::beaten_by(&points)) {
        file.beaten_by = by.map(|by| names[by].clone());
    }
}

/// The digest that a plan has of a file, if it says that the file was made as `entry` would be.
fn planned(plan: &PlanFile, entry: &PlanEntry, path: &Path, output: &Output) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let mut files = plan.files.iter();
    let old = files.find(|old| old.file.as_deref() == Some(name))?;
    let new = PlanEntry {
        file: old.file.clone(),
        sha256: old.sha256.clone(),
        measured: old.measured,
        ..entry.made(output.types())
    };
    (new == *old).then(|| old.sha256.clone())?
}

/// Whether a file begins with these bytes.
fn begins_with(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let mut found = vec![0; bytes.len()];
    let mut file = std::fs::File::open(path)?;
    std::io::Read::read_exact(&mut file, &mut found)?;
    Ok(found == bytes)
}

/// A document that the run will replace, if there is one; an error if it is none that this program may replace.
fn document<T: DeserializeOwned>(path: &Path, schemas: &[&str]) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = read(path)?;
    let found: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let schema = found.as_ref().and_then(|value| value["schema"].as_str());
    if !schema.is_some_and(|schema| schemas.contains(&schema)) {
        bail!(
            "{}: would be replaced, and is not of this version: expected the schema {}, found {}; move it away",
            path.display(),
            schemas[0],
            schema.unwrap_or("none"),
        );
    }
    // What an older version wrote may lack what is needed to rely on it: then nothing of it is kept.
    Ok(serde_json::from_str(&text).ok())
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
