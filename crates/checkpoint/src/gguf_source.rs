//! A GGUF file as a checkpoint.

use crate::checkpoint::{Data, OpenOptions, QUANTIZATION_VERSION, Tensor, TokenizerMode};
use crate::config::SizeKeys;
use crate::error::Brief;
use crate::folder::ROPE_FREQS;
use crate::layout::{self, Biases, Presence};
use crate::metadata::{FILE_TYPE_KEY, MERGES_KEY, NAME_KEY, QUANTIZATION_VERSION_KEY};
use crate::tokenizer::{Tokenizer, TokenizerFacts};
use crate::{Checkpoint, Error, Hyperparameters, Limits, RowMap, names, output_name};
use aeolus_gguf::{Array, GgufFile, Metadata, ShardName, Value};
use std::collections::HashMap;
use std::path::Path;

/// Merges that are taken apart from the metadata.
const MAX_MERGES: usize = 1 << 20;
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";

/// Opens the file, and all others if it is one of several.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Checkpoint, Error> {
    let limits = &options.limits;
    let file = GgufFile::open_with(path, &limits.gguf)?;
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
    let mut hyper = reader.hyperparameters(&file, limits)?;
    reader.check_block_formats(&file)?;
    let tensors = tensors(path, &file, &hyper)?;
    hyper.tied_embeddings = file.tensor("output.weight").is_none();

    metadata.remove(FILE_TYPE_KEY);
    metadata.remove(QUANTIZATION_VERSION_KEY);
    let merges = match options.tokenizer {
        TokenizerMode::Required => {
            check_tokens(path, &metadata, &hyper)?;
            take_merges(path, &mut metadata)?
        }
        TokenizerMode::Skip => {
            remove_tokenizer(&mut metadata);
            None
        }
    };
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
        merges,
        endian: file.header().endian,
    })
}

