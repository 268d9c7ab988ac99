//! Files cut short, and headers with wrong counts, lengths, types, text and depth.

use crate::gguf::{
    ARRAY, BOOL, F32, Gguf, STRING, U8, U32, U64, Value, array, good, string, strings, u32_value,
};
use crate::run::{ALL, Case, Content, file, files};

/// The good file cut before each of its fields, and in the middle of each.
pub fn truncated() -> Vec<Case> {
    let (bytes, marks) = good().with_boundaries();
    let mut cases = Vec::new();
    let ends = marks.iter().skip(1).map(|mark| mark.1);
    for ((what, start), end) in marks.iter().zip(ends.chain([bytes.len()])) {
        if *start > 0 {
            let cut = bytes[..*start].to_vec();
            cases.push(file(format!("cut before {what}"), cut, ALL, &["bad.gguf"]));
        }
        // Padding says nothing, and most fields are cut alike: those of many bytes differ.
        if end - start > 8 && what != "padding" {
            let cut = bytes[..(start + end) / 2].to_vec();
            cases.push(file(format!("cut inside {what}"), cut, ALL, &["bad.gguf"]));
        }
    }
    cases
}

pub fn all() -> Vec<Case> {
    let mut cases = preamble();
    cases.extend(names());
    cases.extend(values());
    cases.extend(arrays());
    cases.extend(alignments());
    cases.extend(huge());
    cases
}

fn case(name: impl Into<String>, spoilt: Gguf, words: &[&str]) -> Case {
    file(name, spoilt.bytes(), ALL, words)
}

fn preamble() -> Vec<Case> {
    let mut cases = vec![
        file("no bytes", vec![], ALL, &["bad.gguf", "an empty file"]),
        file("the magic alone", b"GGUF".to_vec(), ALL, &["ends inside"]),
        file(
            "a zip archive",
            b"PK\x03\x04 and so on".to_vec(),
            ALL,
            &["an archive (zip)"],
        ),
        file(
            "a pickle",
            b"\x80\x02}q\x00(X".to_vec(),
            ALL,
            &["a Python pickle"],
        ),
        file("zeros", vec![0; 5000], ALL, &["a file of zeros"]),
        file(
            "a Git LFS pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".to_vec(),
            ALL,
            &["a Git LFS pointer", "git lfs pull"],
        ),
        files(
            "a folder without a checkpoint",
            vec![("bad.gguf", Content::Folder)],
            ALL,
            &["bad.gguf"],
        ),
        files(
            "a pipe that nobody writes to",
            vec![("bad.gguf", Content::Pipe)],
            ALL,
            &["bad.gguf", "regular file"],
        ),
        files(
            "no file",
            vec![("bad.gguf", Content::Gone)],
            ALL,
            &["bad.gguf"],
        ),
    ];
    for version in [0u32, 4, 0x0100_0000, 0x0400_0000, u32::MAX] {
        let mut spoilt = good();
        spoilt.version = version.to_le_bytes();
        // The version in the other byte order is version 1 of a big-endian file.
        let word = if version == 0x0100_0000 {
            "count"
        } else {
            "version"
        };
        cases.push(case(format!("version {version}"), spoilt, &[word]));
    }
    let mut first = good();
    first.version = 1u32.to_le_bytes();
    cases.push(case(
        "version 1 with lengths of version 3",
        first,
        &["bad.gguf"],
    ));
    let counts = [
        (0, "0"),
        (1 << 16, "2^16"),
        (1 << 32, "2^32"),
        (1 << 40, "2^40"),
        (i64::MAX as u64, "2^63 - 1"),
        (1 << 63, "2^63"),
        // Times 25, the least a line takes, these wrap around to small numbers.
        (u64::MAX / 25 + 1, "2^64 / 25"),
        (u64::MAX, "2^64 - 1"),
    ];
    for (count, spelt) in counts {
        if count > 0 {
            let mut spoilt = good();
            spoilt.tensor_count = Some(count);
            let words = ["the header", "tensor count"];
            cases.push(case(format!("{spelt} tensors"), spoilt, &words));
        }
        let mut spoilt = good();
        spoilt.pair_count = Some(count);
        // Without pairs, keys are read as tensors.
        let words: &[&str] = if count == 0 {
            &["tensor"]
        } else {
            &["metadata count"]
        };
        cases.push(case(format!("{spelt} pairs"), spoilt, words));
    }
    let mut more = good();
    more.tensor_count = Some(more.tensors.len() as u64 + 1);
    cases.push(case("one tensor more than there is", more, &["tensor"]));
    let mut more = good();
    more.pair_count = Some(more.pairs.len() as u64 + 1);
    cases.push(case("one pair more than there is", more, &["tensor"]));
    let mut fewer = good();
    fewer.pair_count = Some(fewer.pairs.len() as u64 - 1);
    cases.push(case("one pair fewer than there is", fewer, &["tensor"]));
    cases
}

