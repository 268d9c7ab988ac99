//! How files of results begin: a magic number of 8 bytes, the length of a description as a
//! little-endian u32, and the description, which is JSON and has some hundreds of bytes.

/// Longest description that is read, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 64 << 10;

/// The beginning of a file.
pub(crate) fn beginning(magic: &[u8], description: &[u8]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend((description.len() as u32).to_le_bytes());
    out.extend(description);
    out
}

/// The description and what comes after it, of what comes after a magic number; or in words why
/// there is none.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let short = || "it ends within its header".to_owned();
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_DESCRIPTION_BYTES {
        return Err(format!(
            "its description has {length} bytes, at most {MAX_DESCRIPTION_BYTES} were expected"
        ));
    }
    rest.split_at_checked(length).ok_or_else(short)
}
