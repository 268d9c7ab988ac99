//! The place of everything in a file to be written.

use super::encode::{Count, Sink, put, put_length, put_pair, put_string};
use crate::encoding::Endian;
use crate::error::{FormatError, FormatErrorKind as Kind, LayoutError, Place};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::shape::Shape;
use crate::tensor::{TensorInfo, TensorSpec};
use crate::value::Value;
use crate::value_type::ValueType;
use crate::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, check};
use std::collections::HashSet;

/// A file to be written: all but the weights.
#[derive(Clone, Debug)]
pub struct HeaderSpec<'a> {
    /// The GGUF version, 2 or 3.
    pub version: u32,
    /// The byte order of header and data; version 2 has little endian only.
    pub endian: Endian,
    /// The key-value pairs, in the order they are written. `general.alignment` among them
    /// sets the alignment, else it is 32.
    pub metadata: Metadata<'a>,
    /// The tensors, in the order they are written.
    pub tensors: Vec<TensorSpec>,
}

/// A file's header, and the offset of every tensor, known before any weight is.
///
/// The data section begins at the first multiple of the alignment after the header. Tensors
/// follow each other in the order given, each padded with zeros to the alignment, the last one
/// too. A file is written by writing [`encode_header`](Self::encode_header) at 0, each tensor's
/// bytes at its [`tensor_offset`](Self::tensor_offset), and zeros wherever nothing else lies:
/// setting the length of a new file to [`file_bytes`](Self::file_bytes) does that.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    version: u32,
    endian: Endian,
    alignment: u32,
    metadata: Metadata<'a>,
    tensors: Vec<TensorInfo>,
    header_bytes: u64,
    data_offset: u64,
    file_bytes: u64,
}

impl<'a> Layout<'a> {
    /// Places everything. The result is the same whatever the weights are.
    ///
    /// # Errors
    /// [`LayoutError`] for a version or byte order that is not written, and for content that
    /// [`Header::parse`](crate::Header::parse) with default [`Limits`] would refuse: a file
    /// that was laid out can be read again.
    pub fn new(spec: HeaderSpec<'a>) -> Result<Self, LayoutError> {
        let HeaderSpec {
            version,
            endian,
            metadata,
            tensors,
        } = spec;
        match (version, endian) {
            (3, _) | (2, Endian::Little) => (),
            (2, Endian::Big) => return Err(LayoutError::BigEndian { version }),
            _ => return Err(LayoutError::Version { found: version }),
        }
        let limits = Limits::default();
        let alignment = check_metadata(&metadata, &limits)?;
        let (tensors, data_bytes) = place(tensors, alignment, &limits)?;
        let mut layout = Self {
            version,
            endian,
            alignment,
            metadata,
            tensors,
            header_bytes: 0,
            data_offset: 0,
            file_bytes: 0,
        };
        let mut count = Count::default();
        layout.put_header(&mut count);
        at_most("a header size in bytes", count.0, limits.header_bytes)
            .map_err(|kind| content(Place::Preamble, kind))?;
        layout.header_bytes = count.0;
        layout.data_offset = count.0.next_multiple_of(alignment.into());
        layout.file_bytes = layout.data_offset.saturating_add(data_bytes);
        Ok(layout)
    }

    /// The GGUF version.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The byte order of header and data.
    pub const fn endian(&self) -> Endian {
        self.endian
    }

    /// Bytes that the data section and every tensor are aligned to.
    pub const fn alignment(&self) -> u32 {
        self.alignment
    }

    /// The key-value pairs.
    pub const fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The tensors in order, with their offsets from the start of the data section.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Bytes of the header without the padding after it.
    pub const fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// Bytes from the start of the file to the data section.
    pub const fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Bytes from the start of the file to a tensor's first byte.
    ///
    /// # Panics
    /// If there is no tensor of this index.
    pub fn tensor_offset(&self, index: usize) -> u64 {
        self.data_offset + self.tensors[index].offset
    }

    /// Bytes of the whole file, the padding after the last tensor included.
    pub const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The header and the zeros after it: [`data_offset`](Self::data_offset) bytes.
    pub fn encode_header(&self) -> Vec<u8> {
        let padded = self.data_offset as usize;
        let mut out = Vec::with_capacity(padded);
        self.put_header(&mut out);
        out.resize(padded, 0);
        out
    }