/// Keys and tensor names.
fn names() -> Vec<Case> {
    let one = || u32_value(1);
    let mut cases = vec![
        case("an empty key", good().add("", one()), &["empty name"]),
        case(
            "a key twice",
            good().add("llama.block_count", one()),
            &["llama.block_count", "twice"],
        ),
        case(
            "a key that is no UTF-8",
            good().add(b"k\xff\xfe", one()),
            &["UTF-8"],
        ),
        case(
            "a key cut inside a character",
            good().add(b"k\xe2\x96", one()),
            &["UTF-8"],
        ),
        case(
            "a key of 65,536 bytes",
            good().add("k".repeat(1 << 16), one()),
            &["65536", "65535"],
        ),
        case(
            "control characters in a key with an unknown type",
            good().add("\x1b[31mred\r\n", Value(99, vec![0; 8])),
            &["value type 99"],
        ),
    ];
    let (bytes, marks) = good().with_boundaries();
    let at = |what: &str| marks.iter().find(|mark| mark.0 == what).unwrap().1;
    let spoil = |at: usize, length: u64| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    for (what, field, subject) in [
        ("key", "key length of llama.block_count", "key number"),
        (
            "string",
            "string length of general.architecture",
            "general.architecture",
        ),
        (
            "tensor name",
            "name length of output_norm.weight",
            "tensor number",
        ),
        (
            "item",
            "first item of tokenizer.ggml.tokens",
            "tokenizer.ggml.tokens",
        ),
        (
            "chat template",
            "string length of tokenizer.chat_template",
            "chat_template",
        ),
    ] {
        let lengths = [
            (1 << 20, "2^20"),
            (1 << 32, "2^32"),
            (1 << 63, "2^63"),
            (u64::MAX - 40, "2^64 - 41"),
            (u64::MAX, "2^64 - 1"),
        ];
        for (length, spelt) in lengths {
            let name = format!("a {what} of {spelt} bytes");
            let words = [subject, "string length"];
            cases.push(file(name, spoil(at(field), length), ALL, &words));
        }
    }
    let zero = spoil(at("name length of output_norm.weight"), 0);
    cases.push(file(
        "a tensor name of no bytes",
        zero,
        ALL,
        &["empty name"],
    ));
    cases
}

fn values() -> Vec<Case> {
    let mut cases = Vec::new();
    for ty in [13u32, 14, 0x0900_0000, u32::MAX] {
        let spoilt = good().add("odd", Value(ty, vec![0; 8]));
        let word = format!("value type {ty}");
        cases.push(case(format!("value type {ty}"), spoilt, &["odd", &word]));
        let spoilt = good().add("odd", array(ty, 0, &[]));
        cases.push(case(format!("items of type {ty}"), spoilt, &["odd", &word]));
    }
    for found in [2u8, 0x80, 0xff] {
        let spoilt = good().add("flag", Value(BOOL, vec![found]));
        let words = ["flag", "BOOL", "0 or 1"];
        cases.push(case(format!("a BOOL of {found}"), spoilt, &words));
    }
    let texts: [(&str, &[u8]); 4] = [
        ("a lone continuation byte", b"ab\x80"),
        ("an overlong slash", b"\xc0\xaf"),
        ("half a surrogate pair", b"\xed\xa0\x80"),
        ("a character beyond the last", b"\xf5\x80\x80\x80"),
    ];
    for (name, text) in texts {
        cases.push(case(
            format!("{name} in a text"),
            good().add("text", string(text)),
            &["text", "UTF-8"],
        ));
        cases.push(case(
            format!("{name} in an array"),
            good().add("texts", strings(&[b"fine", text])),
            &["texts", "UTF-8"],
        ));
    }
    cases
}

