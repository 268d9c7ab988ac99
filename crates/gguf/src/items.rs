//! What arrays hold: made of numbers, texts and values, and taken apart again.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

use crate::array::Array;
use crate::encoding::{Encoding, Scalar};
use crate::read::Cursor;
use crate::value::Value;
use crate::value_type::ValueType;
use crate::write::{put, put_item, put_string};

/// The items given to [`Array::from_values`] are not all of its element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("item {index} is {found}, expected {expected} like the array")]
pub struct MixedArray {
    /// The first item that differs, from 0.
    pub index: usize,
    /// The element type of the array.
    pub expected: ValueType,
    /// The type of the item.
    pub found: ValueType,
}

impl Array<'_> {
    /// An array of strings.
    pub fn from_strings<S: AsRef<str>>(strings: impl IntoIterator<Item = S>) -> Self {
        let (mut bytes, mut len) = (Vec::new(), 0usize);
        for string in strings {
            put_string(string.as_ref(), Encoding::NATIVE.endian, &mut bytes);
            len = len.saturating_add(1);
        }
        Self::owned(ValueType::String, len, 1, bytes)
    }

    /// An array of numbers.
    pub fn from_slice<T: Scalar>(items: &[T]) -> Self {
        let mut bytes = Vec::with_capacity(size_of_val(items));
        for &item in items {
            put(item, Encoding::NATIVE.endian, &mut bytes);
        }
        Self::owned(T::TYPE, items.len(), 1, bytes)
    }

    /// An array of FLOAT32.
    pub fn from_f32s(items: &[f32]) -> Self {
        Self::from_slice(items)
    }

    /// An array of INT32.
    pub fn from_i32s(items: &[i32]) -> Self {
        Self::from_slice(items)
    }

    /// An array of any type, arrays included, whose items all have `element_type`.
    ///
    /// # Errors
    /// [`MixedArray`] for the first item of another type.
    pub fn from_values<'v>(
        element_type: ValueType,
        items: impl IntoIterator<Item = Value<'v>>,
    ) -> Result<Self, MixedArray> {
        let (mut bytes, mut len, mut inner) = (Vec::new(), 0usize, 0);
        for item in items {
            if item.value_type() != element_type {
                return Err(MixedArray {
                    index: len,
                    expected: element_type,
                    found: item.value_type(),
                });
            }
            put_item(&item, Encoding::NATIVE.endian, &mut bytes);
            inner = inner.max(item.depth());
            len = len.saturating_add(1);
        }
        Ok(Self::owned(
            element_type,
            len,
            inner.saturating_add(1),
            bytes,
        ))
    }

    /// The items in order, decoded one by one.
    ///
    /// The bytes were checked when the array was made; if they lie in a map and the file was
    /// rewritten since, the iterator may end early.
    pub fn iter(&self) -> Items<'_> {
        Items {
            cursor: Cursor::whole(self.encoded(), self.encoding()),
            left: self.len(),
            element_type: self.element_type(),
            depth: self.depth(),
        }
    }

    /// The items as text, `None` if the array is not one of strings.
    pub fn strings(&self) -> Option<impl Iterator<Item = &str>> {
        let mut items = (self.element_type() == ValueType::String).then(|| self.iter())?;
        Some(std::iter::from_fn(move || {
            items.left = items.left.checked_sub(1)?;
            items.cursor.string(u64::MAX).ok()
        }))
    }

    /// The items as numbers of the array's own type, `None` if that is not `T`.
    pub fn to_vec<T: Scalar>(&self) -> Option<Vec<T>> {
        if self.element_type() != T::TYPE {
            return None;
        }
        let mut cursor = Cursor::whole(self.encoded(), self.encoding());
        let items = (0..self.len()).map_while(|_| cursor.number().ok());
        Some(items.collect())
    }

    /// The items of an array of FLOAT32, `None` for any other.
    pub fn to_f32s(&self) -> Option<Vec<f32>> {
        self.to_vec()
    }

    /// The items of an array of INT32, `None` for any other.
    pub fn to_i32s(&self) -> Option<Vec<i32>> {
        self.to_vec()
    }
}

impl PartialEq for Array<'_> {
    fn eq(&self, other: &Self) -> bool {
        if (self.element_type(), self.len()) != (other.element_type(), other.len()) {
            return false;
        }
        // Equal bytes are needed where the encodings agree; where they differ, items decide.
        if self.encoding() == other.encoding() {
            self.encoded() == other.encoded()
        } else {
            self.iter().eq(other.iter())
        }
    }
}

impl Eq for Array<'_> {}

/// The items of an [`Array`], from [`Array::iter`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    cursor: Cursor<'a>,
    left: usize,
    element_type: ValueType,
    depth: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let inner = self.depth.saturating_sub(1);
        self.cursor.unlimited_value(self.element_type, inner).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a> IntoIterator for &'a Array<'_> {
    type Item = Value<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_come_back() {
        let floats = Array::from_f32s(&[1.5, -0.0, f32::INFINITY]);
        assert_eq!(floats.to_f32s().unwrap(), [1.5, -0.0, f32::INFINITY]);
        assert_eq!(floats.to_i32s(), None);
        assert!(floats.strings().is_none());
        assert_eq!(floats.iter().next(), Some(Value::F32(1.5)));

        let words = Array::from_strings(["a", "", "\u{2581}the"]);
        let back: Vec<&str> = words.strings().unwrap().collect();
        assert_eq!(back, ["a", "", "\u{2581}the"]);
        assert_eq!((words.len(), words.is_empty()), (3, false));
        assert_eq!(words.element_type(), ValueType::String);
    }

    #[test]
    fn arrays_nest_and_keep_one_type() {
        let inner = [
            Array::from_slice(&[1u8, 2]),
            Array::from_strings(["x"]),
            Array::from_f32s(&[]),
        ];
        let outer = Array::from_values(ValueType::Array, inner.clone().map(Value::from)).unwrap();
        assert_eq!(outer.depth(), 2);
        assert!(outer.iter().eq(inner.map(Value::from)));

        let mixed = Array::from_values(ValueType::U8, [Value::U8(1), Value::Bool(true)]);
        assert_eq!(
            mixed.unwrap_err(),
            MixedArray {
                index: 1,
                expected: ValueType::U8,
                found: ValueType::Bool,
            }
        );
        let none = Array::from_values(ValueType::Bool, []).unwrap();
        assert!(none.is_empty() && none.iter().next().is_none());
        let flags = [true, false].map(Value::from);
        let flags = Array::from_values(ValueType::Bool, flags).unwrap();
        assert!(flags.iter().eq([Value::Bool(true), Value::Bool(false)]));
    }
}
