//! Writing a file of either format.

use crate::{Format, Imatrix, Problem, dat, gguf};

impl Imatrix {
    /// The bytes of a file of a format. One that counts chunks counts tokens in GGUF
    /// ([`counting_tokens`](Self::counting_tokens)).
    ///
    /// The older format has one count for all matrices of an entry: those of experts, and which of them
    /// saw nothing, are lost ([`is_ragged`](crate::Entry::is_ragged)).
    ///
    /// # Errors
    /// [`Problem::Empty`], [`Problem::Value`], [`Problem::Name`], [`Problem::TooLarge`],
    /// [`Problem::Layout`].
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, Problem> {
        match format {
            Format::Gguf => gguf::encode(&self.counting_tokens()),
            Format::Dat => dat::encode(self),
        }
    }
}
