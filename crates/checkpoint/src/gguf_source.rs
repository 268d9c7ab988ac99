//! A GGUF file as a checkpoint.

use crate::checkpoint::{Data, OpenOptions, QUANTIZATION_VERSION, Tensor, TokenizerMode};
use crate::config::DIVISORS;
use crate::error::Brief;
use crate::layout::{self, Expected, Presence};
use crate::metadata::{FILE_TYPE_KEY, MERGES_KEY, NAME_KEY, QUANTIZATION_VERSION_KEY};
use crate::notes::Notes;
use crate::tokenizer::{self, Tokenizer, TokenizerFacts};
use crate::view::{Piece, Steps, View};
use crate::weights::f64_note;
use crate::{Checkpoint, Error, Hyperparameters, Limits, RowMap, output_name};
use aeolus_arch::{FAMILIES, Field, family_of_architecture};
use aeolus_gguf::{GgufFile, Metadata, ShardName, TensorType, Value};
use std::collections::HashMap;
use std::path::Path;

const TOKENS_KEY: &str = "tokenizer.ggml.tokens";

/// Opens the file, and all others if it is one of several.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Checkpoint, Error> {
    let limits = &options.limits;
    let file = GgufFile::open_with(path, &limits.gguf)?;
    file.require_model()?;
    if file.tensors().len() > limits.tensors {
        return Err(Error::Limit {
            path: path.into(),
            what: "tensors",
            found: file.tensors().len() as u64,
            limit: limits.tensors as u64,
        });
    }
    let mut metadata = file.metadata().clone();
    let reader = Reader {
        path,
        metadata: &metadata,
    };
    let hyper = reader.hyperparameters(&file, limits)?;
    reader.check_block_formats(&file)?;
    let tensors = tensors(path, &file, &hyper)?;

    metadata.remove(FILE_TYPE_KEY);
    metadata.remove(QUANTIZATION_VERSION_KEY);
    let notes = Notes::default();
    match options.tokenizer {
        TokenizerMode::Required => {
            check_tokens(path, &metadata, &hyper)?;
            tokenizer::note_ids(path, &metadata, &notes);
        }
        TokenizerMode::Skip => remove_tokenizer(&mut metadata),
    }
    let doubles = tensors.iter().filter(|t| t.ty == TensorType::F64);
    let doubles: Vec<&str> = doubles.map(|t| t.name.as_str()).collect();
    if !doubles.is_empty() {
        notes.add(path, f64_note(&doubles));
    }
    let name = match &options.name {
        Some(name) => {
            metadata.insert(NAME_KEY, name.clone());
            name.clone()
        }
        None => name(path, &metadata),
    };
    Ok(Checkpoint {
        name,
        tokenizer: TokenizerFacts::of(&metadata),
        metadata,
        hyper,
        tensors,
        // Those of the source stay where they are, in the metadata.
        merges: None,
        endian: file.header().endian,
        notes: notes.into_vec(),
    })
}

/// Reading the keys of the file's architecture.
struct Reader<'a> {
    path: &'a Path,
    metadata: &'a Metadata<'static>,
}

impl Reader<'_> {
    fn wrong(&self, error: aeolus_gguf::MetadataError) -> Error {
        Error::Metadata {
            path: self.path.into(),
            error,
        }
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::key(self.path, key, problem)
    }

    fn u32(&self, key: &str) -> Result<Option<u32>, Error> {
        self.metadata.u32(key).map_err(|error| self.wrong(error))
    }

    fn hyperparameters(&self, file: &GgufFile, limits: &Limits) -> Result<Hyperparameters, Error> {
        const ARCHITECTURE: &str = "general.architecture";
        let architecture = self
            .metadata
            .str(ARCHITECTURE)
            .map_err(|error| self.wrong(error))?
            .ok_or_else(|| self.error(ARCHITECTURE, "missing"))?;
        let Some(family) = family_of_architecture(architecture) else {
            let found = Brief(architecture);
            let known = FAMILIES.map(|family| family.architecture).join(", ");
            let problem = format!("\"{found}\" is not supported, supported are {known}");
            return Err(self.error(ARCHITECTURE, problem));
        };
        let embedding = file.tensor("token_embd.weight");
        let rows = embedding.and_then(|info| u32::try_from(info.shape.rows()).ok());
        let bounds = limits.bounds();
        Hyperparameters::from_metadata(family, self.metadata, rows, &bounds).map_err(|problem| {
            let key = family.key(problem.field).map_or("?", |key| key.gguf);
            if problem.field == Field::Vocab && problem.is_missing() {
                let problem = "missing, and no token_embd.weight says it";
                return self.error(&format!("{architecture}.{key}"), problem);
            }
            self.error(&format!("{architecture}.{key}"), problem.problem)
        })
    }

    /// Refuses blocks of another version than the one whose formats are known.
    fn check_block_formats(&self, file: &GgufFile) -> Result<(), Error> {
        let version = self.u32(QUANTIZATION_VERSION_KEY)?;
        let quantized = file.tensors().iter().any(|info| info.ty.is_quantized());
        match version.filter(|version| quantized && *version != QUANTIZATION_VERSION) {
            Some(version) => Err(self.error(
                QUANTIZATION_VERSION_KEY,
                format!("expected {QUANTIZATION_VERSION}, found {version}"),
            )),
            None => Ok(()),
        }
    }
}