/// Typed reading of the keys of one architecture.
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

    /// A size from 1 to `max`.
    fn size(&self, key: &str, max: u32) -> Result<Option<u32>, Error> {
        match self.u32(key)? {
            Some(found) if !(1..=max).contains(&found) => Err(self.error(
                key,
                format!("expected a whole number from 1 to {max}, found {found}"),
            )),
            size => Ok(size),
        }
    }

    fn required(&self, key: &str, max: u32) -> Result<u32, Error> {
        self.size(key, max)?
            .ok_or_else(|| self.error(key, "missing"))
    }

    /// A number above zero.
    fn positive(&self, key: &str) -> Result<Option<f32>, Error> {
        match self.metadata.f32(key).map_err(|error| self.wrong(error))? {
            Some(found) if !(found.is_finite() && found > 0.0) => {
                Err(self.error(key, format!("expected a number above 0, found {found}")))
            }
            number => Ok(number),
        }
    }

    fn hyperparameters(&self, file: &GgufFile, limits: &Limits) -> Result<Hyperparameters, Error> {
        const ARCHITECTURE: &str = "general.architecture";
        let architecture = self
            .metadata
            .str(ARCHITECTURE)
            .map_err(|error| self.wrong(error))?
            .ok_or_else(|| self.error(ARCHITECTURE, "missing"))?;
        if architecture != "llama" {
            let found = Brief(architecture);
            let problem = format!("\"{found}\" is not supported, only llama is");
            return Err(self.error(ARCHITECTURE, problem));
        }
        if let Some(experts) = self.u32("llama.expert_count")?.filter(|n| *n > 0) {
            let problem = format!("a mixture of {experts} experts is not supported");
            return Err(self.error("llama.expert_count", problem));
        }
        let dimension = limits.dimension;
        let hidden = self.required("llama.embedding_length", dimension)?;
        let heads = self.required("llama.attention.head_count", dimension)?;
        let kv_heads = self.size("llama.attention.head_count_kv", dimension)?;
        const HEAD_DIM: &str = "llama.attention.key_length";
        let head_dim = match self.size(HEAD_DIM, dimension)? {
            Some(head_dim) => head_dim,
            None if hidden % heads == 0 => hidden / heads,
            None => {
                let problem = format!("{hidden} is not a multiple of the {heads} heads");
                return Err(self.error("llama.embedding_length", problem));
            }
        };
        let value_dim = self.size("llama.attention.value_length", dimension)?;
        if let Some(value_dim) = value_dim.filter(|dim| *dim != head_dim) {
            return Err(self.error(
                "llama.attention.value_length",
                format!("{value_dim} differs from the {head_dim} of keys, which is not supported"),
            ));
        }
        const EPS: &str = "llama.attention.layer_norm_rms_epsilon";
        let hyper = Hyperparameters {
            architecture: architecture.into(),
            layers: self.required("llama.block_count", limits.layers)?,
            hidden,
            ff: self.required("llama.feed_forward_length", dimension)?,
            heads,
            kv_heads: kv_heads.unwrap_or(heads),
            head_dim,
            vocab: self.vocab(file, limits)?,
            context: self.required("llama.context_length", u32::MAX)?,
            norm_eps: self
                .positive(EPS)?
                .ok_or_else(|| self.error(EPS, "missing"))?,
            rope_theta: self.positive("llama.rope.freq_base")?.unwrap_or(10_000.0),
            // Until the tensors are known, the output may be the embedding.
            tied_embeddings: true,
        };
        let keys = SizeKeys {
            kv_heads: "llama.attention.head_count_kv",
            head_dim: HEAD_DIM,
        };
        hyper.check(&keys, limits, |key, problem| self.error(key, problem))?;
        Ok(hyper)
    }

    /// The vocabulary's size: the key, or, in files older than it, the rows of the embedding.
    fn vocab(&self, file: &GgufFile, limits: &Limits) -> Result<u32, Error> {
        const KEY: &str = "llama.vocab_size";
        if let Some(vocab) = self.size(KEY, limits.vocab)? {
            return Ok(vocab);
        }
        let rows = file
            .tensor("token_embd.weight")
            .map(|info| info.shape.rows());
        rows.and_then(|rows| u32::try_from(rows).ok())
            .filter(|rows| *rows <= limits.vocab)
            .ok_or_else(|| self.error(KEY, "missing, and no token_embd.weight says it"))
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
    let biases = Biases {
        attention: None,
        mlp: None,
    };
    let expected = layout::tensors(hyper, biases);
    let rope_freqs = vec![u64::from(hyper.head_dim / 2)];
    let mut shapes: HashMap<&str, &[u64]> = expected
        .iter()
        .map(|e| (e.gguf.as_str(), e.shape.as_slice()))
        .collect();
    shapes.insert(ROPE_FREQS, &rope_freqs);
    let mut tensors = Vec::new();
    for info in file.tensors() {
        let place = file.place(info);
        let map = &file.maps()[place.shard];
        let Some(expected) = shapes.get(info.name.as_str()) else {
            let problem = if names::to_hf(&info.name).is_none() {
                "no tensor of llama models has this name".into()
            } else {
                format!("the model has {} layers", hyper.layers)
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
        tensors.push(Tensor {
            name: info.name.clone(),
            source_name: info.name.clone(),
            shape: info.shape,
            ty: info.ty,
            row_map: RowMap::Identity,
            data: Data::Mapped {
                map: map.clone(),
                range: place.range.clone(),
            },
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
    if tokens.len() != hyper.vocab as usize {
        let (found, vocab) = (tokens.len(), hyper.vocab);
        let problem = format!("{found} tokens, but the vocabulary has {vocab}");
        return Err(Error::key(path, TOKENS_KEY, problem));
    }
    Ok(())
}

/// Takes the merges of a SentencePiece vocabulary out. For other vocabularies they are what the
/// tokenizer works by, and stay.
fn take_merges(
    path: &Path,
    metadata: &mut Metadata<'static>,
) -> Result<Option<Array<'static>>, Error> {
    let model = metadata.get("tokenizer.ggml.model").and_then(Value::as_str);
    let Some(Value::Array(merges)) = metadata.get(MERGES_KEY).filter(|_| model == Some("llama"))
    else {
        return Ok(None);
    };
    if merges.len() > MAX_MERGES {
        return Err(Error::Limit {
            path: path.into(),
            what: "merges",
            found: merges.len() as u64,
            limit: MAX_MERGES as u64,
        });
    }
    let strings = merges
        .strings()
        .ok_or_else(|| Error::key(path, MERGES_KEY, "expected strings"))?;
    let merges = Array::from_strings(strings);
    metadata.remove(MERGES_KEY);
    Ok(Some(merges))
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
