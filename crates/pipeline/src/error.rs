//! What can end a run.

use std::io;
use std::path::PathBuf;

/// Why no output was made. Outputs that were begun are gone again, but for what
/// [`Event::Kept`](crate::Event::Kept) tells of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The output has a name already taken.
    #[error("{}: exists already (give --force to replace it)", path.display())]
    TargetExists {
        /// The output.
        path: PathBuf,
    },
    /// A file to be written is one of the source's.
    #[error("{}: is a file of the source, writing it would destroy it", path.display())]
    IsSource {
        /// The partial file.
        path: PathBuf,
    },
    /// The folder of an output is none.
    #[error("{}: is a file, a folder was expected", path.display())]
    NotAFolder {
        /// What should be the folder.
        path: PathBuf,
    },
    /// Some outputs got their names, then the system refused one.
    #[error(
        "{}: cannot give the finished file its name: {error}; {named} of {all} outputs have \
         theirs and are whole",
        path.display()
    )]
    Rename {
        /// The file without a name.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
        /// Outputs that are in place.
        named: usize,
        /// Outputs of the run.
        all: usize,
    },
    /// The output's name is that of a folder.
    #[error("{}: is a folder, a file was expected", path.display())]
    TargetIsFolder {
        /// The output.
        path: PathBuf,
    },
    /// Two outputs of one run have the same name.
    #[error("{}: is named twice among the outputs", path.display())]
    DuplicateTarget {
        /// The output.
        path: PathBuf,
    },
    /// The file system cannot hold the outputs.
    #[error(
        "{}: the outputs need {needed} bytes, {available} are free there",
        folder.display()
    )]
    NoSpace {
        /// Where they would go.
        folder: PathBuf,
        /// Bytes of all outputs.
        needed: u64,
        /// Bytes free there.
        available: u64,
    },
    /// A file that is being written: the system refuses, another run has it, or something else
    /// is in its place.
    #[error(transparent)]
    Job(#[from] aeolus_job::Error),
    /// The list of digests is not text: nothing can be added to it.
    #[error("{}: is not a text file", path.display())]
    ListIsNotText {
        /// The list.
        path: PathBuf,
    },
    /// Files cannot be checked by a list of digests.
    #[error("{}: {problem}", path.display())]
    List {
        /// The list, or what has none.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The list of digests would have too many bytes with those of the outputs.
    #[error(
        "{}: would have {bytes} bytes with what is to be added, the most that is read is {limit}",
        path.display()
    )]
    ListIsFull {
        /// The list.
        path: PathBuf,
        /// What it would have, in bytes.
        bytes: u64,
        /// The most, in bytes.
        limit: u64,
    },
    /// Codes that were chosen beforehand and cannot be read.
    #[error("tensor {tensor}: cannot read the refined codes: {error}")]
    Codes {
        /// Its name.
        tensor: String,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// A weight that no type can hold.
    #[error(
        "{}: tensor {tensor}: weight [{row}, {col}] is {value}, a finite number was expected",
        path.display()
    )]
    NonFinite {
        /// The source file.
        path: PathBuf,
        /// Its name in the GGUF file.
        tensor: String,
        /// Row in the output.
        row: usize,
        /// Column.
        col: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A weight beyond the range of the 16-bit float type that is on the way or the goal.
    #[error(
        "{}: tensor {tensor}: weight [{row}, {col}] = {value:e} is beyond the largest number of \
         {ty}; {advice}",
        path.display()
    )]
    Overflow {
        /// The source file.
        path: PathBuf,
        /// Its name in the GGUF file.
        tensor: String,
        /// Row in the output.
        row: usize,
        /// Column.
        col: usize,
        /// The weight.
        value: f32,
        /// The type it does not fit.
        ty: aeolus_gguf::TensorType,
        /// What to do instead.
        advice: &'static str,
    },
    /// Finite weights too large for their block's scales, so that it decodes to infinities, or to
    /// something else altogether.
    #[error(
        "{}: tensor {tensor}: weight [{row}, {col}] is or lies beside a weight too large for the \
         scales of {ty}: its block would decode to {value}; choose f32 or bf16 for this tensor",
        path.display()
    )]
    ScaleOverflow {
        /// The source file.
        path: PathBuf,
        /// Its name in the GGUF file.
        tensor: String,
        /// Row in the output.
        row: usize,
        /// Column.
        col: usize,
        /// What it would decode to.
        value: f32,
        /// The block type.
        ty: aeolus_gguf::TensorType,
    },
    /// The source is quantized already, and another type was asked for.
    #[error(
        "{}: tensor {tensor} is {found} already, quantizing it again to {wanted} loses quality \
         twice; give --allow-requantize to do it all the same",
        path.display()
    )]
    Requantize {
        /// The source file.
        path: PathBuf,
        /// The first such tensor.
        tensor: String,
        /// Its type.
        found: aeolus_gguf::TensorType,
        /// The type of the plan.
        wanted: aeolus_gguf::TensorType,
    },
    /// An importance matrix of another model.
    #[error(
        "{file}: entry {tensor} has {found} values, expected {expected}, one for each column of \
         each matrix: the importance matrix is not of this model"
    )]
    ImportanceSize {
        /// The importance matrix.
        file: String,
        /// The tensor.
        tensor: String,
        /// Values of the entry.
        found: u64,
        /// Columns, times matrices.
        expected: u64,
    },
    /// An importance matrix of a model with other tensors.
    #[error("{file}: has no entry for any tensor: the importance matrix is not of this model")]
    ImportanceOfOthers {
        /// The importance matrix.
        file: String,
    },
    /// An importance matrix without an entry that a type needs.
    #[error("{file}: has no entry {tensor}, and {ty} cannot be encoded without one")]
    NoImportance {
        /// The importance matrix.
        file: String,
        /// The tensor.
        tensor: String,
        /// The type that it should get.
        ty: aeolus_gguf::TensorType,
    },
    /// No codec for a type.
    #[error("{}: tensor {tensor}: {what}", path.display())]
    Codec {
        /// The source file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Which codec is missing.
        what: String,
    },
    /// Big-endian files came with version 3.
    #[error("a big-endian file needs --gguf-version 3, version {version} is little-endian only")]
    BigEndianVersion {
        /// The version asked for.
        version: u32,
    },
    /// Threads could not be started.
    #[error("cannot start {threads} threads: {what}")]
    Threads {
        /// As many as were asked for.
        threads: usize,
        /// The system's answer.
        what: String,
    },
    /// The plan of the types.
    #[error(transparent)]
    Recipe(#[from] aeolus_recipe::Error),
    /// The header cannot be written.
    #[error("the output's header: {0}")]
    Layout(#[from] aeolus_gguf::LayoutError),
    /// The source's bytes.
    #[error(transparent)]
    Source(#[from] aeolus_source::Error),
    /// The source changed.
    #[error(transparent)]
    Checkpoint(#[from] aeolus_checkpoint::Error),
    /// [`Cancel`](crate::Cancel) was set.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    pub(crate) fn codec(tensor: &aeolus_checkpoint::Tensor, what: String) -> Self {
        Self::Codec {
            path: crate::targets::source_path(tensor),
            tensor: tensor.name.clone(),
            what,
        }
    }

    /// Whether another run, without other flags, may end better: then what is done is kept.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Job(aeolus_job::Error::Io { .. }) | Self::Rename { .. } | Self::Cancelled => true,
            // A source that cannot be asked may be there again: what is recorded was made while
            // it was as it should be. One that changed is another matter.
            Self::Source(error) | Self::Checkpoint(aeolus_checkpoint::Error::Source(error)) => {
                matches!(error, aeolus_source::Error::Io { .. })
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_source::Error as Source;

    #[test]
    fn only_a_source_that_changed_is_given_up() {
        let path = || PathBuf::from("model.safetensors");
        let lost = || Source::Io {
            action: "read",
            path: path(),
            error: io::Error::other("stale file handle"),
        };
        let changed = || Source::Changed {
            path: path(),
            what: "its modification time differs".into(),
        };
        // As the recorder and the end of a run get them.
        let ways: [fn(Source) -> Error; 2] = [Error::Source, |error| {
            Error::Checkpoint(aeolus_checkpoint::Error::Source(error))
        }];
        for of in ways {
            assert!(of(lost()).may_pass());
            assert!(!of(changed()).may_pass());
        }
    }
}
