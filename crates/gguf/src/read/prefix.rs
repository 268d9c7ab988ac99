//! Feeding the parser from anything that gives bytes piece by piece.

use super::cursor::wide;
use super::header::{Header, Parse};
use crate::error::FormatError;
use crate::limits::Limits;
use std::io;
use std::ops::Range;

/// Why [`read_header`] has no header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The reader failed.
    #[error("cannot read the header: {0}")]
    Io(#[from] io::Error),
    /// The bytes are no good header.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// What the first request asks for: the whole header of most models with 32,000 tokens.
const FIRST_BYTES: u64 = 1 << 20;

/// Reads a header from a file, a stream or range requests.
///
/// `read` is asked for ranges of bytes of the file, each beginning where the last answer ended.
/// It may give fewer bytes (a stream gives what has arrived); none at all means that the file
/// ends here. Bytes beyond the range are dropped.
///
/// Requests double, so that parsing again after each costs no more than twice the whole, and
/// never ask for more than the file is long, nor for more than twice what was really given plus
/// 1 MiB: a header that claims to be huge costs nothing.
///
/// # Errors
/// [`ReadError::Io`] as `read` gave it, [`ReadError::Format`] if the bytes are no good header,
/// one longer than `limits.header_bytes`, or one cut off by the end of the file.
pub fn read_header(
    file_len: Option<u64>,
    limits: &Limits,
    mut read: impl FnMut(Range<u64>) -> io::Result<Vec<u8>>,
) -> Result<Header<'static>, ReadError> {
    let (mut bytes, mut len, mut wanted) = (Vec::new(), file_len, FIRST_BYTES);
    loop {
        while wide(bytes.len()) < len.map_or(wanted, |len| len.min(wanted)) {
            let range = wide(bytes.len())..len.map_or(wanted, |len| len.min(wanted));
            let asked = range.end.saturating_sub(range.start);
            let mut given = read(range)?;
            given.truncate(usize::try_from(asked).unwrap_or(usize::MAX));
            if given.is_empty() {
                len = Some(wide(bytes.len()));
            }
            bytes.append(&mut given);
        }
        match Header::parse(&bytes, len, limits)? {
            Parse::Done(header) => return Ok(header.into_owned()),
            Parse::NeedMore(needed) => {
                let doubled = wide(bytes.len()).saturating_mul(2);
                wanted = wide(needed).clamp(doubled, doubled.saturating_add(FIRST_BYTES));
            }
        }
    }
}
