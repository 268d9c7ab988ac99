//! The plan file: which files were made of a model and how, and a way to make them again. A set of files
//! that a user wants is the same with less in it.
//!
//! ```toml
//! plan = 1                              # the version of this form
//! program = "0.1.0"                     # who made it
//! via = "f16"                           # and other settings of the run, where they were given
//!
//! [source]
//! folder = "notus-7b-v1"                # what the model was called
//! weights = "9f86d081884c7d65..."       # the digest of a sample of its weights
//!
//! [imatrix]
//! file = "notus.imatrix.gguf"           # as the files call it
//! importance = "60303ae22b998861..."    # the digest of what encoders see of it, in either format
//! calibration = "e3b0c44298fc1c14..."   # the digest of its text, if the same command collected it
//!
//! [refine]
//! effort = 1
//! calibration = "2c26b46b68ffc68f..."   # the digest of the calibration windows
//! text = "calibration.txt"              # none if the model wrote them
//! norms = true                          # the norms were tuned, too
//!
//! [[files]]
//! type = "Q4_K_M"
//! name = "Q4_K_XL"                      # in the file's name in place of the type
//! recipe = "current"
//! tensor_types = ["ffn_down=Q6_K"]      # the rules that were given, and other options of a recipe
//! file = "notus-7b-v1.Q4_K_XL.gguf"
//! sha256 = "fd61a03af4f77d87..."
//! default = "Q4_K"                      # what rules and recipe came to: every weight matrix is this
//!
//! [files.tensors]                       # but these
//! "blk.0.attn_v.weight" = "Q6_K"
//! ```
//!
//! Where types were chosen to fit a size, a file also has `predicted`, `measured` and `[files.costs]`: the KL
//! divergence that the choice was predicted to cost, what the file was measured to have, and each tensor's share of the
//! prediction. They say why, and decide nothing.
//!
//! All but `plan`, `files` and a `type` may be missing. What a tensor's type is where both `default` and the rules
//! have a say is `default`'s to decide: a plan that was written gives the same files however recipes change.
//! Keys that do not exist are errors.

mod entry;
mod sets;

pub use entry::PlanEntry;

use crate::Error;
use serde::{Deserialize, Serialize};

/// The version of the form that is written and read.
pub const PLAN_VERSION: u32 = 1;

/// The largest plan that is read, in bytes: 40 files of a model with 8,000 tensors that all differ from the
/// default.
pub const MAX_PLAN_BYTES: u64 = 16 << 20;

/// A plan, or a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// [`PLAN_VERSION`].
    pub plan: u32,
    /// The version of the program that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The set that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The model's name, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What weights were rounded to first, where it was given: `f16` or `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Whether tensors that were quantized already were quantized again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_requantize: bool,
    /// GGUF version, 2 or 3; 2 if it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gguf_version: Option<u32>,
    /// `little` or `big`; little if it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endian: Option<String>,
    /// Whether the tokenizer was left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_tokenizer: bool,
    /// Whether the block that predicts a second token is kept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mtp: bool,
    /// The pre-tokenizer, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<PlanSource>,
    /// The importance matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<PlanImatrix>,
    /// How codes were chosen, where they were refined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refine: Option<PlanRefine>,
    /// The files, at least one.
    pub files: Vec<PlanEntry>,
}

/// The model that a plan is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSource {
    /// The name of its folder, which files have in their metadata if nothing else names the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Digest, in hex, of its tensors' names, types and shapes and of a sample of their weights.
    pub weights: String,
}

/// The importance matrix of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanImatrix {
    /// What files call it in their metadata.
    pub file: String,
    /// Digest, in hex, of the importance of all entries that were used.
    pub importance: String,
    /// Digest, in hex, of the text that it was collected over, if the command that made the files did that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<String>,
    /// The parts of names whose entries were used, if not all were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include_weights: Vec<String>,
    /// The parts of names whose entries were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_weights: Vec<String>,
}

