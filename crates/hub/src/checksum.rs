//! The two hashes by which the Hub names bytes.

use aeolus_source::hex;
use sha1::Digest;

/// What a file's bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Of a large file: sha256 of its bytes.
    Sha256(String),
    /// Of a file in git: sha1 of `blob SIZE\0` and its bytes.
    Git(String),
}

impl Checksum {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Git(_) => "git blob sha1",
        }
    }

    pub fn expected(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Git(hex) => hex,
        }
    }

    /// A hash to feed with a file of this many bytes.
    pub fn hasher(&self, bytes: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::sha256(),
            Self::Git(_) => Hasher::git(bytes),
        }
    }
}

/// A hash that is being fed.
pub(crate) enum Hasher {
    Sha256(sha2::Sha256),
    Git(sha1::Sha1),
}

impl Hasher {
    pub fn sha256() -> Self {
        Self::Sha256(sha2::Sha256::new())
    }

    pub fn git(bytes: u64) -> Self {
        let mut hash = sha1::Sha1::new();
        hash.update(format!("blob {bytes}\0"));
        Self::Git(hash)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
        }
    }

    /// The hash in hex.
    pub fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::Git(hash) => hex(&hash.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_sha256sum() {
        // git hash-object of a file with "hello\n"; sha256sum of the same.
        let git = Checksum::Git("ce013625030ba8dba906f756967f9e9ca394464a".to_owned());
        let sha = Checksum::Sha256(
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".to_owned(),
        );
        for check in [git, sha] {
            let mut hasher = check.hasher(6);
            hasher.update(b"hel");
            hasher.update(b"lo\n");
            assert_eq!(hasher.finish(), check.expected(), "{}", check.kind());
        }
    }
}
