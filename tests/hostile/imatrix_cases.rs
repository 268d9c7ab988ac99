//! Importance matrices of both formats: cut short, with wrong counts, lengths, names and numbers.

use crate::gguf::{F32, Gguf, HIDDEN, Tensor, U64, Value, array, string, strings, u32_value};
use crate::run::{Case, Content, GUIDE, files};
use aeolus_testkit::imatrix::dat;

const NAME: &str = "blk.0.attn_q.weight";
const IMPORTANCE: [f32; HIDDEN as usize] = [1.0; HIDDEN as usize];

fn case(name: impl Into<String>, bytes: Vec<u8>, words: &[&str]) -> Case {
    let words: Vec<&str> = [&["bad.imatrix"], words].concat();
    files(
        name,
        vec![("bad.imatrix", Content::Bytes(bytes))],
        GUIDE,
        &words,
    )
}

/// A good matrix in the older format.
pub fn old() -> Vec<u8> {
    let mut bytes = dat(&[
        (NAME, 3, &IMPORTANCE),
        ("blk.0.ffn_up.weight", 3, &IMPORTANCE),
    ]);
    bytes.extend(3i32.to_le_bytes());
    bytes.extend(5i32.to_le_bytes());
    bytes.extend(b"a.txt");
    bytes
}

/// A good one as GGUF.
pub fn new() -> Gguf {
    let tensor = |name: &str, dims: &[u64], values: &[f32]| Tensor {
        name: name.into(),
        dims: dims.into(),
        ty: 0,
        offset: 0,
        data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    Gguf {
        magic: *b"GGUF",
        version: 3u32.to_le_bytes(),
        tensor_count: None,
        pair_count: None,
        pairs: Vec::new(),
        tensors: vec![
            tensor(&format!("{NAME}.in_sum2"), &[HIDDEN, 1], &IMPORTANCE),
            tensor(&format!("{NAME}.counts"), &[1, 1], &[3.0]),
        ],
    }
    .add("general.type", string("imatrix"))
    .add("imatrix.datasets", strings(&["a.txt"]))
    .add("imatrix.chunk_count", u32_value(3))
    .add("imatrix.chunk_size", u32_value(512))
    .place()
}

pub fn all() -> Vec<Case> {
    let mut cases = old_ones();
    cases.extend(new_ones());
    cases.extend(other_files());
    cases
}

fn old_ones() -> Vec<Case> {
    let good = old();
    let entry = 4 + NAME.len() + 8 + 4 * IMPORTANCE.len();
    let mut cases = Vec::new();
    // Behind each entry, and behind the chunk count, a file may end.
    let ends = [4 + entry * 2, 8 + entry * 2];
    for cut in (0..good.len()).step_by(7).filter(|cut| !ends.contains(cut)) {
        cases.push(case(
            format!("old, cut at {cut}"),
            good[..cut].to_vec(),
            &[],
        ));
    }
    let (len, count, values) = (4, 8 + NAME.len(), 12 + NAME.len());
    let chunks = 4 + entry * 2;
    for (what, at) in [
        ("entries", 0),
        ("name length", len),
        ("count", count),
        ("values", values),
        ("chunks", chunks),
        ("path length", chunks + 4),
    ] {
        for number in [i32::MIN, -1, 0, 1 << 16, (1 << 30) + 1, i32::MAX] {
            // These are as good as any.
            let counts = matches!(what, "count" | "chunks");
            if number >= 0 && counts || number == 0 && what == "path length" {
                continue;
            }
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            cases.push(case(format!("old, {what} of {number}"), bytes, &[]));
        }
    }
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        let mut bytes = good.clone();
        bytes[values + 4..values + 8].copy_from_slice(&number.to_le_bytes());
        let words = [NAME, "expected a finite number that is not negative"];
        cases.push(case(format!("old, a value of {number}"), bytes, &words));
    }
    let controls = dat(&[("\u{1b}[2J\n\u{202e}", 1, &[f32::NAN])]);
    let twice = dat(&[(NAME, 1, &IMPORTANCE), (NAME, 1, &IMPORTANCE)]);
    let many = dat(&vec![(NAME, 1, &[][..]); 70_000]);
    let long = "x".repeat(60_000);
    cases.extend([
        case(
            "old, control characters in a name",
            controls,
            &["value 0 is NaN"],
        ),
        case("old, a name twice", twice, &["occurs twice"]),
        case("old, 70,000 entries", many, &["65536 is the limit"]),
        case(
            "old, a long name",
            dat(&[(&long, 1, &[-1.0])]),
            &["\"...: value 0 is -1"],
        ),
        case(
            "old, bytes behind the end",
            [&good[..], b"more"].concat(),
            &["behind its end"],
        ),
        case(
            "old, of another model",
            dat(&[("x.weight", 1, &[1.0])]),
            &["no entry for any tensor"],
        ),
        case(
            "old, of another width",
            dat(&[(NAME, 1, &[1.0; 7])]),
            &["has 7 values, expected 32"],
        ),
    ]);
    cases
}

