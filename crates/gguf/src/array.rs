//! Arrays of values, kept in the bytes they have in the file.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

use crate::encoding::Encoding;
use crate::value_type::ValueType;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// An array value: items of one type, in their encoded bytes.
///
/// Reading a header checks the bytes once and borrows them; items are decoded when they are
/// asked for. Two arrays are equal if their types and items are, whatever their byte order.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    element_type: ValueType,
    len: usize,
    /// Arrays within arrays, this one included: at least 1. Exact for an array that was parsed
    /// or built, an upper bound for one taken out of another.
    depth: u32,
    encoding: Encoding,
    bytes: Bytes<'a>,
}

/// The items of an array: borrowed, or shared with its clones. A vocabulary has megabytes, and
/// each of a table's outputs has a clone of it.
#[derive(Clone)]
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Shared(Arc<[u8]>),
}

/// The bytes: whose they are is no part of an array's content.
impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> Array<'a> {
    /// An array over bytes that a parser has walked: `len` items, checked, nothing after them.
    pub(crate) fn from_checked(
        element_type: ValueType,
        len: usize,
        depth: u32,
        encoding: Encoding,
        bytes: &'a [u8],
    ) -> Self {
        Self {
            element_type,
            len,
            depth,
            encoding,
            bytes: Bytes::Borrowed(bytes),
        }
    }

    pub(crate) fn owned(element_type: ValueType, len: usize, depth: u32, bytes: Vec<u8>) -> Self {
        Self {
            element_type,
            len,
            depth,
            encoding: Encoding::NATIVE,
            bytes: Bytes::Shared(bytes.into()),
        }
    }

    /// The type of every item.
    pub const fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// The number of items.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if there is no item.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arrays within arrays, this one included.
    pub(crate) const fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The items' bytes as they are in the file, in [`encoding`](Self::encoding).
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// The same array, borrowing its bytes from this one.
    pub fn borrowed(&self) -> Array<'_> {
        Array {
            bytes: Bytes::Borrowed(&self.bytes),
            ..*self
        }
    }

    /// The array with nothing borrowed.
    pub fn into_owned(self) -> Array<'static> {
        Array {
            bytes: Bytes::Shared(match self.bytes {
                Bytes::Borrowed(bytes) => bytes.into(),
                Bytes::Shared(bytes) => bytes,
            }),
            ..self
        }
    }
}
