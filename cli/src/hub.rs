//! `hf:` references and addresses of the Hub, wherever a command takes a path: what is needed is
//! fetched into the cache first, then the command goes on with the files there.
//!
//! A path on this disk whose name begins with `hf:` is written `./hf:...`.

#[cfg(feature = "hub")]
mod bars;
#[cfg(feature = "hub")]
mod client;

#[cfg(feature = "hub")]
pub use bars::Bars;
#[cfg(feature = "hub")]
pub use client::{ClientArgs, fetch, patterns, reference, summary};

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
    /// The files that it is of.
    pub parts: Vec<RemotePart>,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// One file on the Hub.
pub struct RemotePart {
    /// Its name, without folders.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Digest in lower-case hex, if the Hub knows it.
    pub sha256: Option<String>,
}

/// Where the headers of several files are.
#[cfg_attr(
    not(feature = "hub"),
    expect(dead_code, reason = "nothing is remote without the Hub")
)]
pub enum Headers {
    /// In these files.
    Local(Vec<PathBuf>),
    /// Here: the files are in this repository.
    Remote(String, Vec<RemoteHeader>),
}

/// The text of an argument that names something on the Hub: a reference, or an address that was
/// pasted. An address without `https://` may also be a path that exists here.
fn named(arg: &Path) -> Option<&str> {
    let text = arg.to_str()?;
    let lower = text.to_ascii_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| lower.starts_with(start));
    let bare = [
        "hf.co/",
        "huggingface.co/",
        "www.huggingface.co/",
        "git@hf.co:",
    ];
    let remote = begins(&["hf:", "http://", "https://"]) || begins(&bare) && !arg.exists();
    remote.then_some(text)
}

/// Refuses a path that is not there, if it may be meant as a repository.
fn check_local(arg: &Path) -> Result<()> {
    let text = arg.to_str().unwrap_or_default();
    if arg.exists() || !text.contains('/') || text.starts_with(['/', '.', '~']) {
        return Ok(());
    }
    remote::check_local(text)
}

/// Where the files that an argument names are on this disk; those on the Hub are fetched.
///
/// `quiet` draws no bars and prints no summary.
pub fn place(arg: &Path, needs: Needs, quiet: bool) -> Result<Place> {
    match named(arg) {
        Some(text) => remote::place(text, needs, quiet),
        None => {
            check_local(arg)?;
            Ok(Place {
                path: arg.to_path_buf(),
                folder_name: None,
            })
        }
    }
}

/// The path of a file that an argument names; one on the Hub is fetched.
pub fn file(arg: &Path, quiet: bool) -> Result<PathBuf> {
    Ok(place(arg, Needs::File, quiet)?.path)
}

/// The GGUF files that an argument on the Hub means, fetched: one, or all of a folder or
/// repository; of split files the first part. `None` for a path on this disk.
pub fn gguf_files(arg: &Path, quiet: bool) -> Result<Option<Vec<PathBuf>>> {
    let Some(text) = named(arg) else {
        return check_local(arg).map(|()| None);
    };
    remote::gguf_files(text, quiet).map(Some)
}

/// The headers of such files, which are not fetched for it.
pub fn headers(arg: &Path) -> Result<Option<Headers>> {
    let Some(text) = named(arg) else {
        return check_local(arg).map(|()| None);
    };
    remote::headers(text).map(Some)
}

/// How the header of a file that an argument names can be seen; one on the Hub is not fetched for
/// it.
pub fn look(arg: &Path) -> Result<Look> {
    match named(arg) {
        Some(text) => remote::look(text),
        None => {
            check_local(arg)?;
            Ok(Look::Local(arg.to_path_buf()))
        }
    }
}

#[cfg(feature = "hub")]
use client as remote;

/// Without the feature there is no Hub.
#[cfg(not(feature = "hub"))]
mod remote {
    use super::{Headers, Look, Needs, Place};
    use anyhow::{Result, bail};
    use std::path::PathBuf;

    fn missing<T>(text: &str) -> Result<T> {
        bail!(
            "{text}: this aeolus was built without the feature `hub` and cannot fetch: build it with \
             the feature, or fetch the files otherwise and name their place on this disk"
        )
    }

    pub fn check_local(_: &str) -> Result<()> {
        Ok(())
    }

    pub fn place(text: &str, _: Needs, _: bool) -> Result<Place> {
        missing(text)
    }

    pub fn gguf_files(text: &str, _: bool) -> Result<Vec<PathBuf>> {
        missing(text)
    }

    pub fn headers(text: &str) -> Result<Headers> {
        missing(text)
    }

    pub fn look(text: &str) -> Result<Look> {
        missing(text)
    }
}
