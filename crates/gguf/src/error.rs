//! What can go wrong, in three kinds that never mix: a file that is no good GGUF
//! ([`FormatError`], which knows no path, for bytes may come from anywhere), a file that cannot
//! be opened or read ([`Error`]), and a file that nobody should write ([`LayoutError`]).

use crate::encoding::Endian;
use crate::metadata::MetadataError;
use crate::shape::ShapeError;
use crate::tensor_type::TensorType;
use crate::value_type::ValueType;
use aeolus_source::Kind;
use std::path::{Path, PathBuf};

/// What of a header an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Magic, version and counts.
    Preamble,
    /// A key or its value.
    Key(String),
    /// A pair before its key is read: its number, from 0.
    KeyNumber(usize),
    /// A tensor's line or data.
    Tensor(String),
    /// A tensor before its name is read: its number, from 0.
    TensorNumber(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Preamble => f.write_str("the header"),
            Self::Key(key) => write!(f, "key {}", Quoted(key)),
            Self::KeyNumber(index) => write!(f, "key number {index}"),
            Self::Tensor(name) => write!(f, "tensor {}", Quoted(name)),
            Self::TensorNumber(index) => write!(f, "tensor number {index}"),
        }
    }
}

/// A name from a file, in quotes, control characters escaped, cut to what fits a message.
pub struct Quoted<'a>(pub &'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 100;
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}...", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// A defect of a file's header, or of the data it promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{kind}", Before(self))]
pub struct FormatError {
    /// The key or tensor it belongs to.
    pub place: Place,
    /// Bytes from the start of the file to the item that is wrong; `None` if the file is not
    /// written yet.
    pub offset: Option<u64>,
    /// What is wrong.
    pub kind: FormatErrorKind,
}

/// The place of a defect. What is another kind of file altogether has none.
struct Before<'a>(&'a FormatError);

impl std::fmt::Display for Before<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FormatError {
            place,
            offset,
            kind,
        } = self.0;
        match (kind, offset) {
            (FormatErrorKind::OtherKind(_) | FormatErrorKind::Magic { .. }, _) => Ok(()),
            (_, Some(offset)) => write!(f, "{place} at byte {offset}: "),
            (_, None) => write!(f, "{place}: "),
        }
    }
}

