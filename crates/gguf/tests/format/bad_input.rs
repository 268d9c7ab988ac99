//! Every kind of defect, each with its place and its numbers.

use crate::raw::{Raw, parse};
use aeolus_gguf::{
    Endian, FormatError, FormatErrorKind as Kind, Header, Limits, Parse, Place, ShapeError,
    TensorType, ValueType,
};

/// What parsing a whole file says: place, byte, kind.
fn refused(file: &[u8]) -> (Place, u64, Kind) {
    taken_apart(parse(file).unwrap_err())
}

fn refused_by(limits: &Limits, file: &[u8]) -> (Place, u64, Kind) {
    let len = Some(file.len() as u64);
    taken_apart(Header::parse(file, len, limits).unwrap_err())
}

fn taken_apart(error: FormatError) -> (Place, u64, Kind) {
    // Every message is one lower-case line without a full stop.
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    (error.place, error.offset.unwrap(), error.kind)
}

fn key(name: &str) -> Place {
    Place::Key(name.into())
}

fn tensor(name: &str) -> Place {
    Place::Tensor(name.into())
}

/// A file with one F32 tensor `t` of 8, and one pair.
fn with_pair(raw: impl FnOnce(Raw) -> Raw) -> Vec<u8> {
    raw(Raw::v3(1, 1)).tensor("t", &[8], 0, 0).data(32, 32)
}

/// A file with the tensors that `raw` lists, and 128 bytes of data.
fn with_tensors(count: u64, raw: impl FnOnce(Raw) -> Raw) -> Vec<u8> {
    raw(Raw::v3(count, 0)).data(32, 128)
}

