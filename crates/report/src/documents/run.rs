//! `aeolus.run/1`: a prompt, what was written, and how fast, as `run` prints it.

use super::{MAX_BYTES, find, some, wrong};
use crate::error::read_text;
use crate::{Error, File};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One run of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Run {
    /// Which document it is: `aeolus.run/1`.
    pub schema: String,
    /// The file.
    pub file: String,
    /// The prompt.
    pub prompt: String,
    /// Its tokens.
    pub prompt_ids: Vec<u32>,
    /// What was written.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub stop_reason: String,
    /// What the sampler began with.
    pub seed: u64,
    /// How fast.
    pub timings: Timings,
}

/// How fast a file was read and ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Timings {
    /// Seconds until the model was loaded.
    pub load_seconds: Option<f64>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Seconds to read them.
    pub prompt_seconds: Option<f64>,
    /// Tokens of the prompt read in a second.
    pub prompt_tokens_per_second: Option<f64>,
    /// Tokens written.
    pub generated_tokens: Option<u64>,
    /// Seconds to write them.
    pub generation_seconds: Option<f64>,
    /// Tokens written in a second.
    pub generation_tokens_per_second: Option<f64>,
}

/// Runs of several files.
#[derive(Clone, Debug, Default)]
pub struct Speed {
    /// One for each run.
    pub files: Vec<Run>,
}

impl Run {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.run/1";
}

impl Speed {
    /// Reads what `run --json` wrote: one document, several after each other, or a list.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus run`";
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Many(Vec<Run>),
            One(Box<Run>),
        }
        let text = read_text(path, MAX_BYTES)?;
        let mut files = Vec::new();
        for document in serde_json::Deserializer::from_str(&text).into_iter::<Form>() {
            match document.map_err(|error| wrong(path, WHAT, &error))? {
                Form::Many(many) => files.extend(many),
                Form::One(one) => files.push(*one),
            }
        }
        files.retain(|run| {
            let timings = &run.timings;
            timings.prompt_tokens_per_second.is_some()
                || timings.generation_tokens_per_second.is_some()
        });
        some(&files, path, WHAT)?;
        Ok(Self { files })
    }

    /// What was measured of a file.
    pub fn of(&self, file: &File) -> Option<&Timings> {
        Some(&find(&self.files, file, |run| (run.file.as_str(), ""))?.timings)
    }
}
