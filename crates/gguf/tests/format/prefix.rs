//! Headers from readers that give bytes piece by piece.

use crate::raw::{Raw, good_file, parse};
use aeolus_gguf::{Array, Endian, FormatErrorKind, Limits, ReadError, read_header};
use std::io;
use std::ops::Range;

/// Gives at most `most` bytes of a file at a time.
fn in_pieces(file: &[u8], most: usize) -> impl FnMut(Range<u64>) -> io::Result<Vec<u8>> {
    move |range| {
        let end = (range.end as usize).min(file.len());
        let start = range.start as usize;
        Ok(file[start..end.min(start.saturating_add(most))].to_vec())
    }
}

/// A file whose header is longer than the first two requests together.
fn large_file() -> Vec<u8> {
    let words: Vec<String> = (0..150_000).map(|i| format!("word {i}")).collect();
    let mut raw = Raw::v3(1, 1).key("words", 9).array(8, words.len() as u64);
    for word in &words {
        raw = raw.string(word);
    }
    raw.tensor("a", &[8], 0, 0).data(32, 32)
}

#[test]
fn any_piece_size_gives_the_same_header() {
    let (small, _) = good_file(3, Endian::Big);
    for (file, pieces) in [
        (small, &[1usize, 2, 3, 7, 64, 1 << 20][..]),
        (large_file(), &[1, 1000, 65_537, 1 << 22]),
    ] {
        let whole = parse(&file).unwrap();
        for &most in pieces {
            for len in [None, Some(file.len() as u64)] {
                let header = read_header(len, &Limits::default(), in_pieces(&file, most)).unwrap();
                assert_eq!(header, whole, "pieces of {most}, length {len:?}");
            }
        }
    }
}

#[test]
fn only_as_much_is_asked_for_as_the_header_may_need() {
    let file = large_file();
    let mut asked = Vec::new();
    let mut read = in_pieces(&file, usize::MAX);
    let longer = Some(file.len() as u64 + (1 << 40));
    let header = read_header(longer, &Limits::default(), |range| {
        asked.push(range.clone());
        // The data, which is not there, is never asked for either.
        read(range.clone()).map(|mut bytes| {
            bytes.resize((range.end - range.start) as usize, 0);
            bytes
        })
    });
    assert_eq!(header.unwrap(), parse(&file).unwrap());
    assert_eq!(asked, [0..1 << 20, 1 << 20..2 << 20, 2 << 20..4 << 20]);

    // Eight mebibytes of header announced, but nothing comes: nothing more is asked for.
    let claim = Raw::v3(0, 1).key("k", 8).u64(8 << 20).bytes;
    let mut asked = 0;
    let mut read = in_pieces(&claim, usize::MAX);
    let error = read_header(None, &Limits::default(), |range| {
        asked = asked.max(range.end);
        read(range)
    })
    .unwrap_err();
    let ReadError::Format(error) = error else {
        panic!("{error}")
    };
    assert!(
        matches!(error.kind, FormatErrorKind::TooLong { .. }),
        "{error}"
    );
    assert!(asked <= 1 << 20, "{asked}");
}

#[test]
fn a_stream_that_ends_early_is_truncated() {
    let (file, header_bytes) = good_file(3, Endian::Little);
    let cut = &file[..header_bytes as usize - 1];
    for len in [None, Some(file.len() as u64)] {
        let error = read_header(len, &Limits::default(), in_pieces(cut, 10)).unwrap_err();
        let ReadError::Format(error) = error else {
            panic!("{error}")
        };
        assert_eq!(
            error.kind,
            FormatErrorKind::Truncated {
                expected: header_bytes,
                found: header_bytes - 1
            }
        );
    }
}

#[test]
fn bytes_beyond_the_range_are_dropped_and_failures_passed_on() {
    let (file, _) = good_file(3, Endian::Little);
    let len = Some(file.len() as u64);
    let mut first = true;
    let header = read_header(len, &Limits::default(), |range| {
        if std::mem::take(&mut first) {
            return Ok(file[..10].to_vec());
        }
        let mut bytes = file[range.start as usize..].to_vec();
        bytes.extend([0xff; 100]);
        Ok(bytes)
    });
    assert_eq!(header.unwrap(), parse(&file).unwrap());

    let error = read_header(len, &Limits::default(), |_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"))
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "cannot read the header: no answer");
}

#[test]
fn a_header_over_the_limit_is_not_read_to_its_end() {
    let limits = Limits {
        header_bytes: 1000,
        ..Limits::default()
    };
    let numbers = Array::from_i32s(&[0; 1000]);
    let mut raw = Raw::v3(0, 1).key("k", 9).array(5, 1000);
    for number in numbers.to_i32s().unwrap() {
        raw = raw.u32(number as u32);
    }
    let error = read_header(None, &limits, in_pieces(&raw.bytes, 100)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key \"k\" at byte 37: has a header size in bytes of 4049, and 1000 is the limit"
    );
}
