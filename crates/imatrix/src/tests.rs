//! Files as llama-imatrix writes them, and what is refused.

use crate::{Error, Format, Imatrix, Problem, layer_statistics};
use aeolus_gguf::{
    Array, Endian, HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType, Value, ValueType,
};
use aeolus_testkit::imatrix::dat;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/imatrix")
        .join(name)
}

#[test]
fn both_formats_of_one_matrix_have_the_same_importance() {
    let gguf = Imatrix::open(&fixture("imatrix.gguf")).unwrap();
    let dat = Imatrix::open(&fixture("imatrix.dat")).unwrap();
    assert_eq!((gguf.format, dat.format), (Format::Gguf, Format::Dat));
    for imatrix in [&gguf, &dat] {
        assert_eq!(imatrix.datasets, ["calibration.txt"]);
        assert_eq!(imatrix.chunks, 64);
        assert_eq!(imatrix.entries().len(), 56);
        assert!(imatrix.unused.is_empty());
    }
    assert_eq!((gguf.chunk_tokens, dat.chunk_tokens), (512, 0));
    for ((name, a), (other, b)) in gguf.entries().zip(dat.entries()) {
        assert_eq!((name, a.values()), (other, b.values()));
        let all = 0..a.values();
        assert_eq!(a.importance(all.clone()), b.importance(all), "{name}");
    }
    let down = gguf.get("blk.0.ffn_down.weight").unwrap();
    assert_eq!(down.values(), 768);
    assert!(gguf.get("token_embd.weight").is_none());
    assert_ne!(gguf.sha256, dat.sha256);
    let digest = gguf.importance_sha256();
    assert_eq!(digest, dat.importance_sha256());
    let mut fewer = dat;
    fewer.exclude(&["attn_q".into()]).unwrap();
    assert_ne!(digest, fewer.importance_sha256());
}

fn importance(imatrix: &Imatrix, name: &str) -> Vec<f32> {
    let entry = imatrix.get(name).unwrap();
    entry.importance(0..entry.values())
}

#[test]
fn the_older_format_divides_by_its_counts() {
    let values = &[8.0, 0.0, 4.0][..];
    let file = dat(&[("a.weight", 4, values)]);
    let imatrix = Imatrix::parse(&file).unwrap();
    assert_eq!(importance(&imatrix, "a.weight"), [2.0, 0.0, 1.0]);
    assert_eq!((imatrix.chunks, imatrix.datasets.len()), (0, 0));
    let trailer = [&7i32.to_le_bytes()[..], &3i32.to_le_bytes(), b"a\xff."].concat();
    let imatrix = Imatrix::parse(&[&file[..], &trailer[..]].concat()).unwrap();
    assert_eq!(imatrix.datasets, ["a\u{fffd}."]);
    // Without a count they are means; without a path there is still the number of chunks.
    let file = dat(&[("a.weight", 0, values)]);
    let imatrix = Imatrix::parse(&[&file[..], &7i32.to_le_bytes()].concat()).unwrap();
    assert_eq!(importance(&imatrix, "a.weight"), values);
    assert_eq!((imatrix.chunks, imatrix.datasets.len()), (7, 0));
}

