//! One output file, planned to its last byte before a weight is read.

use crate::Error;
use aeolus_checkpoint::Forecastable;
use aeolus_gguf::{Endian, HeaderSpec, Layout, TensorSpec};
use aeolus_recipe::{FileType, ModelShape, Plan};

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
}

impl Output {
    /// Plans a file from what is known of a model without its weights.
    ///
    /// # Errors
    /// [`Error::Recipe`] if a rule matches nothing or a type does not fit a row,
    /// [`Error::BigEndianVersion`] for a big-endian file below version 3.
    pub fn plan(
        facts: &Forecastable,
        file_type: FileType,
        recipe: &aeolus_recipe::Options,
        format: Format,
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
            kv_heads: facts.hyper.kv_heads(),
            tokenizer: facts.tokenizer.model.clone(),
            has_biases: facts.tensors.iter().any(|t| t.name.ends_with(".bias")),
            has_rotary_factors: facts.tensors.iter().any(|t| t.name.starts_with("rope_f")),
        };
        let plan = aeolus_recipe::plan(&model, &shapes, file_type, recipe)?;
        let merges = plan.vintage.facts().sentencepiece_merges;
        let metadata = facts.output_metadata(file_type.ftype_id(), merges);
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

    /// Header, offsets and length.
    pub fn layout(&self) -> &Layout<'static> {
        &self.layout
    }

    /// The container.
    pub fn format(&self) -> Format {
        self.format
    }
}
