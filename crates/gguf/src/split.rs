//! Files that are shards of one model: their names, and what they say of each other.

use crate::error::SplitError;
use crate::metadata::{Metadata, MetadataError};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The shard's number, from 0.
const NUMBER_KEY: &str = "split.no";
/// The number of shards.
const COUNT_KEY: &str = "split.count";
/// The number of tensors in all shards together.
const TENSORS_KEY: &str = "split.tensors.count";

/// The name of one shard, `NAME-00002-of-00003.gguf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardName {
    /// The path up to the number: folder and `NAME`.
    pub prefix: PathBuf,
    /// The shard's number, from 1.
    pub number: u32,
    /// The number of shards.
    pub count: u32,
}

impl ShardName {
    /// Takes a path apart; `None` if it does not end in `-00002-of-00003.gguf`, with any five
    /// digits of which the first number is from 1 to the second.
    pub fn parse(path: &Path) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (name, number) = rest.rsplit_once('-')?;
        let parse = |digits: &str| match digits.len() {
            5 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u32>().ok(),
            _ => None,
        };
        let (number, count) = (parse(number)?, parse(count)?);
        (1 <= number && number <= count).then(|| Self {
            prefix: path.with_file_name(name),
            number,
            count,
        })
    }

    /// The path of the shard with another number, from 1.
    pub fn sibling(&self, number: u32) -> PathBuf {
        let mut path = OsString::from(self.prefix.as_os_str());
        path.push(format!("-{number:05}-of-{:05}.gguf", self.count));
        path.into()
    }
}

/// What a shard's metadata say of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SplitKeys {
    pub(crate) number: Option<u32>,
    pub(crate) count: Option<u32>,
    pub(crate) tensors: Option<u64>,
}

impl SplitKeys {
    pub(crate) fn read(metadata: &Metadata<'_>) -> Result<Self, MetadataError> {
        Ok(Self {
            number: metadata.u32(NUMBER_KEY)?,
            count: metadata.u32(COUNT_KEY)?,
            tensors: metadata.u64(TENSORS_KEY)?,
        })
    }

    /// Compares with the place in the set that the shard's name gives it.
    pub(crate) fn check(&self, number: u32, count: u32) -> Result<(), SplitError> {
        expect(NUMBER_KEY, self.number, number - 1)?;
        expect(COUNT_KEY, self.count, count)
    }

    /// Compares the tensor count, if there is one, with that of all shards together.
    pub(crate) fn check_tensors(&self, all: u64) -> Result<(), SplitError> {
        match self.tensors {
            Some(_) => expect(TENSORS_KEY, self.tensors, all),
            None => Ok(()),
        }
    }
}

fn expect<T: Copy + PartialEq + Into<u64>>(
    key: &'static str,
    found: Option<T>,
    expected: T,
) -> Result<(), SplitError> {
    match found == Some(expected) {
        true => Ok(()),
        false => Err(SplitError::Number {
            key,
            found: found.map(Into::into),
            expected: expected.into(),
        }),
    }
}

/// Takes out what is true of a shard but not of the whole.
pub(crate) fn remove_keys(metadata: &mut Metadata<'_>) {
    for key in [NUMBER_KEY, COUNT_KEY, TENSORS_KEY] {
        metadata.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_and_together() {
        let path = Path::new("models/a-b-of-c-00002-of-00003.gguf");
        let name = ShardName::parse(path).unwrap();
        assert_eq!((name.number, name.count), (2, 3));
        assert_eq!(name.prefix, Path::new("models/a-b-of-c"));
        assert_eq!(name.sibling(2), path);
        assert_eq!(
            name.sibling(1),
            Path::new("models/a-b-of-c-00001-of-00003.gguf")
        );
        for other in [
            "a.gguf",
            "a-00001-of-00003.bin",
            "a-00000-of-00003.gguf",
            "a-00004-of-00003.gguf",
            "a-1-of-3.gguf",
            "a-+0001-of-00003.gguf",
            "00001-of-00003.gguf",
        ] {
            assert_eq!(ShardName::parse(Path::new(other)), None, "{other}");
        }
    }
}
