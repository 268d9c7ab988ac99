//! Typed reading of JSON objects, with errors that name the file and the key.

use crate::Error;
use crate::error::Brief;
use crate::notes::Notes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;

/// An object of a JSON file. A key whose value is `null` counts as absent, as it does for the
/// libraries that write these files.
#[derive(Clone)]
pub(crate) struct Object<'a> {
    path: &'a Path,
    /// The keys that lead here, each followed by a dot.
    prefix: String,
    map: &'a Map<String, Value>,
    /// The object around this one, where it says what this one does not.
    around: Option<&'a Map<String, Value>>,
}

impl<'a> Object<'a> {
    pub(crate) fn new(path: &'a Path, value: &'a Value) -> Result<Self, Error> {
        match value {
            Value::Object(map) => Ok(Self {
                path,
                prefix: String::new(),
                map,
                around: None,
            }),
            other => Err(Error::key(
                path,
                "top level",
                format!("expected an object, found {}", describe(other)),
            )),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        let maps = [Some(self.map), self.around].into_iter().flatten();
        let mut values = maps.filter_map(|map| map.get(key));
        values.find(|value| !value.is_null())
    }

    /// The key with those that lead to it.
    fn path_of(&self, key: &str) -> String {
        let is_outside = self.around.is_some_and(|map| map.contains_key(key));
        match is_outside && !self.map.contains_key(key) {
            true => key.to_owned(),
            false => format!("{}{key}", self.prefix),
        }
    }

    /// An error about this key.
    pub(crate) fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::key(self.path, self.path_of(key), problem)
    }

    /// Adds a note about this key.
    pub(crate) fn note(&self, notes: &Notes, key: &str, message: impl fmt::Display) {
        notes.add(self.path, format_args!("{}: {message}", self.path_of(key)));
    }

    /// The value that `read` makes of the key, an error that says `expected` if it makes none.
    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| {
            let found = describe(value);
            self.error(key, format!("expected {expected}, found {found}"))
        })
    }

    pub(crate) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.error(key, "missing"))
    }

    /// A size: a whole number from 1 to `max`.
    pub(crate) fn size(&self, key: &str, max: u32) -> Result<Option<u32>, Error> {
        self.whole(key, 1, max)
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn whole(&self, key: &str, min: u32, max: u32) -> Result<Option<u32>, Error> {
        let expected = format!("a whole number from {min} to {max}");
        self.typed(key, &expected, |value| {
            u32::try_from(value.as_u64()?)
                .ok()
                .filter(|n| (min..=max).contains(n))
        })
    }

    pub(crate) fn i32(&self, key: &str) -> Result<Option<i32>, Error> {
        self.typed(key, "a whole number of 32 bits", |value| {
            i32::try_from(value.as_i64()?).ok()
        })
    }

    /// A number that is finite as an f32.
    pub(crate) fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.typed(key, "a number that fits 32 bits", |value| {
            Some(value.as_f64()? as f32).filter(|x| x.is_finite())
        })
    }

    /// A number that is finite and above zero as an f32.
    pub(crate) fn positive_f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.typed(key, "a number above 0", |value| {
            Some(value.as_f64()? as f32).filter(|x| x.is_finite() && *x > 0.0)
        })
    }

    /// Numbers that are finite and above zero as f32.
    pub(crate) fn positive_f32s(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        self.typed(key, "an array of numbers above 0", |value| {
            let number = |value: &Value| Some(value.as_f64()? as f32);
            let numbers = value.as_array()?.iter().map(number);
            numbers
                .map(|x| x.filter(|x| x.is_finite() && *x > 0.0))
                .collect()
        })
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn str(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<Object<'a>>, Error> {
        let map = self.typed(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Object {
            path: self.path,
            prefix: format!("{}.", self.path_of(key)),
            map,
            around: None,
        }))
    }

    /// The same in front of this one: what it does not say is looked for here.
    pub(crate) fn over(&self, key: &str) -> Result<Option<Object<'a>>, Error> {
        let around = Some(self.map);
        Ok(self.object(key)?.map(|inner| Object { around, ..inner }))
    }

    /// Its own keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.map.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// A value in a few words, cut short.
pub(crate) fn describe(value: &Value) -> String {
    const SHOWN: usize = 40;
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) if s.chars().nth(SHOWN).is_some() => {
            let start: String = s.chars().take(SHOWN).collect();
            format!("string {start:?}...")
        }
        Value::String(s) => format!("string {s:?}"),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(map) => {
            let number = aeolus_source::PYTHON_NUMBERS
                .into_iter()
                .find(|number| map.len() == 1 && map.contains_key(*number));
            match number {
                Some(number) => number.into(),
                None => format!("an object of {} keys", map.len()),
            }
        }
    }
}