#[test]
fn the_older_format_is_refused_where_it_is_damaged() {
    let good = ("a.weight", 1, &[1.0, 2.0][..]);
    let spoilt = |at: usize, number: i32| {
        let mut bytes = dat(&[good]);
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    let named = |first: u8| {
        let mut bytes = dat(&[good]);
        bytes[8] = first;
        bytes
    };
    let valued = |x: f32| dat(&[("a.weight", 1, &[1.0, x])]);
    let behind = |rest: &[u8]| [&dat(&[good])[..], rest].concat();
    let (len, count, values) = (4, 4 + 4 + 8, 4 + 4 + 8 + 4);
    for (bytes, expected) in [
        (
            spoilt(0, 0),
            "at byte 0: the number of entries is 0, expected at least 1",
        ),
        (spoilt(0, -1), "the number of entries is -1"),
        (
            spoilt(0, i32::MAX),
            "has 2147483647 entries, 65536 is the limit",
        ),
        (
            spoilt(0, 2),
            "at byte 32: the length of a name needs 4 bytes, 0 are left",
        ),
        (spoilt(len, 0), "the length of a name is 0"),
        (spoilt(len, -8), "the length of a name is -8"),
        (
            spoilt(len, 60_000),
            "the name of an entry needs 60000 bytes, 24 are left",
        ),
        (
            spoilt(len, i32::MAX),
            "at byte 8: the name of an entry is not UTF-8",
        ),
        (
            spoilt(count, -1),
            "the count of an entry is -1, expected at least 0",
        ),
        (
            spoilt(values, 0),
            "the number of values is 0, expected at least 1",
        ),
        (
            spoilt(values, i32::MIN),
            "the number of values is -2147483648",
        ),
        (
            spoilt(values, i32::MAX),
            "values of an entry needs 8589934588 bytes, 8 are left",
        ),
        (
            spoilt(values, 3),
            "at byte 24: the values of an entry needs 12 bytes, 8 are left",
        ),
        (named(0xff), "the name of an entry is not UTF-8 text"),
        (named(0), "the name of an entry is not UTF-8 text"),
        (valued(f32::NAN), "entry \"a.weight\": value 1 is NaN"),
        (
            valued(f32::INFINITY),
            "value 1 is inf, expected a finite number",
        ),
        (
            valued(-0.5),
            "value 1 is -0.5, expected a finite number that is not negative",
        ),
        (dat(&[good, good]), "entry \"a.weight\" occurs twice"),
        (behind(&(-1i32).to_le_bytes()), "the number of chunks is -1"),
        (behind(b"1234\x05\0\0\0abc"), "needs 5 bytes, 3 are left"),
        (
            behind(b"1234\x01\0\0\0abc"),
            "has 2 bytes behind its end, at byte 41",
        ),
        (
            b"\x01\0".to_vec(),
            "at byte 0: the number of entries needs 4 bytes, 2 are left",
        ),
        (Vec::new(), "needs 4 bytes, 0 are left"),
    ] {
        let error = Imatrix::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let whole = dat(&[good, ("b.weight", 1, &[3.0])]);
    for cut in 0..whole.len() {
        assert!(Imatrix::parse(&whole[..cut]).is_err(), "{cut}");
    }
}

/// Keys and tensors of a file of the GGUF format.
struct New {
    metadata: Metadata<'static>,
    tensors: Vec<(String, TensorType, Vec<u64>, Vec<f32>)>,
    endian: Endian,
}

impl New {
    fn good() -> Self {
        let mut metadata = Metadata::new();
        metadata.insert("general.type", "imatrix");
        metadata.insert("imatrix.datasets", strings(&["one.txt", "two.txt"]));
        metadata.insert("imatrix.chunk_count", 3u32);
        metadata.insert("imatrix.chunk_size", 256u32);
        let mut file = Self {
            metadata,
            tensors: Vec::new(),
            endian: Endian::Little,
        };
        file.push("a.weight.in_sum2", &[2, 2], &[2.0, 4.0, 9.0, 9.0]);
        file.push("a.weight.counts", &[1, 2], &[2.0, 0.0]);
        file
    }

    fn push(&mut self, name: &str, dims: &[u64], values: &[f32]) {
        let tensor = (name.into(), TensorType::F32, dims.into(), values.into());
        self.tensors.push(tensor);
    }

    /// The same with another value of a tensor.
    fn with(mut self, tensor: usize, index: usize, value: f32) -> Self {
        self.tensors[tensor].3[index] = value;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let layout = Layout::new(HeaderSpec {
            version: 3,
            endian: self.endian,
            metadata: self.metadata.clone(),
            tensors: self
                .tensors
                .iter()
                .map(|(name, ty, dims, _)| TensorSpec {
                    name: name.clone(),
                    shape: Shape::from_gguf(dims).unwrap(),
                    ty: *ty,
                })
                .collect(),
        })
        .unwrap();
        let mut bytes = layout.encode_header();
        bytes.resize(layout.file_bytes() as usize, 0);
        for (i, (.., values)) in self.tensors.iter().enumerate() {
            let start = layout.tensor_offset(i) as usize;
            for (j, value) in values.iter().enumerate() {
                let number = match self.endian {
                    Endian::Little => value.to_le_bytes(),
                    Endian::Big => value.to_be_bytes(),
                };
                bytes[start + 4 * j..][..4].copy_from_slice(&number);
            }
        }
        bytes
    }
}

fn strings(items: &[&str]) -> Array<'static> {
    let items = items.iter().map(|item| Value::from((*item).to_owned()));
    Array::from_values(ValueType::String, items).unwrap()
}

#[test]
fn the_gguf_format_has_a_count_for_each_matrix() {
    let mut file = New::good();
    file.push("a.weight.in_sum", &[2, 2], &[0.0; 4]);
    file.push("b.weight.in_sum2", &[1, 2], &[5.0, 6.0]);
    file.push("b.weight.counts", &[1], &[1.6]);
    for endian in [Endian::Little, Endian::Big] {
        file.endian = endian;
        let imatrix = Imatrix::parse(&file.bytes()).unwrap();
        assert_eq!(imatrix.datasets, ["one.txt", "two.txt"]);
        assert_eq!((imatrix.chunks, imatrix.chunk_tokens), (3, 256));
        assert_eq!(imatrix.unused, ["a.weight.in_sum"]);
        // The second matrix saw nothing.
        assert_eq!(importance(&imatrix, "a.weight"), [1.0, 2.0, 1.0, 1.0]);
        let across = imatrix.get("a.weight").unwrap().importance(1..3);
        assert_eq!(across, [2.0, 1.0]);
        // One count for both, rounded.
        assert_eq!(importance(&imatrix, "b.weight"), [2.5, 3.0]);
    }
}

#[test]
fn the_gguf_format_is_refused_where_it_is_damaged() {
    let keyed = |change: fn(&mut Metadata<'static>)| {
        let mut file = New::good();
        change(&mut file.metadata);
        file.bytes()
    };
    let changed = |change: fn(&mut New)| {
        let mut file = New::good();
        change(&mut file);
        file.bytes()
    };
    let model = |m: &mut Metadata<'static>| {
        *m = [("general.architecture", "llama")].into_iter().collect();
    };
    let adapter = |m: &mut Metadata<'static>| drop(m.insert("general.type", "adapter"));
    for (bytes, expected) in [
        (keyed(model), "holds a model, expected an importance matrix"),
        (keyed(adapter), "holds"),
        (
            keyed(|m| drop(m.remove("imatrix.datasets"))),
            "key \"imatrix.datasets\" is missing",
        ),
        (
            keyed(|m| drop(m.remove("imatrix.chunk_count"))),
            "\"imatrix.chunk_count\" is missing",
        ),
        (
            keyed(|m| drop(m.remove("imatrix.chunk_size"))),
            "\"imatrix.chunk_size\" is missing",
        ),
        (
            keyed(|m| drop(m.insert("imatrix.chunk_size", -1i32))),
            "is -1, expected 0 to",
        ),
        (
            keyed(|m| drop(m.insert("imatrix.chunk_count", "3"))),
            "is STRING",
        ),
        (
            keyed(|m| drop(m.insert("imatrix.datasets", "a"))),
            "is STRING, expected ARRAY",
        ),
        (
            keyed(|m| drop(m.insert("imatrix.datasets", Array::from_i32s(&[1])))),
            "is not an array of STRING",
        ),
        (
            changed(|f| drop(f.tensors.remove(0))),
            "has no tensor \".in_sum2\" beside the other",
        ),
        (
            changed(|f| drop(f.tensors.remove(1))),
            "has no tensor \".counts\" beside the other",
        ),
        (changed(|f| f.tensors.clear()), "has no entries"),
        (
            changed(|f| f.tensors[1].1 = TensorType::F16),
            "is F16, expected F32",
        ),
        (
            changed(|f| {
                f.tensors[1].2 = vec![1, 3];
                f.tensors[1].3 = vec![1.0; 3];
            }),
            "has 4 values and 3 counts, expected a multiple",
        ),
        (New::good().with(0, 3, f32::NAN).bytes(), "value 3 is NaN"),
        (
            New::good().with(0, 0, f32::NEG_INFINITY).bytes(),
            "value 0 is -inf",
        ),
        (
            New::good().with(0, 2, -1.0).bytes(),
            "value 2 is -1, expected a finite number",
        ),
        (New::good().with(1, 1, f32::NAN).bytes(), "count 1 is NaN"),
        (New::good().with(1, 0, -1.0).bytes(), "count 0 is -1"),
        (
            New::good().with(1, 0, f32::INFINITY).bytes(),
            "count 0 is inf",
        ),
    ] {
        let error = Imatrix::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let whole = New::good().bytes();
    // The padding behind the last tensor may be missing.
    for cut in 0..whole.len() - 24 {
        assert!(Imatrix::parse(&whole[..cut]).is_err(), "{cut}");
    }
    assert!(Imatrix::parse(&whole[..whole.len() - 24]).is_ok());
}

#[test]
fn what_is_something_else_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("imatrix.dat");
    for (bytes, expected) in [
        (
            &b"<!DOCTYPE html><html>"[..],
            "a web page (HTML), not an importance matrix",
        ),
        (b"", "an empty file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
            "LFS",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Imatrix::open(&path).unwrap_err();
        assert!(matches!(error, Error::Source(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    std::fs::write(&path, dat(&[("x", 1, &[f32::NAN])])).unwrap();
    let error = Imatrix::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("imatrix.dat: entry \"x\": value 0 is NaN, expected a finite number that is not negative"), "{error}");
}

#[test]
fn entries_are_chosen_by_parts_of_their_names() {
    let names = [
        "blk.0.attn_q.weight",
        "blk.1.attn_q.weight",
        "output.weight",
    ];
    let file = dat(&names.map(|name| (name, 1, &[1.0][..])));
    let imatrix = Imatrix::parse(&file).unwrap();
    let parts = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let left = |imatrix: &Imatrix| {
        imatrix
            .entries()
            .map(|e| e.0.to_owned())
            .collect::<Vec<_>>()
    };

    let mut chosen = imatrix.clone();
    chosen.include(&parts(&["blk.1", "out"])).unwrap();
    assert_eq!(left(&chosen), names[1..]);
    let mut chosen = imatrix.clone();
    chosen.exclude(&parts(&["blk.1", "out"])).unwrap();
    assert_eq!(left(&chosen), names[..1]);

    let mut chosen = imatrix.clone();
    let idle = Err(Problem::NoSuchEntry { part: "ffn".into() });
    assert_eq!(chosen.include(&parts(&["blk", "ffn"])), idle);
    assert_eq!(chosen.exclude(&parts(&["blk", "ffn"])), idle);
    assert_eq!(chosen, imatrix);
    assert_eq!(chosen.exclude(&parts(&["weight"])), Err(Problem::Empty));
}

#[test]
fn written_files_are_the_references_and_both_formats_go_around() {
    let path = fixture("imatrix.gguf");
    let gguf = Imatrix::open(&path).unwrap();
    assert!(gguf.encode(Format::Gguf).unwrap() == std::fs::read(&path).unwrap());
    let path = fixture("imatrix.dat");
    let dat = Imatrix::open(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(dat.encode(Format::Dat).unwrap() == bytes);
    // Converted: the reference's entries in the order of names.
    let converted = Imatrix::parse(&gguf.encode(Format::Dat).unwrap()).unwrap();
    assert_eq!(converted.entries, dat.entries);
    let converted = Imatrix::parse(&dat.encode(Format::Gguf).unwrap()).unwrap();
    assert_eq!(converted.entries, gguf.entries);
    assert_eq!((converted.chunks, converted.chunk_tokens), (64, 512));
    assert_eq!(converted.datasets, gguf.datasets);
}

/// Name, sums of each matrix, count of each.
type Seen<'a> = (&'a str, &'a [&'a [f64]], &'a [u64]);

/// An importance matrix over chunks of 512 tokens.
fn collected(entries: &[Seen<'_>]) -> Imatrix {
    let mut imatrix = Imatrix::collected(512);
    for (name, rows, counts) in entries {
        let entry = imatrix.entry(name, rows[0].len(), rows.len());
        for (matrix, (row, count)) in rows.iter().zip(*counts).enumerate() {
            entry.add(matrix, row, *count);
        }
    }
    imatrix
}

#[test]
fn numbers_of_any_size_go_around() {
    let sums: Vec<f64> = (1..200).map(|i| f64::from(i).powf(7.3) * 1e-6).collect();
    for chunks in [1, 2, 3, 7, 100, 997] {
        let imatrix = collected(&[("a.weight", &[&sums], &[chunks * 512])]);
        let gguf = Imatrix::parse(&imatrix.encode(Format::Gguf).unwrap()).unwrap();
        assert_eq!(gguf.entries, imatrix.entries);
        let dat = Imatrix::parse(&gguf.encode(Format::Dat).unwrap()).unwrap();
        assert_eq!(
            dat.importance_sha256(),
            gguf.importance_sha256(),
            "{chunks}"
        );
        assert_eq!(dat.get("a.weight").unwrap().counts(), [chunks as f32]);
        assert_eq!(dat.counting_tokens().entries, gguf.entries, "{chunks}");
    }
}

#[test]
fn the_older_format_has_one_count_for_all_experts() {
    let rows: [&[f64]; 3] = [&[3.0, 6.0], &[0.0, 0.0], &[5.0, 1.0]];
    let imatrix = collected(&[
        ("a.weight", &rows, &[3, 0, 513]),
        ("b.weight", &[&[0.0]], &[0]),
    ]);
    let entry = imatrix.get("a.weight").unwrap();
    assert!(entry.is_ragged());
    assert_eq!(entry.unseen_matrices().collect::<Vec<_>>(), [1]);
    let file = imatrix.encode(Format::Dat).unwrap();
    let values = [2.0, 4.0, 2.0, 2.0, 10.0 / 513.0, 2.0 / 513.0];
    assert_eq!(file, dat(&[("a.weight", 2, &values)]), "b saw nothing");
    let gguf = Imatrix::parse(&imatrix.encode(Format::Gguf).unwrap()).unwrap();
    assert_eq!(gguf.entries, imatrix.entries);
    let unseen = collected(&[("b.weight", &[&[0.0]], &[0])]);
    assert_eq!(unseen.encode(Format::Dat), Err(Problem::Empty));
    let none = Imatrix::collected(512);
    assert_eq!(none.encode(Format::Gguf), Err(Problem::Empty));
    let many = collected(&[("b.weight", &[&[1.0]], &[1 << 50])]);
    let error = many.encode(Format::Dat).unwrap_err().to_string();
    assert!(
        error.contains("the count of an entry is 2199023255552, 2147483647 is the most"),
        "{error}"
    );
}

#[test]
fn files_are_merged_whatever_their_format() {
    let rows: [&[f64]; 2] = [&[3.0, 6.0], &[1.0, 2.0]];
    let mut sum = collected(&[
        ("a.weight", &rows, &[512, 512]),
        ("b.weight", &[&[1.0]], &[512]),
    ]);
    sum.datasets = vec!["one.txt".into()];
    let values = &[1.0, 2.0, 3.0, 4.0][..];
    let older = dat(&[("a.weight", 2, values), ("c.weight", 3, &[9.0])]);
    let trailer = [&3i32.to_le_bytes()[..], &1i32.to_le_bytes(), b"2"].concat();
    let older = Imatrix::parse(&[older, trailer].concat()).unwrap();
    sum.merge(&older).unwrap();
    let a = sum.get("a.weight").unwrap();
    assert_eq!(a.sums(), [515.0, 1030.0, 1537.0, 2050.0]);
    assert_eq!(a.counts(), [1536.0, 1536.0]);
    assert_eq!(sum.get("b.weight").unwrap().counts(), [512.0]);
    assert_eq!(sum.get("c.weight").unwrap().sums(), [4608.0]);
    assert_eq!(
        (sum.chunks, sum.chunk_tokens, sum.format),
        (3, 512, Format::Gguf)
    );
    assert_eq!(sum.datasets, ["one.txt", "2"]);
    let other = collected(&[("a.weight", &[&[1.0], &[1.0]], &[1, 1])]);
    assert_eq!(
        sum.merge(&other).unwrap_err().to_string(),
        "entry \"a.weight\" has 2 values and 2 counts, expected the 4 values and 2 counts of the \
         others; importance matrices of one model can be merged"
    );
}

#[test]
fn statistics_follow_the_references_definitions() {
    let imatrix = Imatrix::open(&fixture("imatrix.gguf")).unwrap();
    let all = imatrix.statistics();
    assert_eq!(all.len(), 56);
    // Layer, part, sum, min, max, mean, deviation, active in percent, values, entropy, evenness in
    // percent, outliers in percent, similarity: by the reference's definitions, with numpy in f64.
    let expected = "0 attn_q 37.48 0.0396 0.6896 0.15 0.08 100.00% 256 7.8388 97.98% 8.98% 0.0000
        0 ffn_down 1941.84 0.1131 56.9414 2.53 4.68 100.00% 768 8.7045 90.81% 4.04% 0.0000
        3 attn_output 177.08 0.0563 2.2575 0.69 0.49 100.00% 256 7.6309 95.39% 17.97% 0.7911
        7 ffn_down 742.05 0.0973 30.1138 0.97 1.98 100.00% 768 8.7849 91.65% 2.60% 0.3387";
    for line in expected.lines() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let found = all
            .iter()
            .find(|t| {
                t.layer.map(|l| l.to_string()).as_deref() == Some(cells[0]) && t.part == cells[1]
            })
            .unwrap();
        let shown = format!(
            "{:.2} {:.4} {:.4} {:.2} {:.2} {:.2}% {} {:.4} {:.2}% {:.2}% {:.4}",
            found.sum,
            found.min,
            found.max,
            found.mean,
            found.deviation,
            100.0 * found.active,
            found.values,
            found.entropy,
            100.0 * found.evenness,
            100.0 * found.outliers,
            found.similarity.unwrap_or(0.0),
        );
        assert_eq!(shown, cells[2..].join(" "), "{line}");
    }
    let layers = layer_statistics(&all);
    assert_eq!(layers.len(), 8);
}

#[test]
fn numbers_that_a_file_cannot_hold_are_refused() {
    let large = dat(&[("a.weight", 1, &[1e38])]);
    let large = Imatrix::parse(&large).unwrap();
    assert!(large.encode(Format::Dat).is_ok());
    let error = large.encode(Format::Gguf).unwrap_err().to_string();
    assert!(
        error.contains("value 0 is inf"),
        "512 times as large: {error}"
    );
    let mut sum = collected(&[("a.weight", &[&[3e38], &[1.0]], &[1, 512])]);
    let error = sum.encode(Format::Dat).map(drop);
    assert_eq!(error, Ok(()));
    sum.merge(&sum.clone()).unwrap();
    let error = sum.encode(Format::Gguf).unwrap_err().to_string();
    assert!(error.contains("value 0 is inf"), "{error}");
}
