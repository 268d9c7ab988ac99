//! Reference inference on the CPU: tokenizer, transformer, sampler.
//!
//! Reads GGUF files and nothing else, stands on `aeolus-gguf` (the format) and `aeolus-quant`
//! (block formats and their products), and is what evaluation and the `run` and `chat` commands
//! stand on.
//!
//! - [`Tokenizer`]: text to ids and back, from the file's own vocabulary; [`StreamDecoder`].
//! - [`ChatTemplate`]: a conversation as text, by the file's own template.
//! - [`Model`] and [`Cache`]: load and check, and one forward pass for one token or many.
//! - [`Runtime`]: threads and kernels; also [many windows of a text](Runtime::windows).
//! - [`Sampler`]: the next token from its scores.
//! - [`Session`]: prompt in, text out, with what it took.
//!
//! [`Numeric`] names the two ways to compute: `Exact`, the reference, and `Fast`.
//!
//! # Trust
//!
//! A model file is untrusted: whatever its metadata, tensors, vocabulary or template hold, the
//! answer is a typed [`Error`] and never a panic, and no more memory is taken than the file's
//! own size warrants. `docs/inference.md` says what runs, how exactly and how fast.
//!
//! # Example
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::path::Path;
//!
//! use aeolus_infer::{
//!     EncodeOptions, GenerateOptions, Model, Numeric, Runtime, Sampler, SamplerOptions, Session,
//!     SessionOptions, Tokenizer,
//! };
//!
//! let model = Model::open(Path::new("notus-7b-v1.Q4_K_M.gguf"))?;
//! let tokenizer = Tokenizer::from_metadata(model.metadata())?;
//! let runtime = Runtime::new(0, Numeric::Fast)?;
//! let mut session = Session::new(&runtime, &model, &tokenizer, SessionOptions::default())?;
//! let special = EncodeOptions { add_special: true, parse_special: false };
//! let prompt = tokenizer.encode("It was the best of times,", special);
//! let _ = session.set_prompt(&prompt, |_, _| ControlFlow::Continue(()))?;
//! let mut sampler = Sampler::new(SamplerOptions::default())?;
//! let options = GenerateOptions { max_tokens: Some(64), ..GenerateOptions::default() };
//! session.generate(&mut sampler, &options, |text| {
//!     print!("{text}");
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), aeolus_infer::Error>(())
//! ```
//!
//! A tokenizer can also be made of plain data:
//!
//! ```
//! use aeolus_infer::{EncodeOptions, TokenKind, Tokenizer, Vocabulary};
//!
//! let pieces = ["<unk>", "a", "b", "ab", "\u{2581}"];
//! let tokenizer = Tokenizer::new(Vocabulary {
//!     pieces: pieces.map(str::to_owned).to_vec(),
//!     scores: vec![0.0; 5],
//!     kinds: [&[TokenKind::Unknown][..], &[TokenKind::Normal; 4]].concat(),
//!     bos: None,
//!     eos: None,
//!     unk: Some(0),
//!     add_bos: false,
//!     add_eos: false,
//!     add_space_prefix: true,
//! })?;
//! let ids = tokenizer.encode("abba", EncodeOptions::default());
//! assert_eq!(ids, [4, 3, 2, 1]);
//! assert_eq!(tokenizer.decode(&ids)?, "abba");
//! # Ok::<(), aeolus_infer::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod chat;
mod error;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod matmul;
pub mod model;
pub mod runtime;
pub mod sampler;
pub mod session;
#[cfg(test)]
mod testing;
pub mod tokenizer;

pub use chat::{ChatTemplate, Message, Prompt, SystemRole};
pub use error::{Error, Result};
pub use matmul::{Compute, Numeric, Tap};
pub use model::{
    Cache, CacheType, Hyperparameters, Logits, Model, RopeScaling, Windows, math, rotate,
};
pub use runtime::Runtime;
pub use sampler::{Sampler, SamplerOptions};
pub use session::{GenerateOptions, Generated, Session, SessionOptions, StopReason, Timings};
pub use tokenizer::{EncodeOptions, StreamDecoder, TokenKind, Tokenizer, Vocabulary};
