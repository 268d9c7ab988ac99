//! The page people read: model card, report and charts of quantized models.
//!
//! Everything here starts from plain facts and results: [`Collection`] says what a set of GGUF
//! files is (read from headers, or planned before any file exists), [`Quality`],
//! [`TensorErrors`] and [`Speed`] say what was measured, if anything was. No model runs here and
//! nothing is fetched.
//!
//! - [`folder`]: the files of a folder, and their digests.
//! - [`Card`]: the model card, Markdown from a template that can be replaced.
//! - [`Readme`]: a card that was written before, in which what somebody wrote by hand is kept.
//! - [`documents`]: what commands print as JSON, one type each.
//! - [`Report`]: one self-contained HTML page with charts and tables, and the charts alone.
//! - [`chart`]: the charts, as SVG; [`png`] turns them into pictures.
//!
//! # Trust
//!
//! Names, templates and metadata come from strangers. Whatever reaches a page goes through
//! [`escape`] for the place it lands in: Markdown text, a code fence, YAML, HTML, a shell
//! command, a Python literal. The card's template engine escapes Markdown unless told
//! otherwise, the page's escapes HTML; the page forbids scripts and requests by its own policy.
//!
//! # Example
//!
//! ```
//! use aeolus_gguf::{Endian, Metadata, Shape, TensorInfo, TensorType};
//! use aeolus_report::{Card, Collection, File, HeaderFacts};
//!
//! let mut metadata = Metadata::new();
//! metadata.insert("general.name", "tiny");
//! metadata.insert("general.architecture", "llama");
//! metadata.insert("general.file_type", 15u32);
//! let tensors = [TensorInfo {
//!     name: "blk.0.ffn_up.weight".into(),
//!     shape: Shape::from_gguf(&[256, 4])?,
//!     ty: TensorType::Q4_K,
//!     offset: 0,
//!     measured: None,
//! }];
//! let header = HeaderFacts {
//!     version: 2,
//!     endian: Endian::Little,
//!     metadata: &metadata,
//!     tensors: &tensors,
//!     bytes: 1_000,
//! };
//! let file = File::from_header("tiny.Q4_K_M.gguf", &header);
//! assert_eq!(file.bits_per_weight(), 4.5);
//! let collection = Collection::new(&metadata, vec![file]);
//! let card = Card::new(&collection).render()?;
//! assert!(card.starts_with("---\n") && card.contains("tiny.Q4_K_M.gguf"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod chart;
pub mod documents;
pub mod escape;
pub mod folder;
pub mod png;
pub mod yaml;

mod card;
mod error;
mod facts;
mod figures;
mod format;
mod memory;
mod methods;
mod page;
mod prompt;
mod readme;
mod recommend;
mod source_card;

pub use card::{Card, Provenance, Style, is_repo_id};
pub use documents::{Quality, Speed, TensorErrors, read_importance};
pub use error::Error;
pub use facts::{Collection, File, HeaderFacts, Model, Part, Tensor, TypeShare};
pub use figures::Figure as NamedChart;
pub use memory::{RAM_OVERHEAD_BYTES, kv_cache_bytes};
pub use page::Report;
pub use prompt::Prompt;
pub use readme::Readme;
pub use recommend::{Recommended, beaten_by, recommend};
pub use source_card::{SourceCard, hub_id, hub_revision, model_type};
