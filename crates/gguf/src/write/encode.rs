//! Values into bytes, with the 64-bit lengths of versions 2 and 3.

use crate::array::Array;
use crate::encoding::{Codec, Encoding, Endian, Lengths};
use crate::value::Value;

/// Takes bytes, or only counts them.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts bytes.
#[derive(Default)]
pub(crate) struct Count(pub(crate) u64);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

pub(crate) fn put<T: Codec>(number: T, endian: Endian, out: &mut impl Sink) {
    out.put(number.to_bytes(endian).as_ref());
}

pub(crate) fn put_length(len: usize, endian: Endian, out: &mut impl Sink) {
    put(len as u64, endian, out);
}

pub(crate) fn put_string(text: &str, endian: Endian, out: &mut impl Sink) {
    put_length(text.len(), endian, out);
    out.put(text.as_bytes());
}

/// A pair of the metadata.
pub(crate) fn put_pair(key: &str, value: &Value<'_>, endian: Endian, out: &mut impl Sink) {
    put_string(key, endian, out);
    put(value.value_type().id(), endian, out);
    put_item(value, endian, out);
}

/// A value without its type in front, as it lies in an array.
pub(crate) fn put_item(value: &Value<'_>, endian: Endian, out: &mut impl Sink) {
    match value {
        Value::U8(x) => put(*x, endian, out),
        Value::I8(x) => put(*x, endian, out),
        Value::U16(x) => put(*x, endian, out),
        Value::I16(x) => put(*x, endian, out),
        Value::U32(x) => put(*x, endian, out),
        Value::I32(x) => put(*x, endian, out),
        Value::U64(x) => put(*x, endian, out),
        Value::I64(x) => put(*x, endian, out),
        Value::F32(x) => put(*x, endian, out),
        Value::F64(x) => put(*x, endian, out),
        Value::Bool(x) => put(u8::from(*x), endian, out),
        Value::String(text) => put_string(text, endian, out),
        Value::Array(array) => put_array(array, endian, out),
    }
}

fn put_array(array: &Array<'_>, endian: Endian, out: &mut impl Sink) {
    put(array.element_type().id(), endian, out);
    put_length(array.len(), endian, out);
    let lengths = Lengths::U64;
    if array.encoding() == (Encoding { endian, lengths }) {
        out.put(array.encoded());
    } else {
        for item in array {
            put_item(&item, endian, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Cursor;
    use crate::value_type::ValueType;

    /// Both orders, and an array read in one written in the other.
    #[test]
    fn arrays_keep_their_items_in_every_byte_order() {
        let flat = [
            Array::from_slice(&[1u16, 2, 0xfffe]),
            Array::from_slice(&[f64::MIN_POSITIVE, -0.0]),
            Array::from_strings(["a", "", "bc"]),
        ];
        let nested = Array::from_values(ValueType::Array, flat.map(Value::from)).unwrap();
        let encode = |value: &Value<'_>, endian| {
            let mut bytes = Vec::new();
            put_item(value, endian, &mut bytes);
            let mut count = Count::default();
            put_item(value, endian, &mut count);
            assert_eq!(bytes.len() as u64, count.0);
            bytes
        };
        let value = Value::Array(nested);
        let [little, big] = [Endian::Little, Endian::Big].map(|endian| encode(&value, endian));
        assert_ne!(little, big);
        for (bytes, endian, other, others) in [
            (&little, Endian::Little, Endian::Big, &big),
            (&big, Endian::Big, Endian::Little, &little),
        ] {
            let mut cursor = Cursor::whole(bytes, Encoding::of(3, endian));
            let back = cursor.unlimited_value(ValueType::Array, 2).unwrap();
            assert_eq!(back, value, "{endian}");
            assert_eq!(&encode(&back, other), others, "from {endian}");
            assert_eq!(&encode(&back, endian), bytes, "{endian} again");
        }
    }
}
