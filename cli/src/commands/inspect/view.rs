//! What `inspect` shows: the header of a file here or on the Hub.

use crate::hub::{self, Look, RemoteHeader};
use aeolus_gguf::{GgufFile, Header, Metadata, TensorInfo};
use anyhow::Result;
use std::path::Path;

/// A header, and what is known of the files without reading more of them.
pub enum View {
    /// Of a file on this disk.
    Local(GgufFile),
    /// Of a file on the Hub.
    Remote(RemoteHeader),
}

impl View {
    /// The header of the file that an argument names.
    pub fn open(arg: &Path) -> Result<Self> {
        Ok(match hub::look(arg)? {
            Look::Local(path) => Self::Local(GgufFile::open(&path)?),
            Look::Remote(header) => Self::Remote(header),
        })
    }

    /// The header, with the tensors of all parts.
    pub fn header(&self) -> &Header<'static> {
        match self {
            Self::Local(file) => file.header(),
            Self::Remote(remote) => &remote.header,
        }
    }

    /// The key-value pairs.
    pub fn metadata(&self) -> &Metadata<'static> {
        &self.header().metadata
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header().tensors
    }

    /// How many files.
    pub fn parts(&self) -> usize {
        match self {
            Self::Local(file) => file.maps().len(),
            Self::Remote(remote) => remote.parts.len(),
        }
    }

    /// Bytes of all files together.
    pub fn file_bytes(&self) -> u64 {
        match self {
            Self::Local(file) => file.file_bytes(),
            Self::Remote(remote) => remote.bytes,
        }
    }
}