/// The names of keys, separated by commas; `None` if there are none. Of many, the first ones.
pub(crate) fn names<'a>(keys: impl Iterator<Item = (&'a str, &'a Value)>) -> Option<String> {
    const SHOWN: usize = 12;
    let all: Vec<String> = keys.map(|(key, _)| Brief(key).to_string()).collect();
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.get(..all.len() - more)?.join(", ");
    match (all.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown),
        (false, more) => Some(format!("{shown} and {more} more")),
    }
}

/// A struct that is read from an object only. What serde derives for a struct takes an array of
/// its fields' values, too, and so would take `[]` for a file whose fields are all optional.
#[derive(Debug)]
pub(crate) struct Keyed<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer
            .deserialize_map(Keys::<T>(std::marker::PhantomData))
            .map(Self)
    }
}

/// A JSON array of at most `N` items: longer ones are an error while they are read, before
/// their items take memory.
#[derive(Debug)]
pub(crate) struct Bounded<T, const N: usize>(pub(crate) Vec<T>);

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const N: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {N} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == N {
                        return Err(de::Error::custom(format_args!(
                            "array of more than {N} items"
                        )));
                    }
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer
            .deserialize_seq(Items::<T, N>(std::marker::PhantomData))
            .map(Self)
    }
}

/// A name of at most [`NAME_BYTES`] bytes: of a tensor, a file or a key.
pub(crate) struct Name(pub(crate) String);

/// Bytes of a [`Name`]. GGUF's usual bound for tensor names is 64.
const NAME_BYTES: usize = 256;

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name as a string")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                if name.len() > NAME_BYTES {
                    let found = name.len();
                    return Err(E::custom(format_args!(
                        "a name of {found} bytes, expected at most {NAME_BYTES}"
                    )));
                }
                Ok(Name(name.into()))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_types_name_path_key_and_value() {
        let value = serde_json::json!({
            "n": 0, "big": 4_294_967_296_u64, "neg": -1, "s": "x".repeat(60), "f": 1e300,
            "inner": {"k": []}, "none": null,
        });
        let path = Path::new("dir/config.json");
        let o = Object::new(path, &value).unwrap();
        assert_eq!(o.size("none", 9).unwrap(), None);
        let inner = o.object("inner").unwrap().unwrap();
        let x41 = "x".repeat(41);
        for (error, parts) in [
            (
                o.size("n", 9).unwrap_err(),
                ["n: expected", "from 1 to 9", "found 0"],
            ),
            (
                o.size("big", u32::MAX).unwrap_err(),
                ["big", "4294967295", "4294967296"],
            ),
            (o.size("neg", 9).unwrap_err(), ["neg", "whole", "found -1"]),
            (
                o.f32("f").unwrap_err(),
                ["f: expected", "32 bits", "found 1e"],
            ),
            (
                o.i32("s").unwrap_err(),
                ["s: expected", "whole", "xxx\"..."],
            ),
            (
                inner.bool("k").unwrap_err(),
                ["inner.k", "true or false", "array of 0"],
            ),
            (
                inner.str("k").unwrap_err(),
                ["inner.k", "a string", "array of 0"],
            ),
            (
                o.required::<u32>("w", None).unwrap_err(),
                ["w: ", "missing", "config.json"],
            ),
        ] {
            let error = error.to_string();
            assert!(error.starts_with("dir/config.json: "), "{error}");
            assert!(!error.contains(&x41), "{error}");
            for part in parts {
                assert!(error.contains(part), "{error}: no {part}");
            }
        }
        assert!(Object::new(path, &serde_json::json!([])).is_err());
    }

    #[test]
    fn structs_are_objects_and_no_arrays() {
        #[derive(Debug, serde::Deserialize)]
        struct Point {
            x: u8,
        }
        let point: Keyed<Point> = serde_json::from_str(r#"{"x":1}"#).unwrap();
        assert_eq!(point.0.x, 1);
        for json in ["[1]", "1", "null", "\"x\""] {
            let error = serde_json::from_str::<Keyed<Point>>(json).unwrap_err();
            assert!(error.to_string().contains("expected an object"), "{error}");
        }
    }

    #[test]
    fn bounded_arrays_stop_at_their_bound() {
        let two: Bounded<u8, 2> = serde_json::from_str("[1,2]").unwrap();
        assert_eq!(two.0, [1, 2]);
        let error = serde_json::from_str::<Bounded<u8, 2>>("[1,2,3]").unwrap_err();
        assert!(error.to_string().contains("more than 2 items"), "{error}");
    }
}
