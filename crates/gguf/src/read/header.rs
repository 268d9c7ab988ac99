//! A header out of a prefix of a file.

use super::cursor::{Cursor, Stop};
use crate::check;
use crate::encoding::{Encoding, Endian};
use crate::error::{FormatError, FormatErrorKind as Kind, Place};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::shape::{Shape, ShapeError};
use crate::tensor::TensorInfo;
use crate::tensor_type::TensorType;
use crate::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT};
use std::borrow::Cow;
use std::collections::HashSet;

/// What parsing a prefix gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse<T> {
    /// The prefix holds the whole header.
    Done(T),
    /// The header is longer than the prefix: at least this many bytes from the start of the
    /// file are needed, always more than were given. A few tries with growing prefixes reach
    /// the end; [`read_header`](crate::read_header) does that.
    NeedMore(usize),
}

/// Everything a file says before its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The GGUF version, 1 to 3.
    pub version: u32,
    /// The byte order of header and data.
    pub endian: Endian,
    /// Bytes that the data section and every tensor in it are aligned to.
    pub alignment: u32,
    /// The key-value pairs, `general.alignment` included.
    pub metadata: Metadata<'a>,
    /// The tensors in the order of the file. Checked: names differ, rows are whole blocks (of types
    /// that are not foreign), offsets are aligned, no two overlap, and all lie within the file if its size was given.
    pub tensors: Vec<TensorInfo>,
    /// Bytes from the start of the file to the data section.
    pub data_offset: u64,
}

impl<'a> Header<'a> {
    /// Parses the first bytes of a file. Text and arrays borrow from `prefix`; nothing after
    /// the header is looked at.
    ///
    /// `file_len` is the size of the file in bytes. With it, lengths and counts are compared
    /// with what the file has left, and tensors that reach past its end are an error. Without
    /// it (a stream), only `limits` bound what the header may claim. A last tensor without
    /// padding after it is fine.
    ///
    /// # Errors
    /// [`FormatError`], see its kinds.
    pub fn parse(
        prefix: &'a [u8],
        file_len: Option<u64>,
        limits: &Limits,
    ) -> Result<Parse<Self>, FormatError> {
        let encoding = Encoding::NATIVE;
        let mut parser = Parser {
            cursor: Cursor::new(prefix, file_len, limits.header_bytes, encoding),
            limits,
            place: Subject::Preamble,
        };
        match parser.header() {
            Ok(mut header) => {
                measure(&mut header, file_len);
                check_places(&header, file_len)?;
                Ok(Parse::Done(header))
            }
            // Needs beyond the address space exceed `header_bytes` or cannot be met anyway.
            Err(Stop::NeedMore(bytes)) => Ok(Parse::NeedMore(
                usize::try_from(bytes).unwrap_or(usize::MAX),
            )),
            Err(Stop::Bad(kind)) => Err(FormatError {
                place: parser.place.into_place(),
                offset: Some(parser.cursor.item()),
                kind: *kind,
            }),
        }
    }

    /// The header with nothing borrowed.
    pub fn into_owned(self) -> Header<'static> {
        Header {
            version: self.version,
            endian: self.endian,
            alignment: self.alignment,
            metadata: self.metadata.into_owned(),
            tensors: self.tensors,
            data_offset: self.data_offset,
        }
    }
}

/// What is being read, so that an error can name it.
enum Subject<'a> {
    Preamble,
    Key(&'a str),
    /// The number of a pair whose key is not read yet.
    KeyNumber(usize),
    Tensor(&'a str),
    TensorNumber(usize),
}

impl Subject<'_> {
    fn into_place(self) -> Place {
        match self {
            Self::Preamble => Place::Preamble,
            Self::Key(key) => Place::Key(key.into()),
            Self::KeyNumber(index) => Place::KeyNumber(index),
            Self::Tensor(name) => Place::Tensor(name.into()),
            Self::TensorNumber(index) => Place::TensorNumber(index),
        }
    }
}

struct Parser<'a, 'l> {
    cursor: Cursor<'a>,
    limits: &'l Limits,
    place: Subject<'a>,
}

