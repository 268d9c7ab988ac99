//! The weights of a checkpoint folder: which of its files they are, and what each tensor becomes.

use crate::checkpoint::{Data, OpenOptions, Tensor};
use crate::config::Config;
use crate::error::Brief;
use crate::foreign;
use crate::layout::{self, Expected};
use crate::notes::Notes;
use crate::shards::{self, FileSet, INDEX, Index, Listing, SINGLE, ShardTensor};
use crate::wrapping::Wrapping;
use crate::{Error, RowMap, names};
use ::safetensors::Dtype;
use aeolus_arch::{Presence, Values};
use aeolus_gguf::{Shape, ShapeError, TensorType};
use aeolus_quant::DecodeError;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// What the weights have to be.
pub(crate) struct Wanted<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) config: &'a Config,
    /// The tensors that the configuration gives the model.
    pub(crate) expected: &'a [Expected],
    pub(crate) options: &'a OpenOptions,
}

impl Wanted<'_> {
    /// The tensors of the folder: those of the files that its index names, or else of the first
    /// files that hold the whole model and nothing else. `None` without any file that may.
    ///
    /// # Errors
    /// Where nothing is whole, what is wrong with the files that the folder itself names.
    pub(crate) fn open(&self, notes: &Notes) -> Result<Option<Vec<Tensor>>, Error> {
        let Self {
            folder, options, ..
        } = *self;
        let listing = Listing::read(folder)?;
        let index_path = folder.join(INDEX);
        let mut problem: Option<Error> = None;
        let mut stale_index = None;
        let mut sets = listing.sets.clone();
        if let Some(index) = Index::read(&index_path, &options.limits)? {
            match self.open_indexed(&index, notes) {
                Ok((set, tensors)) => {
                    self.note_unused(&listing, &set, notes);
                    return Ok(Some(tensors));
                }
                Err(error) if is_about_the_set(&error) => {
                    // The same files, whatever the index says of them.
                    sets.splice(0..0, shards::indexed(folder, &index));
                    stale_index = Some(within(folder, &error));
                    problem = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        for set in &sets {
            let sources = set.open(folder, &options.limits);
            let fits = sources.and_then(|sources| {
                self.fit(&sources, &Notes::default())?;
                Ok(sources)
            });
            match fits {
                Ok(sources) => {
                    if let Some(why) = stale_index {
                        notes.add(
                            &index_path,
                            format_args!(
                                "does not describe the files beside it, likely left from an earlier \
                                 save ({why}); {} used, by the headers of the files themselves",
                                verb(set)
                            ),
                        );
                    } else if let Some(problem) = problem {
                        let why = within(folder, &problem);
                        notes.add(folder, format_args!("{} used, since {why}", verb(set)));
                    } else if set.0 != [SINGLE] {
                        notes.add(
                            folder,
                            format_args!(
                                "no {INDEX} and no {SINGLE}: {} used, by the headers of the files \
                                 themselves",
                                verb(set)
                            ),
                        );
                    }
                    self.note_unused(&listing, set, notes);
                    return self.fit(&sources, notes).map(Some);
                }
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        match (problem, listing.incomplete) {
            (Some(problem), _) => Err(problem),
            (None, Some((missing, found))) => {
                let path = folder.join(missing);
                let why = match std::fs::read_link(&path) {
                    Ok(target) => shards::link_to_nothing(&target),
                    Err(_) => format!("found {}; all of them are needed", found.describe()),
                };
                Err(Error::MissingShard { path, why })
            }
            (None, None) => Ok(None),
        }
    }

    /// The files that the index names, where they are all that it says.
    fn open_indexed(&self, index: &Index, notes: &Notes) -> Result<(FileSet, Vec<Tensor>), Error> {
        let set = shards::indexed(self.folder, index)?;
        let sources = set.open(self.folder, &self.options.limits)?;
        index.check(&sources)?;
        let tensors = self.fit(&sources, notes)?;
        Ok((set, tensors))
    }

    /// Names the files with weights that are left aside.
    fn note_unused(&self, listing: &Listing, used: &FileSet, notes: &Notes) {
        let unused: Vec<String> = listing
            .unused(used)
            .into_iter()
            .map(str::to_owned)
            .collect();
        if !unused.is_empty() {
            notes.add(
                self.folder,
                format_args!(
                    "other safetensors files are not used: {}; used: {}",
                    FileSet(unused).describe(),
                    used.describe()
                ),
            );
        }
        if let Some(adapter) = foreign::adapter(self.folder, &self.options.limits) {
            notes.add(
                self.folder,
                format_args!("{adapter} is beside the weights and is not merged into them"),
            );
        }
    }

    /// The tensors of some files, each with the place that the model has for it.
    fn fit(&self, sources: &[ShardTensor], notes: &Notes) -> Result<Vec<Tensor>, Error> {
        let (folder, config) = (self.folder, self.config);
        let by_name: HashMap<&str, &Expected> = self.expected.iter().map(|e| (&*e.hf, e)).collect();
        let kept = || {
            let kept = |source: &&ShardTensor| !names::is_skipped(&source.entry.name);
            sources.iter().filter(kept)
        };
        let wrapping = Wrapping::of(
            config.hyper.family(),
            kept().map(|source| &*source.entry.name),
        );
        let mut found: HashMap<&str, &Path> = HashMap::new();
        let mut tensors = Vec::new();
        let mut left_out: Vec<&str> = Vec::new();
        let mut doubles: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
        for source in kept() {
            let (name, path) = (&source.entry.name, source.map.path());
            let plain = wrapping.plain(name);
            let expected = plain.as_ref().and_then(|plain| by_name.get(&**plain));
            let tensor = match expected {
                Some(expected) => tensor(source, expected),
                None if config.multimodal.is_some() && wrapping.is_outside(name) => {
                    left_out.push(name);
                    continue;
                }
                None => Err(Error::UnexpectedTensor {
                    path: path.into(),
                    tensor: name.clone(),
                    problem: why_unexpected(plain.as_deref().unwrap_or(name), config),
                }),
            };
            let tensor = tensor.map_err(|error| {
                foreign::explain(sources, config, &folder.join("config.json"), error)
            })?;
            if let Some(expected) = expected
                && let Some(first) = found.insert(&expected.hf, path)
            {
                return Err(Error::DuplicateTensor {
                    tensor: expected.hf.clone(),
                    first: first.into(),
                    second: path.into(),
                });
            }
            if tensor.ty == TensorType::F64 {
                doubles.entry(path).or_default().push(name);
            }
            tensors.push(tensor);
        }
        self.check_missing(&found, &wrapping, notes)?;
        self.drop_copy(&mut tensors, notes)?;
        let note = match &config.multimodal {
            Some(class) => Some(wrapping.note_multimodal(&Brief(class).to_string(), &left_out)),
            None => wrapping.note(),
        };
        if let Some(note) = note {
            notes.add(folder, note);
        }
        for (path, names) in doubles {
            notes.add(path, f64_note(&names));
        }
        if config.tied_embeddings && unties(&tensors) {
            notes.add(
                folder,
                "lm_head.weight differs from the embedding though config.json ties them \
                 (tie_word_embeddings): it is written as the output; the framework would use the \
                 embedding",
            );
        }
        if let Some(method) = &config.quantization {
            notes.add(
                &folder.join("config.json"),
                format_args!(
                    "says that the weights are quantized ({method}), but all of them are floats of \
                     the model's own shapes: they are read as unquantized"
                ),
            );
        }
        Ok(tensors)
    }

    /// Takes out an output that is the embedding once more, where the family's files have none.
    fn drop_copy(&self, tensors: &mut Vec<Tensor>, notes: &Notes) -> Result<(), Error> {
        let is_copy = |e: &&Expected| e.presence == layout::Presence::Copy;
        let Some(copy) = self.expected.iter().find(is_copy) else {
            return Ok(());
        };
        let Some(at) = tensors.iter().position(|tensor| tensor.name == copy.gguf) else {
            return Ok(());
        };
        let name = &tensors[at].source_name;
        if unties(tensors) {
            let architecture = self.config.hyper.family().architecture;
            let problem = format!(
                "tensor {name} differs from the embedding, and the {architecture} architecture of \
                 GGUF has no place for an output of its own"
            );
            return Err(Error::unsupported(self.folder, problem));
        }
        let message =
            format!("{name} is the embedding once more, which serves as the output: left out");
        notes.add(self.folder, message);
        tensors.remove(at);
        Ok(())
    }

    /// Checks that what the model cannot do without was found.
    fn check_missing(
        &self,
        found: &HashMap<&str, &Path>,
        wrapping: &Wrapping,
        notes: &Notes,
    ) -> Result<(), Error> {
        let missing = |e: &&Expected| !found.contains_key(&*e.hf);
        // Biases by their module, the layer apart: in how many layers each is.
        let mut declared: BTreeMap<&str, (u32, Option<&Expected>)> = BTreeMap::new();
        for expected in self
            .expected
            .iter()
            .filter(|e| e.presence == layout::Presence::Declared)
        {
            let (there, absent) = declared
                .entry(self.config.hyper.family().without_layer(&expected.hf))
                .or_default();
            match missing(&expected) {
                true => *absent = absent.or(Some(expected)),
                false => *there += 1,
            }
        }
        let required = |e: &&Expected| e.presence == layout::Presence::Required;
        let partly = declared.values().filter(|(there, _)| *there > 0);
        let lost = self
            .expected
            .iter()
            .filter(required)
            .filter(missing)
            .chain(partly.filter_map(|(_, absent)| *absent))
            .next();
        if let Some(lost) = lost {
            if lost.hf.starts_with(self.config.hyper.family().output()) && wrapping.is_headless() {
                return Err(Error::NotACheckpoint {
                    path: self.folder.into(),
                    problem: format!(
                        "saved without its output head: tensor names lack the prefix {} and there \
                         is no {}, as AutoModel saves them. Load the model it was made from with \
                         AutoModelForCausalLM, put these weights in, and save that",
                        self.config.hyper.family().names.backbone,
                        lost.hf
                    ),
                });
            }
            return Err(Error::MissingTensor {
                path: self.folder.into(),
                tensor: lost.hf.clone(),
                expected: lost.shape.clone(),
            });
        }
        let none: Vec<&str> = declared
            .iter()
            .filter(|(_, (there, _))| *there == 0)
            .map(|(module, _)| *module)
            .collect();
        if !none.is_empty() {
            notes.add(
                &self.folder.join("config.json"),
                format_args!(
                    "declares biases that no layer has ({}): taken as zero, and left out",
                    none.join(", ")
                ),
            );
        }
        Ok(())
    }
}

/// Whether the output is another matrix than the embedding, by the beginnings and ends of both.
fn unties(tensors: &[Tensor]) -> bool {
    const COMPARED: usize = 64 << 10;
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    let (Some(output), Some(embedding)) = (find("output.weight"), find("token_embd.weight")) else {
        return false;
    };
    let (a, b) = (output.bytes(), embedding.bytes());
    let compared = COMPARED.min(a.len()).min(b.len());
    (output.ty, output.shape) == (embedding.ty, embedding.shape)
        && (a[..compared] != b[..compared] || a[a.len() - compared..] != b[b.len() - compared..])
}

/// What is wrong with a set of files as a set, so that another may be the right one.
fn is_about_the_set(error: &Error) -> bool {
    matches!(
        error,
        Error::Index { .. }
            | Error::MissingShard { .. }
            | Error::DuplicateTensor { .. }
            | Error::MissingTensor { .. }
            | Error::UnexpectedTensor { .. }
            | Error::Shape { .. }
            | Error::Dtype { .. }
            | Error::Key { .. }
            | Error::NotACheckpoint { .. }
            | Error::Unsupported { .. }
    )
}

/// A message without the folder before its path.
fn within(folder: &Path, error: &Error) -> String {
    let (message, folder) = (error.to_string(), format!("{}/", folder.display()));
    let message = message.replace(&folder, "");
    let index = format!("{INDEX}: ");
    message.strip_prefix(&index).unwrap_or(&message).to_owned()
}

fn verb(set: &FileSet) -> String {
    let be = if set.0.len() == 1 { "is" } else { "are" };
    format!("{} {be}", set.describe())
}

/// What is done with tensors of doubles.
pub(crate) fn f64_note(names: &[&str]) -> String {
    let more = match names.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more tensors", n - 1),
    };
    let first = names.first().copied().unwrap_or_default();
    format!("{first}{more} in F64: rounded to F32, since no file type holds doubles")
}

fn why_unexpected(name: &str, config: &Config) -> String {
    let family = config.hyper.family();
    let Some(line) = family.line_of_hf(name) else {
        return format!("no tensor of {} models has this name", family.architecture);
    };
    let layers = config.hyper.layers();
    match line.presence {
        Presence::Bias(Some(key)) if !config.declares_bias(Some(key)) => format!(
            "config.json declares no such bias ({key} false), so that the framework would leave it \
             out; set {key} to true there if the model was trained with it"
        ),
        _ => format!("config.json gives the model no such tensor (num_hidden_layers {layers})"),
    }
}

/// One tensor of a shard with the place that the model has for it.
fn tensor(source: &ShardTensor, expected: &Expected) -> Result<Tensor, Error> {
    let (entry, map) = (&source.entry, &source.map);
    let ty = match entry.dtype {
        Dtype::F64 => TensorType::F64,
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
    let (mut row_map, mut ty) = (expected.row_map, ty);
    if shape.dims().len() == 1 && row_map != RowMap::Identity {
        // The bias of a mapped tensor: its elements move, which no map over rows can say.
        let bytes = mapped_elements(&map[entry.range.clone()], ty.block_bytes(), row_map);
        data = Data::Owned(bytes);
        row_map = RowMap::Identity;
    }
    if expected.values == Values::PlusOne {
        let sums = plus_one(&map[entry.range.clone()], ty).map_err(|error| {
            let what = format!("tensor {}: {error}", entry.name);
            Error::unsupported(map.path(), what)
        });
        data = Data::Owned(sums?);
        ty = TensorType::F32;
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

/// A vector's numbers as F32, each larger by 1.
fn plus_one(bytes: &[u8], ty: TensorType) -> Result<Arc<[u8]>, DecodeError> {
    let count = bytes.len() / ty.block_bytes();
    let mut numbers = vec![0.0; count];
    aeolus_quant::decode_rows(ty, bytes, count, &mut numbers)?;
    let sums = numbers.iter().flat_map(|x| (x + 1.0).to_le_bytes());
    Ok(sums.collect::<Vec<u8>>().into())
}

/// Elements of `size` bytes in the order of a map.
fn mapped_elements(bytes: &[u8], size: usize, map: RowMap) -> Arc<[u8]> {
    let elements: Vec<&[u8]> = bytes.chunks_exact(size).collect();
    let moved = (0..elements.len()).map(|i| elements[map.source_row(i)]);
    moved.collect::<Vec<_>>().concat().into()
}

pub(crate) fn bad_shape<'a>(
    path: &'a Path,
    tensor: &'a str,
) -> impl FnOnce(ShapeError) -> Error + 'a {
    move |error| Error::UnexpectedTensor {
        path: path.into(),
        tensor: tensor.into(),
        problem: error.to_string(),
    }
}
