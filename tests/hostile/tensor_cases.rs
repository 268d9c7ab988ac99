//! Lines of tensors that no file can have, data that overlap or are not there, shards that do
//! not belong together.

use crate::gguf::{Gguf, Tensor, good, string, u32_value};
use crate::run::{ALL, Case, Content, MODEL, file, files};

const NORM: &str = "output_norm.weight";
const DOWN: &str = "blk.0.ffn_down.weight";

pub fn all() -> Vec<Case> {
    let mut cases = dimensions();
    cases.extend(types());
    cases.extend(places());
    cases.extend(names());
    cases
}

fn case(name: impl Into<String>, spoilt: Gguf, words: &[&str]) -> Case {
    file(name, spoilt.bytes(), ALL, words)
}

fn spoilt(name: &str, change: impl FnOnce(&mut Tensor)) -> Gguf {
    good().tensor(name, change)
}

fn dimensions() -> Vec<Case> {
    let mut cases = Vec::new();
    // A scalar and empty tensors are shown, and not run or quantized.
    let scalar = spoilt(NORM, |t| t.dims = vec![]);
    cases.push(file("no dimensions", scalar.bytes(), MODEL, &[NORM]));
    for (name, dims) in [
        ("a dimension of 0", vec![0]),
        ("a last dimension of 0", vec![32, 2, 0]),
    ] {
        let empty = spoilt(NORM, |t| t.dims = dims);
        cases.push(file(name, empty.bytes(), MODEL, &[NORM, "is empty"]));
    }
    for count in [5usize, 6, 1000] {
        let file = spoilt(NORM, |t| t.dims = vec![1; count]);
        let words = [NORM, "dimensions", &count.to_string()];
        cases.push(case(format!("{count} dimensions"), file, &words));
    }
    // The count itself, without dimensions behind it.
    let (bytes, marks) = good().with_boundaries();
    let mark = marks
        .iter()
        .find(|m| m.0 == "dimension count of output_norm.weight");
    let at = mark.unwrap().1;
    for count in [1u32 << 31, u32::MAX] {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
        let words = [NORM, "dimensions", &count.to_string()];
        cases.push(file(
            format!("{count} dimensions claimed"),
            bytes,
            ALL,
            &words,
        ));
    }
    for (name, dims, words) in [
        (
            "2^64 - 1 times 2 times 0",
            vec![u64::MAX, 2, 0],
            ["exceeds", NORM],
        ),
        ("2^32 times 2^32", vec![1 << 32, 1 << 32], ["exceeds", NORM]),
        ("2^63 times 2", vec![1 << 63, 2], ["exceeds", NORM]),
        ("four times 2^64 - 1", vec![u64::MAX; 4], ["exceeds", NORM]),
        ("four times 2^16", vec![1 << 16; 4], ["exceeds", NORM]),
        ("2^62 floats", vec![1 << 62], ["exceeds", NORM]),
        ("2^61 floats", vec![1 << 61], [NORM, "exceeds"]),
        ("2^40 floats", vec![1 << 40], ["truncated", NORM]),
        ("one row too many", vec![32, 2000], ["truncated", NORM]),
    ] {
        let file = spoilt(NORM, |t| t.dims = dims);
        cases.push(case(name, file, &words));
    }
    cases
}

fn types() -> Vec<Case> {
    let mut cases = Vec::new();
    // Some that were taken out of the format, some of forks, one beyond the last, two wild ones:
    // shown, and not run or quantized.
    for ty in [4u32, 5, 31, 36, 139, 399, 43, 1 << 31, u32::MAX] {
        let spoilt = spoilt(NORM, |t| t.ty = ty);
        let words = [NORM, &format!("type {ty}")];
        let name = format!("tensor type {ty}");
        cases.push(file(name, spoilt.bytes(), MODEL, &words));
    }
    let huge = spoilt(NORM, |t| (t.ty, t.dims) = (43, vec![1 << 50]));
    cases.push(case(
        "2^50 elements of an unknown type",
        huge,
        &[NORM, "elements"],
    ));
    // Blocks of 32 and 256 elements that rows do not fill.
    for (ty, cols) in [(2u32, 33u64), (8, 31), (12, 128), (14, 32), (10, 1)] {
        let file = spoilt(NORM, |t| (t.ty, t.dims) = (ty, vec![cols]));
        let words = [NORM, "multiple of"];
        cases.push(case(format!("type {ty} in rows of {cols}"), file, &words));
    }
    cases
}

