//! A good file cut at every byte, and with every byte changed.

use crate::raw::{good_file, parse};
use aeolus_gguf::{Array, Endian, FormatErrorKind, Header, Limits, Metadata, Parse, Value};

const FORMS: [(u32, Endian); 3] = [(2, Endian::Little), (3, Endian::Little), (3, Endian::Big)];

#[test]
fn a_growing_prefix_needs_more_until_it_holds_the_header() {
    for (version, endian) in FORMS {
        let (file, header_bytes) = good_file(version, endian);
        let whole = parse(&file).unwrap();
        for n in 0..=file.len() {
            for len in [None, Some(file.len() as u64)] {
                match Header::parse(&file[..n], len, &Limits::default()).unwrap() {
                    Parse::Done(header) => {
                        assert!(n as u64 >= header_bytes, "done at {n}");
                        assert_eq!(header, whole);
                    }
                    Parse::NeedMore(needed) => {
                        assert!((n as u64) < header_bytes, "more after {n}");
                        assert!(needed > n && needed as u64 <= header_bytes, "{needed}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_before_its_last_weight_is_an_error() {
    for (version, endian) in FORMS {
        let (file, header_bytes) = good_file(version, endian);
        // The last tensor has one byte, and padding after it.
        let end = file.len() - 31;
        for n in 0..end {
            let kind = parse(&file[..n]).unwrap_err().kind;
            match kind {
                FormatErrorKind::Truncated { expected, found } => {
                    assert!(found == n as u64 && expected > found, "{kind}");
                    assert!(expected <= header_bytes, "{kind}");
                }
                FormatErrorKind::OtherKind(_) => assert_eq!(n, 0, "{kind}"),
                FormatErrorKind::TooLong { needed, left, .. } => assert!(needed > left),
                FormatErrorKind::DataTruncated { expected, found } => {
                    assert!(n as u64 >= header_bytes);
                    assert_eq!((expected, found), (end as u64, n as u64));
                }
                other => panic!("cut to {n}: {other}"),
            }
        }
        for n in end..=file.len() {
            parse(&file[..n]).unwrap_or_else(|e| panic!("padding cut to {n}: {e}"));
        }
    }
}

/// Reads every item, and gives how many there are.
fn walk(array: &Array<'_>) -> usize {
    let mut items = 0;
    for item in array {
        items += 1;
        if let Value::Array(inner) = &item {
            assert_eq!(walk(inner), inner.len());
        }
    }
    if let Some(strings) = array.strings() {
        assert_eq!(strings.count(), items);
    }
    items
}

/// Reads every item of every array.
pub fn walk_all(metadata: &Metadata<'_>) {
    for (_, value) in metadata.iter() {
        if let Value::Array(array) = value {
            assert_eq!(walk(array), array.len());
        }
    }
}

#[test]
fn a_changed_byte_is_an_error_or_another_sound_file() {
    for (version, endian) in FORMS {
        let (mut file, header_bytes) = good_file(version, endian);
        let (mut sound, mut broken) = (0, 0);
        for at in 0..header_bytes as usize {
            let before = file[at];
            for mask in [0x01, 0x02, 0x04, 0x10, 0x40, 0x80, 0xff, before] {
                file[at] = before ^ mask;
                // Without a length too: then only limits stop a wild claim.
                let _ = Header::parse(&file, None, &Limits::default());
                match parse(&file) {
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        broken += 1;
                    }
                    Ok(header) => {
                        walk_all(&header.metadata);
                        for info in &header.tensors {
                            let end = header.data_offset + info.offset + info.bytes();
                            assert!(end <= file.len() as u64);
                        }
                        sound += 1;
                    }
                }
            }
            file[at] = before;
        }
        assert!(
            sound > 100 && broken > 100,
            "{sound} sound, {broken} broken"
        );
    }
}
