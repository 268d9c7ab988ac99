//! The documents that commands print with `--json`: one type each, which the command writes and the card and
//! the report read back. `docs/json.md` describes them, `docs/schemas` holds a JSON Schema of each.
//!
//! Within a version (`aeolus.compare/1`) fields are only added. So reading is lenient: unknown fields are
//! ignored, and a missing or null figure is one that was not measured.

mod contents;
mod errors;
mod files;
mod hub;
mod quality;
mod run;
#[cfg(test)]
mod schemas;
mod scores;
mod verify;

pub use contents::{
    Container, Containers, Differing, Hash, HashCompare, HashedFile, HashedTensor, Inspect,
    InspectTensor, Tokenize, TypeUse, TypedValue,
};
pub use errors::{FileErrors, TensorError, TensorErrors};
pub use files::{
    BlindTensor, ChosenTypes, FallbackUse, Files, Forecast, ForecastFile, ImatrixUse, MadeFile,
};
pub use hub::{Fetch, FetchedFile, Publish, PublishOutcome, PublishedFile};
pub use quality::{Base, Figures, FileQuality, Measured, Quality};
pub use run::{Run, Speed, Timings};
pub use scores::{Perplexity, TaskScore, Tasks};
pub use verify::{ListedFile, VerifiedFile, Verify, VerifySums};

use crate::error::read_text;
use crate::{Error, File};
use serde::{Deserialize, Deserializer, Serialize};
use std::path::Path;

/// Longest document that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A figure and one standard error of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Estimate {
    /// The figure; null if it is not a number.
    #[cfg_attr(test, schemars(with = "Option<f64>"))]
    pub value: f64,
    /// One standard error of it, if that is known.
    pub error: Option<f64>,
}

impl<'de> Deserialize<'de> for Estimate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(f64),
            Whole {
                value: Option<f64>,
                error: Option<f64>,
            },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Plain(value) => Self { value, error: None },
            Form::Whole { value, error } => Self {
                value: value.unwrap_or(f64::NAN),
                error,
            },
        })
    }
}

/// `null` is the default.
fn null<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Reads a document from a file.
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

/// The result about a file: by file name, or by type if the result names no file.
fn find<'a, T>(
    items: &'a [T],
    file: &File,
    key: impl for<'k> Fn(&'k T) -> (&'k str, &'k str),
) -> Option<&'a T> {
    let by_name = |item: &&T| {
        let name = base_name(key(item).0);
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

/// What a path ends with, on any system.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
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
                {"path": "a/m.Q4_0.gguf", "quality": {"ppl": {"value": 5.5, "error": 0.1}, "kld_mean": 0.01}},
                {"path": "m.Q8_0.gguf", "bytes": 1, "quality": {"ppl": 5.1, "same_top": null}},
                {"path": "m.Q2_K.gguf", "quality": {"ppl": {"value": null, "error": null}}},
                {"path": "m.Q6_K.gguf", "quality": null}
            ]}"#,
            Quality::read,
        )
        .unwrap();
        assert_eq!(quality.files.len(), 2);
        assert_eq!(quality.measured.n_ctx, Some(512));
        let first = quality.files[0].quality.as_ref().unwrap().ppl.unwrap();
        assert_eq!((first.value, first.error), (5.5, Some(0.1)));
        let second = quality.files[1].quality.as_ref().unwrap();
        assert_eq!((second.ppl.unwrap().value, second.same_top), (5.1, None));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = r#"{"schema": "aeolus.compare/1", "text": "t", "mode": "exact", "files": [
            {"path": "m.Q4_0.gguf", "sha256": "ab", "quality": {"kld_mean": {"value": 0.1, "error": 0.2},
             "kld_999": 1.5, "tokens": 7}}]}"#;
        let quality: Quality = serde_json::from_str(text).unwrap();
        let written = serde_json::to_string(&quality).unwrap();
        assert_eq!(serde_json::from_str::<Quality>(&written).unwrap(), quality);
        assert_eq!(
            quality.files[0].quality.as_ref().unwrap().kld_999,
            Some(1.5)
        );
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
        assert_eq!(speed.files[0].file, "m.Q4_0.gguf");
        assert_eq!(speed.files[0].timings.prompt_tokens_per_second, Some(10.5));
        for many in [format!("[{one},{one}]"), format!("{one}\n{one}\n")] {
            assert_eq!(parse(&many, Speed::read).unwrap().files.len(), 2);
        }
    }
}
