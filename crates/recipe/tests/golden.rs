//! Against what the reference tools chose and wrote (fixtures/golden).

use aeolus_gguf::{Shape, TensorType};
use aeolus_recipe::{FileType, ModelShape, Options, Plan, Vintage, plan};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;

fn golden(name: &str) -> Value {
    let path = format!(
        "{}/../../fixtures/golden/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

fn planned(
    model: (u32, u32, u32),
    tensors: &[(String, Shape)],
    file_type: FileType,
    vintage: Vintage,
) -> Plan {
    let (layers, heads, kv_heads) = model;
    let model = ModelShape {
        architecture: "llama".into(),
        layers,
        heads,
        kv_heads,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    let options = Options {
        vintage: Some(vintage),
        no_fallback: true,
        ..Options::default()
    };
    plan(&model, tensors, file_type, &options).unwrap()
}

/// The shape that a tensor of Mistral 7B has.
fn shape_7b(name: &str) -> Shape {
    let dims: &[u64] = match name.trim_start_matches(|c| c != '.') {
        _ if name.ends_with("norm.weight") => &[4096],
        _ if name.starts_with("token_embd") || name.starts_with("output") => &[4096, 32000],
        _ if name.contains("attn_k.") || name.contains("attn_v.") => &[4096, 1024],
        _ if name.contains("attn_") => &[4096, 4096],
        _ if name.contains("ffn_down") => &[14336, 4096],
        _ => &[4096, 14336],
    };
    Shape::from_gguf(dims).unwrap()
}

#[test]
fn the_291_tensors_of_a_7b_model_in_twelve_files_and_two_recipes() {
    let golden = golden("types-7b.json");
    let mut compared = 0;
    for (vintage, files) in object(&golden) {
        let vintage = Vintage::parse(vintage).unwrap();
        let names: Vec<_> = object(files).keys().map(String::as_str).collect();
        assert_eq!(names, FileType::TABLE.map(FileType::name));
        for (file, expected) in object(files) {
            let types = object(&expected["tensors"]);
            assert_eq!(types.len(), 291);
            let tensors: Vec<_> = types
                .keys()
                .map(|name| (name.clone(), shape_7b(name)))
                .collect();
            let file_type = FileType::parse(file).unwrap();
            let plan = planned((32, 32, 8), &tensors, file_type, vintage);
            for (tensor, (name, ty)) in plan.tensors.iter().zip(types) {
                assert_eq!(&tensor.name, name);
                let rule = &tensor.rule;
                assert_eq!(tensor.ty.name(), ty, "{vintage} {file} {name}: {rule}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 2 * 12 * 291);
}

/// The header of the reference's files, and what their sizes may differ by.
const HEADER_BYTES: u64 = 735_552;
const TOLERANCE: u64 = 1024;

#[test]
fn the_tensors_of_a_7b_model_weigh_what_the_reference_wrote() {
    let golden = golden("types-7b.json");
    for (file, expected) in object(&golden["2023-11"]) {
        let names = object(&expected["tensors"]).keys();
        let tensors: Vec<_> = names.map(|name| (name.clone(), shape_7b(name))).collect();
        let file_type = FileType::parse(file).unwrap();
        let plan = planned((32, 32, 8), &tensors, file_type, Vintage::V2023_11);
        let aligned: u64 = plan
            .tensors
            .iter()
            .map(|t| t.bytes.next_multiple_of(32))
            .sum();
        let file_bytes = expected["file_bytes_without_merges"].as_u64().unwrap();
        let difference = aligned.abs_diff(file_bytes - HEADER_BYTES);
        assert!(difference <= TOLERANCE, "{file}: {difference} bytes apart");

        assert_eq!(
            plan.bytes(),
            plan.tensors.iter().map(|t| t.bytes).sum::<u64>()
        );
        assert_eq!(plan.weights(), 7_241_732_096);
        let bits = plan.bytes() as f64 * 8.0 / 7_241_732_096.0;
        assert!((plan.bits_per_weight() - bits).abs() < 1e-12);
    }
}

/// name -> (type, shape, bytes) of one file of golden/tensors.json.
fn check_file(label: &str, expected: &Value, file_type: FileType, vintage: Vintage) -> usize {
    let expected = object(expected);
    let tensors: Vec<_> = expected
        .iter()
        .map(|(name, tensor)| {
            let dims = tensor["shape"].as_array().unwrap().iter();
            let dims: Vec<u64> = dims.map(|dim| dim.as_u64().unwrap()).collect();
            (name.clone(), Shape::from_gguf(&dims).unwrap())
        })
        .collect();
    let plan = planned((8, 8, 2), &tensors, file_type, vintage);
    for (tensor, (name, expected)) in plan.tensors.iter().zip(expected) {
        let rule = &tensor.rule;
        assert_eq!(tensor.ty.name(), expected["type"], "{label} {name}: {rule}");
        assert_eq!(
            tensor.bytes,
            expected["bytes"].as_u64().unwrap(),
            "{label} {name}"
        );
        let plain = [TensorType::F32, TensorType::F16, TensorType::BF16].contains(&tensor.ty);
        assert_eq!(tensor.quantized, !plain, "{label} {name}");
    }
    plan.tensors.len()
}

#[test]
fn the_tensors_of_notus_mini_in_every_golden_file() {
    let golden = golden("tensors.json");
    let mut compared = 0;
    for (file, tensors) in object(&golden["source"]) {
        let file_type = FileType::parse(file).unwrap();
        for vintage in Vintage::ALL {
            compared += check_file(file, tensors, file_type, vintage);
        }
    }
    assert_eq!(compared, 3 * 2 * 75);
    for (group, files) in object(&golden["quantized"]) {
        let (vintage, _via) = group.split_once('/').unwrap();
        let vintage = Vintage::parse(vintage).unwrap();
        for (file, tensors) in object(files) {
            let label = format!("{group} {file}");
            let file_type = FileType::parse(file).unwrap();
            compared += check_file(&label, tensors, file_type, vintage);
        }
    }
    assert_eq!(compared, 3 * 2 * 75 + 3 * 12 * 75);
}

/// A number of a schema's second line, `n_embd=1024, ...`.
fn header(schema: &str, key: &str) -> u64 {
    let line = schema.lines().nth(1).unwrap().trim_start_matches("# ");
    let mut pairs = line.split(", ").filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(name, _)| *name == key).unwrap().1;
    value.parse().unwrap()
}

/// The matrices of a dense model with heads of 128.
fn matrices(schema: &str) -> Vec<(String, Shape)> {
    let [hidden, ff, vocab, layers, heads, kv_heads] = [
        "n_embd",
        "n_ff",
        "n_vocab",
        "n_layer",
        "n_head",
        "n_head_kv",
    ]
    .map(|key| header(schema, key));
    let shape = |dims: [u64; 2]| Shape::from_gguf(&dims).unwrap();
    let mut all = vec![
        ("output.weight".to_owned(), shape([hidden, vocab])),
        ("token_embd.weight".to_owned(), shape([hidden, vocab])),
    ];
    for layer in 0..layers {
        for (part, dims) in [
            ("attn_k", [hidden, kv_heads * 128]),
            ("attn_output", [heads * 128, hidden]),
            ("attn_q", [hidden, heads * 128]),
            ("attn_v", [hidden, kv_heads * 128]),
            ("ffn_down", [ff, hidden]),
            ("ffn_gate", [hidden, ff]),
            ("ffn_up", [hidden, ff]),
        ] {
            all.push((format!("blk.{layer}.{part}.weight"), shape(dims)));
        }
    }
    all
}

#[test]
fn the_types_of_published_models_are_the_references() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: no schema is compared");
        return;
    };
    let folder = Path::new(&reference).join("golden/schema");
    for (name, architecture, tokenizer) in [
        ("qwen3-0.6b", "qwen3", "gpt2"),
        ("qwen3-14b", "qwen3", "gpt2"),
        ("meta-llama-3.1-70b-instruct", "llama", "gpt2"),
    ] {
        let schema = std::fs::read_to_string(folder.join(format!("{name}.schema"))).unwrap();
        let number = |key| u32::try_from(header(&schema, key)).unwrap();
        let model = ModelShape {
            architecture: architecture.into(),
            layers: number("n_layer"),
            heads: number("n_head"),
            kv_heads: number("n_head_kv"),
            tokenizer: tokenizer.into(),
            ..ModelShape::default()
        };
        let tensors = matrices(&schema);
        let mut compared = 0;
        for section in schema.split("\n[").skip(1) {
            let mut lines = section.lines();
            let (file, base) = lines.next().unwrap().split_once("] ").unwrap();
            // Types that are not made yet.
            let Ok(file_type) = FileType::parse(file) else {
                continue;
            };
            let others: HashMap<&str, &str> = lines.filter_map(|l| l.split_once(' ')).collect();
            let plan = plan(&model, &tensors, file_type, &Options::default()).unwrap();
            assert_eq!(plan.vintage, Vintage::Current);
            for tensor in &plan.tensors {
                let expected = others.get(&*tensor.name).unwrap_or(&base).to_uppercase();
                let rule = &tensor.rule;
                assert_eq!(
                    tensor.ty.name(),
                    expected,
                    "{name} {file} {}: {rule}",
                    tensor.name
                );
            }
            compared += 1;
        }
        assert!(compared >= 15, "{name}: {compared} file types");
    }
}
