//! Metadata values.

use crate::array::Array;
use crate::value_type::ValueType;
use std::borrow::Cow;

/// A metadata value. Text and arrays may borrow the bytes they were read from.
///
/// Two values are equal if they have the same type and the same bits: a NaN equals itself, 0.0
/// and -0.0 differ, and so do 1 as UINT32 and 1 as INT32.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// 8-bit unsigned integer.
    U8(u8),
    /// 8-bit signed integer.
    I8(i8),
    /// 16-bit unsigned integer.
    U16(u16),
    /// 16-bit signed integer.
    I16(i16),
    /// 32-bit unsigned integer.
    U32(u32),
    /// 32-bit signed integer.
    I32(i32),
    /// 64-bit unsigned integer.
    U64(u64),
    /// 64-bit signed integer.
    I64(i64),
    /// 32-bit float.
    F32(f32),
    /// 64-bit float.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(Cow<'a, str>),
    /// Values of one type.
    Array(Array<'a>),
}

impl Value<'_> {
    /// The value's type.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
        }
    }

    /// The same value, borrowing text and arrays from this one.
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Self::String(x) => Value::String(Cow::Borrowed(x)),
            Self::Array(x) => Value::Array(x.borrowed()),
            // Copies a number.
            number => number.clone(),
        }
    }

    /// The value with nothing borrowed.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::U8(x) => Value::U8(x),
            Self::I8(x) => Value::I8(x),
            Self::U16(x) => Value::U16(x),
            Self::I16(x) => Value::I16(x),
            Self::U32(x) => Value::U32(x),
            Self::I32(x) => Value::I32(x),
            Self::U64(x) => Value::U64(x),
            Self::I64(x) => Value::I64(x),
            Self::F32(x) => Value::F32(x),
            Self::F64(x) => Value::F64(x),
            Self::Bool(x) => Value::Bool(x),
            Self::String(x) => Value::String(Cow::Owned(x.into_owned())),
            Self::Array(x) => Value::Array(x.into_owned()),
        }
    }

    /// The number, if the value is an integer of any width (BOOL is not one).
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(x) => x.into(),
            Self::I8(x) => x.into(),
            Self::U16(x) => x.into(),
            Self::I16(x) => x.into(),
            Self::U32(x) => x.into(),
            Self::I32(x) => x.into(),
            Self::U64(x) => x.into(),
            Self::I64(x) => x.into(),
            _ => return None,
        })
    }

    /// The number, if the value is a float of either width.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    /// The text, if the value is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Arrays within arrays: 0 for anything that is no array.
    pub(crate) fn depth(&self) -> u32 {
        match self {
            Self::Array(array) => array.depth(),
            _ => 0,
        }
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            _ => {
                self.value_type() == other.value_type()
                    && self.as_integer().is_some()
                    && self.as_integer() == other.as_integer()
            }
        }
    }
}

impl Eq for Value<'_> {}

macro_rules! from {
    ($($t:ty => $variant:ident),* $(,)?) => {$(
        impl From<$t> for Value<'_> {
            fn from(value: $t) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
    f32 => F32, f64 => F64, bool => Bool, String => String,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(Cow::Borrowed(value))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(value: Cow<'a, str>) -> Self {
        Self::String(value)
    }
}

impl<'a> From<Array<'a>> for Value<'a> {
    fn from(value: Array<'a>) -> Self {
        Self::Array(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_of_type_and_bits() {
        assert_eq!(Value::from(f32::NAN), Value::from(f32::NAN));
        assert_ne!(Value::from(0.0f64), Value::from(-0.0f64));
        assert_ne!(Value::from(1u32), Value::from(1i32));
        assert_ne!(Value::from(1u32), Value::from(2u32));
        assert_ne!(Value::from(1u8), Value::from(true));
        assert_eq!(Value::from("a"), Value::from(String::from("a")));
    }
}
