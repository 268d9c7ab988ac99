//! Long jobs: what is kept of them when they end early, how they are asked to end, and what they
//! say while they run.
//!
//! A quantization table, an evaluation and a download have little in common but this: they take
//! minutes to hours, they may be killed at any moment, and the same command should then continue
//! where they ended. This crate stands apart from the floors of the house: it knows files, names
//! and lines of text, nothing of models or repositories. `aeolus-pipeline`, `aeolus-eval` and
//! `aeolus-hub` use it.
//!
//! - [`PartialFile`]: a file that grows as `NAME.partial` and gets its name when it is whole.
//! - [`Log`]: records of what is done, appended one by one. Beside a partial file it is
//!   `NAME.partial.journal`; the saved state of an evaluation is a log and nothing else.
//! - [`Identity`]: what the result depends on. It is the head of every log.
//! - [`Cancel`]: asks a job to end. [`Event`] and [`Progress`]: what it says.
//!
//! # What every long job promises
//!
//! | when | then |
//! |---|---|
//! | `kill -9` at any moment | the file under the final name is the old one or the new one, never a part; what the log has is continued from |
//! | the power fails | the same: a record is believed only if its checksum fits, and, where that matters, if the bytes that it is about are what it says. A tail of zeros or of another file's bytes ends the log |
//! | the disk is full | the job ends with an error that names the file; what the log has stays, and what was torn is cut off by the next run |
//! | a record was torn | the log is cut behind the last good record; nothing before it is written again |
//! | the log is another run's | nothing of it is taken over, and the [`Difference`] is said in words. A partial file is then started over; a saved state, which its user named, is refused |
//! | a second run starts meanwhile | [`Error::Busy`]: partial files and logs are locked as long as they are open. File systems without locks are trusted |
//! | a link, a pipe or a folder lies in the way | [`Error::NotAFile`]: none is ever opened, written through or replaced |
//! | another file took the place of the partial one | it does not get the name, and is not removed |
//!
//! Each job decides what its records say, and what it checks of the bytes before it believes them:
//! the pipeline hashes them, kept log-probabilities have a checksum for each window, and a
//! download is hashed as a whole at its end.
//!
//! # Form of a log
//!
//! Text, so that a user can see what a file in the way is:
//!
//! ```text
//! aeolus log 1
//! program: 0.1.0
//! source: model-00001-of-00002.safetensors, 9942981696 bytes, modified 1700000000.123456789
//!
//! 734003200 5b1c... 90f2a41c33e80d57
//! ```
//!
//! The head has the identity, a name and a value in each line, and ends with an empty line. A
//! record is a line: the job's own words, a space, and 16 hex digits of a [`checksum`] over head and
//! words, so that no record of another run fits. The first line that does not end, does not fit,
//! or that the job cannot read ends the log.
//!
//! ```
//! use aeolus_job::{Found, Identity, Log};
//!
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("state");
//! let identity = Identity::new([("program", "1.0"), ("text", "abc")]);
//! let number = |record: &str| record.parse::<u32>().ok();
//! let (mut log, _) = Log::open(&path, &identity, number)?;
//! log.resume(0)?;
//! log.append("17")?;
//! drop(log);
//! let (_, found) = Log::open(&path, &identity, number)?;
//! assert_eq!(found, Found::Records(vec![17]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod checksum;
mod error;
mod file;
#[cfg(any(test, feature = "full-disk"))]
pub mod full_disk;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod log;
mod partial;
mod progress;

pub use checksum::checksum;
pub use error::Error;
pub use file::{folder_of, lock};
pub use identity::{Difference, Identity};
pub use log::{Found, Log};
pub use partial::{Names, PartialFile};
pub use progress::{Cancel, Event, Figure, Progress};
