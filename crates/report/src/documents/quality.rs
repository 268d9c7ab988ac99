//! `aeolus.compare/1`: how far files are from their source, as `compare` prints it and `table` leaves it
//! beside its files as quality.json.

use super::{Estimate, base_name, find, null, read, some};
use crate::{Error, File};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Quality of files against their source. `aeolus.files/1` of `table -f` and `aeolus.verify/1` of `verify -f`
/// have these fields too, and can be read as this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Quality {
    /// Which document it is: `aeolus.compare/1`.
    pub schema: String,
    /// What was read, and by whom.
    #[serde(flatten)]
    pub measured: Measured,
    /// How long it took.
    pub seconds: Option<f64>,
    /// One for each file.
    pub files: Vec<FileQuality>,
}

/// What the figures are of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Measured {
    /// Path of the text; null where the base's file brings it along.
    pub text: Option<String>,
    /// SHA-256 of the text, in hex.
    pub text_sha256: Option<String>,
    /// Tokens of a window.
    pub n_ctx: Option<u64>,
    /// A window every so many tokens, where they are not side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<u64>,
    /// Windows that were read.
    pub chunks: Option<u64>,
    /// Windows that the text has.
    pub chunks_available: Option<u64>,
    /// Why no more were read: `asked`, `known`, `ordered`, `limit` or `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// How numbers were rounded: `exact`, `precise` or `fast`.
    pub mode: Option<String>,
    /// What the files are compared with.
    pub base: Option<Base>,
}

/// What files are compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Base {
    /// Where it was.
    #[serde(deserialize_with = "null")]
    pub path: String,
    /// Its perplexity.
    pub ppl: Option<Estimate>,
}

/// One file's quality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct FileQuality {
    /// Where the file was.
    #[serde(deserialize_with = "null")]
    pub path: String,
    /// SHA-256 of the file in hex, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its type's name, `Q4_K_M`; null if the file names none of ours.
    pub file_type: Option<String>,
    /// Bytes of the file.
    pub bytes: Option<u64>,
    /// Path of the best file that is no larger and nearer to the base.
    pub beaten_by: Option<String>,
    /// The figures, if it could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Figures>,
    /// Why it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was measured of a file, over all scored positions. Divergences are in nats, shares and
/// probabilities from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Figures {
    /// Mean KL divergence from the base.
    pub kld_mean: Option<Estimate>,
    /// Its median.
    pub kld_median: Option<f64>,
    /// 90 of 100 positions are below.
    pub kld_90: Option<f64>,
    /// 99 of 100 positions are below.
    pub kld_99: Option<f64>,
    /// 999 of 1,000 positions are below.
    pub kld_999: Option<f64>,
    /// The highest.
    pub kld_max: Option<f64>,
    /// Share of positions where both have the same most probable token.
    pub same_top: Option<Estimate>,
    /// Mean change in the right token's probability.
    pub mean_dp: Option<Estimate>,
    /// Root mean square of that change.
    pub rms_dp: Option<Estimate>,
    /// Perplexity of the file.
    pub ppl: Option<Estimate>,
    /// Perplexity of the base.
    pub ppl_base: Option<Estimate>,
    /// Their ratio.
    pub ppl_ratio: Option<Estimate>,
    /// Bits for each byte of the text; null if the bytes are not known.
    pub bits_per_byte: Option<Estimate>,
    /// Tokens scored.
    pub tokens: Option<u64>,
    /// Windows scored.
    pub windows: Option<u64>,
}

impl Figures {
    /// True if there is a figure that counts.
    fn is_measured(&self) -> bool {
        [self.ppl, self.kld_mean, self.same_top]
            .iter()
            .flatten()
            .any(|figure| figure.value.is_finite())
    }
}

impl Quality {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.compare/1";

    /// Reads what `table --json`, `compare --json` or `verify --json` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], and [`Error::Results`] for another document.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "results of `aeolus table` or `aeolus compare`";
        let mut quality: Self = read(path, WHAT)?;
        let is_measured =
            |file: &FileQuality| file.quality.as_ref().is_some_and(Figures::is_measured);
        quality.files.retain(is_measured);
        some(&quality.files, path, WHAT)?;
        Ok(quality)
    }

    /// What was measured of a file.
    pub fn of(&self, file: &File) -> Option<&Figures> {
        let found = find(&self.files, file, |q| {
            (q.path.as_str(), q.file_type.as_deref().unwrap_or_default())
        });
        found?.quality.as_ref()
    }

    /// The text's file name.
    pub(crate) fn text_name(&self) -> &str {
        base_name(self.measured.text.as_deref().unwrap_or_default())
    }
}
