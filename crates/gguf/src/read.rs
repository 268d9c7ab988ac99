//! Reading: bytes in, header out.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

mod cursor;
mod header;
mod prefix;

pub(crate) use cursor::Cursor;
pub use header::{Header, Parse};
pub use prefix::{ReadError, read_header};
