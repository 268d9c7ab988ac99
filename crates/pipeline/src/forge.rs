//! The pass over the source: decode a block once, encode it for every target, write it in place.

use crate::blocks::{self, Block};
use crate::partial::{self, PartialFile};
use crate::targets::{self, Target};
use crate::tile::Tile;
use crate::{Cancel, Error, Event, Output, Progress};
use aeolus_checkpoint::{Checkpoint, Tensor};
use aeolus_gguf::{Endian, TensorType};
use aeolus_source::FileId;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    /// What publishers do: bf16 checkpoints went through f16, others have no reason to.
    pub fn default_for(source: TensorType) -> Self {
        if source == TensorType::BF16 {
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
}

/// A finished output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Writes all `outputs` in one pass over `checkpoint`. Each output is a plan and the path of
/// its file, whose folder is made if it is missing.
///
/// # Errors
/// Before any work: outputs that exist, not enough room, types without a codec, a quantized
/// source without leave. During it: weights that are not finite or do not fit f16, failing
/// writes, a changed source, [`Error::Cancelled`]. In each case nothing new is left behind.
pub fn run(
    checkpoint: &Checkpoint,
    outputs: &[(PathBuf, Output)],
    options: &Options,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Vec<Written>, Error> {
    let (paths, plans): (Vec<_>, Vec<_>) = outputs.iter().map(|(p, o)| (p, o.clone())).unzip();
    let targets = targets::collect(checkpoint, &plans, options.allow_requantize)?;
    check_targets(&paths, &plans, options.force)?;

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match options.threads {
        0 => cores,
        // More would only cut the blocks smaller.
        n => n.min(THREADS_PER_CORE * cores),
    };
    let blocks: Vec<Block> = checkpoint
        .tensors
        .iter()
        .zip(&targets)
        .enumerate()
        .flat_map(|(i, (tensor, targets))| {
            let types = targets.iter().map(|t| t.ty);
            blocks::cut(i, tensor.shape.rows(), tensor.shape.cols(), types, threads)
        })
        .collect();

    let sources: Vec<FileId> = checkpoint
        .tensors
        .iter()
        .filter_map(|t| t.place()?.0.id())
        .collect();
    let mut files = Vec::with_capacity(outputs.len());
    for (path, output) in outputs {
        make_folder(partial::folder_of(path))?;
        let bytes = output.layout().file_bytes();
        let file = PartialFile::create(path, bytes, options.force, &sources)?;
        file.write_at(&output.layout().encode_header(), 0)?;
        files.push(file);
    }
    progress.event(Event::Started {
        source_bytes: checkpoint
            .tensors
            .iter()
            .map(|t| t.bytes().len() as u64)
            .sum(),
        output_bytes: plans.iter().map(|o| o.layout().file_bytes()).sum(),
    });

    let pass = Pass {
        checkpoint,
        targets: &targets,
        blocks: &blocks,
        files: &files,
        via: options.via,
        ahead: 2 * threads,
        progress,
        cancel,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::Threads {
            threads,
            what: e.to_string(),
        })?;
    pool.broadcast(|_| pass.work());
    if let Some(error) = pass.failure.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(error);
    }
    checkpoint.verify_unchanged()?;

    // All are whole before the first gets its name.
    for file in &files {
        file.sync()?;
        if cancel.is_set() {
            return Err(Error::Cancelled);
        }
    }
    let all = files.len();
    let mut written = Vec::with_capacity(all);
    for (mut file, output) in files.into_iter().zip(&plans) {
        file.name().map_err(|error| Error::Rename {
            path: file.path().into(),
            error,
            named: written.len(),
            all,
        })?;
        let (path, bytes) = (file.path().to_path_buf(), output.layout().file_bytes());
        progress.event(Event::FileDone { path: &path, bytes });
        written.push(Written { path, bytes });
    }
    Ok(written)
}

/// Makes an output's folder, and those above it.
fn make_folder(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|error| match folder.metadata() {
        Ok(meta) if !meta.is_dir() => Error::NotAFolder {
            path: folder.into(),
        },
        _ => Error::write(folder, error),
    })
}

/// The folder itself or the first above it that exists: where its bytes will go.
fn existing(folder: &Path) -> Result<&Path, Error> {
    let found = folder
        .ancestors()
        .map(|f| {
            if f.as_os_str().is_empty() {
                Path::new(".")
            } else {
                f
            }
        })
        .find(|f| f.exists())
        .unwrap_or(folder);
    match found.is_dir() {
        true => Ok(found),
        false => Err(Error::NotAFolder { path: found.into() }),
    }
}

/// Names free and distinct, room on every disk.
fn check_targets(paths: &[&PathBuf], plans: &[Output], force: bool) -> Result<(), Error> {
    let mut folders: Vec<(&Path, u64, u64)> = Vec::new();
    for (i, (path, output)) in paths.iter().zip(plans).enumerate() {
        partial::check_target(path, force)?;
        if paths[..i].contains(path) {
            return Err(Error::DuplicateTarget {
                path: path.to_path_buf(),
            });
        }
        let folder = existing(partial::folder_of(path))?;
        let bytes = output.layout().file_bytes();
        match folders.iter_mut().find(|(f, _, _)| *f == folder) {
            Some((_, needed, _)) => *needed += bytes,
            None => folders.push((folder, bytes, 0)),
        }
        if let Some((_, _, leftover)) = folders.iter_mut().find(|(f, _, _)| *f == folder) {
            *leftover += allocated(&partial::partial_path(path));
        }
    }
    for (folder, needed, leftover) in folders {
        // What a crash left is started over, and its room with it.
        let available = aeolus_source::available_bytes(folder)?.saturating_add(leftover);
        if available < needed {
            return Err(Error::NoSpace {
                folder: folder.into(),
                needed,
                available,
            });
        }
    }
    Ok(())
}

