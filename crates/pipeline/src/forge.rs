//! A run: what is there is found, what is missing made, and all of it named.

use crate::blocks::{self, Block};
use crate::journal::{self, Identity, Prefix};
use crate::partial::{self, PartialFile};
use crate::pass::{self, Pass};
use crate::recorder::Recorder;
use crate::tail::{self, Tail};
use crate::targets::{self, Target};
use crate::{Cancel, Error, Event, Output, Progress, room};
use aeolus_checkpoint::Checkpoint;
use aeolus_gguf::TensorType;
use aeolus_recipe::Vintage;
use aeolus_source::{FileId, Map, Sum, Sums};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Weights decoded at a time by one thread (at least one row): 256 KiB of f32, which stays in a
/// core's second-level cache while every target type reads it.
pub const TILE_WEIGHTS: usize = 64 << 10;

/// The most threads started for each core of the machine.
const THREADS_PER_CORE: usize = 4;

/// What the weights of quantized tensors are rounded to before they are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// f16, as in files made in two steps (convert to f16, then quantize).
    F16,
    /// Nothing: straight from the source.
    Source,
}

impl Via {
    /// What the tools of a vintage do: those of 2023 made f16 of bf16 checkpoints first.
    pub fn default_for(vintage: Vintage, source: TensorType) -> Self {
        if source == TensorType::BF16 && vintage.facts().through_f16 {
            Self::F16
        } else {
            Self::Source
        }
    }
}

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads; 0 means all cores.
    pub threads: usize,
    /// Rounding; `None` means [`Via::default_for`] each tensor's type.
    pub via: Option<Via>,
    /// Replace outputs that exist.
    pub force: bool,
    /// Encode tensors that are quantized already.
    pub allow_requantize: bool,
    /// The outputs are for this process alone: they are not hashed, and after a run that ends
    /// early nothing of them is kept.
    pub scratch: bool,
}

/// A finished output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex; `None` for scratch outputs.
    pub sha256: Option<String>,
}

/// Writes all `outputs` in one pass over `checkpoint`. Each output is a plan and the path of
/// its file, whose folder is made if it is missing; a `SHA256SUMS` there lists it in the end.
///
/// What an earlier run of the same outputs left unfinished is checked and gone on from.
///
/// # Errors
/// Before any work: outputs that exist, not enough room, types without a codec, a quantized
/// source without leave. During it: weights that are not finite or do not fit f16, failing
/// writes, a changed source, [`Error::Cancelled`]. No output has its name then. Failing writes, a
/// source that the system does not answer for and [`Error::Cancelled`] leave what is recorded for
/// another run, other errors leave nothing new.
pub fn run(
    checkpoint: &Checkpoint,
    outputs: &[(PathBuf, Output)],
    options: &Options,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Vec<Written>, Error> {
    let (paths, plans): (Vec<_>, Vec<_>) = outputs.iter().map(|(p, o)| (p, o.clone())).unzip();
    let targets = targets::collect(checkpoint, &plans, options.allow_requantize)?;
    room::check_targets(&paths, &plans, options.force)?;
    if !options.scratch {
        room::check_lists(&paths)?;
    }

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match options.threads {
        0 => cores,
        // More would only cut the blocks smaller.
        n => n.min(THREADS_PER_CORE * cores),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::Threads {
            threads,
            what: e.to_string(),
        })?;
    let run = Run {
        checkpoint,
        outputs,
        options,
        targets: &targets,
        progress,
        cancel,
        threads,
        pool: &pool,
    };
    let mut files = Vec::with_capacity(outputs.len());
    let known = match run.open(&mut files) {
        Ok(known) => known,
        Err(error) => {
            // Nothing was made yet: what is there is an earlier run's, and good.
            run.keep(&mut files);
            return Err(error);
        }
    };
    let made = run.make(&files, known);
    let made = made.and_then(|whole| run.name(&mut files).map(|()| whole));
    match made {
        Ok(whole) => run.end(files, whole),
        Err(error) => {
            if error.may_pass() {
                run.keep(&mut files);
            }
            Err(error)
        }
    }
}

struct Run<'a> {
    checkpoint: &'a Checkpoint,
    outputs: &'a [(PathBuf, Output)],
    options: &'a Options,
    targets: &'a [Vec<Target>],
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    threads: usize,
    pool: &'a rayon::ThreadPool,
}

