//! A Hugging Face checkpoint folder as a checkpoint.

use crate::checkpoint::{Data, Forecastable, OpenOptions, Tensor, TensorFacts, TokenizerMode};
use crate::config::Config;
use crate::error::bad_shape;
use crate::layout::{self, Expected, Presence};
use crate::model_name::Params;
use crate::notes::Notes;
use crate::tokenizer::{self, Tokenizer, TokenizerFacts};
use crate::weights::Wanted;
use crate::{Checkpoint, Error, Limits, RowMap, foreign, metadata};
use aeolus_gguf::{Array, Endian, Metadata, Shape, TensorType};
use std::collections::HashSet;
use std::path::Path;

/// Opens the folder.
pub(crate) fn open(folder: &Path, options: &OpenOptions) -> Result<Checkpoint, Error> {
    let notes = Notes::default();
    let config = read_config(folder, options, &notes)?;
    let mut tensors = rope_divisors(&config, folder)?;
    let expected = layout::of_config(&config);
    let wanted = Wanted {
        folder,
        config: &config,
        expected: &expected,
        options,
    };
    let weights = wanted.open(&notes)?;
    tensors.extend(weights.ok_or_else(|| foreign::no_weights(folder, &options.limits))?);
    let params = Params::of(tensors.iter().map(|tensor| (&*tensor.name, tensor.shape)));
    let about = About::read(folder, &config, &params, options, &notes)?;
    Ok(Checkpoint {
        name: about.name,
        tokenizer: TokenizerFacts::of(&about.metadata),
        metadata: about.metadata,
        hyper: config.hyper,
        tensors,
        merges: about.merges,
        endian: Endian::Little,
        notes: notes.into_vec(),
    })
}

/// The folder's facts: of its weights where they are there, else of the configuration alone.
pub(crate) fn forecast(folder: &Path, options: &OpenOptions) -> Result<Forecastable, Error> {
    let notes = Notes::default();
    let config = read_config(folder, options, &notes)?;
    let computed = rope_divisors(&config, folder)?;
    let mut tensors: Vec<TensorFacts> = computed.iter().map(Tensor::facts).collect();
    let expected = layout::of_config(&config);
    let wanted = Wanted {
        folder,
        config: &config,
        expected: &expected,
        options,
    };
    let weights = match wanted.open(&notes) {
        Err(error @ Error::MissingShard { .. }) => {
            let why = format_args!("forecast from config.json alone: {error}");
            notes.add(folder, why);
            None
        }
        weights => weights?,
    };
    match weights {
        Some(weights) => tensors.extend(weights.iter().map(Tensor::facts)),
        None => tensors.extend(promised(folder, &config, expected, &notes)?),
    }
    let params = Params::of(tensors.iter().map(|tensor| (&*tensor.name, tensor.shape)));
    let about = About::read(folder, &config, &params, options, &notes)?;
    Ok(Forecastable {
        name: about.name,
        tokenizer: TokenizerFacts::of(&about.metadata),
        metadata: about.metadata,
        hyper: config.hyper,
        tensors,
        merges: about.merges,
        notes: notes.into_vec(),
    })
}

/// The configuration, or what the folder is that has none.
fn read_config(folder: &Path, options: &OpenOptions, notes: &Notes) -> Result<Config, Error> {
    let path = folder.join("config.json");
    if !path.exists() {
        return Err(foreign::no_config(folder, &options.limits));
    }
    let config = Config::read(&path, &options.limits, notes)?;
    match options.predict_layers {
        true => config.with_predict_layers(&path, &options.limits),
        false => Ok(config),
    }
}

/// The tensors that the configuration promises.
fn promised(
    folder: &Path,
    config: &Config,
    expected: Vec<Expected>,
    notes: &Notes,
) -> Result<Vec<TensorFacts>, Error> {
    let path = folder.join("config.json");
    if let Some(method) = config.quantization.as_ref().filter(|_| !config.is_mxfp4()) {
        notes.add(
            &path,
            format_args!(
                "says that the weights are quantized ({method}): the sizes are those of files made \
                 from unquantized weights"
            ),
        );
    }
    let source_type = config.source_type(&path, notes);
    let promised = expected
        .into_iter()
        .filter(|e| !matches!(e.presence, Presence::Optional | Presence::Copy));
    promised
        .map(|expected| {
            let (shape, name) = (&expected.shape, &expected.hf);
            Ok(TensorFacts {
                shape: Shape::from_hf(shape).map_err(bad_shape(&path, name))?,
                ty: match config.is_mxfp4() && expected.can_be_packed() {
                    true => TensorType::MXFP4,
                    false => source_type,
                },
                source_name: expected.hf,
                name: expected.gguf,
            })
        })
        .collect()
}

