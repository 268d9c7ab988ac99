//! Why a file is refused.

use aeolus_gguf::{FormatError, LayoutError, MetadataError, Quoted, TensorType};
use std::path::{Path, PathBuf};

/// A file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused, or the file is something else.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// The file is not a good importance matrix.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        problem: Problem,
    },
}

/// What is wrong with an importance matrix.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The GGUF header.
    #[error(transparent)]
    Header(#[from] FormatError),
    /// A GGUF file of something else.
    #[error("holds {what}, expected an importance matrix")]
    OtherFile {
        /// What it holds.
        what: String,
    },
    /// A key of a GGUF file is missing.
    #[error("key {key:?} is missing: the file is not a whole importance matrix")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A key of a GGUF file has a wrong value.
    #[error(transparent)]
    Key(#[from] MetadataError),
    /// The paths of the calibration texts are not text.
    #[error("key {key:?} is not an array of STRING")]
    Datasets {
        /// The key.
        key: &'static str,
    },
    /// A tensor of a GGUF file that is not F32.
    #[error("tensor {} is {found}, expected F32", Quoted(tensor))]
    TensorType {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: TensorType,
    },
    /// Sums without counts, or counts without sums.
    #[error("entry {} has no tensor {missing:?} beside the other", Quoted(entry))]
    Half {
        /// The weight.
        entry: String,
        /// The suffix that is missing.
        missing: &'static str,
    },
    /// No entry at all.
    #[error("has no entries")]
    Empty,
    /// More than a file may have.
    #[error("has {found} entries, {limit} is the limit")]
    TooMany {
        /// Entries.
        found: u64,
        /// The most.
        limit: u64,
    },
    /// The bytes end before what they promise.
    #[error(
        "at byte {offset}: {what} needs {needed} bytes, {left} are left; the file is truncated or \
         is not an importance matrix"
    )]
    Ends {
        /// Bytes from the start of the file.
        offset: usize,
        /// What is there.
        what: &'static str,
        /// Bytes it takes.
        needed: u64,
        /// Bytes to the end of the file.
        left: usize,
    },
    /// A count or length below the least that there can be.
    #[error(
        "at byte {offset}: {what} is {found}, expected at least {least}; the file is damaged or is \
         not an importance matrix"
    )]
    Small {
        /// Bytes from the start of the file.
        offset: usize,
        /// What it counts.
        what: &'static str,
        /// The number.
        found: i32,
        /// The least.
        least: i32,
    },
    /// A name that no tensor can have.
    #[error("at byte {offset}: the name of an entry is not UTF-8 text of 1 to {limit} bytes")]
    Name {
        /// Bytes from the start of the file.
        offset: usize,
        /// The most bytes.
        limit: u64,
    },
    /// Two entries for one tensor.
    #[error("entry {} occurs twice", Quoted(entry))]
    Twice {
        /// The weight.
        entry: String,
    },
    /// Bytes behind the end.
    #[error("has {left} bytes behind its end, at byte {offset}")]
    Behind {
        /// Bytes from the start of the file.
        offset: usize,
        /// Bytes to the end of the file.
        left: usize,
    },
    /// An entry without numbers.
    #[error("entry {} has no values", Quoted(entry))]
    NoValues {
        /// The weight.
        entry: String,
    },
    /// Values that the counts do not divide.
    #[error(
        "entry {} has {values} values and {counts} counts, expected a multiple",
        Quoted(entry)
    )]
    Uneven {
        /// The weight.
        entry: String,
        /// Sums.
        values: usize,
        /// Counts.
        counts: usize,
    },
    /// A sum that is not one of squares.
    #[error(
        "entry {}: value {index} is {value}, expected a finite number that is not negative",
        Quoted(entry)
    )]
    Value {
        /// The weight.
        entry: String,
        /// Which sum, from 0.
        index: usize,
        /// The sum.
        value: f32,
    },
    /// A count that counts nothing.
    #[error(
        "entry {}: count {index} is {value}, expected a finite number that is not negative",
        Quoted(entry)
    )]
    Count {
        /// The weight.
        entry: String,
        /// Which count, from 0.
        index: usize,
        /// The count.
        value: f32,
    },
    /// Two entries of one weight that cannot be of one model.
    #[error(
        "entry {} has {} values and {} counts, expected the {} values and {} counts of the others; \
         importance matrices of one model can be merged",
        Quoted(entry), values[1], counts[1], values[0], counts[0]
    )]
    OtherShape {
        /// The weight.
        entry: String,
        /// Sums of the first and of the second.
        values: [usize; 2],
        /// Counts of the first and of the second.
        counts: [usize; 2],
    },
    /// A number that the older format cannot hold.
    #[error("{what} is {found}, 2147483647 is the most that the .dat format holds; write GGUF")]
    TooLarge {
        /// What it counts.
        what: &'static str,
        /// The number.
        found: usize,
    },
    /// A file that cannot be written, since it could not be read again.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A part of a name that was to choose entries and is in none.
    #[error("no entry's name contains {part:?}")]
    NoSuchEntry {
        /// The part.
        part: String,
    },
}

impl Problem {
    /// With the file it was found in.
    pub(crate) fn of(self, path: &Path) -> Error {
        Error::File {
            path: path.into(),
            problem: self,
        }
    }
}
