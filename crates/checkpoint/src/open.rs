//! Opening a checkpoint: a path becomes what every later step reads.

use crate::{Checkpoint, Error, Forecastable, OpenOptions, folder, gguf_source};
use std::path::Path;

/// Opens a checkpoint: a folder with config.json, safetensors and tokenizer files, or a GGUF
/// file.
///
/// Only headers are read; every tensor's name, type and shape is checked against the
/// hyperparameters.
///
/// # Errors
/// [`Error`], each kind with its file: see there.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Checkpoint, Error> {
    options.check_name()?;
    match locate(path)? {
        Located::Folder(folder) => folder::open(folder, options),
        Located::File => gguf_source::open(path, options),
    }
}

/// What a path names.
enum Located<'a> {
    Folder(&'a Path),
    File,
}

fn locate(path: &Path) -> Result<Located<'_>, Error> {
    let meta = std::fs::metadata(path).map_err(Error::io("read", path))?;
    if meta.is_dir() {
        return Ok(Located::Folder(path));
    }
    if path.file_name().is_some_and(|name| name == "config.json") {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        return Ok(Located::Folder(folder.unwrap_or(Path::new("."))));
    }
    if path.extension().is_some_and(|ext| ext == "safetensors") {
        return Err(Error::NotACheckpoint {
            path: path.into(),
            problem: "weights alone are not a checkpoint: give the folder with config.json".into(),
        });
    }
    Ok(Located::File)
}

impl Forecastable {
    /// The facts of config.json (its path, or its folder's) and the tokenizer files beside it,
    /// or of a GGUF file. Where weights are there, their headers are read, and the tensors are those
    /// of [`open`]; without, or with shards missing, they are what config.json claims.
    ///
    /// # Errors
    /// As [`open`], but for weights that are missing.
    pub fn from_config(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        options.check_name()?;
        match locate(path)? {
            Located::Folder(folder) => folder::forecast(folder, options),
            Located::File => gguf_source::open(path, options).map(|c| Self::from(&c)),
        }
    }
}