/// The kinds of defects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// The file is of another kind, which is known.
    #[error("{}", .0.instead_of("a GGUF file"))]
    OtherKind(Kind),
    /// The file does not start with `GGUF`, and nothing says what it is.
    #[error("not a GGUF file: it starts with {}, expected \"GGUF\"", found.escape_ascii())]
    Magic {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// A version nobody knows.
    #[error("has version {found}, expected 1, 2 or 3")]
    Version {
        /// The version, in the byte order that makes it smaller.
        found: u32,
    },
    /// The file ends before its header does.
    #[error(
        "the file is truncated and ends inside the header: expected at least {expected} bytes, \
         found {found}; download or copy it again"
    )]
    Truncated {
        /// Bytes that the header needs at least.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// A length or count that needs more bytes than the file has left.
    #[error(
        "claims {what} of {claimed}, which needs {needed} bytes, but {left} are left; the file is \
         truncated or damaged: download or copy it again"
    )]
    TooLong {
        /// What is counted.
        what: &'static str,
        /// The length or count, in its own unit.
        claimed: u64,
        /// The bytes this takes at least (the largest number if it overflows).
        needed: u64,
        /// Bytes to the end of the file.
        left: u64,
    },
    /// A bound of [`Limits`](crate::Limits) is passed.
    #[error("has {what} of {found}, and {limit} is the limit")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// The number of no value type.
    #[error("has value type {id}, expected 0 to 12")]
    ValueType {
        /// The number found.
        id: u32,
    },
    /// A BOOL that is neither 0 nor 1.
    #[error("has a BOOL of {found}, expected 0 or 1")]
    Bool {
        /// The byte found.
        found: u8,
    },
    /// Text that is not UTF-8.
    #[error("is not UTF-8 after {valid} bytes of a string of {len}")]
    Utf8 {
        /// Bytes before the first wrong one.
        valid: usize,
        /// Bytes of the string.
        len: usize,
    },
    /// A key or tensor name of no bytes.
    #[error("has an empty name")]
    EmptyName,
    /// A key or tensor name that was there before.
    #[error("occurs twice")]
    Duplicate,
    /// An alignment out of bounds, or no power of two.
    #[error("is an alignment of {found}, expected a power of two from {min} to {max}")]
    Alignment {
        /// The value found.
        found: u32,
        /// The smallest accepted.
        min: u32,
        /// The largest accepted.
        max: u32,
    },
    /// An alignment that is not UINT32.
    #[error("is {found}, expected UINT32")]
    AlignmentType {
        /// The type found.
        found: ValueType,
    },
    /// A tensor to be written in a type that is not ggml's.
    #[error("has tensor {ty}, which is not written")]
    Foreign {
        /// The type.
        ty: TensorType,
    },
    /// Dimensions that are none.
    #[error(transparent)]
    Shape(ShapeError),
    /// A row that is not a whole number of blocks.
    #[error("has rows of {cols} elements, expected a multiple of {block} for {ty}")]
    Row {
        /// The tensor's type.
        ty: TensorType,
        /// Elements of a row.
        cols: u64,
        /// Elements of a block.
        block: u64,
    },
    /// A tensor off the alignment.
    #[error("lies at {offset} in the data section, expected a multiple of {alignment}")]
    Unaligned {
        /// Bytes from the start of the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u32,
    },
    /// Two tensors share bytes.
    #[error(
        "lies at {offset} in the data section, inside tensor {} which ends at {end}",
        Quoted(other)
    )]
    Overlap {
        /// Bytes from the start of the data section.
        offset: u64,
        /// The tensor that begins before this one.
        other: String,
        /// Where that one ends, from the start of the data section.
        end: u64,
    },
    /// A tensor whose end is no 64-bit number.
    #[error("lies at {offset} in the data section and has {bytes} bytes, whose sum overflows")]
    FarOffset {
        /// Bytes from the start of the data section.
        offset: u64,
        /// Bytes of the tensor.
        bytes: u64,
    },
    /// The file ends before a tensor does.
    #[error(
        "the file is truncated: expected at least {expected} bytes, found {found}, so {} are missing; \
         download or copy it again",
        expected.saturating_sub(*found)
    )]
    DataTruncated {
        /// Bytes the file needs for all its tensors.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
}

/// A file that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Only versions 2 and 3 are written.
    #[error("GGUF version {found} is not written, expected 2 or 3")]
    Version {
        /// The version asked for.
        found: u32,
    },
    /// Big endian came with version 3.
    #[error(
        "GGUF version {version} is not written in {} endian, expected version 3",
        Endian::Big
    )]
    BigEndian {
        /// The version asked for.
        version: u32,
    },
    /// Metadata or tensors that our own reader would refuse.
    #[error(transparent)]
    Content(FormatError),
}

/// A file, or a set of shards, that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// The file is no good GGUF.
    #[error("{}: {error}{}", path.display(), piece(path, error))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        error: FormatError,
    },
    /// Two files were written behind each other.
    #[error(
        "{}: another GGUF file begins at byte {offset}: shards of a model were joined by `cat`; \
         take the shards as they were, and name any of them",
        path.display()
    )]
    Joined {
        /// The file.
        path: PathBuf,
        /// Where the second one begins.
        offset: u64,
    },
    /// A file that holds something else than a model.
    #[error("{}: {what}, not a model; {way_out}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
        /// What to do.
        way_out: &'static str,
    },
    /// A tensor that can be shown but not used.
    #[error("{}: tensor {} {problem}", path.display(), Quoted(tensor))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it is.
        problem: String,
    },
    /// A shard does not fit the others.
    #[error("{}: {error}", path.display())]
    Split {
        /// The shard.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: SplitError,
    },
}

