//! The older format, `.dat`; all numbers little-endian:
//!
//! ```text
//! i32 entries
//! for each entry:
//!     i32 bytes of the name, the name
//!     i32 count (chunks of text)
//!     i32 values (columns times matrices)
//!     f32 for each value: the mean square, times the count
//! i32 chunks of text                              may be missing
//! i32 bytes of the text's path, the path          may be missing
//! ```
//!
//! A matrix that saw nothing has the count as each of its values, which is an importance of 1. An entry
//! none of whose matrices saw anything is left out.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

use crate::imatrix::{Format, MAX_ENTRIES};
use crate::{Entry, Imatrix, Problem};

/// The most bytes of a name, as in GGUF.
const MAX_NAME_BYTES: u64 = (1 << 16) - 1;

pub(crate) fn parse(bytes: &[u8]) -> Result<Imatrix, Problem> {
    let mut reader = Reader { bytes, offset: 0 };
    let entries = reader.count("the number of entries", 1)?;
    if entries > MAX_ENTRIES {
        return Err(Problem::TooMany {
            found: entries,
            limit: MAX_ENTRIES,
        });
    }
    let mut imatrix = Imatrix::new(Format::Dat);
    for _ in 0..entries {
        let (name, entry) = reader.entry()?;
        imatrix.insert(name, entry)?;
    }
    if !reader.is_at_end() {
        let chunks = reader.count("the number of chunks", 0)?;
        imatrix.chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
    }
    if !reader.is_at_end() {
        let len = reader.count("the length of a path", 0)?;
        let path = reader.take("the path of the calibration text", len)?;
        if !path.is_empty() {
            // A path is for people to read; those of other systems need not be UTF-8.
            imatrix
                .datasets
                .push(String::from_utf8_lossy(path).into_owned());
        }
    }
    match reader.rest() {
        [] => Ok(imatrix),
        rest => Err(Problem::Behind {
            offset: reader.offset,
            left: rest.len(),
        }),
    }
}

/// The bytes of a file. The count of an entry is that of the chunks which its most seen matrix fills.
///
/// # Errors
/// [`Problem::Empty`] if no entry saw anything, [`Problem::Name`], [`Problem::TooLarge`] and
/// [`Problem::Value`] for what the format cannot hold.
pub(crate) fn encode(imatrix: &Imatrix) -> Result<Vec<u8>, Problem> {
    let seen = || imatrix.entries().filter(|(_, entry)| entry.most() > 0.0);
    if seen().next().is_none() {
        return Err(Problem::Empty);
    }
    let mut bytes = Vec::new();
    put_count(&mut bytes, "the number of entries", seen().count())?;
    for (name, entry) in seen() {
        if name.is_empty() || name.contains('\0') {
            return Err(Problem::Name {
                offset: bytes.len(),
                limit: MAX_NAME_BYTES,
            });
        }
        put_count(&mut bytes, "the length of a name", name.len())?;
        bytes.extend(name.as_bytes());
        let chunk = match imatrix.format {
            Format::Gguf => rounded(imatrix.chunk_tokens.max(1).into()),
            Format::Dat => 1.0,
        };
        let count = (entry.most() / chunk).ceil();
        put_count(&mut bytes, "the count of an entry", whole(count))?;
        put_count(&mut bytes, "the number of values", entry.values())?;
        let values = Entry::new(name, values(entry, count).collect(), vec![count])?;
        bytes.extend(values.sums().iter().flat_map(|x| x.to_le_bytes()));
    }
    if imatrix.chunks > 0 || !imatrix.datasets.is_empty() {
        let chunks = usize::try_from(imatrix.chunks).unwrap_or(usize::MAX);
        put_count(&mut bytes, "the number of chunks", chunks)?;
        let last = imatrix.datasets.last().map_or("", String::as_str);
        put_count(&mut bytes, "the length of a path", last.len())?;
        bytes.extend(last.as_bytes());
    }
    Ok(bytes)
}

/// Mean squares times `count`. In f64 and in this order the result is exact where a matrix saw all of
/// the chunks, so that nothing is lost on the way to this format and back.
#[allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "the format has numbers in f32"
)]
fn values(entry: &Entry, count: f32) -> impl Iterator<Item = f32> {
    let rows = entry.sums().chunks_exact(entry.cols()).zip(entry.counts());
    rows.flat_map(move |(row, seen)| {
        row.iter().map(move |sum| match *seen {
            0.0 => count,
            seen => (f64::from(*sum) * f64::from(count) / f64::from(seen)) as f32,
        })
    })
}

fn put_count(bytes: &mut Vec<u8>, what: &'static str, found: usize) -> Result<(), Problem> {
    let number = i32::try_from(found).map_err(|_| Problem::TooLarge { what, found })?;
    bytes.extend(number.to_le_bytes());
    Ok(())
}

/// A float that has no fraction and is not negative.
#[allow(
    clippy::as_conversions,
    reason = "there is no other way from a float to an integer; it saturates"
)]
fn whole(count: f32) -> usize {
    count as usize
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Bytes from the start to the next one to be read.
    offset: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    /// The next `n` bytes.
    fn take(&mut self, what: &'static str, n: u64) -> Result<&'a [u8], Problem> {
        let rest = self.rest();
        let taken = usize::try_from(n).ok().and_then(|n| rest.get(..n));
        let taken = taken.ok_or(Problem::Ends {
            offset: self.offset,
            what,
            needed: n,
            left: rest.len(),
        })?;
        self.offset = self.offset.saturating_add(taken.len());
        Ok(taken)
    }

    /// A number that is not below `least`, which is not negative.
    fn count(&mut self, what: &'static str, least: i32) -> Result<u64, Problem> {
        let offset = self.offset;
        let bytes = self.take(what, 4)?;
        let found = bytes.try_into().map_or(0, i32::from_le_bytes);
        match u64::try_from(found) {
            Ok(count) if found >= least => Ok(count),
            _ => Err(Problem::Small {
                offset,
                what,
                found,
                least,
            }),
        }
    }

    fn entry(&mut self) -> Result<(String, Entry), Problem> {
        let len = self.count("the length of a name", 1)?;
        let offset = self.offset;
        let wrong = Problem::Name {
            offset,
            limit: MAX_NAME_BYTES,
        };
        if len > MAX_NAME_BYTES {
            return Err(wrong);
        }
        let name = self.take("the name of an entry", len)?;
        let name = match std::str::from_utf8(name) {
            Ok(name) if !name.contains('\0') => name.to_owned(),
            _ => return Err(wrong),
        };
        let count = self.count("the count of an entry", 0)?;
        let values = self.count("the number of values", 1)?;
        let values = self.take("the values of an entry", values.saturating_mul(4))?;
        let values: Vec<f32> = values
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        // Without a count, the values are taken for means.
        let entry = Entry::new(&name, values, vec![rounded(count.max(1))])?;
        Ok((name, entry))
    }
}

/// The nearest f32, by which the reference divides.
#[allow(
    clippy::as_conversions,
    reason = "there is no other way from an integer to a rounded float"
)]
fn rounded(count: u64) -> f32 {
    count as f32
}