impl<'a> Parser<'a, '_> {
    fn header(&mut self) -> Result<Header<'a>, Stop> {
        let (version, endian) = self.preamble()?;
        self.cursor.encoding = Encoding::of(version, endian);
        let length_bytes = self.cursor.encoding.length_bytes();
        // Name of one byte, no dimension, type, offset; key of one byte, type, one byte.
        let each_tensor = length_bytes.saturating_add(17);
        let each_pair = length_bytes.saturating_add(6);
        self.cursor.mark();
        let tensors = self
            .cursor
            .count("a tensor count", each_tensor, self.limits.tensor_count)?;
        self.cursor.mark();
        let pairs = self
            .cursor
            .count("a metadata count", each_pair, self.limits.metadata_count)?;
        let (metadata, alignment) = self.metadata(pairs)?;
        let tensors = self.tensors(tensors)?;
        let data_offset = self.cursor.position().next_multiple_of(alignment.into());
        Ok(Header {
            version,
            endian,
            alignment,
            metadata,
            tensors,
            data_offset,
        })
    }

    /// Magic and version. The version also tells the byte order: read the wrong way round,
    /// it is far too large.
    fn preamble(&mut self) -> Result<(u32, Endian), Stop> {
        const MAGIC: &[u8; 4] = b"GGUF";
        let start = self.cursor.peek();
        let start = start.get(..MAGIC.len()).unwrap_or(start);
        if !MAGIC.starts_with(start) || self.cursor.is_empty_file() {
            let found = start.to_vec();
            let kind = aeolus_source::what_is(self.cursor.peek(), self.cursor.file_len());
            return Err(kind.map_or(Kind::Magic { found }, Kind::OtherKind).into());
        }
        self.cursor.chunk::<4>()?;
        self.cursor.mark();
        let bytes = self.cursor.chunk()?;
        let (little, big) = (u32::from_le_bytes(bytes), u32::from_be_bytes(bytes));
        match (little, big) {
            (1..=3, _) => Ok((little, Endian::Little)),
            (_, 1..=3) => Ok((big, Endian::Big)),
            _ => Err(Kind::Version {
                found: little.min(big),
            }
            .into()),
        }
    }

    /// The pairs, and the alignment they set.
    fn metadata(&mut self, count: usize) -> Result<(Metadata<'a>, u32), Stop> {
        let mut alignment = DEFAULT_ALIGNMENT;
        let mut pairs = Vec::new();
        let mut seen = HashSet::new();
        for index in 0..count {
            self.place = Subject::KeyNumber(index);
            self.cursor.mark();
            let key = self.cursor.string(self.limits.key_bytes)?;
            if key.is_empty() {
                return Err(Kind::EmptyName.into());
            }
            self.place = Subject::Key(key);
            if !seen.insert(key) {
                return Err(Kind::Duplicate.into());
            }
            self.cursor.mark();
            let ty = self.cursor.value_type()?;
            self.cursor.mark();
            let value = self.cursor.value(ty, self.limits)?;
            if key == ALIGNMENT_KEY {
                alignment = check::alignment(&value, self.limits)?;
            }
            pairs.push((Cow::Borrowed(key), value));
        }
        Ok((Metadata::from_distinct(pairs), alignment))
    }

    fn tensors(&mut self, count: usize) -> Result<Vec<TensorInfo>, Stop> {
        let mut tensors = Vec::new();
        let mut seen = HashSet::new();
        for index in 0..count {
            self.place = Subject::TensorNumber(index);
            self.cursor.mark();
            let name = self.cursor.string(self.limits.name_bytes)?;
            if name.is_empty() {
                return Err(Kind::EmptyName.into());
            }
            self.place = Subject::Tensor(name);
            if !seen.insert(name) {
                return Err(Kind::Duplicate.into());
            }
            tensors.push(self.tensor(name)?);
        }
        Ok(tensors)
    }

    /// A tensor's line after its name.
    fn tensor(&mut self, name: &str) -> Result<TensorInfo, Stop> {
        self.cursor.mark();
        let count: u32 = self.cursor.number()?;
        let max = self.limits.dims.min(4);
        let mut dims = [0; 4];
        let dims = usize::try_from(count)
            .ok()
            .filter(|_| count <= max)
            .and_then(|count| dims.get_mut(..count))
            .ok_or_else(|| {
                Kind::Shape(ShapeError::Dims {
                    found: count.into(),
                    max: max.into(),
                })
            })?;
        for dim in &mut *dims {
            *dim = self.cursor.length()?;
        }
        let shape = Shape::from_file(dims).map_err(Kind::Shape)?;
        self.cursor.mark();
        let ty = TensorType::from_id(self.cursor.number()?);
        if !ty.is_foreign() {
            check::row(&shape, ty)?;
        }
        self.cursor.mark();
        Ok(TensorInfo {
            name: name.into(),
            shape,
            ty,
            offset: self.cursor.number()?,
            measured: None,
        })
    }
}

