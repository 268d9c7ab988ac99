//! What goes in: a checkpoint folder or a GGUF file as named tensors.
//!
//! [`open`] takes a Hugging Face folder (config.json, one or many safetensors shards, tokenizer
//! files; the families of `aeolus-arch`) or a GGUF file, and gives one [`Checkpoint`]: GGUF
//! metadata, and tensors in GGUF names, each a shape, a source type, mapped bytes that nobody
//! copied, and a [`RowMap`] that says in which order its rows go out. Nothing is decoded here
//! and no weight is read: that is the pipeline's work.
//!
//! [`Forecastable::from_config`] gives the same facts without weights.
//!
//! # Trust
//!
//! Every file is untrusted. Sizes are bounded by [`Limits`] before anything is allocated, shard
//! names cannot leave the folder, safetensors headers are checked in full before the
//! `safetensors` crate sees them, and every tensor's name, element type and shape has to agree
//! with config.json. What cannot be converted faithfully is an error, never a guess.
//!
//! # Example
//!
//! ```
//! use aeolus_checkpoint::{OpenOptions, RowMap};
//! # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/notus-mini");
//! let checkpoint = aeolus_checkpoint::open(&path, &OpenOptions::default())?;
//! assert_eq!(checkpoint.name, "notus-mini");
//! assert_eq!(checkpoint.metadata.u32("llama.block_count")?, Some(8));
//! let q = &checkpoint.tensors.iter().find(|t| t.name == "blk.0.attn_q.weight").unwrap();
//! assert_eq!(q.row_map, RowMap::Rope { heads: 8, head_dim: 32 });
//! assert_eq!(q.size_bytes(), 2 * 256 * 256);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod assembly;
mod checkpoint;
mod config;
mod error;
mod files;
mod folder;
mod foreign;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gguf_source;
mod json;
mod layout;
mod limits;
mod metadata;
mod model_name;
mod mxfp4;
mod names;
mod notes;
mod open;
mod output_name;
mod row_map;
mod safetensors;
mod sample;
mod shards;
pub mod synth;
mod tokenizer;
mod view;
mod weights;
mod wrapping;

pub use aeolus_arch::Hyperparameters;
pub use checkpoint::{
    Checkpoint, Forecastable, OpenOptions, QUANTIZATION_VERSION, Tensor, TensorFacts, TokenizerMode,
};
pub use error::Error;
pub use limits::Limits;
pub use open::open;
pub use output_name::check_name;
pub use row_map::RowMap;
pub use tokenizer::TokenizerFacts;