/// Bytes on disk of a regular file; 0 if there is none.
fn allocated(path: &Path) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        path.symlink_metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map_or(0, |meta| meta.blocks() * 512)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        0
    }
}

/// What all workers share.
struct Pass<'a> {
    checkpoint: &'a Checkpoint,
    targets: &'a [Vec<Target>],
    blocks: &'a [Block],
    files: &'a [PartialFile],
    via: Option<Via>,
    /// How many blocks before its turn a block's pages are asked for.
    ahead: usize,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    next: AtomicUsize,
    stop: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// One worker's buffers, kept from block to block.
#[derive(Default)]
struct Buffers {
    tile: Vec<f32>,
    /// Source bytes of a big-endian tile, swapped.
    scratch: Vec<u8>,
    encoded: Vec<Vec<u8>>,
}

impl Pass<'_> {
    /// Takes blocks in order until none is left or someone failed.
    fn work(&self) {
        let mut buffers = Buffers::default();
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = self.blocks.get(index) else {
                return;
            };
            if index == 0 {
                self.blocks[..self.ahead.min(self.blocks.len())]
                    .iter()
                    .for_each(|b| self.ask_for(b));
            }
            if let Some(coming) = self.blocks.get(index + self.ahead) {
                self.ask_for(coming);
            }
            if let Err(error) = self.forge(block, &mut buffers) {
                self.stop.store(true, Ordering::Relaxed);
                // The first failure is the cause; later ones may follow from it.
                self.failure
                    .lock()
                    .unwrap_or_else(|e| e.into_inner())
                    .get_or_insert(error);
            }
        }
    }

    fn ask_for(&self, block: &Block) {
        let tensor = &self.checkpoint.tensors[block.tensor];
        if let Some((map, range)) = tensor.place() {
            map.will_need(source_range(tensor, range, block));
        }
    }

    /// Decodes, encodes and writes one block.
    fn forge(&self, block: &Block, buffers: &mut Buffers) -> Result<(), Error> {
        let tensor = &self.checkpoint.tensors[block.tensor];
        let targets = &self.targets[block.tensor];
        let rows = (block.rows.end - block.rows.start) as usize;
        let cols = tensor.shape.cols() as usize;
        let row_bytes: Vec<usize> = targets
            .iter()
            .map(|t| t.ty.row_bytes(cols as u64).unwrap_or(0) as usize)
            .collect();
        // Never shrunk: a norm between two matrices must not cost their buffers.
        if buffers.encoded.len() < targets.len() {
            buffers.encoded.resize_with(targets.len(), Vec::new);
        }
        for (encoded, bytes) in buffers.encoded.iter_mut().zip(&row_bytes) {
            encoded.resize(rows * bytes, 0);
        }

        let via = self.via.unwrap_or(Via::default_for(tensor.ty));
        let decode_needed = targets.iter().any(|t| !t.copy);
        let tile_rows = (TILE_WEIGHTS / cols.max(1)).max(1);
        for first in (0..rows).step_by(tile_rows) {
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let count = tile_rows.min(rows - first);
            let tile = Tile {
                tensor,
                endian: self.checkpoint.endian,
                first_row: block.rows.start as usize + first,
                rows: count,
                cols,
            };
            if decode_needed {
                tile.decode(&mut buffers.tile, &mut buffers.scratch)?;
            }
            let mut rounded = false;
            let huge = via == Via::Source && decode_needed && Tile::is_huge(&buffers.tile);
            for (i, target) in targets.iter().enumerate() {
                let bytes = row_bytes[i];
                let out = &mut buffers.encoded[i][first * bytes..(first + count) * bytes];
                if target.copy {
                    tile.copy(out)?;
                    continue;
                }
                if target.ty.is_quantized() && via == Via::F16 && !rounded {
                    tile.round_through_f16(&mut buffers.tile)?;
                    rounded = true;
                }
                tile.encode(target.ty, &buffers.tile, out)?;
                if huge && target.ty.is_quantized() {
                    tile.check_scales(target.ty, &buffers.tile, out)?;
                }
            }
        }

        let mut output_bytes = 0;
        for (i, target) in targets.iter().enumerate() {
            let encoded = &mut buffers.encoded[i];
            if target.endian == Endian::Big {
                aeolus_gguf::swap_rows(target.ty, encoded)
                    .map_err(|e| Error::codec(tensor, e.to_string()))?;
            }
            for (file, offset) in &target.places {
                let offset = offset + block.rows.start * row_bytes[i] as u64;
                self.files[*file].write_at(encoded, offset)?;
                output_bytes += encoded.len() as u64;
            }
        }
        if let Some((map, range)) = tensor.place() {
            map.drop_pages(source_range(tensor, range, block));
        }
        let stride = tensor.bytes().len() as u64 / tensor.shape.rows();
        let source_bytes = stride * (block.rows.end - block.rows.start);
        self.progress.event(Event::Advanced {
            source_bytes,
            output_bytes,
        });
        Ok(())
    }
}

/// The bytes of the source file that hold a block, of the tensor's own `range` there.
fn source_range(tensor: &Tensor, range: Range<usize>, block: &Block) -> Range<usize> {
    let stride = range.len() / tensor.shape.rows() as usize;
    let rows = block.rows.start as usize..block.rows.end as usize;
    let rows = tensor.row_map.source_rows(rows);
    range.start + stride * rows.start..(range.start + stride * rows.end).min(range.end)
}