fn places() -> Vec<Case> {
    let mut cases = Vec::new();
    for offset in [1u64, 4, 16, 31, 33] {
        let file = spoilt(DOWN, |t| t.offset += offset);
        let words = [DOWN, "multiple of 32"];
        cases.push(case(format!("data {offset} bytes off"), file, &words));
    }
    let inside = |offset| spoilt(NORM, |t| t.offset = offset);
    let end = good().tensors.last().map_or(0, |t| t.offset);
    for (name, offset) in [
        ("two tensors at the start", 0),
        ("a tensor inside another", 64),
        ("a tensor over the last bytes of another", end - 32),
    ] {
        cases.push(case(name, inside(offset), &["inside tensor"]));
    }
    for (name, offset, word) in [
        ("data behind the end", end + 32, "truncated"),
        ("data a mebibyte on", end + (1 << 20), "truncated"),
        ("data at 2^32", 1 << 32, "truncated"),
        ("data at 2^63", 1 << 63, "truncated"),
        ("data at 2^64 - 32", u64::MAX - 31, "overflow"),
        ("data at 2^64 - 64", u64::MAX - 63, "overflow"),
        // With the header before it, the end wraps around to the start of the file.
        ("data at 2^64 - 4096", u64::MAX - 4095, "overflow"),
    ] {
        let mut case = case(name, inside(offset), &[NORM, word]);
        if offset < 1 << 24 {
            // The data themselves would be written there.
            let mut gguf = inside(offset);
            gguf.tensors.last_mut().unwrap().data.clear();
            case.files = vec![("bad.gguf", Content::Bytes(gguf.bytes()))];
        }
        cases.push(case);
    }
    cases
}

fn names() -> Vec<Case> {
    let renamed = |name: &[u8]| spoilt(DOWN, |t| t.name = name.into());
    vec![
        case("a tensor without a name", renamed(b""), &["empty name"]),
        case(
            "a tensor name twice",
            renamed(b"blk.0.ffn_up.weight"),
            &["blk.0.ffn_up.weight", "twice"],
        ),
        case("a name that is no UTF-8", renamed(b"blk.\xff"), &["UTF-8"]),
        case(
            "a name of 70,000 bytes",
            renamed("n".repeat(70_000).as_bytes()),
            &["70000", "65535"],
        ),
    ]
}

const FIRST: &str = "m-00001-of-00002.gguf";
const SECOND: &str = "m-00002-of-00002.gguf";

/// A shard with its number, the count, and the number of tensors in all.
fn shard(file: Gguf, number: u32, count: u32, tensors: u32) -> Gguf {
    file.add("split.no", u32_value(number))
        .add("split.count", u32_value(count))
        .add("split.tensors.count", u32_value(tensors))
}

/// The good file in two: all tensors but the last, and the last.
fn halves() -> (Gguf, Gguf) {
    let (mut first, mut second) = (good(), good());
    let last = first.tensors.pop().unwrap();
    second.tensors = vec![last];
    let all = first.tensors.len() as u32 + 1;
    (
        shard(first.place(), 0, 2, all),
        shard(second.place(), 1, 2, all),
    )
}

pub fn shards() -> Vec<Case> {
    let pair = |name: &str, first: Gguf, second: Gguf, words: &[&str]| {
        let contents = vec![
            (FIRST, Content::Bytes(first.bytes())),
            (SECOND, Content::Bytes(second.bytes())),
        ];
        files(name, contents, ALL, words)
    };
    let alone = |name: &str, file: &'static str, shard: Gguf, words: &[&str]| {
        files(
            name,
            vec![(file, Content::Bytes(shard.bytes()))],
            ALL,
            words,
        )
    };
    let (first, second) = halves();
    let mut big_endian = second.clone();
    big_endian.version = 3u32.to_be_bytes();
    let twice = {
        let mut twice = second.clone();
        twice.tensors = vec![first.tensors[0].clone()];
        twice.place()
    };
    vec![
        alone(
            "a shard under another name",
            "m.gguf",
            first.clone(),
            &["00001-of-00002"],
        ),
        alone(
            "a shard without the other",
            FIRST,
            first.clone(),
            &["shard 2 of 2", "missing"],
        ),
        alone(
            "one of four thousand million shards",
            FIRST,
            first.clone().set("split.count", u32_value(u32::MAX)),
            &["4294967295"],
        ),
        alone(
            "one of 65,535 shards",
            "m-00001-of-65535.gguf",
            first.clone().set("split.count", u32_value(65_535)),
            &["shard 2 of 65535", "missing"],
        ),
        alone(
            "a shard count that is a text",
            FIRST,
            first.clone().set("split.count", string("2")),
            &["split.count"],
        ),
        pair(
            "shards with one number",
            first.clone(),
            second.clone().set("split.no", u32_value(0)),
            &["split.no"],
        ),
        pair(
            "a shard of another count",
            first.clone(),
            second.clone().set("split.count", u32_value(3)),
            &["split.count"],
        ),
        pair(
            "shards that claim more tensors",
            first.clone().set("split.tensors.count", u32_value(99)),
            second.clone(),
            &["split.tensors.count", "99"],
        ),
        pair(
            "a tensor in both shards",
            first.clone(),
            twice,
            &["token_embd.weight", "already"],
        ),
        pair(
            "shards of two byte orders",
            first.clone(),
            big_endian,
            &[SECOND],
        ),
        files(
            "a second shard that is a pipe",
            vec![
                (FIRST, Content::Bytes(first.bytes())),
                (SECOND, Content::Pipe),
            ],
            ALL,
            &[SECOND],
        ),
        files(
            "a second shard of no bytes",
            vec![
                (FIRST, Content::Bytes(first.bytes())),
                (SECOND, Content::Bytes(vec![])),
            ],
            ALL,
            &[SECOND],
        ),
    ]
}
