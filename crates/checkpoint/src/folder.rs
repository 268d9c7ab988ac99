//! A Hugging Face checkpoint folder as a checkpoint.

use crate::checkpoint::{Data, Forecastable, OpenOptions, Tensor, TensorFacts, TokenizerMode};
use crate::config::Config;
use crate::layout::{self, Biases, Expected, Presence};
use crate::shards::{self, ShardTensor};
use crate::tokenizer::{self, Tokenizer, TokenizerFacts};
use crate::{Checkpoint, Error, RowMap, metadata, names};
use ::safetensors::Dtype;
use aeolus_gguf::{Array, Endian, Metadata, Shape, ShapeError, TensorType};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// GGUF's name of the tensor of rotary frequency divisors.
pub(crate) const ROPE_FREQS: &str = "rope_freqs.weight";

/// Opens the folder.
pub(crate) fn open(folder: &Path, options: &OpenOptions) -> Result<Checkpoint, Error> {
    let config = Config::read(&folder.join("config.json"), &options.limits)?;
    let expected = layout(&config);
    let mut tensors = rope_freqs(&config, folder)?;
    tensors.extend(weights(folder, &config, &expected, options)?);
    let shapes = tensors.iter().map(|tensor| tensor.shape);
    let about = About::read(folder, &config, params(shapes), options)?;
    Ok(Checkpoint {
        name: about.name,
        tokenizer: TokenizerFacts::of(&about.metadata),
        metadata: about.metadata,
        hyper: config.hyper,
        tensors,
        merges: about.merges,
        endian: Endian::Little,
    })
}

/// The folder's facts without weights.
pub(crate) fn forecast(folder: &Path, options: &OpenOptions) -> Result<Forecastable, Error> {
    let config_path = folder.join("config.json");
    let config = Config::read(&config_path, &options.limits)?;
    let computed = rope_freqs(&config, folder)?;
    let mut tensors: Vec<TensorFacts> = computed.iter().map(Tensor::facts).collect();
    for expected in layout(&config) {
        if expected.presence == Presence::Required {
            let (shape, name) = (expected.shape, expected.hf);
            tensors.push(TensorFacts {
                name: expected.gguf,
                shape: Shape::from_hf(&shape).map_err(bad_shape(&config_path, &name))?,
                source_name: name,
                ty: config.source_type,
            });
        }
    }
    let shapes = tensors.iter().map(|tensor| tensor.shape);
    let about = About::read(folder, &config, params(shapes), options)?;
    Ok(Forecastable {
        name: about.name,
        tokenizer: TokenizerFacts::of(&about.metadata),
        metadata: about.metadata,
        hyper: config.hyper,
        tensors,
        merges: about.merges,
    })
}

/// Everything that is no tensor.
struct About {
    name: String,
    metadata: Metadata<'static>,
    merges: Option<Array<'static>>,
}

impl About {
    fn read(
        folder: &Path,
        config: &Config,
        params: u64,
        options: &OpenOptions,
    ) -> Result<Self, Error> {
        let OpenOptions { name, limits, .. } = options;
        let folder_name = match &options.folder_name {
            Some(name) => name.clone(),
            None => folder_name(folder)?,
        };
        let tokenizer = match options.tokenizer {
            TokenizerMode::Required => {
                tokenizer::read(folder, config.hyper.vocab, &config.token_ids, limits)?
            }
            TokenizerMode::Skip => Tokenizer::none(),
        };
        let name = name.as_deref();
        let mut metadata = metadata::model(folder, &folder_name, name, config, params, limits)?;
        for (key, value) in tokenizer.metadata.iter() {
            metadata.insert(key.to_owned(), value.clone());
        }
        Ok(Self {
            name: name.map_or(folder_name, str::to_owned),
            metadata,
            merges: tokenizer.merges,
        })
    }
}

/// The name of a folder, also of `.` and `..`.
fn folder_name(folder: &Path) -> Result<String, Error> {
    let name = match folder.file_name() {
        Some(name) => Some(name.to_os_string()),
        None => {
            let full = folder
                .canonicalize()
                .map_err(Error::io("resolve", folder))?;
            full.file_name().map(ToOwned::to_owned)
        }
    };
    let name = name.map(|name| name.to_string_lossy().into_owned());
    Ok(name.unwrap_or_else(|| "model".into()))
}

fn layout(config: &Config) -> Vec<Expected> {
    let biases = Biases {
        attention: Some(config.attention_bias),
        mlp: Some(config.mlp_bias),
    };
    layout::tensors(&config.hyper, biases)
}

/// Weights of all tensors together.
fn params(shapes: impl Iterator<Item = Shape>) -> u64 {
    shapes.fold(0, |sum, shape| sum.saturating_add(shape.elems()))
}