    fn put_header(&self, out: &mut impl Sink) {
        let endian = self.endian;
        out.put(b"GGUF");
        put(self.version, endian, out);
        put_length(self.tensors.len(), endian, out);
        put_length(self.metadata.len(), endian, out);
        for (key, value) in self.metadata.iter() {
            put_pair(key, value, endian, out);
        }
        for info in &self.tensors {
            put_string(&info.name, endian, out);
            let dims = info.shape.dims();
            put(dims.len() as u32, endian, out);
            for &dim in dims {
                put(dim, endian, out);
            }
            put(info.ty.id(), endian, out);
            put(info.offset, endian, out);
        }
    }
}

fn content(place: Place, kind: Kind) -> LayoutError {
    LayoutError::Content(FormatError {
        place,
        offset: None,
        kind,
    })
}

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), Kind> {
    match found <= limit {
        true => Ok(()),
        false => Err(Kind::Limit { what, found, limit }),
    }
}

/// Checks every pair; gives the alignment they set.
fn check_metadata(metadata: &Metadata<'_>, limits: &Limits) -> Result<u32, LayoutError> {
    at_most(
        "a metadata count",
        metadata.len() as u64,
        limits.metadata_count,
    )
    .map_err(|kind| content(Place::Preamble, kind))?;
    let mut alignment = DEFAULT_ALIGNMENT;
    for (key, value) in metadata.iter() {
        let wrong = |kind| content(Place::Key(key.into()), kind);
        check_name(key, limits.key_bytes).map_err(wrong)?;
        check_value(value, limits).map_err(wrong)?;
        if key == ALIGNMENT_KEY {
            alignment = check::alignment(value, limits).map_err(wrong)?;
        }
    }
    Ok(alignment)
}

fn check_name(name: &str, limit: u64) -> Result<(), Kind> {
    if name.is_empty() {
        return Err(Kind::EmptyName);
    }
    at_most("a string length", name.len() as u64, limit)
}

fn check_value(value: &Value<'_>, limits: &Limits) -> Result<(), Kind> {
    match value {
        Value::String(text) => at_most("a string length", text.len() as u64, limits.string_bytes),
        Value::Array(array) => {
            let nesting = limits.nesting.into();
            at_most("an array nesting", array.depth().into(), nesting)?;
            at_most("an array length", array.len() as u64, limits.array_items)?;
            // No string is longer than all together: vocabularies need no walk.
            let short = array.element_type() == ValueType::String
                && array.encoded().len() as u64 <= limits.string_bytes;
            if array.element_type().fixed_bytes().is_none() && !short {
                array
                    .iter()
                    .try_for_each(|item| check_value(&item, limits))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Gives every tensor its offset; also the bytes of the data section.
fn place(
    specs: Vec<TensorSpec>,
    alignment: u32,
    limits: &Limits,
) -> Result<(Vec<TensorInfo>, u64), LayoutError> {
    at_most("a tensor count", specs.len() as u64, limits.tensor_count)
        .map_err(|kind| content(Place::Preamble, kind))?;
    let (mut tensors, mut offset) = (Vec::with_capacity(specs.len()), 0u64);
    let mut seen = HashSet::with_capacity(specs.len());
    for spec in &specs {
        let wrong = |kind| content(Place::Tensor(spec.name.clone()), kind);
        check_name(&spec.name, limits.name_bytes).map_err(wrong)?;
        if !seen.insert(&spec.name) {
            return Err(wrong(Kind::Duplicate));
        }
        check::row(&spec.shape, spec.ty).map_err(wrong)?;
        let bytes = spec.bytes();
        // Files end below 2^63, the most that systems address in one.
        let end = offset
            .checked_add(bytes)
            .and_then(|end| end.checked_next_multiple_of(alignment.into()))
            .filter(|&end| end <= Shape::MAX_ELEMS * 4)
            .ok_or_else(|| wrong(Kind::FarOffset { offset, bytes }))?;
        tensors.push(TensorInfo {
            name: spec.name.clone(),
            shape: spec.shape,
            ty: spec.ty,
            offset,
            measured: None,
        });
        offset = end;
    }
    Ok((tensors, offset))
}