/// The refining of a plan's files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRefine {
    /// From 1 to 3.
    pub effort: u8,
    /// Digest, in hex, of the calibration windows.
    pub calibration: String,
    /// The calibration text's file; none if the model wrote the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The vectors of the norms were tuned, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub norms: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl PlanFile {
    /// A plan of these files, with nothing else in it.
    pub fn new(files: Vec<PlanEntry>) -> Self {
        Self {
            plan: PLAN_VERSION,
            program: None,
            set: None,
            name: None,
            via: None,
            allow_requantize: false,
            gguf_version: None,
            endian: None,
            no_tokenizer: false,
            mtp: false,
            pre: None,
            source: None,
            imatrix: None,
            refine: None,
            files,
        }
    }

    /// Reads a plan from its text.
    ///
    /// # Errors
    /// [`Error::Plan`] if it is not TOML, or has a key that does not exist, with the line;
    /// [`Error::PlanVersion`]; [`Error::PlanIsEmpty`]; [`Error::PlanTwice`] for two files of one name; what
    /// is wrong with a type, rule or recipe, in [`Error::PlanEntry`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let plan: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + newlines(text, span.start));
            Error::Plan {
                line: line.unwrap_or(1),
                problem: error.message().trim().replace('\n', ", "),
            }
        })?;
        if plan.plan != PLAN_VERSION {
            return Err(Error::PlanVersion {
                found: plan.plan,
                expected: PLAN_VERSION,
            });
        }
        if plan.files.is_empty() {
            return Err(Error::PlanIsEmpty);
        }
        let mut labels: Vec<&str> = Vec::new();
        for (number, entry) in plan.files.iter().enumerate() {
            let checked = entry.check();
            checked.map_err(|problem| Error::PlanEntry {
                number: number + 1,
                problem: Box::new(problem),
            })?;
            let label = entry.label();
            if labels.iter().any(|l| l.eq_ignore_ascii_case(label)) {
                return Err(Error::PlanTwice {
                    label: label.to_owned(),
                });
            }
            labels.push(label);
        }
        Ok(plan)
    }

    /// The plan of a folder to which a run adds the files of `new`: those that this plan has by the same
    /// file name are replaced, and the others stay. `None` if both say different things of the whole
    /// run: another model, importance matrix or container.
    pub fn with(&self, new: &Self) -> Option<Self> {
        let whole = |plan: &Self| Self {
            program: None,
            set: None,
            // The same importance is the same, whoever collected it.
            imatrix: plan.imatrix.clone().map(|imatrix| PlanImatrix {
                calibration: None,
                ..imatrix
            }),
            files: Vec::new(),
            ..plan.clone()
        };
        if whole(self) != whole(new) {
            return None;
        }
        let mut all = self.clone();
        all.program.clone_from(&new.program);
        if let (Some(old), Some(new)) = (&mut all.imatrix, &new.imatrix)
            && new.calibration.is_some()
        {
            old.calibration.clone_from(&new.calibration);
        }
        for entry in &new.files {
            let same = |old: &&mut PlanEntry| old.label() == entry.label();
            match all.files.iter_mut().find(same) {
                Some(old) => old.clone_from(entry),
                None => all.files.push(entry.clone()),
            }
        }
        if all.set != new.set {
            // What is here is neither set alone.
            all.set = None;
        }
        Some(all)
    }

    /// Its text. [`parse`](Self::parse) gives the same plan.
    ///
    /// # Errors
    /// [`Error::Plan`] for one that cannot be written; one that was parsed can.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| Error::Plan {
            line: 1,
            problem: error.to_string(),
        })
    }
}

fn newlines(text: &str, end: usize) -> usize {
    let before = text.as_bytes().iter().take(end);
    before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_takes_in_files_of_the_same_run_only() {
        let plan = |text: &str| PlanFile::parse(&format!("plan = 1\n{text}")).unwrap();
        let old =
            plan("set = \"2023\"\nfiles = [{type = \"Q4_0\", sha256 = \"1\"}, {type = \"Q8_0\"}]");
        let new =
            plan("program = \"9\"\nfiles = [{type = \"Q4_0\", sha256 = \"2\"}, {type = \"F16\"}]");
        let both = old.with(&new).unwrap();
        let files: Vec<_> = both
            .files
            .iter()
            .map(|f| (f.label(), f.sha256.as_deref()))
            .collect();
        assert_eq!(files, [("Q4_0", Some("2")), ("Q8_0", None), ("F16", None)]);
        assert_eq!((both.program.as_deref(), both.set), (Some("9"), None));
        for other in [
            "via = \"f16\"",
            "[source]\nweights = \"a\"",
            "[imatrix]\nfile = \"a\"\nimportance = \"b\"",
        ] {
            let text = format!("{other}\n[[files]]\ntype = \"Q4_0\"");
            assert!(old.with(&plan(&text)).is_none(), "{other}");
        }
    }
}
