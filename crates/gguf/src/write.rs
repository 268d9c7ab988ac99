//! Writing: where everything lies, and the header's bytes.

mod encode;
mod layout;

pub(crate) use encode::{put, put_item, put_string};
pub use layout::{HeaderSpec, Layout};
