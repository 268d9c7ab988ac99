//! The GGUF file format, nothing else: values, the table of tensor types, parse, write, limits.
//!
//! A GGUF file is a header (metadata and one line for every tensor) and a data section with the
//! tensors' bytes. This crate reads versions 1, 2 and 3 in both byte orders, from a map, from a
//! growing prefix or from range requests, and writes versions 2 and 3. It knows how many bytes a
//! block takes and which of them are multi-byte numbers, but not what they mean: that is
//! `aeolus-quant`.
//!
//! - [`Value`], [`Array`], [`Metadata`]: what the header says, borrowed from the bytes it was
//!   read from until [`into_owned`](Metadata::into_owned).
//! - [`Shape`], [`TensorType`], [`TensorInfo`]: one line of the tensor list.
//! - [`Header::parse`]: bytes to header, or "need more"; [`read_header`] feeds it from any
//!   reader, [`GgufFile`] from a map, split files included.
//! - [`Layout`]: where everything lies in a file to be written, before any weight is read.
//! - [`differences`]: what two files do not have in common.
//! - [`swap_rows`]: the other byte order of a tensor's blocks.
//! - [`Limits`]: how much a header from outside may ask for.
//!
//! # Trust
//!
//! Everything read is untrusted: no input makes the crate panic, every length is compared with
//! the bytes that are really there before anything is allocated, and every defect is an error
//! that says where it lies and what was expected. Memory taken while parsing grows with the
//! bytes given, never with what they claim.
//!
//! # Example
//!
//! ```
//! use aeolus_gguf::{Endian, Header, HeaderSpec, Layout, Limits, Metadata, Parse, Shape};
//! use aeolus_gguf::{TensorSpec, TensorType};
//!
//! let mut metadata = Metadata::new();
//! metadata.insert("general.architecture", "llama");
//! let layout = Layout::new(HeaderSpec {
//!     version: 3,
//!     endian: Endian::Little,
//!     metadata,
//!     tensors: vec![TensorSpec {
//!         name: "output_norm.weight".into(),
//!         shape: Shape::from_gguf(&[256])?,
//!         ty: TensorType::F32,
//!     }],
//! })?;
//! let bytes = layout.encode_header();
//! assert_eq!(bytes.len() as u64, layout.data_offset());
//!
//! let parsed = Header::parse(&bytes, Some(layout.file_bytes()), &Limits::default())?;
//! let Parse::Done(header) = parsed else { panic!("the header is complete") };
//! assert_eq!(header.metadata.str("general.architecture")?, Some("llama"));
//! assert_eq!(header.tensors[0].shape.cols(), 256);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod array;
mod check;
mod difference;
mod encoding;
mod error;
mod file;
mod folder;
/// The bodies of the fuzz targets; see docs/security.md.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod items;
mod limits;
mod metadata;
mod read;
mod role;
mod shape;
mod split;
mod swap;
mod tensor;
mod tensor_type;
mod value;
mod value_type;
mod write;

pub use array::Array;
pub use difference::{Difference, differences};
pub use encoding::{Endian, Scalar};
pub use error::{Error, FormatError, FormatErrorKind, LayoutError, Place, Quoted, SplitError};
pub use file::{GgufFile, TensorPlace};
pub use folder::{files_in, is_named_gguf};
pub use items::{Items, MixedArray};
pub use limits::Limits;
pub use metadata::{Metadata, MetadataError};
pub use read::{Header, Parse, ReadError, read_header};
pub use role::not_a_model;
pub use shape::{Shape, ShapeError};
pub use split::ShardName;
pub use swap::{SwapError, swap_rows};
pub use tensor::{TensorInfo, TensorSpec};
pub use tensor_type::TensorType;
pub use value::Value;
pub use value_type::ValueType;
pub use write::{HeaderSpec, Layout};

/// The key whose UINT32 value aligns the data section and every tensor in it.
pub const ALIGNMENT_KEY: &str = "general.alignment";
/// The alignment, in bytes, of a file without [`ALIGNMENT_KEY`].
pub const DEFAULT_ALIGNMENT: u32 = 32;