/// The file's tensors, checked against what the model has.
fn tensors(path: &Path, file: &GgufFile, hyper: &Hyperparameters) -> Result<Vec<Tensor>, Error> {
    let mut expected = layout::of_file(hyper);
    fuse(&mut expected, |name| file.tensor(name).is_some());
    let divisors = vec![u64::from(hyper.rotary_dims() / 2)];
    let mut shapes: HashMap<&str, &[u64]> = expected
        .iter()
        .map(|e| (e.gguf.as_str(), e.shape.as_slice()))
        .collect();
    shapes.extend(DIVISORS.map(|name| (name, &*divisors)));
    let mut tensors = Vec::new();
    for info in file.tensors() {
        let place = file.place(info);
        let map = &file.maps()[place.shard];
        let Some(expected) = shapes.get(info.name.as_str()) else {
            let family = hyper.family();
            let problem = if family.hf_name(&info.name).is_none() {
                format!("no tensor of {} models has this name", family.architecture)
            } else {
                let layers = hyper.layers();
                format!("the keys give the model no such tensor (block_count {layers})")
            };
            return Err(Error::UnexpectedTensor {
                path: map.path().into(),
                tensor: info.name.clone(),
                problem,
            });
        };
        let found = info.shape.to_hf();
        if found != *expected {
            return Err(Error::Shape {
                path: map.path().into(),
                tensor: info.name.clone(),
                expected: expected.iter().rev().copied().collect(),
                found: info.shape.dims().into(),
            });
        }
        let rows = (info.shape.rows() as usize).max(1);
        tensors.push(Tensor {
            name: info.name.clone(),
            source_name: info.name.clone(),
            shape: info.shape,
            ty: info.ty,
            row_map: RowMap::Identity,
            column_map: RowMap::Identity,
            data: Data::Mapped(View::new(
                vec![Piece {
                    map: map.clone(),
                    range: place.range.clone(),
                }],
                Steps::plain(rows, place.range.len() / rows),
            )),
        });
    }
    let is_missing = |name: &str| file.tensor(name).is_none();
    let missing = expected
        .iter()
        .find(|e| e.presence == Presence::Required && is_missing(&e.gguf));
    match missing {
        Some(missing) => Err(Error::MissingTensor {
            path: path.into(),
            tensor: missing.gguf.clone(),
            expected: missing.shape.iter().rev().copied().collect(),
        }),
        None => Ok(tensors),
    }
}

/// Puts fused tensors, where the file has them, in the place of the parts whose rows they hold.
fn fuse(expected: &mut Vec<Expected>, is_there: impl Fn(&str) -> bool) {
    let mut all: Vec<Expected> = Vec::with_capacity(expected.len());
    for part in expected.drain(..) {
        match aeolus_arch::fused_name(&part.gguf).filter(|name| is_there(name)) {
            None => all.push(part),
            Some(name) => match all.iter_mut().find(|e| e.gguf == name) {
                Some(fused) => {
                    let rows = part.shape.len().saturating_sub(2);
                    fused.shape[rows] += part.shape[rows];
                }
                None => all.push(Expected { gguf: name, ..part }),
            },
        }
    }
    *expected = all;
}

/// A tokenizer is there and has a token for every row of the embedding.
fn check_tokens(
    path: &Path,
    metadata: &Metadata<'static>,
    hyper: &Hyperparameters,
) -> Result<(), Error> {
    let tokens = metadata
        .array(TOKENS_KEY)
        .map_err(|error| Error::Metadata {
            path: path.into(),
            error,
        })?
        .ok_or_else(|| Error::NoTokenizer {
            path: path.into(),
            looked_for: TOKENS_KEY,
        })?;
    if tokens.strings().is_none() {
        // A file with it would be made, and no engine could read a text with it.
        let problem = format!("expected strings, found {}", tokens.element_type());
        return Err(Error::key(path, TOKENS_KEY, problem));
    }
    if tokens.len() != hyper.vocab() as usize {
        let (found, vocab) = (tokens.len(), hyper.vocab());
        let problem = format!("{found} tokens, but the vocabulary has {vocab}");
        return Err(Error::key(path, TOKENS_KEY, problem));
    }
    match metadata.get(MERGES_KEY) {
        None => Ok(()),
        Some(Value::Array(merges)) if merges.strings().is_some() => Ok(()),
        Some(_) => Err(Error::key(path, MERGES_KEY, "expected strings")),
    }
}

/// Replaces all `tokenizer.*` keys by those that say there is none.
fn remove_tokenizer(metadata: &mut Metadata<'static>) {
    let keys: Vec<String> = metadata
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer."))
        .map(|(key, _)| key.to_owned())
        .collect();
    for key in keys {
        metadata.remove(&key);
    }
    for (key, value) in Tokenizer::none().metadata.iter() {
        metadata.insert(key.to_owned(), value.clone());
    }
}

/// `general.name` as the start of a file name, else the file's own name without its ending.
fn name(path: &Path, metadata: &Metadata<'static>) -> String {
    let general = metadata.get(NAME_KEY).and_then(Value::as_str);
    if let Some(name) = general.and_then(output_name::from_text) {
        return name;
    }
    let shard = ShardName::parse(path);
    let stem = match &shard {
        Some(shard) => shard.prefix.file_name(),
        None => path.file_stem(),
    };
    stem.and_then(|stem| output_name::from_text(&stem.to_string_lossy()))
        .unwrap_or_else(|| "model".into())
}