#[test]
fn magic() {
    let magic = |found: &[u8]| {
        let found = found.to_vec();
        (Place::Preamble, 0, Kind::Magic { found })
    };
    assert_eq!(refused(b"GGML\x03\0\0\0"), magic(b"GGML"));
    assert_eq!(refused(b"\x01\x02"), magic(b"\x01\x02"));
    for (bytes, said) in [
        (
            &b"\x81\x02}q"[..],
            "not a GGUF file: it starts with \\x81\\x02}q, expected \"GGUF\"",
        ),
        (
            b"\x80\x02}q",
            "a Python pickle (a PyTorch checkpoint), not a GGUF file; fetch",
        ),
        (&[0; 100], "a file of zeros, not a GGUF file; "),
        (b"", "an empty file, not a GGUF file; "),
    ] {
        let error = parse(bytes).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn version() {
    for (found, spelled) in [
        (0u32, [0, 0, 0, 0]),
        (4, [4, 0, 0, 0]),
        (4, [0, 0, 0, 4]),
        (0x0201, [1, 2, 0, 0]),
        (u32::MAX, [0xff; 4]),
    ] {
        let file = Raw::v3(0, 0).bytes;
        let file = [b"GGUF", &spelled[..], &file[8..]].concat();
        assert_eq!(
            refused(&file),
            (Place::Preamble, 4, Kind::Version { found })
        );
    }
}

#[test]
fn counts_that_the_file_cannot_hold() {
    for (tensors, pairs, offset, what, each) in [
        (u64::MAX, 0, 8, "a tensor count", 25),
        (1 << 20, 0, 8, "a tensor count", 25),
        (1, 0, 8, "a tensor count", 25),
        (0, u64::MAX / 7, 16, "a metadata count", 14),
        (0, 1, 16, "a metadata count", 14),
    ] {
        let claimed = tensors + pairs;
        let found = refused(&Raw::v3(tensors, pairs).bytes);
        let kind = Kind::TooLong {
            what,
            claimed,
            needed: claimed.saturating_mul(each),
            left: 24 - offset - 8,
        };
        assert_eq!(found, (Place::Preamble, offset, kind));
    }
    // Version 1 has counts of 32 bits.
    let raw = Raw::new(1, Endian::Little, u32::MAX.into(), 0);
    let kind = Kind::TooLong {
        what: "a tensor count",
        claimed: u32::MAX.into(),
        needed: u64::from(u32::MAX) * 21,
        left: 4,
    };
    assert_eq!(refused(&raw.bytes), (Place::Preamble, 8, kind));
}

#[test]
fn lengths_that_the_file_cannot_hold() {
    let too_long = |what, claimed, needed, left| Kind::TooLong {
        what,
        claimed,
        needed,
        left,
    };
    let rest = 100;
    for claimed in [rest + 1, u64::MAX] {
        let string = too_long("a string length", claimed, claimed, rest);
        // A key, a text, a text in an array, a name.
        let raw = Raw::v3(0, 1).u64(claimed).raw(&[b'x'; 100]);
        assert_eq!(
            refused(&raw.bytes),
            (Place::KeyNumber(0), 24, string.clone())
        );
        let raw = Raw::v3(0, 1).key("k", 8).u64(claimed).raw(&[b'x'; 100]);
        assert_eq!(refused(&raw.bytes), (key("k"), 37, string.clone()));
        let raw = Raw::v3(0, 1).key("k", 9).array(8, 2).string("a");
        let raw = raw.u64(claimed).raw(&[b'x'; 100]);
        assert_eq!(refused(&raw.bytes), (key("k"), 58, string.clone()));
        let raw = Raw::v3(1, 0).u64(claimed).raw(&[b'x'; 100]);
        assert_eq!(refused(&raw.bytes), (Place::TensorNumber(0), 24, string));
    }
    for (ty, each) in [(0u32, 1), (2, 2), (6, 4), (7, 1), (8, 8), (9, 12), (12, 8)] {
        for claimed in [rest / each + 1, 1 << 62] {
            let needed = claimed.saturating_mul(each);
            let raw = Raw::v3(0, 1).key("k", 9).array(ty, claimed).raw(&[0; 100]);
            let kind = too_long("an array length", claimed, needed, rest);
            assert_eq!(refused(&raw.bytes), (key("k"), 37, kind));
        }
    }
}

/// Without the size of the file, a wild claim is stopped by a limit, or asks for more bytes.
#[test]
fn wild_claims_of_a_stream_meet_the_limits() {
    let parse = |raw: &Raw| {
        let parsed = Header::parse(&raw.bytes, None, &Limits::default())?;
        Ok::<_, FormatError>(match parsed {
            Parse::Done(_) => panic!("a header that is not there"),
            Parse::NeedMore(bytes) => bytes,
        })
    };
    let kind = |raw: Raw| parse(&raw).unwrap_err().kind;
    let limit = |what, found, limit| Kind::Limit { what, found, limit };
    assert_eq!(
        kind(Raw::v3(u64::MAX, 0)),
        limit("a tensor count", u64::MAX, 1 << 16)
    );
    assert_eq!(
        kind(Raw::v3(0, 1 << 40)),
        limit("a metadata count", 1 << 40, 1 << 16)
    );
    assert_eq!(
        kind(Raw::v3(0, 1).key("k", 8).u64(1 << 60)),
        limit("a string length", 1 << 60, 16 << 20)
    );
    assert_eq!(
        kind(Raw::v3(0, 1).key("k", 9).array(0, u64::MAX)),
        limit("an array length", u64::MAX, 1 << 24)
    );
    assert_eq!(
        parse(&Raw::v3(0, 1).key("k", 9).array(12, 1 << 22)),
        Ok(49 + (8 << 22))
    );
    assert_eq!(
        kind(Raw::v3(0, 1).key("k", 9).array(12, 1 << 24)),
        limit("a header size in bytes", 49 + (8 << 24), 64 << 20)
    );
}

#[test]
fn limits() {
    let raw = || {
        Raw::v3(2, 2)
            .key("a", 8)
            .string("text")
            .key("bcd", 9)
            .array(9, 2)
            .array(0, 0)
            .array(9, 1)
            .array(0, 3)
            .raw(&[1, 2, 3])
            .tensor("t", &[8], 0, 0)
            .tensor("name", &[2, 2, 2], 0, 32)
    };
    let file = raw().data(32, 64);
    assert_eq!(parse(&file).unwrap().tensors.len(), 2);
    let header_bytes = raw().bytes.len() as u64;

    let limits = Limits::default;
    let cases: [(Limits, &'static str, u64); 9] = [
        (
            Limits {
                header_bytes: header_bytes - 1,
                ..limits()
            },
            "a header size in bytes",
            header_bytes,
        ),
        (
            Limits {
                metadata_count: 1,
                ..limits()
            },
            "a metadata count",
            2,
        ),
        (
            Limits {
                key_bytes: 2,
                ..limits()
            },
            "a string length",
            3,
        ),
        (
            Limits {
                string_bytes: 3,
                ..limits()
            },
            "a string length",
            4,
        ),
        (
            Limits {
                array_items: 2,
                ..limits()
            },
            "an array length",
            3,
        ),
        (
            Limits {
                nesting: 2,
                ..limits()
            },
            "an array nesting",
            3,
        ),
        (
            Limits {
                nesting: 0,
                ..limits()
            },
            "an array nesting",
            1,
        ),
        (
            Limits {
                tensor_count: 1,
                ..limits()
            },
            "a tensor count",
            2,
        ),
        (
            Limits {
                name_bytes: 3,
                ..limits()
            },
            "a string length",
            4,
        ),
    ];
    for (limits, what, found) in cases {
        let (_, _, kind) = refused_by(&limits, &file);
        let Kind::Limit {
            what: w,
            found: f,
            limit,
        } = kind
        else {
            panic!("{limits:?}: {kind}");
        };
        assert_eq!((w, f), (what, found), "{limits:?}");
        assert_eq!(limit, found - 1, "{limits:?}");
    }
    let limits = Limits {
        dims: 2,
        ..Limits::default()
    };
    let (place, _, kind) = refused_by(&limits, &file);
    assert_eq!(place, tensor("name"));
    assert_eq!(kind, Kind::Shape(ShapeError::Dims { found: 3, max: 2 }));
    // Exactly at its limits a header passes.
    let limits = Limits {
        header_bytes,
        metadata_count: 2,
        key_bytes: 3,
        string_bytes: 4,
        array_items: 3,
        nesting: 3,
        dims: 3,
        tensor_count: 2,
        name_bytes: 4,
        min_alignment: 32,
        max_alignment: 32,
    };
    let whole = Header::parse(&file, Some(file.len() as u64), &limits);
    assert!(matches!(whole, Ok(Parse::Done(_))), "{whole:?}");
}

/// Arrays within arrays, as many as bytes allow: refused by depth, not by the stack.
#[test]
fn deep_nesting() {
    let deep = |levels| {
        let mut raw = Raw::v3(0, 1).key("k", 9);
        for _ in 1..levels {
            raw = raw.array(9, 1);
        }
        raw.array(0, 0).bytes
    };
    assert!(parse(&deep(8)).is_ok());
    for levels in [9, 100_000] {
        let (place, _, kind) = refused(&deep(levels));
        let expected = Kind::Limit {
            what: "an array nesting",
            found: 9,
            limit: 8,
        };
        assert_eq!((place, kind), (key("k"), expected));
    }
}

#[test]
fn value_types() {
    for id in [13, 0x0100_0000, u32::MAX] {
        let file = with_pair(|raw| raw.key("k", id).u64(0));
        assert_eq!(refused(&file), (key("k"), 33, Kind::ValueType { id }));
        let file = with_pair(|raw| raw.key("k", 9).array(id, 0));
        assert_eq!(refused(&file), (key("k"), 37, Kind::ValueType { id }));
    }
}

#[test]
fn bools() {
    let file = with_pair(|raw| raw.key("k", 7).raw(&[2]));
    assert_eq!(refused(&file), (key("k"), 37, Kind::Bool { found: 2 }));
    let file = with_pair(|raw| raw.key("k", 9).array(7, 3).raw(&[0, 1, 0xff]));
    assert_eq!(refused(&file), (key("k"), 37, Kind::Bool { found: 0xff }));
}

#[test]
fn text() {
    let bad = b"ab\xff";
    let utf8 = |offset, place| (place, offset, Kind::Utf8 { valid: 2, len: 3 });
    let file = Raw::v3(0, 1).string(bad).u32(0).u64(0).bytes;
    assert_eq!(refused(&file), utf8(24, Place::KeyNumber(0)));
    let file = with_pair(|raw| raw.key("k", 8).string(bad));
    assert_eq!(refused(&file), utf8(37, key("k")));
    let file = with_pair(|raw| raw.key("k", 9).array(8, 2).string("ok").string(bad));
    assert_eq!(refused(&file), utf8(59, key("k")));
    let file = with_tensors(1, |raw| raw.string(bad).raw(&[0; 30]));
    assert_eq!(refused(&file), utf8(24, Place::TensorNumber(0)));
}

#[test]
fn names() {
    let file = with_pair(|raw| raw.key("", 0).raw(&[1]));
    assert_eq!(refused(&file), (Place::KeyNumber(0), 24, Kind::EmptyName));
    let file = with_tensors(1, |raw| raw.tensor("", &[8], 0, 0));
    assert_eq!(
        refused(&file),
        (Place::TensorNumber(0), 24, Kind::EmptyName)
    );

    let twice = Raw::v3(0, 2).key("k", 0).raw(&[1]).key("k", 1).raw(&[1]);
    assert_eq!(refused(&twice.bytes), (key("k"), 38, Kind::Duplicate));
    let file = with_tensors(2, |raw| {
        raw.tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32)
    });
    assert_eq!(refused(&file), (tensor("t"), 57, Kind::Duplicate));
}

/// A name from a file cannot flood or colour a terminal.
#[test]
fn messages_escape_and_cut_names() {
    let long = format!("\x1b[31m{}", "\u{e9}".repeat(30_000));
    let file = with_pair(|raw| raw.key(&long, 13).u64(0));
    let text = parse(&file).unwrap_err().to_string();
    assert!(text.starts_with("key \"\\u{1b}[31m\u{e9}"), "{text}");
    assert!(text.contains("\u{e9}\"... at byte"), "{text}");
    assert!(text.len() < 400, "{}", text.len());
}

#[test]
fn alignments() {
    for found in [0, 1, 4, 12, 33, 2 << 20, u32::MAX] {
        let file = with_pair(|raw| raw.key("general.alignment", 4).u32(found));
        let (min, max) = (8, 1 << 20);
        let kind = Kind::Alignment { found, min, max };
        assert_eq!(refused(&file), (key("general.alignment"), 53, kind));
    }
    let file = with_pair(|raw| raw.key("general.alignment", 10).u64(32));
    let kind = Kind::AlignmentType {
        found: ValueType::U64,
    };
    assert_eq!(refused(&file), (key("general.alignment"), 53, kind));
}

#[test]
fn tensor_lines() {
    let one = |dims: &[u64], ty| with_tensors(1, |raw| raw.tensor("t", dims, ty, 0));
    for found in [5, 64] {
        let file = one(&vec![1; found], 0);
        let kind = Kind::Shape(ShapeError::Dims {
            found: found as u64,
            max: 4,
        });
        assert_eq!(refused(&file), (tensor("t"), 33, kind));
    }
    for (dims, error) in [
        (&[1 << 32, 1 << 32][..], ShapeError::Overflow),
        (&[0, u64::MAX, 2], ShapeError::Overflow),
        (&[u64::MAX; 4], ShapeError::Overflow),
    ] {
        assert_eq!(
            refused(&one(dims, 0)),
            (tensor("t"), 33, Kind::Shape(error))
        );
    }
    // A type whose layout is not known has the bytes up to the end, and too few of them for this.
    let kind = Kind::TooLong {
        what: "a number of elements",
        claimed: 1 << 40,
        needed: 1 << 34,
        left: 160,
    };
    let mut huge = one(&[1 << 40], 43);
    huge.resize(huge.len().next_multiple_of(32) + 32, 0);
    assert_eq!(refused(&huge).2, kind);
    for (cols, id, ty, block) in [
        (33, 2, TensorType::Q4_0, 32),
        (128, 12, TensorType::Q4_K, 256),
    ] {
        let kind = Kind::Row { ty, cols, block };
        assert_eq!(refused(&one(&[cols], id)), (tensor("t"), 45, kind));
    }
}

#[test]
fn tensor_places() {
    // Each line of one tensor of one dimension takes 33 bytes: two end at 90, data at 96.
    let two =
        |a: u64, b: u64| with_tensors(2, |raw| raw.tensor("a", &[9], 0, a).tensor("b", &[8], 0, b));
    assert!(parse(&two(0, 64)).is_ok());
    assert!(parse(&two(32, 0)).is_ok(), "any order is fine");

    let unaligned = |offset| Kind::Unaligned {
        offset,
        alignment: 32,
    };
    assert_eq!(refused(&two(0, 65)), (tensor("b"), 96 + 65, unaligned(65)));
    assert_eq!(refused(&two(16, 64)), (tensor("a"), 96 + 16, unaligned(16)));

    let overlap = |name: &str, offset, other: &str, end| {
        let other = other.into();
        (
            tensor(name),
            96 + offset,
            Kind::Overlap { offset, other, end },
        )
    };
    assert_eq!(refused(&two(0, 32)), overlap("b", 32, "a", 36));
    assert_eq!(refused(&two(0, 0)), overlap("b", 0, "a", 36));
    assert_eq!(refused(&two(64, 64)), overlap("b", 64, "a", 100));

    // The end of the last line overflows, or does so with the header before it.
    for offset in [u64::MAX - 31, u64::MAX - 63] {
        let error = parse(&two(0, offset)).unwrap_err();
        let bytes = 32;
        assert_eq!(error.place, tensor("b"));
        assert_eq!(error.kind, Kind::FarOffset { offset, bytes });
        assert_eq!(error.offset, None, "beyond any file");
    }
}

#[test]
fn truncated_data() {
    let file = with_tensors(2, |raw| {
        raw.tensor("late", &[8], 0, 64).tensor("early", &[16], 0, 0)
    });
    // The lines end at 97, data begins at 128 and ends at 224.
    assert!(parse(&file[..224]).is_ok());
    for (len, name, at) in [
        (223, "late", 128 + 64),
        (192, "late", 128 + 64),
        (191, "early", 128),
        (97, "early", 128),
    ] {
        let kind = Kind::DataTruncated {
            expected: 224,
            found: len,
        };
        assert_eq!(refused(&file[..len as usize]), (tensor(name), at, kind));
    }
    assert_eq!(
        parse(&file[..200]).unwrap_err().to_string(),
        "tensor \"late\" at byte 192: the file is truncated: expected at least 224 bytes, found 200, \
         so 24 are missing; download or copy it again"
    );
    // Without the size, nobody can tell.
    let parsed = Header::parse(&file[..200], None, &Limits::default());
    assert!(matches!(parsed, Ok(Parse::Done(_))));
}
