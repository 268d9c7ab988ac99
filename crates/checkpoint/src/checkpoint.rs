//! The checkpoint: what every later step reads, whatever it came from.

use crate::metadata::{FILE_TYPE_KEY, MERGES_KEY, QUANTIZATION_VERSION_KEY};
use crate::mxfp4::Packed;
use crate::view::View;
use crate::{Error, Hyperparameters, Limits, RowMap, TokenizerFacts, output_name};
use aeolus_gguf::{Array, Endian, Metadata, Shape, TensorType};
use aeolus_source::Map;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// The version of the block formats, which `general.quantization_version` names.
pub const QUANTIZATION_VERSION: u32 = 2;

/// How a checkpoint is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Whether a tokenizer has to be there.
    pub tokenizer: TokenizerMode,
    /// How a byte-level BPE tokenizer cuts a text, by GGUF's name (`llama-bpe`), where tokenizer.json
    /// does not describe a known way. `None` recognises it.
    pub pre: Option<String>,
    /// What the model is called, in file names and in `general.name`; it must pass
    /// [`check_name`](crate::check_name). `None` takes the folder's name, or a GGUF file's
    /// `general.name`.
    pub name: Option<String>,
    /// What the checkpoint's folder is called, where the path does not tell: in a cache a folder
    /// has the name of a commit. `None` takes the path's last part.
    pub folder_name: Option<String>,
    /// Whether the layers of a model that predict further tokens are kept.
    pub predict_layers: bool,
    /// How much the files may ask for.
    pub limits: Limits,
}

impl OpenOptions {
    pub(crate) fn check_name(&self) -> Result<(), Error> {
        match &self.name {
            Some(name) => output_name::check_name(name),
            None => Ok(()),
        }
    }
}

/// Whether a tokenizer has to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenizerMode {
    /// Its absence is an error.
    #[default]
    Required,
    /// None is read and none is written: `tokenizer.ggml.model` becomes `none`.
    Skip,
}

/// A model's weights and all that a GGUF file says about them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The start of output file names: `notus-7b-v1`. Holds no separator.
    pub name: String,
    /// GGUF keys without `general.file_type` and `general.quantization_version`, and for a folder
    /// without merges: see [`output_metadata`](Self::output_metadata).
    pub metadata: Metadata<'static>,
    /// Sizes and constants.
    pub hyper: Hyperparameters,
    /// In the order of the shards, then of the offsets inside each; what is made of several tensors comes
    /// where the last of these is.
    pub tensors: Vec<Tensor>,
    /// The BPE merges of a folder's tokenizer, two pieces joined by a space; apart from the metadata
    /// since only some outputs carry them. Those of a GGUF file stay in its metadata.
    pub merges: Option<Array<'static>>,
    /// The tokenizer in short.
    pub tokenizer: TokenizerFacts,
    /// Byte order of the tensors' bytes; big only for big-endian GGUF files.
    pub endian: Endian,
    /// What was found and not carried over, or settled between files that disagree: a paragraph
    /// each, to be shown before any work.
    pub notes: Vec<String>,
}

/// A checkpoint's facts without its weights: enough to forecast every output's size.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Forecastable {
    /// As [`Checkpoint::name`].
    pub name: String,
    /// As [`Checkpoint::metadata`].
    pub metadata: Metadata<'static>,
    /// As [`Checkpoint::hyper`].
    pub hyper: Hyperparameters,
    /// In the order of a converted checkpoint: output, embedding, layers, final norm.
    pub tensors: Vec<TensorFacts>,
    /// As [`Checkpoint::merges`].
    pub merges: Option<Array<'static>>,
    /// As [`Checkpoint::tokenizer`].
    pub tokenizer: TokenizerFacts,
    /// As [`Checkpoint::notes`].
    pub notes: Vec<String>,
}

