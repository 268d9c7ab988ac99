//! The key-value pairs of a file.

use crate::array::Array;
use crate::value::Value;
use crate::value_type::ValueType;
use std::borrow::Cow;

/// Keys and values in the order of the file; no key twice.
///
/// Typed readers answer `Ok(None)` for an absent key and an error for a value that cannot be
/// read as asked. Equality minds the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    pairs: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// A value that is not what a reader needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The value has another type.
    #[error("key {key:?} is {found}, expected {expected}")]
    Type {
        /// The key.
        key: String,
        /// What was asked for.
        expected: &'static str,
        /// The type of the value.
        found: ValueType,
    },
    /// The value is an integer too large, or too small, for what was asked.
    #[error("key {key:?} is {found}, expected 0 to {max}")]
    Range {
        /// The key.
        key: String,
        /// The value.
        found: i128,
        /// The largest value accepted.
        max: u64,
    },
}

impl<'a> Metadata<'a> {
    /// No pairs.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Pairs whose keys are known to differ.
    pub(crate) fn from_distinct(pairs: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        Self { pairs }
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True if there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Sets a key: a present one keeps its place in the order, a new one comes last. Gives the
    /// value it had.
    pub fn insert(
        &mut self,
        key: impl Into<Cow<'a, str>>,
        value: impl Into<Value<'a>>,
    ) -> Option<Value<'a>> {
        let (key, value) = (key.into(), value.into());
        match self.pairs.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.pairs.push((key, value));
                None
            }
        }
    }

    /// Takes a key out; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value<'a>> {
        let index = self.pairs.iter().position(|(k, _)| k == key)?;
        Some(self.pairs.remove(index).1)
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value<'a>)> {
        self.pairs.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// An integer of any type that fits 32 bits unsigned.
    ///
    /// # Errors
    /// [`MetadataError`] if the value is no integer or does not fit.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, MetadataError> {
        self.integer(key, u32::MAX.into())
    }

    /// An integer of any type that fits 64 bits unsigned.
    ///
    /// # Errors
    /// [`MetadataError`] if the value is no integer or is negative.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, MetadataError> {
        self.integer(key, u64::MAX)
    }

    /// A float; FLOAT64 is rounded.
    ///
    /// # Errors
    /// [`MetadataError::Type`] if the value is no float.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, MetadataError> {
        self.read(key, "FLOAT32", |value| match value {
            Value::F32(x) => Some(*x),
            Value::F64(x) => Some(*x as f32),
            _ => None,
        })
    }

    /// True or false.
    ///
    /// # Errors
    /// [`MetadataError::Type`] if the value is not BOOL.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, MetadataError> {
        self.read(key, "BOOL", |value| match value {
            Value::Bool(x) => Some(*x),
            _ => None,
        })
    }

    /// Text.
    ///
    /// # Errors
    /// [`MetadataError::Type`] if the value is not STRING.
    pub fn str(&self, key: &str) -> Result<Option<&str>, MetadataError> {
        self.read(key, "STRING", Value::as_str)
    }

    /// An array of any element type.
    ///
    /// # Errors
    /// [`MetadataError::Type`] if the value is not ARRAY.
    pub fn array(&self, key: &str) -> Result<Option<&Array<'a>>, MetadataError> {
        self.read(key, "ARRAY", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })
    }

    /// The same pairs, borrowing keys, text and arrays from these: many files can share one
    /// vocabulary.
    pub fn borrowed(&self) -> Metadata<'_> {
        let borrowed = |(key, value)| (Cow::Borrowed(key), Value::borrowed(value));
        Metadata {
            pairs: self.iter().map(borrowed).collect(),
        }
    }

    /// The pairs with nothing borrowed.
    pub fn into_owned(self) -> Metadata<'static> {
        let owned = |(key, value): (Cow<'_, str>, Value<'_>)| {
            (Cow::Owned(key.into_owned()), value.into_owned())
        };
        Metadata {
            pairs: self.pairs.into_iter().map(owned).collect(),
        }
    }

    fn read<'s, T>(
        &'s self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'s Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, MetadataError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(read) => Ok(Some(read)),
            None => Err(MetadataError::Type {
                key: key.into(),
                expected,
                found: value.value_type(),
            }),
        }
    }

    fn integer<T: TryFrom<i128>>(&self, key: &str, max: u64) -> Result<Option<T>, MetadataError> {
        let Some(found) = self.read(key, "an integer", Value::as_integer)? else {
            return Ok(None);
        };
        T::try_from(found)
            .map(Some)
            .map_err(|_| MetadataError::Range {
                key: key.into(),
                found,
                max,
            })
    }
}

impl<'a, K: Into<Cow<'a, str>>, V: Into<Value<'a>>> FromIterator<(K, V)> for Metadata<'a> {
    /// Inserts the pairs one after the other: of equal keys the last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut metadata = Self::new();
        for (key, value) in pairs {
            metadata.insert(key, value);
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_first_insertion() {
        let mut metadata: Metadata = [("b", 1u32), ("a", 2), ("c", 3)].into_iter().collect();
        assert_eq!(metadata.insert("a", "two"), Some(Value::U32(2)));
        assert_eq!(metadata.remove("b"), Some(Value::U32(1)));
        assert_eq!(metadata.remove("b"), None);
        let keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
        assert_eq!((keys, metadata.len()), (vec!["a", "c"], 2));
    }

    #[test]
    fn typed_readers_take_what_fits_and_name_what_does_not() {
        let mut metadata = Metadata::new();
        metadata.insert("wide", 7i64);
        metadata.insert("huge", u64::MAX);
        metadata.insert("negative", -1i8);
        metadata.insert("half", 0.5f64);
        metadata.insert("yes", true);
        metadata.insert("name", "notus");
        metadata.insert("list", Array::from_i32s(&[1]));
        assert_eq!(metadata.u32("wide"), Ok(Some(7)));
        assert_eq!(metadata.u64("huge"), Ok(Some(u64::MAX)));
        assert_eq!(metadata.u32("absent"), Ok(None));
        assert_eq!(metadata.f32("half"), Ok(Some(0.5)));
        assert_eq!(metadata.bool("yes"), Ok(Some(true)));
        assert_eq!(metadata.str("name"), Ok(Some("notus")));
        assert_eq!(metadata.array("list").unwrap().unwrap().len(), 1);

        let text = |error: MetadataError| error.to_string();
        assert_eq!(
            text(metadata.u32("huge").unwrap_err()),
            "key \"huge\" is 18446744073709551615, expected 0 to 4294967295"
        );
        assert!(metadata.u64("negative").is_err());
        assert_eq!(
            text(metadata.u32("yes").unwrap_err()),
            "key \"yes\" is BOOL, expected an integer"
        );
        assert!(metadata.f32("wide").is_err() && metadata.bool("name").is_err());
        assert!(metadata.str("list").is_err() && metadata.array("name").is_err());
    }
}
