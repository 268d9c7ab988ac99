//! What was measured, as other commands wrote it: quality, tensor errors, speed.
//!
//! Read leniently: unknown fields are ignored, a missing or null figure is one that was not
//! measured. `docs/json.md` has the schemas.

use crate::error::read_text;
use crate::{Error, File};
use serde::{Deserialize, Deserializer};
use std::path::Path;

/// Longest results file that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A figure and its standard error, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// One standard error of it.
    pub error: Option<f64>,
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(f64),
            Estimate { value: f64, error: Option<f64> },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Plain(value) => Self { value, error: None },
            Form::Estimate { value, error } => Self { value, error },
        })
    }
}

/// Quality of files against their source, as `table --json` and `compare --json` write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quality {
    /// Which document it is.
    pub schema: String,
    /// The text that was read: its file name or path.
    #[serde(deserialize_with = "null")]
    pub text: String,
    /// Tokens of a window.
    #[serde(alias = "n_ctx")]
    pub context: Option<u64>,
    /// Windows.
    pub chunks: Option<u64>,
    /// The source's own figures.
    pub base: Option<FileQuality>,
    /// One for each file.
    pub files: Vec<FileQuality>,
}

/// One file's quality; the figures are over all scored positions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileQuality {
    /// Where the file was.
    #[serde(alias = "file", deserialize_with = "null")]
    pub path: String,
    /// Its type's name: `Q4_K_M`.
    #[serde(deserialize_with = "null")]
    pub file_type: String,
    /// Perplexity.
    #[serde(alias = "perplexity")]
    pub ppl: Option<Figure>,
    /// Mean KL divergence from the source, in nats.
    pub kld_mean: Option<Figure>,
    /// Its median.
    pub kld_median: Option<Figure>,
    /// The value that 99 of 100 positions stay below.
    pub kld_99: Option<Figure>,
    /// The largest.
    pub kld_max: Option<Figure>,
    /// Share of positions (0 to 1) where the most likely token is the source's.
    #[serde(alias = "top1")]
    pub same_top: Option<Figure>,
    /// Root mean square of the change in the right token's probability (0 to 1).
    pub rms_dp: Option<Figure>,
    /// The same figures, where they are kept apart from the file's facts.
    pub quality: Option<Box<FileQuality>>,
}

impl FileQuality {
    /// True if there is any figure.
    fn is_measured(&self) -> bool {
        [self.ppl, self.kld_mean, self.same_top]
            .iter()
            .flatten()
            .any(|figure| figure.value.is_finite())
    }
}

/// Errors of each tensor against the source, as `errors --json` writes them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TensorErrors {
    /// Which document it is.
    pub schema: String,
    /// One for each file.
    pub files: Vec<FileErrors>,
}

/// Errors of one file's tensors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileErrors {
    /// Where the file was.
    #[serde(alias = "file", deserialize_with = "null")]
    pub path: String,
    /// Its type's name.
    #[serde(deserialize_with = "null")]
    pub file_type: String,
    /// One for each tensor.
    pub tensors: Vec<TensorError>,
}

/// How far a tensor is from its source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TensorError {
    /// GGUF name.
    pub name: String,
    /// Its type in the file.
    #[serde(rename = "type", deserialize_with = "null")]
    pub ty: String,
    /// Root mean square of the differences.
    pub rmse: Option<f64>,
    /// The largest difference.
    pub max: Option<f64>,
    /// Root mean square of the differences over that of the weights.
    pub relative: Option<f64>,
    /// Cosine of the angle between both.
    pub cosine: Option<f64>,
}

/// Tokens a second, as `run --json` writes them: one document, several after each other, or a
/// list.
#[derive(Clone, Debug, Default)]
pub struct Speed {
    /// One for each run.
    pub files: Vec<FileSpeed>,
}

/// One file's speed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileSpeed {
    /// Where the file was.
    #[serde(alias = "file", alias = "model", deserialize_with = "null")]
    pub path: String,
    /// Its type's name.
    #[serde(deserialize_with = "null")]
    pub file_type: String,
    /// Tokens of the prompt read in a second.
    pub prompt_tokens_per_second: Option<f64>,
    /// Tokens written in a second.
    pub generation_tokens_per_second: Option<f64>,
    /// The same figures, where they are kept apart.
    pub timings: Option<Box<FileSpeed>>,
}

/// `null` is the default.
fn null<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Reads a JSON document from a file.
fn read<T: for<'de> Deserialize<'de>>(path: &Path, expected: &'static str) -> Result<T, Error> {
    let text = read_text(path, MAX_BYTES)?;
    serde_json::from_str(&text).map_err(|error| wrong(path, expected, &error))
}

fn wrong(path: &Path, expected: &'static str, error: &serde_json::Error) -> Error {
    Error::Results {
        path: path.into(),
        expected,
        problem: error.to_string(),
    }
}

/// A document that answers about no file is the wrong document.
fn some<T>(items: &[T], path: &Path, expected: &'static str) -> Result<(), Error> {
    if items.is_empty() {
        return Err(Error::Results {
            path: path.into(),
            expected,
            problem: "it says nothing about any file or tensor".into(),
        });
    }
    Ok(())
}

