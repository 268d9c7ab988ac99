//! Reading a file's hyperparameters: a key each, checked.

use aeolus_gguf::Metadata;

use crate::error::{Error, Result};

/// Metadata under the architecture's prefix.
pub(super) struct Keys<'m> {
    pub(super) architecture: &'static str,
    pub(super) metadata: &'m Metadata<'m>,
}

impl<'m> Keys<'m> {
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// A finite float of at least `min`.
    pub(super) fn float(&self, key: &str, min: f32) -> Result<Option<f32>> {
        let name = self.name(key);
        match self.metadata.f32(&name)? {
            Some(x) if !x.is_finite() || x < min => Err(Error::BadValue {
                key: name,
                found: x.to_string(),
                expected: format!("a finite number of at least {min}"),
            }),
            x => Ok(x),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        Ok(self.metadata.bool(&self.name(key))?)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'m str>> {
        Ok(self.metadata.str(&self.name(key))?)
    }

    /// A whole number of at least 1.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let name = self.name(key);
        match self.metadata.u32(&name)? {
            Some(0) => Err(Error::BadValue {
                key: name,
                found: "0".to_owned(),
                expected: "at least 1".to_owned(),
            }),
            n => Ok(n.map(|n| n as usize)),
        }
    }
}
