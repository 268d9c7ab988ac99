//! Hostile headers of safetensors files.

use crate::checkpoint::{Shapes, data, header, safetensors, shapes};
use crate::run::{Case, Content, folder};
use serde_json::{Value, json};

const FILE: &str = "model.safetensors";
const NORM: &str = "model.norm.weight";

fn case(name: impl Into<String>, bytes: Vec<u8>, words: &[&str]) -> Case {
    let words: Vec<&str> = [FILE].into_iter().chain(words.iter().copied()).collect();
    folder(name, FILE, Content::Bytes(bytes), &words)
}

/// The good file with another header text.
fn with_text(text: &[u8]) -> Vec<u8> {
    let (_, bytes) = header(&shapes());
    safetensors(text, &data(bytes))
}

/// The good file with a changed header.
fn with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut all, _) = header(&shapes());
    change(&mut all);
    with_text(all.to_string().as_bytes())
}

pub fn all() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(texts());
    cases.extend(entries());
    cases.extend(places());
    cases.extend(tensors());
    cases
}

fn lengths() -> Vec<Case> {
    let good = with(|_| ());
    let claimed = |length: u64| {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let mut cases = vec![
        case("no bytes", vec![], &["an empty file"]),
        case("seven bytes", vec![1; 7], &["7"]),
        case("a length alone", 2u64.to_le_bytes().into(), &["10"]),
    ];
    for (length, spelt) in [
        (u64::MAX, "2^64 - 1"),
        (u64::MAX - 7, "2^64 - 8"),
        (1 << 63, "2^63"),
        (1 << 32, "2^32"),
        (100_000_001, "100,000,001"),
    ] {
        let words = [&*length.to_string(), "limit"];
        cases.push(case(
            format!("a header of {spelt} bytes"),
            claimed(length),
            &words,
        ));
    }
    cases.push(case(
        "a header as long as the limit",
        claimed(100_000_000),
        &["100000008", &good.len().to_string()],
    ));
    for length in [0u64, 1, 2, 100] {
        cases.push(case(
            format!("a header of {length} bytes"),
            claimed(length),
            &[],
        ));
    }
    let json = u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
    for (name, keep) in [
        ("cut in the header", 8 + json / 2),
        ("cut behind the header", 8 + json),
        ("cut in the data", 8 + json + 1000),
        ("cut by one byte", good.len() - 1),
    ] {
        let words = [&*keep.to_string()];
        cases.push(case(name, good[..keep].to_vec(), &words));
    }
    let mut longer = good.clone();
    longer.push(0);
    cases.push(case(
        "a byte behind the data",
        longer,
        &[&(good.len() + 1).to_string()],
    ));
    cases.push(case(
        "a GGUF file",
        b"GGUF\x03\0\0\0\0\0\0\0".to_vec(),
        &["safetensors"],
    ));
    cases
}

fn texts() -> Vec<Case> {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let maps = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let metadata = format!(
        "{{\"__metadata__\":{{\"k\":\"{}\"}}}}",
        "x".repeat(17 << 20)
    );
    let pairs: String = (0..400_000).map(|i| format!("\"{i}\":\"\",")).collect();
    vec![
        case("a header of spaces", with_text(b"          "), &[]),
        case(
            "a header that is no JSON",
            with_text(b"{not json at all}"),
            &["line 1"],
        ),
        case("a header that is an array", with_text(b"[]"), &["object"]),
        case("a header that is null", with_text(b"null"), &["object"]),
        case("a header of no UTF-8", with_text(b"{\"\xff\":1}"), &[]),
        case(
            "a header with more behind it",
            with_text(b"{} {}"),
            &["line 1"],
        ),
        case(
            "a header of lone surrogates",
            with_text(br#"{"\ud800":1}"#),
            &[],
        ),
        case(
            "a header of 100,000 brackets",
            with_text(deep.as_bytes()),
            &[],
        ),
        case(
            "a header of 100,000 objects",
            with_text(maps.as_bytes()),
            &[],
        ),
        case(
            "metadata of 17 MiB",
            with_text(metadata.as_bytes()),
            &["__metadata__", "16777216"],
        ),
        case(
            "metadata of 400,000 pairs",
            with_text(format!("{{\"__metadata__\":{{{pairs}\"a\":\"b\"}}}}").as_bytes()),
            &["__metadata__", "16777216"],
        ),
        case(
            "metadata of numbers",
            with(|h| h["__metadata__"] = json!({"k": 1})),
            &["string"],
        ),
        case(
            "metadata that is no object",
            with(|h| h["__metadata__"] = json!("k")),
            &["object"],
        ),
        case("an empty header", with_text(b"{}"), &["bytes"]),
    ]
}

fn entries() -> Vec<Case> {
    let set = |key: &str, value: Value| with(|h| h[NORM][key] = value);
    let without = |key: &str| {
        with(|h| {
            h[NORM].as_object_mut().unwrap().remove(key);
        })
    };
    let mut cases = Vec::new();
    for key in ["dtype", "shape", "data_offsets"] {
        cases.push(case(format!("no {key}"), without(key), &[key]));
        for value in [json!(null), json!(1), json!({}), json!("x"), json!(["a"])] {
            let name = format!("{key} {value}");
            cases.push(case(name, set(key, value), &[]));
        }
    }
    for dtype in ["F33", "f32", "", "I4", "F32\u{0}", &"F".repeat(3000)] {
        let short = &dtype[..dtype.len().min(8)];
        cases.push(case(
            format!("dtype {short:?}"),
            set("dtype", json!(dtype)),
            &[NORM],
        ));
    }
    for (name, shape) in [
        ("of a negative number", json!([-1])),
        ("of a fraction", json!([32.5])),
        (
            "of 2^64",
            serde_json::from_str("[18446744073709551616]").unwrap(),
        ),
        ("of 1e3", serde_json::from_str("[1e3]").unwrap()),
        ("of texts", json!(["32"])),
        ("of arrays", json!([[32]])),
        ("of nine dimensions", json!([32, 1, 1, 1, 1, 1, 1, 1, 1])),
        ("of a thousand dimensions", json!(vec![1; 1000])),
    ] {
        cases.push(case(format!("a shape {name}"), set("shape", shape), &[]));
    }
    for (name, shape) in [
        ("of 2^62 floats", json!([1u64 << 62])),
        ("of 2^32 times 2^32", json!([1u64 << 32, 1u64 << 32])),
        ("of 2^64 - 1", json!([u64::MAX])),
        ("of 0", json!([0])),
        ("of 31", json!([31])),
        ("of 33", json!([33])),
        ("of nothing", json!([])),
    ] {
        cases.push(case(
            format!("a shape {name} that is not there"),
            set("shape", shape),
            &[NORM],
        ));
    }
    let text = |from: &str, to: &str| {
        let (all, _) = header(&shapes());
        let text = all.to_string();
        assert!(text.contains(from), "{from} is not in {text}");
        with_text(text.replacen(from, to, 1).as_bytes())
    };
    let twice = format!("{{\"{NORM}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},");
    cases.push(case(
        "a tensor twice",
        text("{", &twice),
        &[NORM, "duplicate"],
    ));
    let twice = "\"dtype\":\"F32\",\"dtype\":\"BF16\"";
    cases.push(case(
        "a dtype twice",
        text("\"dtype\":\"F32\"", twice),
        &["duplicate"],
    ));
    cases.push(case(
        "a name of 300 bytes",
        text(NORM, &"n".repeat(300)),
        &["300", "256"],
    ));
    let many: String = (0..70_000)
        .map(|i| format!("\"{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},"))
        .collect();
    cases.push(case(
        "70,000 tensors",
        text("{", &format!("{{{many}")),
        &["65536"],
    ));
    cases
}

/// Offsets that point where no data is, or where others' are.
fn places() -> Vec<Case> {
    let (good, end) = header(&shapes());
    let norm = &good[NORM]["data_offsets"];
    let (from, to) = (norm[0].as_u64().unwrap(), norm[1].as_u64().unwrap());
    let mut cases = Vec::new();
    for (name, begin, end) in [
        ("turned round", to, from),
        ("of no bytes", from, from),
        ("one byte short", from, to - 1),
        ("one byte long", from, to + 1),
        ("inside another", from - 128, to - 128),
        ("behind the data", end, end + 128),
        ("leaving a gap", from + 4, to + 4),
        ("at 2^63", 1 << 63, (1 << 63) + 128),
        ("that end at 2^64 - 1", u64::MAX - 128, u64::MAX),
        ("that wrap around", u64::MAX - 63, 64),
        ("of everything", 0, u64::MAX),
    ] {
        let spoilt = with(|h| h[NORM]["data_offsets"] = json!([begin, end]));
        cases.push(case(format!("data_offsets {name}"), spoilt, &[]));
    }
    for (name, offsets) in [
        ("of one number", json!([from])),
        ("of three numbers", json!([from, to, to])),
        ("of fractions", json!([0.5, 128.5])),
        ("of a negative number", json!([-128, 0])),
    ] {
        let spoilt = with(|h| h[NORM]["data_offsets"] = offsets);
        cases.push(case(format!("data_offsets {name}"), spoilt, &[]));
    }
    cases
}

/// Well-formed files with other tensors than the model's.
fn tensors() -> Vec<Case> {
    let file = |change: &dyn Fn(&mut Shapes)| {
        let mut all = shapes();
        change(&mut all);
        let (head, bytes) = header(&all);
        safetensors(head.to_string().as_bytes(), &data(bytes))
    };
    let other = |dtype: &str, shape: Vec<u64>| {
        with(|h| {
            h[NORM]["dtype"] = json!(dtype);
            h[NORM]["shape"] = json!(shape);
        })
    };
    let up = "mlp.up_proj";
    let resized = |shape: Vec<u64>| {
        file(&move |all| {
            all.iter_mut()
                .filter(|t| t.0.contains(up))
                .for_each(|t| t.1 = shape.clone())
        })
    };
    let (good, end) = header(&shapes());
    let nan = safetensors(
        good.to_string().as_bytes(),
        &f32::NAN.to_le_bytes().repeat(end as usize / 4),
    );
    vec![
        folder(
            "a missing tensor",
            FILE,
            Content::Bytes(file(&|all| all.retain(|t| t.0 != NORM))),
            &[NORM],
        ),
        case(
            "a tensor of no model",
            file(&|all| all.push(("evil".into(), vec![1]))),
            &["evil"],
        ),
        case(
            "a tensor of another layer",
            file(&|all| all.push(("model.layers.5.mlp.up_proj.weight".into(), vec![64, 32]))),
            &["model.layers.5"],
        ),
        case("a turned tensor", resized(vec![32, 64]), &[up]),
        case("a flat tensor", resized(vec![2048]), &[up]),
        case(
            "a tensor of five dimensions",
            resized(vec![64, 32, 1, 1, 1]),
            &[up],
        ),
        case("a tensor of no rows", resized(vec![0, 32]), &[up]),
        case("weights in I32", other("I32", vec![32]), &[NORM, "I32"]),
        case("weights in F64", other("F64", vec![16]), &[NORM, "[16]"]),
        case("weights in F8", other("F8_E4M3", vec![128]), &[NORM]),
        case("weights in bits", other("BOOL", vec![128]), &[NORM]),
        folder(
            "weights that are not numbers",
            FILE,
            Content::Bytes(nan),
            &["NaN"],
        ),
    ]
}
