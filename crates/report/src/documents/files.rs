//! `aeolus.forecast/1` and `aeolus.files/1`: what files of a model will be, or are.

use super::{Figures, Measured, read, some};
use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What `forecast` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Forecast {
    /// Which document it is: `aeolus.forecast/1`.
    pub schema: String,
    /// The model's name.
    pub name: String,
    /// The importance matrix, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<ImatrixUse>,
    /// The files.
    pub files: Vec<ForecastFile>,
}

/// What a file will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ForecastFile {
    /// Its type: `Q4_K_M`.
    pub file_type: String,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// `bytes` and 2.5 GB, as publishers state it.
    pub max_ram_bytes: u64,
    /// Over all tensors, scales included.
    pub bits_per_weight: f64,
    /// How many tensors have each type.
    pub tensor_types: BTreeMap<String, u64>,
    /// Tensors that do not get the type their rule names.
    pub fallbacks: Vec<FallbackUse>,
    /// Mean KL divergence from the source that its types are predicted to cost, in nats per token, where a
    /// calibration text told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_kld: Option<f64>,
    /// How its types were chosen, if they were chosen to fit a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenTypes>,
}

impl ForecastFile {
    /// What to call it: `4.5bpw`, `Q4_K_M`.
    pub fn label(&self) -> &str {
        let chosen = self.chosen.as_ref();
        chosen.map_or(&self.file_type, |chosen| &chosen.label)
    }
}

/// Types that were chosen to fit a size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChosenTypes {
    /// What the file is called: `4.5bpw`.
    pub label: String,
    /// Mean KL divergence from the source that they are predicted to cost, in nats per token.
    pub predicted_kld: Option<f64>,
    /// The type of each weight matrix.
    pub tensors: BTreeMap<String, String>,
    /// The share of each in `predicted_kld`.
    pub costs: BTreeMap<String, f64>,
}

/// A tensor that does not get the type its rule names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FallbackUse {
    /// GGUF name.
    pub tensor: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// The type of the rule.
    pub wanted: String,
    /// Why not.
    pub reason: String,
}

/// An importance matrix, and how it fits a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImatrixUse {
    /// The file, as models made with it call it.
    pub path: String,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// `gguf` or `dat`.
    pub format: String,
    /// Entries that are used.
    pub entries: u64,
    /// Chunks of the calibration text.
    pub chunks: u32,
    /// The calibration texts.
    pub datasets: Vec<String>,
    /// Tensors of the file that encoders do not use.
    pub unused_tensors: Vec<String>,
    /// Entries that the model has no tensor for.
    pub entries_without_tensor: Vec<String>,
    /// Tensors whose encoders would heed an entry, and have none.
    pub tensors_without_entry: Vec<String>,
    /// Tensors that the text did not reach, or some of whose experts.
    pub tensors_without_data: Vec<BlindTensor>,
}

/// A tensor that the calibration text did not reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BlindTensor {
    /// GGUF name.
    pub tensor: String,
    /// Its matrices (experts) that saw nothing.
    pub without_data: u64,
    /// Its matrices.
    pub matrices: u64,
}

/// What `table`, `quantize` and `convert` print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Files {
    /// Which document it is: `aeolus.files/1`.
    pub schema: String,
    /// The model's name.
    pub name: String,
    /// What was read.
    pub source: String,
    /// Bytes of its weights.
    pub source_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The list that has the digests; null if the files' names are no UTF-8, which cannot be listed.
    pub sums: Option<String>,
    /// The plans that were written.
    pub plans: Vec<String>,
    /// The importance matrix, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<ImatrixUse>,
    /// What the files were measured on, if they were.
    #[serde(flatten)]
    pub measured: Option<Measured>,
    /// The files.
    pub files: Vec<MadeFile>,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MadeFile {
    /// What it is.
    #[serde(flatten)]
    pub forecast: ForecastFile,
    /// Where it is.
    pub path: String,
    /// Its SHA-256, in hex.
    pub sha256: Option<String>,
    /// What was measured of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Figures>,
    /// Path of the best file that is no larger and nearer to the source.
    pub beaten_by: Option<String>,
}

impl Forecast {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.forecast/1";

    /// Reads what `forecast --json` wrote where it predicted divergences; files without one are left out.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read_predicted(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus forecast` for sizes";
        let mut forecast: Self = read(path, WHAT)?;
        forecast.files.retain(|file| file.predicted_kld.is_some());
        some(&forecast.files, path, WHAT)?;
        Ok(forecast)
    }
}

impl Files {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.files/1";
}