/// Gives a size to the tensors of foreign types whose layout is not known, or does not fit: the
/// distance to the next tensor, the last one's to the end of the file.
fn measure(header: &mut Header<'_>, file_len: Option<u64>) {
    if !header.tensors.iter().any(|info| info.ty.is_foreign()) {
        return;
    }
    let mut offsets: Vec<u64> = header.tensors.iter().map(|info| info.offset).collect();
    offsets.sort_unstable();
    let end = file_len.map(|len| len.saturating_sub(header.data_offset));
    for info in &mut header.tensors {
        if !info.ty.is_foreign() || info.shape.is_empty() {
            continue;
        }
        let after = offsets.partition_point(|&offset| offset <= info.offset);
        let next = offsets.get(after).copied().or(end);
        let measured = next.map(|next| next.saturating_sub(info.offset));
        let known = info.ty.row_bytes(info.shape.cols()).is_some();
        if !known || measured.is_some_and(|bytes| bytes < info.bytes()) {
            info.measured = measured;
        }
    }
}

/// Alignment, overlap and end of the tensors' data.
fn check_places(header: &Header<'_>, file_len: Option<u64>) -> Result<(), FormatError> {
    let wrong = |info: &TensorInfo, kind| {
        Err(FormatError {
            place: Place::Tensor(info.name.clone()),
            offset: header.data_offset.checked_add(info.offset),
            kind,
        })
    };
    if let Some(info) = header
        .tensors
        .iter()
        .find(|info| !info.offset.is_multiple_of(header.alignment.into()))
    {
        let (offset, alignment) = (info.offset, header.alignment);
        return wrong(info, Kind::Unaligned { offset, alignment });
    }
    // An empty tensor has no bytes that could lie wrongly.
    let tensors = header.tensors.iter().filter(|info| !info.shape.is_empty());
    let mut order: Vec<&TensorInfo> = tensors.collect();
    if !order.is_sorted_by_key(|info| info.offset) {
        order.sort_by_key(|info| info.offset);
    }
    let mut before: Option<(&TensorInfo, u64)> = None;
    for info in &order {
        let (offset, bytes) = (info.offset, info.bytes());
        // No type packs 64 weights into a byte: so all weights can be counted.
        let needed = info.shape.elems().div_ceil(64);
        if let Some(left) = info.measured.filter(|&left| left > 0 && left < needed) {
            let (what, claimed) = ("a number of elements", info.shape.elems());
            let kind = Kind::TooLong {
                what,
                claimed,
                needed,
                left,
            };
            return wrong(info, kind);
        }
        if let Some((other, end)) = before.filter(|&(_, end)| offset < end) {
            let other = other.name.clone();
            return wrong(info, Kind::Overlap { offset, other, end });
        }
        let Some(end) = offset
            .checked_add(bytes)
            .filter(|end| end.checked_add(header.data_offset).is_some())
        else {
            return wrong(info, Kind::FarOffset { offset, bytes });
        };
        before = Some((info, end));
    }
    // In this order the last tensor ends last.
    let (Some((_, end)), Some(found)) = (before, file_len) else {
        return Ok(());
    };
    let room = found.saturating_sub(header.data_offset);
    match order
        .iter()
        .find(|info| info.offset.saturating_add(info.bytes().max(1)) > room)
    {
        Some(info) => {
            let expected = header
                .data_offset
                .saturating_add(end)
                .max(found.saturating_add(1));
            wrong(info, Kind::DataTruncated { expected, found })
        }
        None => Ok(()),
    }
}
