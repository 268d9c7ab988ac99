//! `hf:` references, wherever a command takes a path: what is needed is fetched into the cache
//! first, then the command goes on with the files there.
//!
//! A path on this disk whose name begins with `hf:` is written `./hf:...`.

#[cfg(feature = "hub")]
mod bars;
#[cfg(feature = "hub")]
mod client;

#[cfg(feature = "hub")]
pub use bars::Bars;
#[cfg(feature = "hub")]
pub use client::{ClientArgs, fetch, patterns, summary};

use aeolus_gguf::Header;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What a command reads of the model that an argument names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// All of a checkpoint folder, or a GGUF file.
    Checkpoint,
    /// The same without the weights of a checkpoint folder.
    Configuration,
    /// One file, with the other parts of a split one.
    File,
}

/// An argument, on this disk.
pub struct Place {
    /// The file or folder.
    pub path: PathBuf,
    /// What a fetched checkpoint's folder stands for: in the cache its name is that of a commit.
    pub folder_name: Option<String>,
}

/// Where a header is.
#[cfg_attr(
    not(feature = "hub"),
    expect(dead_code, reason = "nothing is remote without the Hub")
)]
pub enum Look {
    /// In this file.
    Local(PathBuf),
    /// Here: the file is on the Hub.
    Remote(RemoteHeader),
}

/// The header of a GGUF file of which nothing else was read.
pub struct RemoteHeader {
    /// With the tensors of all parts.
    pub header: Header<'static>,
    /// How many files.
    pub parts: usize,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// The reference in an argument, if it is one.
fn reference(arg: &Path) -> Option<&str> {
    arg.to_str().filter(|text| text.starts_with("hf:"))
}

/// Where the files that an argument names are on this disk; those on the Hub are fetched.
///
/// `quiet` draws no bars and prints no summary.
pub fn place(arg: &Path, needs: Needs, quiet: bool) -> Result<Place> {
    match reference(arg) {
        Some(text) => remote::place(text, needs, quiet),
        None => Ok(Place {
            path: arg.to_path_buf(),
            folder_name: None,
        }),
    }
}

/// The path of a file that an argument names; one on the Hub is fetched.
pub fn file(arg: &Path, quiet: bool) -> Result<PathBuf> {
    Ok(place(arg, Needs::File, quiet)?.path)
}

/// How the header of a file that an argument names can be seen; one on the Hub is not fetched for
/// it.
pub fn look(arg: &Path) -> Result<Look> {
    match reference(arg) {
        Some(text) => remote::look(text),
        None => Ok(Look::Local(arg.to_path_buf())),
    }
}

#[cfg(feature = "hub")]
use client as remote;

/// Without the feature there is no Hub.
#[cfg(not(feature = "hub"))]
mod remote {
    use super::{Look, Needs, Place};
    use anyhow::{Result, bail};

    fn missing<T>(text: &str) -> Result<T> {
        bail!(
            "{text}: this aeolus was built without the feature `hub` and cannot fetch: build it with \
             the feature, or fetch the files otherwise and name their place on this disk"
        )
    }

    pub fn place(text: &str, _: Needs, _: bool) -> Result<Place> {
        missing(text)
    }

    pub fn look(text: &str) -> Result<Look> {
        missing(text)
    }
}
