use super::*;
use std::path::Path;

/// A safetensors file of this header and this many data bytes.
pub(crate) fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    std::fs::write(&path, bytes).unwrap();
    read(&Map::open(&path).unwrap(), &Limits::default())
}

fn problem(bytes: &[u8]) -> String {
    let error = read_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains("x.safetensors: "), "{error}");
    error
}

fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
}

#[test]
fn tensors_come_in_the_order_of_their_offsets() {
    let (a, b) = (
        entry("z", "F16", "[2,3]", "[4,16]"),
        entry("y", "F32", "[]", "[0,4]"),
    );
    let header = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{a},{b}, "e":{{"shape":[0],"x":1,"dtype":"I64","data_offsets":[16,16]}} }}   "#
    );
    let entries = read_bytes(&file(&header, 16)).unwrap();
    let data = 8 + header.len();
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (&*e.name, e.shape.clone(), e.range.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            ("y", vec![], data..data + 4),
            ("z", vec![2, 3], data + 4..data + 16),
            ("e", vec![0], data + 16..data + 16),
        ]
    );
    assert!(read_bytes(&file("{}", 0)).unwrap().is_empty());
}

#[test]
fn a_file_of_the_wrong_length_says_both_lengths() {
    let header = format!("{{{}}}", entry("a", "F32", "[4]", "[0,16]"));
    let whole = file(&header, 16);
    for cut in [whole.len() - 1, 8 + header.len(), 20, 8] {
        let error = problem(&whole[..cut]);
        let expected = if cut < 8 + header.len() {
            8 + header.len()
        } else {
            whole.len()
        };
        let numbers = format!("{expected} bytes, found {cut}");
        assert!(error.contains("truncated"), "{error}");
        assert!(error.contains(&numbers), "{error}: no {numbers}");
    }
    let error = problem(&file(&header, 19));
    assert!(error.contains("trailing"), "{error}");
    assert!(problem(&whole[..7]).contains("8 bytes, found 7"));
    assert!(problem(&[]).contains("an empty file"));
    let error = problem(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    assert!(error.contains("Git LFS"), "{error}");
}

#[test]
fn header_lengths_beyond_the_limit() {
    for length in [100_000_001_u64, 1 << 40, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend([b' '; 100]);
        let error = problem(&bytes);
        assert!(
            error.contains(&format!("{length} exceeds the limit of 100000000")),
            "{error}"
        );
    }
}

#[test]
fn bad_headers() {
    let max = u64::MAX;
    let of = |entries: &[String]| format!("{{{}}}", entries.join(","));
    let a = || entry("a", "F32", "[2]", "[0,8]");
    for (header, part) in [
        ("[1]".to_string(), "object of tensors"),
        ("{".into(), "EOF"),
        ("{}x".into(), "trailing"),
        (String::new(), "a file of zeros"),
        (of(&[a(), a()]), "duplicate key a"),
        (r#"{"a":1}"#.into(), "dtype, shape and data_offsets"),
        (
            r#"{"a":{"dtype":"F32","shape":[2]}}"#.into(),
            "missing field `data_offsets`",
        ),
        (
            r#"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#.into(),
            "duplicate key dtype",
        ),
        (r#"{"__metadata__":{"a":1}}"#.into(), "expected a string"),
        (r#"{"__metadata__":null}"#.into(), "an object of strings"),
        (
            of(&[entry("a", "F33", "[2]", "[0,8]")]),
            "tensor a: unknown dtype \"F33\"",
        ),
        (of(&[entry("a", "F32", "[-2]", "[0,8]")]), "-2"),
        (of(&[entry("a", "F32", "[2.5]", "[0,8]")]), "2.5"),
        (
            of(&[entry("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]")]),
            "more than 8 items",
        ),
        (of(&[entry("a", "F32", "[2]", "[0,8,9]")]), "trailing"),
        (
            of(&[entry("a", "F32", "[2]", "[8,0]")]),
            "begin at 8, after their end 0",
        ),
        (
            of(&[entry("a", "F32", "[3]", "[0,8]")]),
            "takes 12 bytes, but data_offsets 0 to 8 hold 8",
        ),
        (of(&[entry("a", "F4", "[3]", "[0,2]")]), "takes 2 bytes"),
        (
            of(&[entry("a", "F32", &format!("[{max},2]"), "[0,8]")]),
            "overflows",
        ),
        (
            of(&[entry("a", "F32", "[4294967296,4294967296]", "[0,8]")]),
            "overflows",
        ),
        (
            of(&[a(), entry("b", "F32", "[1]", "[12,16]")]),
            "no tensor covers bytes 8 to 12",
        ),
        (
            of(&[a(), entry("b", "F32", "[1]", "[4,8]")]),
            "b begins at byte 4 of the data, inside",
        ),
        (
            of(&[a(), entry("b", "F32", "[2]", "[0,8]")]),
            "begins at byte 0 of the data, inside",
        ),
        (
            of(&[entry("a", "F32", "[1]", "[4,8]")]),
            "no tensor covers bytes 0 to 4",
        ),
        (
            of(&[entry(&"n".repeat(257), "F32", "[2]", "[0,8]")]),
            "name of 257 bytes",
        ),
        // Offsets whose sum with the header overflows: the crate panics on these.
        (
            of(&[entry("a", "U8", &format!("[{max}]"), &format!("[0,{max}]"))]),
            "overflows",
        ),
        (
            of(&[entry(
                "a",
                "U8",
                "[2305843009213693951]",
                "[0,2305843009213693951]",
            )]),
            "truncated",
        ),
    ] {
        let error = problem(&file(&header, 8));
        assert!(error.contains(part), "{error}: no {part}");
    }
}

#[test]
fn tensors_beyond_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let entries: Vec<_> = (0..5)
        .map(|i| entry(&format!("t{i}"), "U8", "[0]", "[0,0]"))
        .collect();
    std::fs::write(&path, file(&format!("{{{}}}", entries.join(",")), 0)).unwrap();
    let limits = Limits {
        shard_tensors: 4,
        ..Limits::default()
    };
    let error = read(&Map::open(&path).unwrap(), &limits)
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than 4 tensors"), "{error}");
}

#[test]
fn every_cut_and_every_changed_byte_of_a_header_is_survived() {
    let header = format!(
        "{{{},{}}}",
        entry("a", "F32", "[2]", "[0,8]"),
        entry("b", "BF16", "[1,4]", "[8,16]")
    );
    let whole = file(&header, 16);
    for cut in 0..whole.len() {
        problem(&whole[..cut]);
    }
    let path = Path::new("x.safetensors");
    for i in 0..8 + header.len() {
        for byte in [0, b'"', b'9', b'}', 0xff] {
            let mut bytes = whole.clone();
            bytes[i] = byte;
            // Whether it is an error depends on the byte; that it returns is the point.
            if let Ok(n) = header::check(path, &bytes, &Limits::default()) {
                assert!(SafeTensors::read_metadata(&bytes).is_ok(), "{i} {byte} {n}");
            }
        }
    }
}
