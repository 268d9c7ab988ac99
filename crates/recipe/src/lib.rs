//! Which type every tensor gets, and the size of every file.
//!
//! A file type such as Q4_K_M is not one block format but a mix: most matrices in Q4_K, the
//! sensitive ones in something wider. Which ones differs with the layer, the model and the year
//! of the tool that made the file. This crate holds those mixes as tables, and applies one to a
//! list of tensor shapes before any weight is read: the forecast and the real run are the same
//! plan.
//!
//! - [`FileType`]: the named mixes, their ids, sizes and words.
//! - [`Vintage`]: what the tools of a year did, one table for November 2023 and one for today;
//!   [`Mix`] and [`Rule`] are the types they gave.
//! - [`plan`]: shapes and [`Options`] in, a [`Plan`] out: type, bytes and deciding rule of every
//!   tensor.
//! - [`PlanFile`]: a set of files, or what was made and how, as TOML.
//! - [`parse_tensor_type`], [`parse_tensor_rule`]: what a user types, checked.
//!
//! # Who decides
//!
//! For each tensor, the first of these that applies:
//!
//! 1. What is not a weight matrix stays F32: tensors of one dimension, norms, names that do not
//!    end in `.weight`, expert routers, small convolutions. Nothing overrides this: engines expect
//!    them in F32, and they take 1 MB of a 7B model. A few small matrices stay what they are in
//!    the source.
//! 2. [`Options::chosen`]: what a plan says.
//! 3. The first of [`Options::tensor_types`] whose pattern is found in the GGUF name.
//! 4. [`Options::output_type`] and [`Options::embedding_type`].
//! 5. An unquantized file type (F32, F16, BF16), or [`Options::pure`]: the file's base type.
//! 6. The first rule of the vintage's table that fits; if none does, the file's base type.
//!
//! Then, whoever decided, a type whose blocks do not divide the tensor's row is replaced by the
//! vintage's fallback and the plan records it. A tensor whose type needs an importance matrix is
//! an error where there is none ([`Importance`]). An option or rule that decides nothing is an
//! error.
//!
//! # What can be written
//!
//! The tables know every file type of llama.cpp, and [`plan`] makes a plan of each. What a user
//! names is another matter: [`FileType::parse`] and [`parse_tensor_type`] refuse a type without an
//! encoder by name, and [`FileType::all`] lists the file types of which every block type has one.
//! No list of these is kept: `aeolus-quant` is asked.
//!
//! # Limits
//!
//! The rules that llama.cpp has for Falcon and Ling 3 (`bailingmoe3`) alone are left out. It counts
//! tensors of a role where a layer has several, and those that the user's rules take are not
//! counted there; here they are, so that a rule changes only the tensors that it matches.
//!
//! # Example
//!
//! ```
//! use aeolus_gguf::{Shape, TensorType};
//! use aeolus_recipe::{FileType, ModelShape, Options, plan};
//!
//! let model = ModelShape {
//!     architecture: "llama".into(),
//!     tokenizer: "llama".into(),
//!     layers: 32,
//!     heads: 32,
//!     kv_heads: 8,
//!     ..ModelShape::default()
//! };
//! let tensors = [
//!     ("blk.0.ffn_down.weight", Shape::from_gguf(&[14336, 4096])?),
//!     ("blk.0.ffn_norm.weight", Shape::from_gguf(&[4096])?),
//! ];
//! let plan = plan(&model, &tensors, FileType::parse("q4_k_m")?, &Options::default())?;
//! assert_eq!(plan.tensors[0].ty, TensorType::Q6_K);
//! assert_eq!(plan.tensors[1].ty, TensorType::F32);
//! assert_eq!(plan.bytes(), 14336 * 4096 / 256 * 210 + 4096 * 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod file_type;
mod importance;
mod mix;
mod near;
mod parse;
mod plan;
mod plan_file;
mod role;
mod vintage;

pub use error::{Error, Misfit};
pub use file_type::FileType;
pub use importance::Importance;
pub use mix::{Layers, Mix, Models, Place, Rule, Tensors};
pub use parse::{parse_tensor_rule, parse_tensor_type, tensor_types};
pub use plan::{Chosen, Fallback, ModelShape, Options, Plan, PlannedTensor, plan};
pub use plan_file::{
    MAX_PLAN_BYTES, PLAN_VERSION, PlanEntry, PlanFile, PlanImatrix, PlanRefine, PlanSource,
};
pub use role::Role;
pub use vintage::{Vintage, VintageFacts};