/// One tensor of a checkpoint. Its bytes are mapped, not copied.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// GGUF name.
    pub name: String,
    /// Name in the source, for messages; `{}` stands for the numbers of experts that are stored one by
    /// one.
    pub source_name: String,
    /// GGUF order, row length first. The output has the same shape.
    pub shape: Shape,
    /// Element type, or block type, of [`rows`](Self::rows).
    pub ty: TensorType,
    /// Which source row each output row is.
    pub row_map: RowMap,
    /// Which element of a source row each element of an output row is. Only floats have another order
    /// than the source's.
    pub column_map: RowMap,
    pub(crate) data: Data,
}

/// Where a tensor's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// Within files.
    Mapped(View),
    /// Within files, codes and scales apart.
    Packed(Packed),
    /// Computed on opening: small things only.
    Owned(Arc<[u8]>),
}

/// One tensor's facts without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFacts {
    /// GGUF name.
    pub name: String,
    /// Name in the source.
    pub source_name: String,
    /// GGUF order, row length first.
    pub shape: Shape,
    /// Element type of the source.
    pub ty: TensorType,
}

impl Tensor {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        match &self.data {
            Data::Mapped(view) => view.row_bytes(),
            Data::Packed(packed) => packed.row_bytes(),
            Data::Owned(bytes) => bytes.len() / (self.shape.rows() as usize).max(1),
        }
    }

    /// Bytes of all rows.
    pub fn size_bytes(&self) -> u64 {
        self.row_bytes() as u64 * self.shape.rows()
    }

    /// The bytes of some output rows, in their order and the source's byte order: runs of whole rows,
    /// as few as there can be. No alignment may be assumed.
    pub fn rows(&self, rows: Range<usize>) -> impl Iterator<Item = Cow<'_, [u8]>> {
        // Runs of rows that follow each other in the source, too.
        let at_once = match self.row_map {
            RowMap::Identity => rows.len().max(1),
            _ => 1,
        };
        let width = self.shape.cols() as usize;
        let runs = rows.clone().step_by(at_once).flat_map(move |first| {
            let source = self.row_map.source_row(first);
            self.source_rows(source..source + at_once.min(rows.end - first))
        });
        runs.map(move |run| match self.column_map {
            RowMap::Identity => run,
            map => {
                let mut run = run.into_owned();
                map.reorder(&mut run, width, self.ty.block_bytes());
                Cow::Owned(run)
            }
        })
    }

    /// All bytes, in the order of [`rows`](Self::rows): a copy, for small tensors.
    pub fn to_bytes(&self) -> Vec<u8> {
        let runs = self.rows(0..self.shape.rows() as usize);
        runs.flat_map(Cow::into_owned).collect()
    }

    fn source_rows(&self, rows: Range<usize>) -> Box<dyn Iterator<Item = Cow<'_, [u8]>> + '_> {
        match &self.data {
            Data::Mapped(view) => Box::new(view.rows(rows)),
            Data::Packed(packed) => Box::new(packed.rows(rows)),
            Data::Owned(bytes) => {
                let stride = self.row_bytes();
                let bytes = &bytes[rows.start * stride..rows.end * stride];
                Box::new(std::iter::once(Cow::Borrowed(bytes)))
            }
        }
    }

    /// Where the bytes of some output rows lie, and maybe others between them: files, and bytes of
    /// these. For advice about what is read next.
    pub fn spans(&self, rows: Range<usize>) -> Vec<(&Arc<Map>, Range<usize>)> {
        let all = match self.row_map {
            RowMap::ByGroup { .. } => self.row_map.block_rows(),
            _ => self.shape.rows() as usize,
        };
        let rows = self.row_map.source_rows(rows);
        let rows = rows.start..rows.end.min(all);
        match &self.data {
            Data::Mapped(view) => view.spans(rows).collect(),
            Data::Packed(packed) => {
                let codes = packed.codes.spans(rows.clone());
                codes.chain(packed.scales.spans(rows)).collect()
            }
            Data::Owned(_) => Vec::new(),
        }
    }

    /// The files that hold the bytes, each as often as it holds a piece of them; none for the few
    /// tensors that are computed on opening.
    pub fn maps(&self) -> impl Iterator<Item = &Arc<Map>> {
        let (view, scales) = match &self.data {
            Data::Mapped(view) => (Some(view), None),
            Data::Packed(packed) => (Some(&packed.codes), Some(&packed.scales)),
            Data::Owned(_) => (None, None),
        };
        view.into_iter().chain(scales).flat_map(View::maps)
    }

    /// What was computed on opening.
    pub fn computed(&self) -> Option<&[u8]> {
        match &self.data {
            Data::Owned(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The tensor without its bytes.
    pub fn facts(&self) -> TensorFacts {
        TensorFacts {
            name: self.name.clone(),
            source_name: self.source_name.clone(),
            shape: self.shape,
            ty: self.ty,
        }
    }
}

impl Checkpoint {
    /// The metadata of an output: with `general.file_type`, `general.quantization_version` and,
    /// if asked for and there, the merges, each where the reference writes it.
    pub fn output_metadata(&self, file_type: u32, merges: bool) -> Metadata<'static> {
        let merges = self.merges.as_ref().filter(|_| merges);
        output_metadata(&self.metadata, file_type, merges)
    }

    /// The files behind the tensors, each once.
    pub fn maps(&self) -> Vec<&Arc<Map>> {
        let mut seen = HashSet::new();
        let mut maps = Vec::new();
        for map in self.tensors.iter().flat_map(Tensor::maps) {
            if seen.insert(Arc::as_ptr(map)) {
                maps.push(map);
            }
        }
        maps
    }

    /// Checks that no file behind the tensors changed since it was opened.
    ///
    /// # Errors
    /// [`Error::Source`] for the first file of another size or modification time.
    pub fn verify_unchanged(&self) -> Result<(), Error> {
        let mut maps = self.maps().into_iter();
        maps.try_for_each(|map| map.verify_unchanged())?;
        Ok(())
    }
}

impl Forecastable {
    /// As [`Checkpoint::output_metadata`].
    pub fn output_metadata(&self, file_type: u32, merges: bool) -> Metadata<'static> {
        let merges = self.merges.as_ref().filter(|_| merges);
        output_metadata(&self.metadata, file_type, merges)
    }
}

