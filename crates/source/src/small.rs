//! Files that are read: small ones whole and within a bound, others from end to end in pieces.

use crate::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The bytes of a file that is small if it is what it should be.
///
/// # Errors
/// [`Error::Io`], which [`is_not_found`](Error::is_not_found) if there is no such file;
/// [`Error::NotAFile`]; [`Error::TooLarge`] for one of more than `limit` bytes.
pub fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let within_limit = |found| match found <= limit {
        true => Ok(()),
        false => Err(Error::TooLarge {
            path: path.into(),
            found,
            limit,
        }),
    };
    // Asked by name first: opening a pipe would wait for somebody to write.
    let named = std::fs::metadata(path).map_err(Error::io("read", path))?;
    if !named.is_file() {
        return Err(Error::NotAFile { path: path.into() });
    }
    within_limit(named.len())?;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    // It may have grown meanwhile, and some files have more bytes than they say: one byte more
    // than allowed tells.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    within_limit(bytes.len() as u64)?;
    Ok(bytes)
}

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Reads a file from its beginning to its end: `each` gets pieces of at most 1 MiB, in order.
///
/// # Errors
/// [`Error::Io`], and those of `each`, which end the reading.
pub fn read_pieces<E: From<Error>>(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(Error::io("read", path))? {
            0 => return Ok(()),
            n => each(&piece[..n])?,
        }
    }
}

/// Bytes as hex digits: a digest as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        assert!(read_small(&path, 3).unwrap_err().is_not_found());
        std::fs::write(&path, [1, 2, 3]).unwrap();
        assert_eq!(read_small(&path, 3).unwrap(), [1, 2, 3]);
        assert_eq!(read_small(&path, u64::MAX).unwrap(), [1, 2, 3]);
        let error = read_small(&path, 2).unwrap_err();
        assert!(matches!(
            error,
            Error::TooLarge {
                found: 3,
                limit: 2,
                ..
            }
        ));
        assert!(!error.is_not_found());
    }

    #[test]
    fn pieces_are_the_whole_file_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let bytes: Vec<u8> = (0..PIECE_BYTES + 5).map(|i| (i / 7) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut found = Vec::new();
        let mut take = |piece: &[u8]| {
            found.extend_from_slice(piece);
            Ok::<(), Error>(())
        };
        read_pieces(&path, &mut take).unwrap();
        assert!(found == bytes);
        assert_eq!(
            hex(&found[PIECE_BYTES - 1..]),
            hex(&bytes[PIECE_BYTES - 1..])
        );
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
        let stop = |_: &[u8]| Err(Error::NotAFile { path: path.clone() });
        assert!(matches!(
            read_pieces(&path, stop),
            Err(Error::NotAFile { .. })
        ));
        let missing = read_pieces(&dir.path().join("none"), |_| Ok::<(), Error>(()));
        assert!(missing.unwrap_err().is_not_found());
    }

    #[test]
    fn folders_pipes_and_devices_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let not_a_file = |path: &Path| {
            let error = read_small(path, 9).unwrap_err();
            assert!(matches!(error, Error::NotAFile { .. }), "{error}");
        };
        not_a_file(dir.path());
        #[cfg(unix)]
        {
            let pipe = dir.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            not_a_file(&pipe);
            not_a_file(Path::new("/dev/zero"));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_says_it_is_empty_is_bounded_too() {
        let path = Path::new("/proc/self/status");
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
        let error = read_small(path, 10).unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { found: 11, .. }),
            "{error}"
        );
        assert!(read_small(path, 1 << 20).unwrap().len() > 10);
    }
}
