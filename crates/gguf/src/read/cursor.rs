//! A position in a prefix of a file, and the values that can be read from there.

use crate::array::Array;
use crate::encoding::{Codec, Encoding, Lengths};
use crate::error::FormatErrorKind;
use crate::limits::Limits;
use crate::value::Value;
use crate::value_type::ValueType;
use std::borrow::Cow;

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The prefix is too short: this many bytes from the start of the file are needed.
    NeedMore(u64),
    /// The file is wrong. Boxed: the way of every read value would else carry its size.
    Bad(Box<FormatErrorKind>),
}

impl From<FormatErrorKind> for Stop {
    fn from(kind: FormatErrorKind) -> Self {
        Self::Bad(Box::new(kind))
    }
}

/// Reads forward through the bytes that are there.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    /// The prefix, cut to `cap`.
    bytes: &'a [u8],
    position: usize,
    /// Where the item being read begins: what errors point at.
    item: usize,
    /// Bytes of the whole file, if known.
    end: Option<u64>,
    /// The most bytes that a header may take.
    cap: u64,
    pub(crate) encoding: Encoding,
}

/// Lengths in memory as lengths in files.
pub(crate) fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(prefix: &'a [u8], end: Option<u64>, cap: u64, encoding: Encoding) -> Self {
        let most = usize::try_from(cap.min(end.unwrap_or(cap))).unwrap_or(usize::MAX);
        Self {
            bytes: prefix.get(..most).unwrap_or(prefix),
            position: 0,
            item: 0,
            end,
            cap,
            encoding,
        }
    }

    /// Over bytes that are all there is and that were checked before.
    pub(crate) fn whole(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self::new(bytes, Some(wide(bytes.len())), u64::MAX, encoding)
    }

    /// Bytes from the start to the next byte to be read.
    pub(crate) fn position(&self) -> u64 {
        wide(self.position)
    }

    /// Bytes from the start to the item being read.
    pub(crate) fn item(&self) -> u64 {
        wide(self.item)
    }

    /// An item begins here.
    pub(crate) fn mark(&mut self) {
        self.item = self.position;
    }

    /// The next bytes that are there, not moving on.
    pub(crate) fn peek(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Bytes of the whole file, if known.
    pub(crate) fn file_len(&self) -> Option<u64> {
        self.end
    }

    /// True if the whole file is known to have no bytes.
    pub(crate) fn is_empty_file(&self) -> bool {
        self.end == Some(0)
    }

    /// Bytes from here to the end of the file, if known.
    fn left(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.position()))
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: u64) -> Result<&'a [u8], Stop> {
        let there = usize::try_from(n).ok();
        match there.and_then(|n| self.peek().split_at_checked(n)) {
            Some((taken, _)) => {
                self.position = self.position.saturating_add(taken.len());
                Ok(taken)
            }
            None => Err(self.shortage(n)),
        }
    }

    /// The next `N` bytes.
    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        match self.peek().first_chunk() {
            Some(chunk) => {
                self.position = self.position.saturating_add(N);
                Ok(*chunk)
            }
            None => Err(self.shortage(wide(N))),
        }
    }

    /// Why the next `n` bytes are not there.
    #[cold]
    fn shortage(&self, n: u64) -> Stop {
        let expected = self.position().saturating_add(n);
        match self.end {
            Some(found) if expected > found => {
                FormatErrorKind::Truncated { expected, found }.into()
            }
            _ if expected > self.cap => FormatErrorKind::Limit {
                what: "a header size in bytes",
                found: expected,
                limit: self.cap,
            }
            .into(),
            _ => Stop::NeedMore(expected),
        }
    }

    /// A number in the byte order of the file.
    pub(crate) fn number<T: Codec>(&mut self) -> Result<T, Stop> {
        let mut bytes = T::Bytes::default();
        let taken = self.take(wide(bytes.as_ref().len()))?;
        bytes.as_mut().copy_from_slice(taken);
        Ok(T::from_bytes(bytes, self.encoding.endian))
    }

    /// A length, count or dimension in the width of the file's version.
    pub(crate) fn length(&mut self) -> Result<u64, Stop> {
        Ok(match self.encoding.lengths {
            Lengths::U32 => self.number::<u32>()?.into(),
            Lengths::U64 => self.number()?,
        })
    }

    /// A length or count, compared with `limit` and with the bytes that are left, given that each
    /// of the things counted takes `each` bytes or more.
    pub(crate) fn count(
        &mut self,
        what: &'static str,
        each: u64,
        limit: u64,
    ) -> Result<usize, Stop> {
        let claimed = self.length()?;
        let needed = claimed.saturating_mul(each);
        if let Some(left) = self.left().filter(|&left| needed > left) {
            return Err(FormatErrorKind::TooLong {
                what,
                claimed,
                needed,
                left,
            }
            .into());
        }
        usize::try_from(claimed)
            .ok()
            .filter(|_| claimed <= limit)
            .ok_or_else(|| {
                FormatErrorKind::Limit {
                    what,
                    found: claimed,
                    limit,
                }
                .into()
            })
    }

    /// A string of at most `limit` bytes.
    pub(crate) fn string(&mut self, limit: u64) -> Result<&'a str, Stop> {
        let len = self.count("a string length", 1, limit)?;
        let bytes = self.take(wide(len))?;
        std::str::from_utf8(bytes).map_err(|error| {
            FormatErrorKind::Utf8 {
                valid: error.valid_up_to(),
                len,
            }
            .into()
        })
    }

    pub(crate) fn value_type(&mut self) -> Result<ValueType, Stop> {
        let id = self.number()?;
        ValueType::from_id(id).ok_or_else(|| FormatErrorKind::ValueType { id }.into())
    }

    fn bool(&mut self) -> Result<bool, Stop> {
        match self.chunk()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(FormatErrorKind::Bool { found }.into()),
        }
    }

    /// A value of a type, with at most `limits.nesting` arrays within arrays.
    pub(crate) fn value(&mut self, ty: ValueType, limits: &Limits) -> Result<Value<'a>, Stop> {
        Ok(match ty {
            ValueType::U8 => Value::U8(self.number()?),
            ValueType::I8 => Value::I8(self.number()?),
            ValueType::U16 => Value::U16(self.number()?),
            ValueType::I16 => Value::I16(self.number()?),
            ValueType::U32 => Value::U32(self.number()?),
            ValueType::I32 => Value::I32(self.number()?),
            ValueType::U64 => Value::U64(self.number()?),
            ValueType::I64 => Value::I64(self.number()?),
            ValueType::F32 => Value::F32(self.number()?),
            ValueType::F64 => Value::F64(self.number()?),
            ValueType::Bool => Value::Bool(self.bool()?),
            ValueType::String => Value::String(Cow::Borrowed(self.string(limits.string_bytes)?)),
            ValueType::Array => Value::Array(self.array(limits)?),
        })
    }

    /// A value of an array that was checked before: only its depth still matters, because it
    /// bounds the recursion.
    pub(crate) fn unlimited_value(
        &mut self,
        ty: ValueType,
        nesting: u32,
    ) -> Result<Value<'a>, Stop> {
        let limits = Limits {
            string_bytes: u64::MAX,
            array_items: u64::MAX,
            nesting,
            ..Limits::default()
        };
        self.value(ty, &limits)
    }

    fn array(&mut self, limits: &Limits) -> Result<Array<'a>, Stop> {
        let (ty, len) = self.array_start(limits)?;
        let start = self.peek();
        let before = self.position;
        let depth = self.skip_items(ty, len, limits, 1)?;
        let bytes = start.get(..self.position.saturating_sub(before));
        Ok(Array::from_checked(
            ty,
            len,
            depth,
            self.encoding,
            bytes.unwrap_or_default(),
        ))
    }

    /// Element type and length of an array.
    fn array_start(&mut self, limits: &Limits) -> Result<(ValueType, usize), Stop> {
        let ty = self.value_type()?;
        let length_bytes = self.encoding.length_bytes();
        let each = match ty {
            ValueType::String => length_bytes,
            ValueType::Array => length_bytes.saturating_add(4),
            _ => ty.fixed_bytes().unwrap_or(1),
        };
        let len = self.count("an array length", each, limits.array_items)?;
        Ok((ty, len))
    }

    /// Checks the items of an array that lies `depth` deep (1: in no other) and moves past
    /// them. Gives the depth of the deepest array inside.
    fn skip_items(
        &mut self,
        ty: ValueType,
        len: usize,
        limits: &Limits,
        depth: u32,
    ) -> Result<u32, Stop> {
        if depth > limits.nesting {
            return Err(FormatErrorKind::Limit {
                what: "an array nesting",
                found: depth.into(),
                limit: limits.nesting.into(),
            }
            .into());
        }
        let mut deepest = depth;
        match (ty, ty.fixed_bytes()) {
            (ValueType::Bool, _) => {
                let wrong = self.take(wide(len))?.iter().find(|&&byte| byte > 1);
                if let Some(&found) = wrong {
                    return Err(FormatErrorKind::Bool { found }.into());
                }
            }
            (_, Some(bytes)) => {
                self.take(bytes.saturating_mul(wide(len)))?;
            }
            (ValueType::String, None) => {
                for _ in 0..len {
                    self.mark();
                    self.string(limits.string_bytes)?;
                }
            }
            (_, None) => {
                for _ in 0..len {
                    self.mark();
                    let (ty, len) = self.array_start(limits)?;
                    let inner = self.skip_items(ty, len, limits, depth.saturating_add(1))?;
                    deepest = deepest.max(inner);
                }
            }
        }
        Ok(deepest)
    }
}