impl From<&Checkpoint> for Forecastable {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            name: checkpoint.name.clone(),
            metadata: checkpoint.metadata.clone(),
            hyper: checkpoint.hyper.clone(),
            tensors: checkpoint.tensors.iter().map(Tensor::facts).collect(),
            merges: checkpoint.merges.clone(),
            tokenizer: checkpoint.tokenizer.clone(),
            notes: checkpoint.notes.clone(),
        }
    }
}

/// Puts the keys of one output where the reference converter has them.
fn output_metadata(
    source: &Metadata<'static>,
    file_type: u32,
    merges: Option<&Array<'static>>,
) -> Metadata<'static> {
    let mut out = Metadata::new();
    for (key, value) in source.iter() {
        if key.ends_with(".vocab_size") {
            out.insert(FILE_TYPE_KEY, file_type);
        }
        if key.starts_with("tokenizer.") && out.get(QUANTIZATION_VERSION_KEY).is_none() {
            // Architectures without a key for the vocabulary have the type behind their last key.
            out.insert(FILE_TYPE_KEY, file_type);
            out.insert(QUANTIZATION_VERSION_KEY, QUANTIZATION_VERSION);
        }
        out.insert(Cow::Owned(key.to_owned()), value.clone());
        if let ("tokenizer.ggml.token_type", Some(merges)) = (key, merges) {
            out.insert(MERGES_KEY, merges.clone());
        }
    }
    // For sources without those neighbours: setting a key again keeps its place.
    out.insert(FILE_TYPE_KEY, file_type);
    out.insert(QUANTIZATION_VERSION_KEY, QUANTIZATION_VERSION);
    if let (None, Some(merges)) = (out.get(MERGES_KEY), merges) {
        out.insert(MERGES_KEY, merges.clone());
    }
    out
}