impl Run<'_> {
    /// Opens all outputs, checks what is there of them, and begins to write. Gives what is there.
    fn open(&self, files: &mut Vec<PartialFile>) -> Result<Vec<Prefix>, Error> {
        let maps = self.checkpoint.tensors.iter().filter_map(|t| t.place());
        let sources: Vec<FileId> = maps.filter_map(|(map, _)| map.id()).collect();
        let headers: Vec<Vec<u8>> = self
            .outputs
            .iter()
            .map(|(_, output)| output.layout().encode_header())
            .collect();
        let identities: Vec<Option<Identity>> = (0..headers.len())
            .map(|i| (!self.options.scratch).then(|| self.identity(i, &headers[i])))
            .collect();
        let open = |i: usize| {
            let (path, output) = &self.outputs[i];
            PartialFile::open(&partial::Target {
                path,
                bytes: output.layout().file_bytes(),
                force: self.options.force,
                sources: &sources,
                identity: identities[i].as_ref(),
            })
        };
        for (i, (path, _)) in self.outputs.iter().enumerate() {
            room::make_folder(partial::folder_of(path))?;
            files.push(open(i)?);
        }
        let check =
            |(file, header): (&PartialFile, &Vec<u8>)| file.check(header.len() as u64, self.cancel);
        let checked: Vec<Option<Prefix>> = self.pool.install(|| {
            files
                .par_iter()
                .zip(&headers)
                .map(check)
                .collect::<Result<_, _>>()
        })?;
        let mut known = Vec::with_capacity(checked.len());
        for (i, prefix) in checked.into_iter().enumerate() {
            let (file, header) = (&mut files[i], &headers[i]);
            if prefix.is_none() {
                // A finished file that is another one than its journal tells of.
                partial::check_target(file.path(), self.options.force)?;
                file.disown();
                *file = open(i)?;
            }
            let mut prefix = prefix.unwrap_or_default();
            if let Some(why) = file.started_over(prefix.bytes) {
                let path = file.partial();
                self.progress.event(Event::StartedOver { path, why });
            } else if prefix.bytes > 0 {
                let (path, bytes, of) = (file.path(), prefix.bytes, file.bytes());
                self.progress.event(Event::Resumed { path, bytes, of });
            }
            file.begin(&prefix, header)?;
            if prefix.bytes == 0 {
                prefix.feed(header);
            }
            known.push(prefix);
        }
        Ok(known)
    }

    /// What an output's bytes depend on.
    fn identity(&self, index: usize, header: &[u8]) -> Identity {
        let tensors = &self.checkpoint.tensors;
        let (_, output) = &self.outputs[index];
        let digest = journal::hex(&Sha256::digest(header));
        let bytes = output.layout().file_bytes();
        let mut values = vec![
            ("program", env!("CARGO_PKG_VERSION").to_owned()),
            ("output", format!("{bytes} bytes, header {digest}")),
        ];
        let planned = tensors.iter().zip(&output.types().tensors);
        let quantized = planned.filter(|(_, planned)| planned.ty.is_quantized());
        let vintage = output.types().vintage;
        let via = |ty| self.options.via.unwrap_or(Via::default_for(vintage, ty));
        let mut via: Vec<&str> = quantized
            .map(|(tensor, _)| match via(tensor.ty) {
                Via::F16 => "f16",
                Via::Source => "source",
            })
            .collect();
        via.sort_unstable();
        via.dedup();
        values.push(("via", via.join(", ")));
        let mut last: Option<&Arc<Map>> = None;
        for tensor in tensors {
            match tensor.place() {
                // Tensors lie in the order of their files.
                Some((map, _)) if last.is_none_or(|last| !Arc::ptr_eq(last, map)) => {
                    values.push(("source", describe(map)));
                    last = Some(map);
                }
                Some(_) => {}
                None => {
                    let digest = journal::hex(&Sha256::digest(tensor.bytes()));
                    values.push(("computed", format!("{} {digest}", tensor.name)));
                }
            }
        }
        values.sort_by_key(|(name, _)| *name == "computed");
        Identity::new(values)
    }

    /// Makes what is missing; gives the whole outputs' hashes.
    fn make(&self, files: &[PartialFile], prefixes: Vec<Prefix>) -> Result<Vec<Prefix>, Error> {
        let known: Vec<u64> = prefixes.iter().map(|prefix| prefix.bytes).collect();
        let tensors = &self.checkpoint.tensors;
        let blocks: Vec<Block> = tensors
            .iter()
            .zip(self.targets)
            .enumerate()
            .flat_map(|(i, (tensor, targets))| {
                let types = targets.iter().map(|t| t.ty);
                blocks::cut(
                    i,
                    tensor.shape.rows(),
                    tensor.shape.cols(),
                    types,
                    self.threads,
                )
            })
            .filter(|block| {
                let i = block.tensor;
                pass::is_left(block, &tensors[i], &self.targets[i], &known)
            })
            .collect();
        let sizes = self.outputs.iter().map(|(_, o)| o.layout().file_bytes());
        self.progress.event(Event::Started {
            source_bytes: blocks
                .iter()
                .map(|block| pass::source_bytes(&tensors[block.tensor], block))
                .sum(),
            output_bytes: sizes.zip(&known).map(|(all, known)| all - known).sum(),
        });

        let lanes = if self.options.scratch {
            Vec::new()
        } else {
            prefixes
        };
        let tail = Tail::new(lanes, tail::in_flight(self.threads));
        let pass = Pass {
            checkpoint: self.checkpoint,
            targets: self.targets,
            blocks: &blocks,
            files,
            known: &known,
            tail: &tail,
            via: self.options.via,
            // All outputs of a run have one recipe.
            vintage: self.outputs[0].1.types().vintage,
            ahead: 2 * self.threads,
            progress: self.progress,
            cancel: self.cancel,
            next: AtomicUsize::new(0),
            failure: Mutex::new(None),
        };
        let recorder = Recorder::default();
        std::thread::scope(|scope| {
            let _end = EndOnDrop(&recorder);
            if !self.options.scratch {
                scope.spawn(|| {
                    let verify = || Ok(self.checkpoint.verify_unchanged()?);
                    let recorded = recorder.run(files, &tail, verify);
                    recorded.map_err(|error| pass.fail(error))
                });
            }
            self.pool.broadcast(|_| pass.work());
        });
        let failure = pass.failure.into_inner();
        if let Some(error) = failure.unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        self.checkpoint.verify_unchanged()?;

        // All are whole before the first gets its name.
        let mut whole = tail.prefixes();
        for (i, file) in files.iter().enumerate() {
            if let Some(prefix) = whole.get_mut(i) {
                prefix.feed_zeros(file.bytes());
            }
            file.finish(whole.get(i))?;
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
        }
        Ok(whole)
    }

    fn name(&self, files: &mut [PartialFile]) -> Result<(), Error> {
        let all = files.len();
        for (named, file) in files.iter_mut().enumerate() {
            file.name().map_err(|error| Error::Rename {
                path: file.path().into(),
                error,
                named,
                all,
            })?;
        }
        Ok(())
    }

    /// Lists digests and removes journals.
    fn end(&self, files: Vec<PartialFile>, whole: Vec<Prefix>) -> Result<Vec<Written>, Error> {
        let mut written = Vec::with_capacity(files.len());
        for (i, file) in files.iter().enumerate() {
            let (path, bytes) = (file.path(), file.bytes());
            self.progress.event(Event::FileDone { path, bytes });
            let digest = whole.get(i).map(|prefix| prefix.record().sha256);
            written.push(Written {
                path: path.into(),
                bytes,
                sha256: digest.map(|digest| journal::hex(&digest)),
            });
        }
        list(&written)?;
        files.into_iter().for_each(PartialFile::forget);
        Ok(written)
    }

    /// Leaves for another run what is worth it.
    fn keep(&self, files: &mut [PartialFile]) {
        let (mut count, mut bytes, mut folder) = (0, 0, None);
        for (file, (_, output)) in files.iter_mut().zip(self.outputs) {
            // A header alone is made as fast as it is read.
            if file.recorded() > output.layout().data_offset() {
                file.keep();
                count += 1;
                bytes += file.recorded();
                folder.get_or_insert_with(|| partial::folder_of(file.path()).to_owned());
            }
        }
        if let Some(folder) = &folder {
            self.progress.event(Event::Kept {
                folder,
                files: count,
                bytes,
            });
        }
    }
}

/// Ends the recorder, also when a worker panics.
struct EndOnDrop<'a>(&'a Recorder);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A file of the source in a line.
fn describe(map: &Map) -> String {
    let name = map.path().file_name().unwrap_or_default().to_string_lossy();
    let modified = map
        .modified()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or("at an unknown time".into(), |at| {
        format!("{}.{:09}", at.as_secs(), at.subsec_nanos())
    });
    format!("{name}, {} bytes, modified {modified}", map.len())
}

/// Adds the outputs' digests to the lists of their folders.
fn list(written: &[Written]) -> Result<(), Error> {
    let mut folders: Vec<(&Path, Vec<Sum>)> = Vec::new();
    for output in written {
        let name = output.path.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(sha256)) = (name, output.sha256.clone()) else {
            continue;
        };
        let (folder, name) = (partial::folder_of(&output.path), name.to_owned());
        let sum = Sum { name, sha256 };
        match folders.iter_mut().find(|(f, _)| *f == folder) {
            Some((_, sums)) => sums.push(sum),
            None => folders.push((folder, vec![sum])),
        }
    }
    for (folder, sums) in folders {
        Sums::add(folder, &sums).map_err(Error::system)?;
    }
    Ok(())
}