fn arrays() -> Vec<Case> {
    let mut cases = Vec::new();
    // Times 4, 8 or 12 bytes these wrap around.
    for (ty, name, lengths) in [
        (U8, "UINT8", [1 << 20, 1 << 40, u64::MAX]),
        (F32, "FLOAT32", [1 << 20, (1 << 62) + 1, u64::MAX]),
        (U64, "UINT64", [1 << 20, (1 << 61) + 1, u64::MAX]),
        (STRING, "STRING", [1 << 20, (1 << 61) + 1, u64::MAX]),
        (ARRAY, "ARRAY", [1 << 20, u64::MAX / 12 + 2, u64::MAX]),
    ] {
        for length in lengths {
            let spoilt = good().add("many", array(ty, length, &[0; 64]));
            let words = ["many", "array length"];
            cases.push(case(format!("{length} items of {name}"), spoilt, &words));
        }
    }
    cases.push(case(
        "an array of BOOL with a 2",
        good().add("flags", array(BOOL, 3, &[0, 2, 1])),
        &["flags", "BOOL"],
    ));
    for depth in [9usize, 1000, 300_000] {
        let mut bytes = Vec::new();
        for _ in 1..depth {
            bytes.extend(ARRAY.to_le_bytes());
            bytes.extend(1u64.to_le_bytes());
        }
        bytes.extend(U8.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        let spoilt = good().add("deep", Value(ARRAY, bytes));
        let words = ["deep", "nesting", "8"];
        cases.push(case(
            format!("{depth} arrays, each in the last"),
            spoilt,
            &words,
        ));
    }
    let inner = array(U8, u64::MAX, &[]).1;
    cases.push(case(
        "an array in an array of 2^64 - 1 items",
        good().add("nested", array(ARRAY, 1, &inner)),
        &["nested", "array length"],
    ));
    cases
}

fn alignments() -> Vec<Case> {
    const KEY: &str = "general.alignment";
    let mut cases = Vec::new();
    for found in [0u32, 1, 3, 4, 12, 33, 1 << 21, 1 << 31, u32::MAX] {
        let spoilt = good().add(KEY, u32_value(found));
        let words = [KEY, &found.to_string(), "power of two"];
        cases.push(case(format!("an alignment of {found}"), spoilt, &words));
    }
    for (name, value) in [
        ("UINT64", Value(U64, 32u64.to_le_bytes().into())),
        ("STRING", string("32")),
        ("ARRAY", array(U32, 1, &32u32.to_le_bytes())),
    ] {
        let spoilt = good().add(KEY, value);
        cases.push(case(
            format!("an alignment as {name}"),
            spoilt,
            &[KEY, name, "UINT32"],
        ));
    }
    cases.push(case(
        "two alignments",
        good().add(KEY, u32_value(32)).add(KEY, u32_value(64)),
        &[KEY, "twice"],
    ));
    cases
}

/// True claims that are too large: the bytes are there, on the disk as holes.
fn huge() -> Vec<Case> {
    let sparse = |name: &str, parts: Vec<(u64, Vec<u8>)>, len: u64, words: &[&str]| {
        files(
            name,
            vec![("bad.gguf", Content::Sparse(len, parts))],
            ALL,
            words,
        )
    };
    let start = |pairs: u64, key: &str, ty: u32| {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(pairs.to_le_bytes());
        bytes.extend((key.len() as u64).to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(ty.to_le_bytes());
        bytes
    };
    let mut long = start(1, "text", STRING);
    long.extend((17u64 << 20).to_le_bytes());
    let mut wide = start(1, "list", ARRAY);
    wide.extend(U8.to_le_bytes());
    wide.extend((17u64 << 20).to_le_bytes());
    let mut far = start(1, "list", ARRAY);
    far.extend(U64.to_le_bytes());
    far.extend((9u64 << 20).to_le_bytes());
    let mut many = start(70_000, "k", U32);
    many.extend([0; 4]);
    vec![
        sparse(
            "a text of 17 MiB that is there",
            vec![(0, long)],
            18 << 20,
            &["text", "string length", "limit"],
        ),
        sparse(
            "an array of 17 Mi items that are there",
            vec![(0, wide)],
            18 << 20,
            &["list", "array length", "limit"],
        ),
        sparse(
            "a header of 72 MiB that is there",
            vec![(0, far)],
            73 << 20,
            &["header size", "67108864"],
        ),
        sparse(
            "70,000 pairs that there is room for",
            vec![(0, many)],
            4 << 20,
            &["metadata count", "70000"],
        ),
    ]
}
