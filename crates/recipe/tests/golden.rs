//! Against what the reference tools chose and wrote (fixtures/golden).

use aeolus_gguf::{Shape, TensorType};
use aeolus_recipe::{Error, FileType, Importance, ModelShape, Options, Plan, Vintage, plan};
use serde_json::{Map, Value};

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

fn llama(layers: u32, heads: u32, kv_heads: u32) -> ModelShape {
    ModelShape {
        architecture: "llama".into(),
        layers,
        heads,
        kv_heads,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    }
}

fn mistral_7b() -> ModelShape {
    llama(32, 32, 8)
}

fn notus_mini() -> ModelShape {
    llama(8, 8, 2)
}

/// The tensors of one file of a golden document.
fn tensors(file: &Value) -> Vec<(String, Shape)> {
    let tensors = object(file).iter();
    tensors
        .map(|(name, tensor)| {
            let dims = tensor["shape"].as_array().unwrap().iter();
            let dims: Vec<u64> = dims.map(|dim| dim.as_u64().unwrap()).collect();
            (name.clone(), Shape::from_gguf(&dims).unwrap())
        })
        .collect()
}

fn planned(
    model: &ModelShape,
    tensors: &[(String, Shape)],
    file_type: FileType,
    vintage: Vintage,
) -> Plan {
    let options = Options {
        vintage: Some(vintage),
        no_fallback: true,
        ..Options::default()
    };
    plan(model, tensors, file_type, &options).unwrap()
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
            let plan = planned(&mistral_7b(), &tensors, file_type, vintage);
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
        let plan = planned(&mistral_7b(), &tensors, file_type, Vintage::V2023_11);
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
    let plan = planned(&notus_mini(), &tensors(expected), file_type, vintage);
    for (tensor, (name, expected)) in plan.tensors.iter().zip(object(expected)) {
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

#[test]
fn every_file_type_with_and_without_an_importance_matrix() {
    let golden = golden("imatrix.json");
    let tensors = tensors(&golden["none"]["Q8_0"]);
    let (mut compared, mut refused) = (0, 0);
    for (group, files) in object(&golden) {
        let importance = match group.starts_with("imatrix") {
            true => Importance::Given,
            false => Importance::None,
        };
        let options = Options {
            vintage: Some(Vintage::Current),
            importance,
            ..Options::default()
        };
        let publishers = group.ends_with("embedding and output Q8_0");
        for (name, expected) in object(files) {
            let stock = FileType::known().find(|ty| ty.name() == name).unwrap();
            let mut like = FileType::known().filter(|ty| *ty != stock && ty.stock() == stock);
            let file_type = match publishers {
                true => like.next().unwrap(),
                false => stock,
            };
            let plan = plan(&notus_mini(), &tensors, file_type, &options);
            if expected.get("refused").is_some() {
                let error = plan.unwrap_err();
                assert!(
                    matches!(error, Error::ImportanceNeeded { .. }),
                    "{name}: {error}"
                );
                refused += 1;
                continue;
            }
            let plan = plan.unwrap_or_else(|e| panic!("{group} {name}: {e}"));
            for tensor in &plan.tensors {
                let expected = &expected[&tensor.name]["type"];
                let (name, rule) = (&tensor.name, &tensor.rule);
                assert_eq!(
                    tensor.ty.name(),
                    expected,
                    "{group} {file_type} {name}: {rule}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!((compared, refused), (60 * 75, 9));
}