/// How a set of shards fails to be one model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Metadata says "split", but the name leads to no other shard.
    #[error("is one of {count} shards, expected a name that ends in -00001-of-{count:05}.gguf")]
    Name {
        /// `split.count`.
        count: u32,
    },
    /// A shard is not there.
    #[error(
        "shard {number} of {count} is missing: all {count} belong in one folder, \
         and then any of them may be named"
    )]
    Missing {
        /// The shard's number, from 1.
        number: u32,
        /// Shards of the set.
        count: u32,
    },
    /// A number of the split metadata contradicts the name or the other shards.
    #[error("{key} is {}, expected {expected}", or_absent(*found))]
    Number {
        /// The key.
        key: &'static str,
        /// Its value, `None` if absent.
        found: Option<u64>,
        /// What the name or the other shards say.
        expected: u64,
    },
    /// A shard in the other byte order.
    #[error("is {found} endian, expected {expected} like shard 1")]
    Endian {
        /// The byte order of this shard.
        found: Endian,
        /// That of shard 1.
        expected: Endian,
    },
    /// A tensor in two shards.
    #[error("tensor {} is in shard {first} already", Quoted(name))]
    Duplicate {
        /// The tensor.
        name: String,
        /// The shard that has it too, from 1.
        first: u32,
    },
    /// Split metadata of a wrong type.
    #[error(transparent)]
    Metadata(MetadataError),
}

fn or_absent(number: Option<u64>) -> String {
    number.map_or_else(|| "absent".into(), |number| number.to_string())
}

/// What to do with a file that was cut to pieces, if its name says so.
fn piece(path: &Path, error: &FormatError) -> &'static str {
    use FormatErrorKind as Kind;
    let cut_short = matches!(
        error.kind,
        Kind::Magic { .. }
            | Kind::OtherKind(_)
            | Kind::Truncated { .. }
            | Kind::TooLong { .. }
            | Kind::DataTruncated { .. }
    );
    match cut_short && is_piece(path) {
        true => "; by its name it is a piece of a file: join all pieces in order, as `cat` does",
        false => "",
    }
}

/// `model.gguf-split-a`, `model.gguf.part1of2`, `model.gguf.001`, `model.gguf.aa`.
fn is_piece(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let Some((_, ending)) = name.rsplit_once(".gguf") else {
        return false;
    };
    let number = ending.strip_prefix('.').unwrap_or_default().as_bytes();
    let digits = (2..=4).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
    let letters = matches!(number, [b'a'..=b'b', b'a'..=b'z']);
    digits
        || letters
        || ["-split", ".split", "-part", ".part", "_part"]
            .iter()
            .any(|word| ending.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_past_the_end_is_called_a_truncated_file() {
        let error = FormatError {
            place: Place::Preamble,
            offset: Some(8),
            kind: FormatErrorKind::TooLong {
                what: "a tensor count",
                claimed: 75,
                needed: 1875,
                left: 84,
            },
        };
        assert_eq!(
            error.to_string(),
            "the header at byte 8: claims a tensor count of 75, which needs 1875 bytes, but 84 are \
             left; the file is truncated or damaged: download or copy it again"
        );
    }

    #[test]
    fn pieces_are_told_by_their_names() {
        for name in [
            "m.gguf-split-a",
            "M.Q6_K.gguf.part1of2",
            "m.gguf.001",
            "m.gguf.ab",
        ] {
            assert!(is_piece(Path::new(name)), "{name}");
        }
        for name in [
            "m.gguf",
            "m.gguf.bak",
            "part.gguf",
            "m-00001-of-00002.gguf",
            "m.gguf.zz",
        ] {
            assert!(!is_piece(Path::new(name)), "{name}");
        }
    }
}