/// The tensors that a checkpoint of the folder's configuration has, as they are usually stored: names
/// and shapes.
pub(crate) fn stored(folder: &Path, limits: &Limits) -> Result<Vec<(String, Shape)>, Error> {
    let path = folder.join("config.json");
    let config = Config::read(&path, limits, &Notes::default())?;
    let expected = layout::of_config(&config);
    layout::check_count(&expected, &path, limits)?;
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let left_out = |e: &&Expected| matches!(e.presence, Presence::Optional | Presence::Copy);
    for expected in expected.iter().filter(|e| !left_out(e)) {
        let stored = &expected.stored[0];
        for piece in 0..stored.pieces(expected) {
            let name = stored.name(piece);
            // Several tensors may be parts of one.
            if seen.insert(name.clone()) {
                let shape = Shape::from_hf(&stored.shape).map_err(bad_shape(&path, &name))?;
                all.push((name, shape));
            }
        }
    }
    Ok(all)
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
        params: &Params,
        options: &OpenOptions,
        notes: &Notes,
    ) -> Result<Self, Error> {
        let OpenOptions { name, limits, .. } = options;
        let folder_name = match &options.folder_name {
            Some(name) => name.clone(),
            None => folder_name(folder)?,
        };
        let tokenizer = match options.tokenizer {
            TokenizerMode::Required => {
                let wanted = tokenizer::Wanted {
                    vocab_size: config.hyper.vocab(),
                    config_ids: &config.token_ids,
                    special_tokens: config.hyper.family().special_tokens,
                    writes_space_prefix: config.hyper.family().writes_space_prefix,
                    pre: options.pre.as_deref(),
                    kind: config.hyper.family().tokenizer,
                };
                tokenizer::read(folder, wanted, limits, notes)?
            }
            TokenizerMode::Skip => Tokenizer::none(),
        };
        let name = name.as_deref();
        let mut metadata =
            metadata::model(folder, &folder_name, name, config, params, limits, notes);
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

/// The name of a folder, also of `.` and `..`. In the Hub's cache, where a folder has the name of a
/// commit, it is the model's.
fn folder_name(folder: &Path) -> Result<String, Error> {
    let full = folder
        .canonicalize()
        .map_err(Error::io("resolve", folder))?;
    let name = cached_name(&full)
        .or_else(|| {
            folder
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
        })
        .or_else(|| {
            full.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        });
    Ok(name.unwrap_or_else(|| "model".into()))
}

/// `name` of `models--owner--name/snapshots/COMMIT`.
fn cached_name(full: &Path) -> Option<String> {
    let snapshots = full
        .parent()
        .filter(|parent| parent.ends_with("snapshots"))?;
    let repository = snapshots.parent()?.file_name()?.to_str()?;
    let name = repository.strip_prefix("models--")?.rsplit("--").next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The tensors of frequency divisors for models whose rope scaling has such.
fn rope_divisors(config: &Config, folder: &Path) -> Result<Vec<Tensor>, Error> {
    let hyper = &config.hyper;
    let scaling = &config.rope_scaling;
    let divisors = scaling.divisors(hyper.rotary_base(), hyper.rotary_dims());
    let tensor = |(name, divisors): (&str, Vec<f32>)| {
        let bytes: Vec<u8> = divisors.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(Tensor {
            name: name.into(),
            source_name: "rope_scaling".into(),
            shape: Shape::from_hf(&[divisors.len() as u64]).map_err(bad_shape(folder, name))?,
            ty: TensorType::F32,
            row_map: RowMap::Identity,
            column_map: RowMap::Identity,
            data: Data::Owned(bytes.into()),
        })
    };
    divisors.into_iter().map(tensor).collect()
}
