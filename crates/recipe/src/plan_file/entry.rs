//! One file of a plan.

use super::is_false;
use crate::{
    Chosen, Error, FileType, Options, Plan, Vintage, parse_tensor_rule, parse_tensor_type,
};
use aeolus_gguf::TensorType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest name of a file, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// A file that was made, or is to be. Types, rules and recipes are as a user types them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanEntry {
    /// Its file type.
    #[serde(rename = "type")]
    pub file_type: String,
    /// What stands in the file's name in place of the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose mix; the default of the model and the type if it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// [`Options::tensor_types`], each as `REGEX=TYPE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensor_types: Vec<String>,
    /// [`Options::output_type`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_type: Option<String>,
    /// [`Options::embedding_type`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_type: Option<String>,
    /// [`Options::pure`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub pure: bool,
    /// [`Options::no_fallback`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_fallback: bool,
    /// The file that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its digest, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What types that were chosen to fit a size were predicted to cost: the mean KL divergence from the
    /// source, in nats per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<f64>,
    /// The same, as it was measured of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// The type of all weight matrices that `tensors` does not name, whatever rules and recipe say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The types of single weight matrices, whatever rules and recipe say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors: BTreeMap<String, String>,
    /// Why each type was chosen, where types were chosen to fit a size: its share of `predicted`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, f64>,
}

impl PlanEntry {
    /// A file of a type as the defaults have it.
    pub fn new(file_type: FileType) -> Self {
        Self {
            file_type: file_type.name().into(),
            ..Self::default()
        }
    }

    /// Its file type.
    ///
    /// # Errors
    /// Those of [`FileType::parse`].
    pub fn file_type(&self) -> Result<FileType, Error> {
        FileType::parse(&self.file_type)
    }

    /// What stands in the file's name: its name, or its type.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.file_type)
    }

    /// What it asks of a recipe. Where it says what a recipe came to, the rules have had their say.
    ///
    /// # Errors
    /// What is wrong with a recipe, a rule or a type.
    pub fn options(&self) -> Result<Options, Error> {
        let ty = |name: &Option<String>| name.as_deref().map(parse_tensor_type).transpose();
        let vintage = self.recipe.as_deref().map(Vintage::parse).transpose()?;
        let rules = self.tensor_types.iter();
        let rules = Options {
            vintage,
            tensor_types: rules
                .map(|rule| parse_tensor_rule(rule))
                .collect::<Result<_, _>>()?,
            output_type: ty(&self.output_type)?,
            embedding_type: ty(&self.embedding_type)?,
            pure: self.pure,
            no_fallback: self.no_fallback,
            ..Options::default()
        };
        let named = self.tensors.iter();
        let chosen = Chosen {
            default: ty(&self.default)?,
            tensors: named
                .map(|(tensor, ty)| Ok((tensor.clone(), parse_tensor_type(ty)?)))
                .collect::<Result<_, Error>>()?,
        };
        Ok(match chosen.default {
            None => Options { chosen, ..rules },
            Some(_) => Options {
                vintage,
                chosen,
                ..Options::default()
            },
        })
    }

    /// Whether all it says has a meaning.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.file_type()?;
        self.options()?;
        let figures = self.costs.values().copied();
        let mut figures = figures.chain(self.predicted).chain(self.measured);
        if let Some(found) = figures.find(|figure| !figure.is_finite() || *figure < 0.0) {
            return Err(Error::PlanFigure { found });
        }
        if let Some(file) = &self.file {
            let is_plain = |c: char| !c.is_control() && !"/\\:".contains(c);
            if !file.ends_with(".gguf") || file.starts_with('.') || !file.chars().all(is_plain) {
                return Err(Error::PlanFileName {
                    found: file.clone(),
                });
            }
        }
        let label = self.label();
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let fits = label.len() <= MAX_LABEL_BYTES && !label.starts_with(['.', '-']);
        match fits && !label.is_empty() && label.chars().all(is_fine) {
            true => Ok(()),
            false => Err(Error::PlanLabel {
                found: label.to_owned(),
                limit: MAX_LABEL_BYTES,
            }),
        }
    }

    /// The same with what its recipe came to: the vintage, and the type of every tensor where it was chosen.
    pub fn made(&self, plan: &Plan) -> Self {
        let chosen = || plan.tensors.iter().filter(|tensor| tensor.chosen);
        let mut counts: BTreeMap<TensorType, usize> = BTreeMap::new();
        for tensor in chosen() {
            *counts.entry(tensor.ty).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let default = most.map(|(ty, _)| ty);
        let others = chosen().filter(|tensor| Some(tensor.ty) != default);
        Self {
            recipe: Some(plan.vintage.name().into()),
            default: default.map(|ty| ty.name().into()),
            tensors: others
                .map(|tensor| (tensor.name.clone(), tensor.ty.name().into()))
                .collect(),
            ..self.clone()
        }
    }
}
