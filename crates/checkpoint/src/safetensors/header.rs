//! The check of a safetensors header.

use super::PREFIX_BYTES;
use crate::error::Brief;
use crate::json::{Bounded, Name};
use crate::{Error, Limits};
use ::safetensors::Dtype;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// The key that is no tensor: strings about the file.
const METADATA_KEY: &str = "__metadata__";
/// Bytes that the strings of `__metadata__` may take together.
const METADATA_BYTES: usize = 16 << 20;
/// Dimensions of a tensor. GGUF holds 4; the header may say more of tensors that are skipped.
const DIMS: usize = 8;

/// Checks everything about the header that can be checked without the model: its length, its
/// JSON, every entry, and that the entries cover the data from end to end. Returns the header's
/// length in bytes.
pub(super) fn check(path: &Path, bytes: &[u8], limits: &Limits) -> Result<usize, Error> {
    let too_short = || Error::Size {
        path: path.into(),
        expected: PREFIX_BYTES as u64,
        found: bytes.len() as u64,
    };
    let (prefix, rest) = bytes.split_first_chunk().ok_or_else(too_short)?;
    let header_bytes = u64::from_le_bytes(*prefix);
    if header_bytes > limits.header_bytes {
        return Err(Error::Limit {
            path: path.into(),
            what: "bytes of the safetensors header (is it a safetensors file?)",
            found: header_bytes,
            limit: limits.header_bytes,
        });
    }
    let header_len = usize::try_from(header_bytes).unwrap_or(usize::MAX);
    let Some((json, data)) = rest.split_at_checked(header_len) else {
        return Err(Error::Size {
            path: path.into(),
            expected: header_bytes.saturating_add(PREFIX_BYTES as u64),
            found: bytes.len() as u64,
        });
    };
    let mut spans = Vec::new();
    let mut parser = serde_json::Deserializer::from_slice(json);
    let header = HeaderSeed {
        spans: &mut spans,
        limit: limits.shard_tensors,
    };
    header
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| Error::header(path, Brief(error).to_string()))?;
    let data_bytes = covered(&mut spans).map_err(|problem| Error::header(path, problem))?;
    if data_bytes != data.len() as u64 {
        return Err(Error::Size {
            path: path.into(),
            expected: data_bytes
                .saturating_add(header_bytes)
                .saturating_add(PREFIX_BYTES as u64),
            found: bytes.len() as u64,
        });
    }
    Ok(header_len)
}

/// Bytes of the data section that one tensor takes.
struct Span {
    begin: u64,
    end: u64,
    name: String,
}

/// Checks that the spans lie one behind the other from 0 on; returns where the last one ends.
fn covered(spans: &mut [Span]) -> Result<u64, String> {
    spans.sort_by_key(|span| (span.begin, span.end));
    let mut end = 0;
    for span in spans {
        let Span { begin, name, .. } = span;
        if *begin > end {
            return Err(format!(
                "no tensor covers bytes {end} to {begin} of the data, before {name}"
            ));
        }
        if *begin < end {
            return Err(format!(
                "tensor {name} begins at byte {begin} of the data, inside another that ends at {end}"
            ));
        }
        end = span.end;
    }
    Ok(end)
}

/// Reads the whole header into spans.
struct HeaderSeed<'a> {
    spans: &'a mut Vec<Span>,
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if !seen.insert(name.clone()) {
                return Err(de::Error::custom(format_args!("duplicate key {name}")));
            }
            if name == METADATA_KEY {
                let Strings = map.next_value()?;
                continue;
            }
            if self.spans.len() == self.limit {
                return Err(de::Error::custom(format_args!(
                    "more than {} tensors",
                    self.limit
                )));
            }
            let entry: RawEntry<'de> = map.next_value()?;
            let (begin, end) = entry
                .check()
                .map_err(|problem| de::Error::custom(format_args!("tensor {name}: {problem}")))?;
            self.spans.push(Span { begin, end, name });
        }
        Ok(())
    }
}

/// An entry as it stands in the JSON.
struct RawEntry<'a> {
    dtype: Cow<'a, str>,
    shape: Vec<u64>,
    offsets: (u64, u64),
}

impl RawEntry<'_> {
    /// Where the entry begins and ends, if dtype, shape and offsets agree.
    fn check(&self) -> Result<(u64, u64), String> {
        let (begin, end) = self.offsets;
        let dtype = known_dtype(&self.dtype)
            .ok_or_else(|| format!("unknown dtype {:?}", shortened(&self.dtype)))?;
        let found = end
            .checked_sub(begin)
            .ok_or_else(|| format!("data_offsets begin at {begin}, after their end {end}"))?;
        let bits = self
            .shape
            .iter()
            .try_fold(dtype.bitsize() as u64, |n, &dim| n.checked_mul(dim))
            .ok_or_else(|| format!("the size of shape {:?} overflows", self.shape))?;
        if bits % 8 != 0 || bits / 8 != found {
            return Err(format!(
                "shape {:?} of {} takes {} bytes, but data_offsets {begin} to {end} hold {found}",
                self.shape,
                self.dtype,
                bits.div_ceil(8),
            ));
        }
        Ok((begin, end))
    }
}

impl<'de> Deserialize<'de> for RawEntry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = RawEntry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with dtype, shape and data_offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEntry<'de>, A::Error> {
                let (mut dtype, mut shape, mut offsets) = (None, None, None);
                while let Some(Name(key)) = map.next_key()? {
                    let again = match &*key {
                        "dtype" => dtype.replace(map.next_value::<Text<'de>>()?.0).is_some(),
                        "shape" => shape
                            .replace(map.next_value::<Bounded<u64, DIMS>>()?.0)
                            .is_some(),
                        "data_offsets" => {
                            offsets.replace(map.next_value::<(u64, u64)>()?).is_some()
                        }
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                            false
                        }
                    };
                    if again {
                        return Err(de::Error::custom(format_args!("duplicate key {key}")));
                    }
                }
                let missing = |key| move || de::Error::missing_field(key);
                Ok(RawEntry {
                    dtype: dtype.ok_or_else(missing("dtype"))?,
                    shape: shape.ok_or_else(missing("shape"))?,
                    offsets: offsets.ok_or_else(missing("data_offsets"))?,
                })
            }
        }
        deserializer.deserialize_map(EntryVisitor)
    }
}

/// A string, borrowed from the file where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object of strings that is checked and dropped.
struct Strings;

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringsVisitor;
        impl<'de> Visitor<'de> for StringsVisitor {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
                let mut bytes = 0;
                while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    // The crate keeps both as owned strings: count what they cost there.
                    bytes += key.0.len() + value.0.len() + 2 * size_of::<String>();
                    if bytes > METADATA_BYTES {
                        return Err(de::Error::custom(format_args!(
                            "{METADATA_KEY} of more than {METADATA_BYTES} bytes"
                        )));
                    }
                }
                Ok(Strings)
            }
        }
        deserializer.deserialize_map(StringsVisitor)
    }
}

/// The dtypes that the safetensors crate knows, by the crate's own names.
fn known_dtype(name: &str) -> Option<Dtype> {
    use serde::de::IntoDeserializer;
    let name: de::value::StrDeserializer<'_, de::value::Error> = name.into_deserializer();
    Dtype::deserialize(name).ok()
}

/// The start of a string, for messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
