//! How good a quantized file is, in numbers that can be checked.
//!
//! - [`perplexity()`]: how surprised a model is by a text, exactly as llama-perplexity defines
//!   it; bits per byte, which compares across vocabularies.
//! - [`compare`]: how far files are from their base over full distributions: KL divergence, top
//!   token, change of probabilities. [`LogProbs`] keeps the base's distributions in a file.
//! - [`tensor_errors`]: what quantization did to each tensor, without running anything.
//! - [`verify()`]: whether files are what source and recipe make them, byte by byte.
//! - [`tasks`]: multiple-choice questions.
//! - [`collect`](mod@collect): the importance matrix of a text, which guides the encoders.
//!
//! Models are seen through [`Scorer`]; [`Model`] is the one that runs GGUF files, with weights
//! exactly as decoded unless told otherwise. Everything computed from logits is in f64, added in
//! the order of the text: figures do not depend on threads, nor on whether a run was interrupted
//! ([`State`]).
//!
//! # Example
//!
//! ```
//! use aeolus_eval::{Cut, Windows};
//!
//! let tokens = (0..2000).collect();
//! let cut = Cut { n_ctx: 512, stride: None, bos: Some(1), limit: Some(2) };
//! let windows = Windows::new(tokens, &cut)?;
//! assert_eq!(windows.len(), 2);
//! assert_eq!(windows.input(1)[..2], [1, 513]);
//! assert_eq!(windows.scored(), 256..511);
//! assert_eq!(windows.targets(1)[0], 512 + 257);
//! # Ok::<(), aeolus_eval::Error>(())
//! ```
#![forbid(unsafe_code)]

mod base;
pub mod collect;
mod comparison;
mod distribution;
mod divergence;
mod error;
mod findings;
mod fingerprint;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod logprobs;
mod model;
mod pass;
mod perplexity;
mod reference;
mod scorer;
mod source;
mod state;
mod stats;
mod stopping;
mod subject;
pub mod tasks;
mod tensor_error;
#[cfg(test)]
mod tests;
pub mod text;
mod verify;
mod windows;

pub use aeolus_job::{Cancel, Event, Figure, Identity, Progress};
pub use aeolus_pipeline::TensorError;
pub use base::{Base, Options};
pub use comparison::{Comparison, MOST_WINDOWS, compare, default_windows, describe};
pub use divergence::{Divergence, divergence};
pub use error::Error;
pub use findings::{Choice, Finding, rises};
pub use fingerprint::fingerprint;
pub use logprobs::{BaseFacts, Format, LogProbs};
pub use model::{Model, runtime};
pub use pass::Job;
pub use perplexity::{Perplexity, perplexity, scored_bytes};
pub use reference::Reference;
pub use scorer::{Numeric, Scorer, numeric_name};
pub use state::State;
pub use stats::Estimate;
pub use stopping::{APART, KNOWN, Stopped};
pub use subject::{Subject, file_type, keep_predict_layers};
pub use tensor_error::tensor_errors;
pub use verify::{Making, Verdict, verify};
pub use windows::{Cut, Windows};
