//! The JSON document of `aeolus inspect`, written value by value: a header of some megabytes
//! may hold tens of millions of items, and a tree of them would take gigabytes.

use super::{Shares, View, type_name};
use aeolus_gguf::{Metadata, TensorInfo, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;

/// Writes the document and a line end.
pub fn write(out: &mut impl Write, file: &View, path: &Path) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Document { file, path })?;
    writeln!(out)
}

struct Document<'a> {
    file: &'a View,
    path: &'a Path,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file = self.file;
        let header = file.header();
        let shares = Shares::of(file);
        let mut types = serde_json::Map::new();
        for (ty, share) in &shares.by_type {
            types.insert(
                ty.to_string(),
                json!({ "tensors": share.tensors, "weights": share.weights, "bytes": share.bytes }),
            );
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", "aeolus.inspect/1")?;
        map.serialize_entry("file", &self.path.display().to_string())?;
        map.serialize_entry("version", &header.version)?;
        map.serialize_entry("endian", header.endian.name())?;
        map.serialize_entry("alignment", &header.alignment)?;
        map.serialize_entry("parts", &file.parts())?;
        map.serialize_entry("bytes", &file.file_bytes())?;
        map.serialize_entry("weights", &shares.weights())?;
        map.serialize_entry("bits_per_weight", &shares.bits_per_weight())?;
        map.serialize_entry("types", &types)?;
        map.serialize_entry("metadata", &Pairs(file.metadata()))?;
        map.serialize_entry("tensors", &Tensors(file.tensors()))?;
        map.end()
    }
}

struct Pairs<'a>(&'a Metadata<'static>);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Typed(value))))
    }
}

/// A value with its type.
struct Typed<'a>(&'a Value<'static>);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", &type_name(self.0))?;
        map.serialize_entry("value", &Plain(self.0.borrowed()))?;
        map.end()
    }
}

/// A value alone.
struct Plain<'a>(Value<'a>);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::String(text) => serializer.serialize_str(text),
            Value::Bool(b) => serializer.serialize_bool(*b),
            Value::Array(array) => serializer.collect_seq(array.iter().map(Plain)),
            Value::U64(n) => serializer.serialize_u64(*n),
            value @ (Value::F32(_) | Value::F64(_)) => match value.as_float() {
                Some(x) if x.is_finite() => serializer.serialize_f64(x),
                // JSON has no such numbers.
                Some(x) => serializer.collect_str(&x),
                None => serializer.serialize_none(),
            },
            value => match value.as_integer().map(i64::try_from) {
                Some(Ok(n)) => serializer.serialize_i64(n),
                _ => serializer.serialize_none(),
            },
        }
    }
}

struct Tensors<'a>(&'a [TensorInfo]);

impl Serialize for Tensors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|t| {
            let mut tensor = json!({
                "name": t.name,
                "type": t.ty.to_string(),
                "shape": t.shape.dims(),
                "bytes": t.bytes(),
                "offset": t.offset,
            });
            if t.measured.is_some() {
                // Up to the next tensor, padding included: the type's layout does not tell.
                tensor["bytes_measured"] = true.into();
            }
            tensor
        }))
    }
}
