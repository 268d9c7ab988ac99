//! All entries of a file.

use crate::{Entry, Problem};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most entries of a file: as many as a GGUF file has tensors at most.
pub(crate) const MAX_ENTRIES: u64 = 1 << 16;

/// An importance matrix: an entry for each weight that saw activations.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Imatrix {
    /// The format it was read from. What an entry's counts count depends on it.
    pub format: Format,
    /// The calibration texts, in the order in which they were merged. The older format keeps the
    /// last one only.
    pub datasets: Vec<String>,
    /// Chunks of text that were read; 0 if the file does not say it.
    pub chunks: u32,
    /// Tokens of a chunk; 0 if the file does not say it.
    pub chunk_tokens: u32,
    /// Tensors of a GGUF file that belong to no entry: statistics that encoders do not use.
    pub unused: Vec<String>,
    /// Digest of the file.
    pub sha256: [u8; 32],
    pub(crate) entries: BTreeMap<String, Arc<Entry>>,
}

/// How a file holds its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// GGUF: sums of squares, counts of tokens.
    Gguf,
    /// The older one: means times the number of chunks, counts of chunks.
    Dat,
}

/// Tokens of a chunk where nothing says how many, as llama-imatrix reads them.
pub const CHUNK_TOKENS: u32 = 512;

impl Imatrix {
    /// An importance matrix without entries, to be collected over chunks of so many tokens.
    pub fn collected(chunk_tokens: u32) -> Self {
        Self {
            chunk_tokens,
            ..Self::new(Format::Gguf)
        }
    }

    /// An importance matrix without entries.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            datasets: Vec::new(),
            chunks: 0,
            chunk_tokens: 0,
            unused: Vec::new(),
            sha256: [0; 32],
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, name: String, entry: Entry) -> Result<(), Problem> {
        match self.entries.contains_key(&name) {
            true => Err(Problem::Twice { entry: name }),
            false => {
                self.entries.insert(name, Arc::new(entry));
                Ok(())
            }
        }
    }

    /// The entry of a weight, made if it is not there: of `matrices` matrices of `cols` columns that
    /// saw nothing.
    ///
    /// # Panics
    /// If a number is 0.
    pub fn entry(&mut self, name: &str, cols: usize, matrices: usize) -> &mut Entry {
        if !self.entries.contains_key(name) {
            let entry = Arc::new(Entry::unseen(cols, matrices));
            self.entries.insert(name.to_owned(), entry);
        }
        let entry = self.entries.get_mut(name);
        Arc::make_mut(entry.unwrap_or_else(|| unreachable!("it was inserted")))
    }

    /// The same with counts of tokens, as the GGUF format has them: a chunk of the older format counts
    /// for `chunk_tokens`, or for [`CHUNK_TOKENS`] if that is 0.
    pub fn counting_tokens(&self) -> Self {
        let chunk_tokens = match self.chunk_tokens {
            0 => CHUNK_TOKENS,
            tokens => tokens,
        };
        let mut imatrix = Self {
            chunk_tokens,
            ..self.clone()
        };
        if self.format == Format::Dat {
            imatrix.format = Format::Gguf;
            for entry in imatrix.entries.values_mut() {
                *entry = Arc::new(entry.scaled(chunk_tokens as f32));
            }
        }
        imatrix
    }

    /// Adds all that another one saw, of the same model; both count tokens then. The chunks are as many
    /// as the tokens of the most seen matrix fill.
    ///
    /// # Errors
    /// [`Problem::OtherShape`] if a weight has other columns or matrices there.
    pub fn merge(&mut self, other: &Self) -> Result<(), Problem> {
        let mut sum = self.counting_tokens();
        for (name, entry) in &other.counting_tokens().entries {
            match sum.entries.get_mut(name) {
                Some(own) => Arc::make_mut(own).merge(name, entry)?,
                None => drop(sum.entries.insert(name.clone(), Arc::clone(entry))),
            }
        }
        sum.datasets.extend_from_slice(&other.datasets);
        let tokens = sum.entries.values().map(|entry| entry.most());
        sum.chunks = (tokens.fold(0.0, f32::max) / sum.chunk_tokens as f32) as u32;
        *self = sum;
        Ok(())
    }

    /// The entry of a weight, by its GGUF name.
    pub fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// All entries, sorted by name.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(name, entry)| (name.as_str(), &**entry))
    }

    /// Digest of all importance: the same for all files that guide an encoder alike, whatever their
    /// format.
    pub fn importance_sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, entry) in self.entries() {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update((entry.values() as u64).to_le_bytes());
            for x in entry.importance(0..entry.values()) {
                hash.update(x.to_le_bytes());
            }
        }
        hash.finalize().into()
    }

    /// Keeps the entries whose names contain one of `parts`.
    ///
    /// # Errors
    /// [`Problem::NoSuchEntry`] for a part that is in no name.
    pub fn include(&mut self, parts: &[String]) -> Result<(), Problem> {
        self.check_parts(parts)?;
        self.entries
            .retain(|name, _| parts.iter().any(|part| name.contains(part)));
        Ok(())
    }

    /// Removes the entries whose names contain one of `parts`.
    ///
    /// # Errors
    /// [`Problem::NoSuchEntry`] for a part that is in no name, [`Problem::Empty`] if nothing is left.
    pub fn exclude(&mut self, parts: &[String]) -> Result<(), Problem> {
        self.check_parts(parts)?;
        self.entries
            .retain(|name, _| !parts.iter().any(|part| name.contains(part)));
        match self.entries.is_empty() {
            true => Err(Problem::Empty),
            false => Ok(()),
        }
    }

    fn check_parts(&self, parts: &[String]) -> Result<(), Problem> {
        let is_idle = |part: &&String| !self.entries.keys().any(|name| name.contains(&***part));
        match parts.iter().find(is_idle) {
            Some(part) => Err(Problem::NoSuchEntry { part: part.clone() }),
            None => Ok(()),
        }
    }
}
