//! A run: what is there is checked, what is missing made, and all of it named.

use crate::blocks::{self, Block};
use crate::output_file::{OutputFile, Wanted};
use crate::pass::{self, Pass};
use crate::prefix::{Prefix, Record};
use crate::recorder::Recorder;
use crate::tail::{self, Tail};
use crate::targets::{self, Target};
use crate::tensor_error::{Collected, worst_first};
use crate::{Cancel, Error, ErrorSums, Event, Output, Progress, Sum, Sums, TensorError, preflight};
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::TensorType;
use aeolus_job::{Identity, Log, Names, folder_of};
use aeolus_recipe::Vintage;
use aeolus_source::{FileId, Map, hex};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
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
    /// Measure each tensor's error while it is encoded.
    pub errors: bool,
}

/// A finished output.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex; `None` for scratch outputs.
    pub sha256: Option<String>,
    /// The errors of its tensors, the worst first, if they were asked for. `None` also where a run
    /// continued from what another had left: that part was not encoded by this one.
    pub errors: Option<Vec<TensorError>>,
}

/// Writes all `outputs` in one pass over `checkpoint`. Each output is a plan and the path of
/// its file, whose folder is made if it is missing; a `SHA256SUMS` there lists it in the end.
///
/// What an earlier run of the same outputs left unfinished is checked and continued.
///
/// # Errors
/// Before any work: outputs that exist, too little disk space, types without a codec, a quantized
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
    let targets = targets::collect(checkpoint, &plans, options.allow_requantize, options.via)?;
    preflight::check_targets(&paths, &plans, options.force)?;
    if !options.scratch {
        preflight::check_lists(&paths)?;
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
    let maps = checkpoint.maps().into_iter();
    let sources: Vec<FileId> = maps.filter_map(|map| map.id()).collect();
    let wanted: Vec<Wanted<'_>> = outputs.iter().map(|o| run.wanted(o, &sources)).collect();
    let written = run.make(&wanted);
    if written.is_err() {
        run.tell_what_is_kept(&wanted);
    }
    written
}

/// What [`Run::write`] gives.
type Made = (Vec<Prefix>, Option<Vec<Vec<ErrorSums>>>);

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

