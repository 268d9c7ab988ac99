//! A checkpoint folder as a GGUF file that can be run: the base of comparisons.

use crate::Error;
use aeolus_checkpoint::{Checkpoint, Forecastable};
use aeolus_gguf::{Endian, TensorType};
use aeolus_job::{Cancel, Progress};
use aeolus_pipeline::{Format, Options, Output};
use aeolus_recipe::FileType;
use std::path::{Path, PathBuf};

/// A temporary unquantized file of a checkpoint; it goes with this value.
#[derive(Debug)]
pub struct Reference {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Reference {
    /// Writes the checkpoint's weights as they are, in the one of BF16, F16 and F32 that holds
    /// them all, into a new folder within `folder`, on `threads` threads (0: all cores).
    ///
    /// # Errors
    /// [`Error::Model`] before anything is written, where the file could not be run;
    /// [`Error::Io`], [`Error::Pipeline`], [`Error::Cancelled`].
    pub fn write(
        source: &Checkpoint,
        folder: &Path,
        threads: usize,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let mut recipe = aeolus_recipe::Options::default();
        let matrices = source.tensors.iter().filter(|t| t.shape.dims().len() > 1);
        let mut types: Vec<TensorType> = matrices.map(|t| t.ty).collect();
        types.sort_unstable();
        types.dedup();
        let file_type = match types[..] {
            [TensorType::BF16] => FileType::BF16,
            [TensorType::F16] => FileType::F16,
            _ => FileType::F32,
        };
        // The tokenizer's merges are no use to a file that is only run.
        recipe.vintage = Some(aeolus_recipe::Vintage::Current);
        let format = Format {
            version: 3,
            endian: Endian::Little,
        };
        let facts = Forecastable::from(source);
        let output = Output::plan(&facts, file_type, &recipe, format, None)?;
        let tensors = output.layout().tensors().iter();
        let tensors = tensors.map(|info| (&*info.name, info.shape, info.ty));
        aeolus_infer::Model::check_plan(&source.metadata, tensors).map_err(|error| {
            Error::Model {
                path: source.name.clone().into(),
                error,
            }
        })?;
        let folder = tempfile::Builder::new()
            .prefix(".aeolus-reference-")
            .tempdir_in(folder)
            .map_err(Error::io("make a folder in", folder))?;
        let path = folder
            .path()
            .join(format!("{}.{}.gguf", source.name, file_type.name()));
        let options = Options {
            threads,
            via: None,
            force: false,
            allow_requantize: false,
            scratch: true,
            errors: false,
        };
        let outputs = [(path.clone(), output)];
        aeolus_pipeline::run(source, &outputs, &options, progress, cancel)?;
        Ok(Self {
            _folder: folder,
            path,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the file's name away once it is mapped, so that nothing large stays behind however
    /// the program ends. Systems that do not allow it keep the name until the end.
    pub fn unlink(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
