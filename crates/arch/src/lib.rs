//! Model families as data: one record each, one file each, read from top to bottom.
//!
//! A [`Family`] says everything that tells its models from others:
//!
//! - its **names**: the Hugging Face classes and the GGUF architecture;
//! - its **keys**: every hyperparameter once, with where config.json has it, what its absence means,
//!   and the GGUF key. Conversion writes by this list, and inference reads by it;
//! - its **tensors**: one line each, with the Hugging Face name, the GGUF name, the shape in terms of
//!   the hyperparameters, and how the rows come;
//! - its **graph**: what the one forward function does differently. A family without a graph is
//!   converted and quantized all the same.
//!
//! [`pre_tokenizer`] does the same for tokenizers: how a text is cut before its tokens are merged, under
//! the names that GGUF files use, and which of these names a tokenizer.json goes by.
//!
//! Nothing here reads a file: `checkpoint` fills [`Hyperparameters`] from config.json, and
//! [`Hyperparameters::from_metadata`] from a GGUF file's keys, for every crate that needs them.
//! To add a family, add a file to `families/` and its name to [`FAMILIES`].
//!
//! ```
//! use aeolus_arch::{Dim, family_of_class};
//! let family = family_of_class("Qwen3ForCausalLM").unwrap();
//! assert_eq!(family.architecture, "qwen3");
//! let q_norm = family.tensors.iter().find(|t| t.gguf == "attn_q_norm.weight").unwrap();
//! assert_eq!(q_norm.shape, [Dim::HeadDim]);
//! ```
#![forbid(unsafe_code)]

mod families;
mod family;
mod graph;
mod hyper;
mod layer;
pub mod pre_tokenizer;

pub use families::{FAMILIES, family_of_architecture, family_of_class};
pub use family::{
    Absent, Columns, Delta, Dim, EXPERT, Expected, ExpectedStored, Family, Heads, HfNames, Key,
    Line, Part, Presence, Require, Required, Rows, Scope, Stored, TensorLine, Values, When,
    WindowSwitch, Written, fused_name,
};
pub use graph::{
    Activation, Block, DeltaOrder, EmbeddingScale, FfnNorm, Graph, LayerPattern, LogitScale, Mixer,
    NormKind, QueryScale, Recurrence, RotaryPairs, Router,
};
pub use hyper::{Bounds, Entry, Field, GATINGS, Hyperparameters, Kind, Problem, Value};
pub use layer::{Layer, LayerKind};
