//! A table of files, checked as a whole: which files are to be there, and what is wrong with each.

use crate::{Divergence, Error, Subject, Verdict};
use aeolus_recipe::FileType;
use std::path::{Path, PathBuf};

/// Files, sorted out by the types that a table is to have.
#[derive(Debug)]
pub struct Choice {
    /// Those of the wanted types, in the order of the table.
    pub subjects: Vec<Subject>,
    /// The types that no file has.
    pub missing: Vec<FileType>,
    /// Files that cannot be opened, or do not say what they are.
    pub unreadable: Vec<Finding>,
}

impl Choice {
    /// Opens files and sorts them out. Files of other types are left alone.
    ///
    /// # Errors
    /// [`Error::Gguf`] for a name without a file; [`Error::SameType`] for two files of one wanted type;
    /// [`Error::NoSubject`].
    pub fn of(files: &[PathBuf], types: &[FileType]) -> Result<Self, Error> {
        let mut subjects: Vec<Subject> = Vec::new();
        let mut unreadable = Vec::new();
        for path in files {
            let subject = match Subject::open(path) {
                Ok(subject) => subject,
                // A name that stands for nothing is a slip of the command line.
                Err(error) if !path.exists() => return Err(error),
                Err(error) => {
                    unreadable.push(Finding::unreadable(path, &error));
                    continue;
                }
            };
            if !types.contains(&subject.file_type) {
                continue;
            }
            let same = |other: &&Subject| other.file_type == subject.file_type;
            if let Some(other) = subjects.iter().find(same) {
                return Err(Error::SameType {
                    first: other.path.clone(),
                    second: path.clone(),
                    file_type: subject.file_type,
                });
            }
            subjects.push(subject);
        }
        if subjects.is_empty() && unreadable.is_empty() {
            return Err(Error::NoSubject);
        }
        subjects.sort_by_key(|subject| row(subject.file_type));
        let found = |ty: &FileType| subjects.iter().any(|s| s.file_type == *ty);
        let missing = types.iter().copied().filter(|ty| !found(ty)).collect();
        Ok(Self {
            subjects,
            missing,
            unreadable,
        })
    }
}

/// Where a type stands in the table; those that are not in it come last, as they are declared.
fn row(file_type: FileType) -> (usize, FileType) {
    let row = FileType::TABLE.iter().position(|ty| *ty == file_type);
    (row.unwrap_or(usize::MAX), file_type)
}

/// What was found of one file.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is; `None` if it does not, or cannot be opened.
    pub file_type: Option<FileType>,
    /// Its bytes against the plan; `None` where it is not known what they should be.
    pub verdict: Option<Verdict>,
    /// How it differs from the list of digests.
    pub sum: Option<String>,
    /// Why it cannot be opened, or does not load.
    pub load_error: Option<String>,
    /// How far it is from its source, if that was measured.
    pub quality: Option<Result<Divergence, String>>,
}

impl Finding {
    /// A file whose bytes were checked; `error` is why it does not load.
    pub fn new(subject: &Subject, verdict: Verdict, error: Option<&Error>) -> Self {
        Self {
            file_type: Some(subject.file_type),
            verdict: Some(verdict),
            load_error: error.map(|error| without_path(&subject.path, error)),
            ..Self::empty(&subject.path)
        }
    }

    fn unreadable(path: &Path, error: &Error) -> Self {
        Self {
            load_error: Some(without_path(path, error)),
            ..Self::empty(path)
        }
    }

    fn empty(path: &Path) -> Self {
        Self {
            path: path.into(),
            file_type: None,
            verdict: None,
            sum: None,
            load_error: None,
            quality: None,
        }
    }

    /// All that is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(verdict) = &self.verdict {
            if verdict.bytes != verdict.forecast {
                problems.push(format!(
                    "has {} bytes, the forecast is {}",
                    verdict.bytes, verdict.forecast
                ));
            }
            problems.extend(verdict.header.iter().map(|p| format!("header: {p}")));
            problems.extend(verdict.tensors.iter().map(|p| format!("tensor {p}")));
        }
        problems.extend(self.sum.clone());
        let load_error = self.load_error.iter();
        problems.extend(load_error.map(|e| format!("does not load: {e}")));
        if let Some(Err(error)) = &self.quality {
            problems.push(error.clone());
        }
        problems
    }
}

/// A message without the file's own name before it.
fn without_path(path: &Path, error: &Error) -> String {
    let (message, name) = (error.to_string(), format!("{}: ", path.display()));
    message.strip_prefix(&name).unwrap_or(&message).to_owned()
}

/// Neighbours in the table whose mean divergence, in nats, does not fall from the first to the second.
pub fn rises(findings: &[Finding]) -> Vec<[(FileType, f64); 2]> {
    let measured = findings.iter().filter_map(|finding| {
        let divergence = finding.quality.as_ref()?.as_ref().ok()?;
        let ty = finding.file_type?;
        FileType::TABLE
            .contains(&ty)
            .then_some((ty, divergence.kld.value))
    });
    let measured: Vec<(FileType, f64)> = measured.collect();
    let pairs = measured.windows(2).map(|pair| [pair[0], pair[1]]);
    pairs
        .filter(|[first, second]| second.1 >= first.1)
        .collect()
}
