//! The weights of a checkpoint folder: which of its files they are, and what each tensor becomes.

use crate::assembly::Assembly;
use crate::checkpoint::{OpenOptions, Tensor};
use crate::config::Config;
use crate::error::Brief;
use crate::foreign;
use crate::layout::{self, Expected};
use crate::notes::Notes;
use crate::shards::{self, FileSet, INDEX, Index, Listing, SINGLE, ShardTensor};
use crate::wrapping::Wrapping;
use crate::{Error, names};
use ::safetensors::Dtype;
use aeolus_arch::{Field, Presence};
use aeolus_gguf::TensorType;
use std::collections::BTreeMap;
use std::path::Path;

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
        layout::check_count(self.expected, folder, &self.options.limits)?;
        let mut assembly = Assembly::new(self.expected);
        let kept = || {
            let kept = |(_, source): &(usize, &ShardTensor)| !names::is_skipped(&source.entry.name);
            sources.iter().enumerate().filter(kept)
        };
        let wrapping = Wrapping::of(
            config.hyper.family(),
            kept().map(|(_, source)| &*source.entry.name),
        );
        let mut left_out: Vec<&str> = Vec::new();
        let mut predicting: Vec<&str> = Vec::new();
        // Those of the same kind that have names of their own.
        let mut apart: Vec<&str> = Vec::new();
        let mut doubles: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
        for (at, source) in kept() {
            let (name, path) = (&source.entry.name, source.map.path());
            let plain = wrapping.plain(name);
            let taken = match plain
                .as_ref()
                .map(|plain| assembly.take(plain, at, sources))
            {
                Some(Ok(true)) => Ok(()),
                Some(Err(error)) => Err(error),
                Some(Ok(false)) | None => {
                    if plain.as_ref().is_some_and(|plain| config.predicts(plain)) {
                        predicting.push(name);
                        continue;
                    }
                    if names::is_predicting(name) && config.hyper.has(Field::DeltaHeads) {
                        apart.push(name);
                        continue;
                    }
                    if config.multimodal.is_some() && wrapping.is_outside(name) {
                        left_out.push(name);
                        continue;
                    }
                    Err(Error::UnexpectedTensor {
                        path: path.into(),
                        tensor: name.clone(),
                        problem: why_unexpected(plain.as_deref().unwrap_or(name), config),
                    })
                }
            };
            // Blocks that the family knows are no other program's.
            let is_packed = plain
                .as_ref()
                .is_some_and(|plain| assembly.is_packed(plain));
            taken.map_err(|error| match is_packed {
                true => error,
                false => foreign::explain(sources, config, &folder.join("config.json"), error),
            })?;
            if source.entry.dtype == Dtype::F64 {
                doubles.entry(path).or_default().push(name);
            }
        }
        let mut tensors = assembly.tensors(folder, sources)?;
        self.check_missing(&assembly, &wrapping, notes)?;
        self.drop_copy(&mut tensors, notes)?;
        let note = match &config.multimodal {
            Some(class) => Some(wrapping.note_multimodal(&Brief(class).to_string(), &left_out)),
            None => wrapping.note(),
        };
        if let Some(note) = note {
            notes.add(folder, note);
        }
        if let Some(first) = predicting.first() {
            let count = predicting.len();
            notes.add(
                folder,
                format_args!(
                    "the block that predicts a second token is left out: {count} tensors, {first} \
                     among them; --mtp keeps it"
                ),
            );
        }
        if let Some(first) = apart.first() {
            let count = apart.len();
            let architecture = config.hyper.family().architecture;
            notes.add(
                folder,
                format_args!(
                    "the block that predicts a second token is left out: {count} tensors, {first} \
                     among them; for {architecture} it cannot be kept"
                ),
            );
        }
        for (path, names) in doubles {
            notes.add(path, f64_note(&names));
        }
        let packed = tensors
            .iter()
            .filter(|tensor| tensor.ty == TensorType::MXFP4)
            .count();
        if packed > 0 {
            notes.add(
                folder,
                format_args!(
                    "{packed} tensors are MXFP4 in the checkpoint, and stay it in files of any float \
                     type: the same codes and scales, without loss"
                ),
            );
        }
        if config.tied_embeddings && unties(&tensors) {
            notes.add(
                folder,
                "lm_head.weight differs from the embedding though config.json ties them \
                 (tie_word_embeddings): it is written as the output; the framework would use the \
                 embedding",
            );
        }
        if let Some(method) = config.quantization.as_ref().filter(|_| packed == 0) {
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
        found: &Assembly<'_>,
        wrapping: &Wrapping,
        notes: &Notes,
    ) -> Result<(), Error> {
        let missing = |e: &&Expected| !found.has(e);
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
                tensor: lost.stored[0].name(0),
                expected: lost.stored[0].shape.clone(),
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
    if (output.ty, output.shape) != (embedding.ty, embedding.shape) {
        return false;
    }
    let all = output.shape.rows() as usize;
    let count = (COMPARED / output.row_bytes().max(1)).clamp(1, all);
    let differ = |rows: std::ops::Range<usize>| {
        let mut both = output.rows(rows.clone()).zip(embedding.rows(rows));
        both.any(|(a, b)| a != b)
    };
    differ(0..count) || differ(all - count..all)
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
