//! One output file, planned to its last byte before a weight is read.

use crate::{Codes, Error, Guide};
use aeolus_checkpoint::Forecastable;
use aeolus_gguf::{Endian, HeaderSpec, Layout, TensorSpec, TensorType};
use aeolus_recipe::{FileType, Importance, ModelShape, Plan, PlanEntry};
use std::sync::Arc;

/// The container of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// GGUF version, 2 or 3.
    pub version: u32,
    /// Byte order of the whole file.
    pub endian: Endian,
}

impl Default for Format {
    /// Version 2, little-endian: what every reader of the format opens.
    fn default() -> Self {
        Self {
            version: 2,
            endian: Endian::Little,
        }
    }
}

/// The plan of a file: types, offsets, header, length.
#[derive(Clone, Debug)]
pub struct Output {
    file_type: FileType,
    plan: Plan,
    layout: Layout<'static>,
    format: Format,
    guide: Option<Guide>,
    codes: Option<Arc<dyn Codes>>,
}

impl Output {
    /// Plans the files of a plan or set, in its order.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan); [`Error::Recipe`] for an entry that makes no sense.
    pub fn plan_all(
        facts: &Forecastable,
        entries: &[PlanEntry],
        format: Format,
        guide: Option<&Guide>,
    ) -> Result<Vec<Self>, Error> {
        let plan = |entry: &PlanEntry| {
            Self::plan(facts, entry.file_type()?, &entry.options()?, format, guide)
        };
        entries.iter().map(plan).collect()
    }

    /// Plans a file from what is known of a model without its weights. With a guide, the recipe is
    /// one [with importance](Importance::Given), whatever `recipe` says of it.
    ///
    /// # Errors
    /// [`Error::Recipe`] if a rule matches nothing, a type does not fit a row, or one needs a guide;
    /// [`Error::ImportanceSize`] and [`Error::NoImportance`] if the guide is not of this model or
    /// lacks what a type needs; [`Error::BigEndianVersion`] for a big-endian file below version 3.
    pub fn plan(
        facts: &Forecastable,
        file_type: FileType,
        recipe: &aeolus_recipe::Options,
        format: Format,
        guide: Option<&Guide>,
    ) -> Result<Self, Error> {
        if format.endian == Endian::Big && format.version < 3 {
            return Err(Error::BigEndianVersion {
                version: format.version,
            });
        }
        let shapes: Vec<_> = facts
            .tensors
            .iter()
            .map(|t| (t.name.clone(), t.shape))
            .collect();
        let model = ModelShape {
            architecture: facts.hyper.family().architecture.into(),
            layers: facts.hyper.layers(),
            heads: facts.hyper.heads(),
            // The reference looks at the first layer.
            kv_heads: facts.hyper.layer(0).kv_heads,
            experts: experts(facts),
            tokenizer: facts.tokenizer.model.clone(),
            has_biases: facts.tensors.iter().any(|t| t.name.ends_with(".bias")),
            has_rotary_factors: facts.tensors.iter().any(|t| t.name.starts_with("rope_f")),
            float: float(facts),
        };
        let recipe = aeolus_recipe::Options {
            importance: match guide {
                Some(_) => Importance::Given,
                None => Importance::None,
            },
            mxfp4: facts
                .tensors
                .iter()
                .filter(|t| t.ty == TensorType::MXFP4)
                .map(|t| t.name.clone())
                .collect(),
            ..recipe.clone()
        };
        let plan = aeolus_recipe::plan(&model, &shapes, file_type, &recipe)?;
        let merges = plan.vintage.facts().sentencepiece_merges;
        let stays = plan.tensors.iter().any(|t| t.ty == TensorType::MXFP4);
        let said = match stays && !file_type.is_quantized() {
            // As the reference says of files whose experts are what the source has.
            true => FileType::MXFP4_MOE,
            false => file_type,
        };
        let mut metadata = facts.output_metadata(said.ftype_id(), merges);
        let guide = guide.filter(|_| plan.tensors.iter().any(|t| t.quantized));
        if let Some(guide) = guide {
            guide.check(&plan)?;
            guide.describe(&mut metadata);
        }
        let layout = Layout::new(HeaderSpec {
            version: format.version,
            endian: format.endian,
            metadata,
            tensors: plan
                .tensors
                .iter()
                .map(|t| TensorSpec {
                    name: t.name.clone(),
                    shape: t.shape,
                    ty: t.ty,
                })
                .collect(),
        })?;
        Ok(Self {
            file_type,
            plan,
            layout,
            format,
            guide: guide.cloned(),
            codes: None,
        })
    }

    /// The file type it was planned as.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Every tensor's type and why.
    pub fn types(&self) -> &Plan {
        &self.plan
    }

    /// What guides its encoders; `None` also where nothing is quantized.
    pub fn guide(&self) -> Option<&Guide> {
        self.guide.as_ref()
    }

    /// The same file with codes that were chosen beforehand, which its metadata says.
    ///
    /// # Errors
    /// [`Error::Layout`] if the header becomes too large.
    pub fn with_codes(self, codes: Arc<dyn Codes>) -> Result<Self, Error> {
        let mut metadata = self.layout.metadata().clone();
        for (key, value) in codes.keys() {
            metadata.insert(key, value);
        }
        let tensors = self.layout.tensors().iter().map(|info| TensorSpec {
            name: info.name.clone(),
            shape: info.shape,
            ty: info.ty,
        });
        let layout = Layout::new(HeaderSpec {
            version: self.format.version,
            endian: self.format.endian,
            metadata,
            tensors: tensors.collect(),
        })?;
        Ok(Self {
            layout,
            codes: Some(codes),
            ..self
        })
    }

    /// Codes that were chosen beforehand.
    pub fn codes(&self) -> Option<&Arc<dyn Codes>> {
        self.codes.as_ref()
    }

    /// Header, offsets and length.
    pub fn layout(&self) -> &Layout<'static> {
        &self.layout
    }

    /// The container.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Experts of a layer: how many matrices are stacked in its tensors.
fn experts(facts: &Forecastable) -> u32 {
    let stacks = facts
        .tensors
        .iter()
        .filter(|t| t.name.ends_with("_exps.weight"));
    let depth = stacks.filter_map(|t| t.shape.dims().get(2)).max();
    depth.map_or(0, |&depth| u32::try_from(depth).unwrap_or(u32::MAX))
}

/// The float type of a source's matrices, or of those of a quantized one that are not. Routers
/// and their like are F32 whatever the rest is, so F32 is the last choice.
fn float(facts: &Forecastable) -> Option<TensorType> {
    let matrices = facts.tensors.iter().filter(|t| t.shape.rows() > 1);
    let types: Vec<TensorType> = matrices.map(|t| t.ty).collect();
    let floats = [TensorType::BF16, TensorType::F16, TensorType::F32];
    floats.into_iter().find(|ty| types.contains(ty))
}