fn bad_shape<'a>(path: &'a Path, tensor: &'a str) -> impl FnOnce(ShapeError) -> Error + 'a {
    move |error| Error::UnexpectedTensor {
        path: path.into(),
        tensor: tensor.into(),
        problem: error.to_string(),
    }
}

/// The tensors of the shards, checked against what the model has.
fn weights(
    folder: &Path,
    config: &Config,
    expected: &[Expected],
    options: &OpenOptions,
) -> Result<Vec<Tensor>, Error> {
    let by_name: HashMap<&str, &Expected> = expected.iter().map(|e| (&*e.hf, e)).collect();
    let mut found: HashSet<&str> = HashSet::new();
    let mut tensors = Vec::new();
    for source in shards::open(folder, &options.limits)? {
        let name = &source.entry.name;
        if names::is_skipped(name) {
            continue;
        }
        let Some(expected) = by_name.get(name.as_str()) else {
            return Err(Error::UnexpectedTensor {
                path: source.map.path().into(),
                tensor: name.clone(),
                problem: why_unexpected(name, config),
            });
        };
        found.insert(&expected.hf);
        tensors.push(tensor(&source, expected)?);
    }
    let missing = expected
        .iter()
        .find(|e| e.presence == Presence::Required && !found.contains(&*e.hf));
    if let Some(missing) = missing {
        return Err(Error::MissingTensor {
            path: folder.into(),
            tensor: missing.hf.clone(),
            expected: missing.shape.clone(),
        });
    }
    Ok(tensors)
}

fn why_unexpected(name: &str, config: &Config) -> String {
    if names::to_gguf(name).is_none() {
        return "no tensor of Mistral or Llama models has this name".into();
    }
    format!(
        "config.json gives the model no such tensor (num_hidden_layers {}, attention_bias {}, \
         mlp_bias {})",
        config.hyper.layers, config.attention_bias, config.mlp_bias
    )
}

/// One tensor of a shard with the place that the model has for it.
fn tensor(source: &ShardTensor, expected: &Expected) -> Result<Tensor, Error> {
    let (entry, map) = (&source.entry, &source.map);
    let ty = match entry.dtype {
        Dtype::F32 => TensorType::F32,
        Dtype::F16 => TensorType::F16,
        Dtype::BF16 => TensorType::BF16,
        other => {
            return Err(Error::Dtype {
                path: map.path().into(),
                tensor: entry.name.clone(),
                found: format!("{other:?}"),
            });
        }
    };
    if entry.shape != expected.shape {
        return Err(Error::Shape {
            path: map.path().into(),
            tensor: entry.name.clone(),
            expected: expected.shape.clone(),
            found: entry.shape.clone(),
        });
    }
    let shape = Shape::from_hf(&entry.shape).map_err(bad_shape(map.path(), &entry.name))?;
    let mut data = Data::Mapped {
        map: map.clone(),
        range: entry.range.clone(),
    };
    let mut row_map = expected.row_map;
    if shape.dims().len() == 1 && row_map != RowMap::Identity {
        // The bias of a mapped tensor: its elements move, which no map over rows can say.
        let bytes = mapped_elements(&map[entry.range.clone()], ty.block_bytes(), row_map);
        data = Data::Owned(bytes);
        row_map = RowMap::Identity;
    }
    Ok(Tensor {
        name: expected.gguf.clone(),
        source_name: entry.name.clone(),
        shape,
        ty,
        row_map,
        data,
    })
}

/// Elements of `size` bytes in the order of a map.
fn mapped_elements(bytes: &[u8], size: usize, map: RowMap) -> Arc<[u8]> {
    let elements: Vec<&[u8]> = bytes.chunks_exact(size).collect();
    let moved = (0..elements.len()).map(|i| elements[map.source_row(i)]);
    moved.collect::<Vec<_>>().concat().into()
}

/// The tensor of frequency divisors for models whose rope scaling is one.
fn rope_freqs(config: &Config, folder: &Path) -> Result<Vec<Tensor>, Error> {
    let hyper = &config.hyper;
    let divisors = config
        .rope_scaling
        .frequency_divisors(hyper.rope_theta, hyper.head_dim);
    let Some(divisors) = divisors else {
        return Ok(Vec::new());
    };
    let bytes: Vec<u8> = divisors.iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(vec![Tensor {
        name: ROPE_FREQS.into(),
        source_name: "rope_scaling".into(),
        shape: Shape::from_hf(&[divisors.len() as u64]).map_err(bad_shape(folder, ROPE_FREQS))?,
        ty: TensorType::F32,
        row_map: RowMap::Identity,
        data: Data::Owned(bytes.into()),
    }])
}