impl<'a> Run<'a> {
    fn wanted(&self, (path, output): &'a (PathBuf, Output), sources: &'a [FileId]) -> Wanted<'a> {
        let header = output.layout().encode_header();
        Wanted {
            path,
            identity: (!self.options.scratch).then(|| self.identity(output, &header)),
            header,
            bytes: output.layout().file_bytes(),
            replace: self.options.force,
            sources,
        }
    }

    /// What an output's bytes depend on.
    fn identity(&self, output: &Output, header: &[u8]) -> Identity {
        let tensors = &self.checkpoint.tensors;
        let digest = hex(&Sha256::digest(header));
        let bytes = output.layout().file_bytes();
        let mut identity = Identity::new([
            ("program", env!("CARGO_PKG_VERSION").to_owned()),
            ("output", format!("{bytes} bytes, header {digest}")),
        ]);
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
        identity.push("via", via.join(", "));
        if let Some(guide) = output.guide() {
            identity.push("importance", hex(guide.sha256()));
        }
        if let Some(codes) = output.codes() {
            identity.push("codes", codes.identity());
        }
        for map in self.checkpoint.maps() {
            identity.push("source", describe(map));
        }
        for tensor in tensors {
            if let Some(bytes) = tensor.computed() {
                let digest = hex(&Sha256::digest(bytes));
                identity.push("computed", format!("{} {digest}", tensor.name));
            }
        }
        identity
    }

    /// From what is there to files with their names, in one direction.
    fn make(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Written>, Error> {
        let files = wanted.iter().map(|wanted| {
            preflight::make_folder(folder_of(wanted.path))?;
            OutputFile::open(wanted)
        });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let checked = || {
            let checks = files.into_par_iter().map(|file| file.check(self.cancel));
            checks.collect::<Result<_, _>>()
        };
        let mut files: Vec<OutputFile<'_>> = self.pool.install(checked)?;
        let (whole, errors) = match self.write(&mut files) {
            Ok(made) => made,
            Err(error) => {
                if !error.may_pass() {
                    files.into_iter().for_each(OutputFile::discard);
                }
                return Err(error);
            }
        };
        let all = files.len();
        for (named, file) in files.iter_mut().enumerate() {
            file.name().map_err(|error| Error::Rename {
                path: file.wanted.path.into(),
                error,
                named,
                all,
            })?;
        }
        let written: Vec<Written> = wanted
            .iter()
            .enumerate()
            .map(|(i, wanted)| Written {
                path: wanted.path.into(),
                bytes: wanted.bytes,
                sha256: whole.get(i).map(Prefix::sha256),
                errors: errors.as_ref().map(|sums| self.errors(i, sums)),
            })
            .collect();
        for output in &written {
            let name = &output.path.to_string_lossy();
            self.progress.event(Event::Done { name });
        }
        list(&written)?;
        files.into_iter().for_each(OutputFile::forget);
        Ok(written)
    }

    /// The errors of an output's tensors, from the sums of each tensor's targets.
    fn errors(&self, output: usize, sums: &[Vec<ErrorSums>]) -> Vec<TensorError> {
        let layout = self.outputs[output].1.layout().tensors().iter();
        let has = |target: &Target| target.places.iter().any(|(file, _)| *file == output);
        let tensors = layout.zip(self.targets).zip(sums);
        let errors = tensors.filter_map(|((info, targets), sums)| {
            let of_output = targets.iter().zip(sums).find(|(target, _)| has(target));
            of_output.map(|(_, sums)| sums.error(info))
        });
        let mut errors: Vec<TensorError> = errors.collect();
        worst_first(&mut errors);
        errors
    }

    /// Where the errors of each tensor's targets are collected, if they are asked for and this run encodes
    /// all of them.
    fn collected(&self, files: &[OutputFile<'_>]) -> Option<Vec<Vec<Collected>>> {
        let is_resumed =
            |file: &OutputFile<'_>| file.done().bytes > file.wanted.header.len() as u64;
        if !self.options.errors || files.iter().any(is_resumed) {
            return None;
        }
        let tensors = self.checkpoint.tensors.iter().zip(self.targets);
        let of_tensor = |(tensor, targets): (&Tensor, &Vec<Target>)| {
            let cols = tensor.shape.cols() as usize;
            targets.iter().map(|_| Collected::new(cols)).collect()
        };
        Some(tensors.map(of_tensor).collect())
    }

    /// Makes what is missing; gives the whole outputs' hashes, and the sums of each tensor's targets.
    fn write(&self, files: &mut [OutputFile<'_>]) -> Result<Made, Error> {
        let begun = files.iter_mut().map(|file| file.begin(self.progress));
        begun.collect::<Result<(), _>>()?;
        let files = &*files;
        let known: Vec<u64> = files.iter().map(|file| file.done().bytes).collect();
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
        self.progress.event(Event::Started {
            total: blocks
                .iter()
                .map(|block| pass::source_bytes(&tensors[block.tensor], block))
                .sum(),
            known: 0,
        });

        let lanes = match self.options.scratch {
            true => Vec::new(),
            false => files.iter().map(|file| file.done().clone()).collect(),
        };
        let tail = Tail::new(lanes, tail::in_flight(self.threads));
        let collected = self.collected(files);
        let pass = Pass {
            checkpoint: self.checkpoint,
            targets: self.targets,
            blocks: &blocks,
            files,
            known: &known,
            errors: collected.as_deref(),
            tail: &tail,
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
                prefix.feed_zeros(file.wanted.bytes);
            }
            file.finish(whole.get(i))?;
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
        }
        let total = |of_tensor: Vec<Collected>| of_tensor.into_iter().map(Collected::total);
        let errors = collected.map(|all| all.into_iter().map(|one| total(one).collect()).collect());
        Ok((whole, errors))
    }

    /// What another run can continue from, as the logs on the disk have it.
    fn tell_what_is_kept(&self, wanted: &[Wanted<'_>]) {
        let recorded = wanted.iter().filter_map(|wanted| {
            let log = Names::of(wanted.path).log;
            let found = Log::peek(&log, wanted.identity.as_ref()?, Record::parse).ok()?;
            let (records, _) = found.records_or_why();
            Some((folder_of(wanted.path), records.last()?.bytes))
        });
        let kept: Vec<(&Path, u64)> = recorded.collect();
        if let Some((folder, _)) = kept.first() {
            self.progress.event(Event::Kept {
                folder,
                files: kept.len(),
                bytes: kept.iter().map(|(_, bytes)| bytes).sum(),
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
        let (folder, name) = (folder_of(&output.path), name.to_owned());
        let sum = Sum { name, sha256 };
        match folders.iter_mut().find(|(f, _)| *f == folder) {
            Some((_, sums)) => sums.push(sum),
            None => folders.push((folder, vec![sum])),
        }
    }
    for (folder, sums) in folders {
        Sums::add(folder, &sums)?;
    }
    Ok(())
}
