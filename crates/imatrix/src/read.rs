//! Reading a file of either format.

use crate::{Error, Imatrix, Problem, dat, gguf};
use aeolus_source::{Class, Map};
use sha2::{Digest, Sha256};
use std::path::Path;

impl Imatrix {
    /// Reads a file of either format.
    ///
    /// # Errors
    /// [`Error::Source`] if the system refuses or the file is recognized as something else,
    /// [`Error::File`] if it is not a good importance matrix.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let map = Map::open(path)?;
        let fine = [Class::Gguf, Class::Imatrix];
        aeolus_source::refuse_other_kinds(path, &map, "an importance matrix", &fine)?;
        let imatrix = Self::parse(&map).map_err(|problem| problem.of(path))?;
        map.verify_unchanged()?;
        Ok(imatrix)
    }

    /// Reads the bytes of a file of either format.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut imatrix = match bytes.starts_with(b"GGUF") {
            true => gguf::parse(bytes)?,
            false => dat::parse(bytes)?,
        };
        if imatrix.entries.is_empty() {
            return Err(Problem::Empty);
        }
        imatrix.sha256 = Sha256::digest(bytes).into();
        Ok(imatrix)
    }
}