fn new_ones() -> Vec<Case> {
    let (bytes, marks) = new().with_boundaries();
    let mut cases = Vec::new();
    for (what, start) in marks.iter().filter(|(_, start)| *start > 0) {
        if what != "the last byte" {
            cases.push(case(
                format!("new, cut before {what}"),
                bytes[..*start].to_vec(),
                &[],
            ));
        }
    }
    let sums = &format!("{NAME}.in_sum2");
    let counts = &format!("{NAME}.counts");
    let number = |x: f32| move |t: &mut Tensor| t.data[..4].copy_from_slice(&x.to_le_bytes());
    for x in [f32::NAN, f32::INFINITY, -1.0] {
        for (what, name) in [("sum", sums), ("count", counts)] {
            let bytes = new().tensor(name, number(x)).bytes();
            let words = [NAME, "expected a finite number that is not negative"];
            cases.push(case(format!("new, a {what} of {x}"), bytes, &words));
        }
    }
    for key in [
        "imatrix.datasets",
        "imatrix.chunk_count",
        "imatrix.chunk_size",
    ] {
        cases.push(case(
            format!("new, no {key}"),
            new().without(key).bytes(),
            &[key],
        ));
        let bytes = new().set(key, Value(F32, vec![0; 4])).bytes();
        cases.push(case(
            format!("new, {key} a number of another kind"),
            bytes,
            &[key],
        ));
    }
    let without = |suffix: &str| {
        let mut file = new();
        file.tensors
            .retain(|t| !t.name.ends_with(suffix.as_bytes()));
        file.bytes()
    };
    let huge = Value(U64, u64::MAX.to_le_bytes().into());
    let lie = array(8, 1 << 40, &[]);
    let wide = |t: &mut Tensor| t.dims = vec![1 << 40, 1 << 20];
    let uneven = |t: &mut Tensor| {
        t.dims = vec![1, 3];
        t.data = vec![0; 12];
    };
    cases.extend([
        case(
            "new, without sums",
            without(".in_sum2"),
            &[NAME, ".in_sum2"],
        ),
        case(
            "new, without counts",
            without(".counts"),
            &[NAME, ".counts"],
        ),
        case("new, no entries", without(""), &["no entries"]),
        case(
            "new, more chunks than a number holds",
            new().set("imatrix.chunk_count", huge).bytes(),
            &["imatrix.chunk_count"],
        ),
        case(
            "new, an array that is not there",
            new().set("imatrix.datasets", lie).bytes(),
            &["imatrix.datasets"],
        ),
        case(
            "new, sums beyond the file",
            new().tensor(sums, wide).bytes(),
            &[NAME],
        ),
        case(
            "new, counts that do not divide",
            new().tensor(counts, uneven).bytes(),
            &["32 values and 3 counts"],
        ),
        case(
            "new, sums in F16",
            new().tensor(sums, |t| t.ty = 1).bytes(),
            &["is F16, expected F32"],
        ),
        case(
            "new, sums of an unknown type",
            new().tensor(sums, |t| t.ty = 999).bytes(),
            &[NAME],
        ),
        case(
            "new, sums twice",
            new()
                .tensor(counts, |t| t.name.clone_from(&sums.as_bytes().to_vec()))
                .bytes(),
            &["occurs twice"],
        ),
        case(
            "new, of another width",
            new().tensor(sums, |t| t.dims = vec![8]).bytes(),
            &["has 8 values, expected 32"],
        ),
    ]);
    cases
}

fn other_files() -> Vec<Case> {
    let other = |name: &str, content, words: &[&str]| {
        files(name, vec![("bad.imatrix", content)], GUIDE, words)
    };
    let bytes = |bytes: &[u8]| Content::Bytes(bytes.to_vec());
    let model = Content::Bytes(crate::gguf::good().bytes());
    vec![
        other(
            "a model",
            model,
            &["holds a model, expected an importance matrix"],
        ),
        other(
            "no bytes",
            bytes(b""),
            &["an empty file, not an importance matrix"],
        ),
        other(
            "a web page",
            bytes(b"<!DOCTYPE html><html>"),
            &["a web page"],
        ),
        other(
            "a zip archive",
            bytes(b"PK\x03\x04 and so on"),
            &["an archive (zip)"],
        ),
        other("zeros", Content::Bytes(vec![0; 5000]), &["a file of zeros"]),
        other("a folder", Content::Folder, &["bad.imatrix"]),
        other(
            "a pipe that nobody writes to",
            Content::Pipe,
            &["regular file"],
        ),
        other("no file", Content::Gone, &["bad.imatrix"]),
        other(
            "a large file of zeros",
            Content::Sparse(1 << 32, vec![(0, b"\x01\0\0\0".to_vec())]),
            &["the length of a name is 0"],
        ),
    ]
}
