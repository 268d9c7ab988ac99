//! The sets that have a name.

use super::PlanFile;
use crate::Error;

/// Names, newest last, and texts.
const SETS: [(&str, &str); 2] = [
    ("2023", include_str!("sets/2023.toml")),
    ("2026", include_str!("sets/2026.toml")),
];

impl PlanFile {
    /// The set that `table` writes if none is named.
    pub const DEFAULT_SET: &str = "2023";

    /// The names of the sets that there are.
    pub fn set_names() -> impl Iterator<Item = &'static str> {
        SETS.iter().map(|(name, _)| *name)
    }

    /// The set of a name.
    ///
    /// # Errors
    /// [`Error::UnknownSet`].
    pub fn named_set(name: &str) -> Result<Self, Error> {
        let text = SETS.iter().find(|(known, _)| *known == name);
        let (name, text) = text.ok_or_else(|| Error::UnknownSet {
            found: name.to_owned(),
        })?;
        let set = Self::parse(text)?;
        Ok(Self {
            set: Some((*name).to_owned()),
            ..set
        })
    }
}