impl Quality {
    /// Reads what `table --json` or `compare --json` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus table` or `aeolus compare`";
        let mut quality: Self = read(path, WHAT)?;
        for file in quality.files.iter_mut().chain(&mut quality.base) {
            if let Some(inner) = file.quality.take() {
                *file = FileQuality {
                    path: std::mem::take(&mut file.path),
                    file_type: std::mem::take(&mut file.file_type),
                    ..*inner
                };
            }
        }
        quality.files.retain(FileQuality::is_measured);
        some(&quality.files, path, WHAT)?;
        Ok(quality)
    }

    /// What was measured of a file.
    pub fn of(&self, file: &File) -> Option<&FileQuality> {
        find(&self.files, file, |q| (&q.path, &q.file_type))
    }
}

impl TensorErrors {
    /// Reads what `errors --json` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus errors`";
        let errors: Self = read(path, WHAT)?;
        some(&errors.files, path, WHAT)?;
        Ok(errors)
    }

    /// What was measured of a file.
    pub fn of(&self, file: &File) -> Option<&FileErrors> {
        find(&self.files, file, |e| (&e.path, &e.file_type))
    }
}

/// Reads what `imatrix --json` wrote.
///
/// # Errors
/// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
pub fn read_importance(path: &Path) -> Result<aeolus_imatrix::Document, Error> {
    const WHAT: &str = "results of `aeolus imatrix`";
    let found: aeolus_imatrix::Document = read(path, WHAT)?;
    some(&found.tensors, path, WHAT)?;
    Ok(found)
}

impl Speed {
    /// Reads what `run --json` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus run`";
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Many(Vec<FileSpeed>),
            One(FileSpeed),
        }
        let text = read_text(path, MAX_BYTES)?;
        let mut files = Vec::new();
        for document in serde_json::Deserializer::from_str(&text).into_iter::<Form>() {
            match document.map_err(|error| wrong(path, WHAT, &error))? {
                Form::Many(many) => files.extend(many),
                Form::One(one) => files.push(one),
            }
        }
        for file in &mut files {
            if let Some(timings) = file.timings.take() {
                *file = FileSpeed {
                    path: std::mem::take(&mut file.path),
                    file_type: std::mem::take(&mut file.file_type),
                    ..*timings
                };
            }
        }
        files.retain(|f| {
            f.prompt_tokens_per_second.is_some() || f.generation_tokens_per_second.is_some()
        });
        some(&files, path, WHAT)?;
        Ok(Self { files })
    }

    /// What was measured of a file.
    pub fn of(&self, file: &File) -> Option<&FileSpeed> {
        find(&self.files, file, |s| (&s.path, &s.file_type))
    }
}

/// The result about a file: by file name, or by type if the result names no file.
fn find<'a, T>(
    items: &'a [T],
    file: &File,
    key: impl Fn(&T) -> (&String, &String),
) -> Option<&'a T> {
    let base = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
    let by_name = |item: &&T| {
        let name = base(key(item).0);
        !name.is_empty() && file.parts.iter().any(|part| part.name == name)
    };
    let by_type = |item: &&T| {
        let (path, file_type) = key(item);
        path.is_empty() && file_type.eq_ignore_ascii_case(&file.method)
    };
    items
        .iter()
        .find(by_name)
        .or_else(|| items.iter().find(by_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T>(text: &str, read: fn(&Path) -> Result<T, Error>) -> Result<T, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn figures_come_plain_or_with_their_error() {
        let quality = parse(
            r#"{"schema": "x/1", "new": [1], "n_ctx": 512, "text": null, "files": [
                {"path": "a/m.Q4_0.gguf", "ppl": {"value": 5.5, "error": 0.1}, "kld_mean": 0.01},
                {"path": "m.Q8_0.gguf", "bytes": 1, "quality": {"ppl": 5.1, "same_top": null}},
                {"path": "m.Q6_K.gguf", "ppl": null}
            ]}"#,
            Quality::read,
        )
        .unwrap();
        assert_eq!(quality.files.len(), 2);
        assert_eq!(quality.context, Some(512));
        let first = quality.files[0].ppl.unwrap();
        assert_eq!((first.value, first.error), (5.5, Some(0.1)));
        assert_eq!(quality.files[1].ppl.unwrap().value, 5.1);
        assert_eq!(quality.files[1].path, "m.Q8_0.gguf");
    }

    #[test]
    fn other_documents_are_errors() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"files": []}"#,
            r#"{"files": [{"path": "x"}]}"#,
            "{\"files\": 1}",
        ] {
            let message = parse(bad, Quality::read).unwrap_err().to_string();
            assert!(message.contains("aeolus compare"), "{message}");
            assert!(
                parse(bad, TensorErrors::read).is_err() || bad.contains("path"),
                "{bad}"
            );
            assert!(parse(bad, Speed::read).is_err(), "{bad}");
        }
    }

    #[test]
    fn speed_is_one_document_or_many() {
        let one = r#"{"file": "m.Q4_0.gguf", "timings": {"prompt_tokens_per_second": 10.5}}"#;
        let speed = parse(one, Speed::read).unwrap();
        assert_eq!(speed.files[0].path, "m.Q4_0.gguf");
        assert_eq!(speed.files[0].prompt_tokens_per_second, Some(10.5));
        for many in [format!("[{one},{one}]"), format!("{one}\n{one}\n")] {
            assert_eq!(parse(&many, Speed::read).unwrap().files.len(), 2);
        }
    }
}
