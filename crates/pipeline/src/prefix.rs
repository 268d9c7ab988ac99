//! The beginning of an output, and the record of it.

use aeolus_source::hex;
use sha2::{Digest, Sha256};

/// How many bytes from the start, and a hash that was fed with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    pub bytes: u64,
    pub hash: Sha256,
}

/// What the log of an output says is done: so many bytes from the start, and their digest.
///
/// Records are claims: whoever resumes hashes the bytes and believes those that agree. So a log may
/// be ahead of its file, or of one that was changed, without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub bytes: u64,
    pub sha256: String,
}

impl Prefix {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Feeds the zeros up to byte `end`.
    pub fn feed_zeros(&mut self, end: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.bytes < end {
            let n = (end - self.bytes).min(ZEROS.len() as u64) as usize;
            self.feed(&ZEROS[..n]);
        }
    }

    /// The digest of what was fed, in hex.
    pub fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    pub fn record(&self) -> Record {
        Record {
            bytes: self.bytes,
            sha256: self.sha256(),
        }
    }
}

impl Record {
    pub fn text(&self) -> String {
        format!("{} {}", self.bytes, self.sha256)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (bytes, sha256) = text.split_once(' ')?;
        Some(Self {
            bytes: bytes.parse().ok()?,
            sha256: sha256.into(),
        })
    }
}
