//! Models of every family are converted, quantized and computed as their references have them.
//!
//! Tiny checkpoints with random weights, one folder each, and beside them what llama.cpp's
//! converter and quantizer made of them and what transformers computes. They lie in the folder that
//! `AEOLUS_REFERENCE` names; without it only the bundled one is tested.

use crate::support::{arg, assert_tensors, copy_folder, fixture, ok, sha256};
use aeolus_gguf::{GgufFile, Metadata, Value};
use aeolus_infer::{CacheType, Model, Numeric, Runtime};
use safetensors::SafeTensors;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// A test for each checkpoint.
macro_rules! families {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            match std::env::var_os("AEOLUS_REFERENCE") {
                Some(folder) => Family::new(Path::new(&folder), stringify!($name)).check(),
                None => println!("AEOLUS_REFERENCE is not set: nothing is compared"),
            }
        }
    )* };
}

families! {
    llama3 llamabias llamalinear llamayarn nemo nemowindow qwen2 qwen3 smollm3
}

/// The window that a checkpoint was made for, where conversion does not write it.
const WINDOWS: [(&str, usize); 1] = [("nemowindow", 16)];

struct Family {
    name: &'static str,
    model: PathBuf,
    /// The path of the golden files without their endings.
    golden: PathBuf,
}

impl Family {
    fn new(reference: &Path, name: &'static str) -> Self {
        Self {
            name,
            model: reference.join("models/tiny").join(name),
            golden: reference.join("golden/arch").join(name),
        }
    }

    fn check(&self) {
        let golden: Json =
            serde_json::from_slice(&std::fs::read(self.golden.with_extension("json")).unwrap())
                .unwrap();
        let out = tempfile::tempdir().unwrap();
        let file = |ty: &str| out.path().join(format!("{}.{ty}.gguf", self.name));
        let (model, dir) = (arg(&self.model), arg(out.path()));
        ok(["convert", model, "--type", "bf16,f16,f32", "-o", dir, "-q"]);
        for ty in ["bf16", "f16", "f32"] {
            let facts = ["type", "shape", "bytes", "sha256"];
            assert_tensors(&file(&ty.to_uppercase()), &golden["tensors"][ty], &facts);
        }
        assert_metadata(&file("BF16"), &golden["metadata"]);
        self.check_forecast(out.path());
        self.check_new_spelling(&file("BF16"));

        let bf16 = file("BF16");
        let quantized = tempfile::tempdir().unwrap();
        ok([
            "quantize",
            arg(&bf16),
            "--recipe",
            "current",
            "--via",
            "source",
            "--type",
            "Q8_0,Q4_K_M,Q2_K",
            "--name",
            self.name,
            "-o",
            arg(quantized.path()),
            "-q",
        ]);
        for ty in ["Q8_0", "Q4_K_M", "Q2_K"] {
            let path = quantized.path().join(format!("{}.{ty}.gguf", self.name));
            assert_tensors(&path, &golden["quantized"][ty], &["type", "sha256"]);
        }
        self.check_computation(&file("F32"), &golden);
    }

    /// Forecasts are the lengths of the files.
    fn check_forecast(&self, folder: &Path) {
        let forecast = ok([
            "forecast",
            arg(&self.model),
            "--type",
            "bf16,f16,f32",
            "--json",
        ]);
        let forecast: Json = serde_json::from_str(&forecast).unwrap();
        let rows = forecast["files"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        for row in rows {
            let ty = row["file_type"].as_str().unwrap();
            let path = folder.join(format!("{}.{ty}.gguf", self.name));
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert_eq!(row["bytes"], json!(bytes), "{}", path.display());
        }
    }

    /// The same config.json as newer libraries spell it gives the same file.
    fn check_new_spelling(&self, expected: &Path) {
        let newer = self.golden.with_extension("config-new.json");
        if !newer.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join(self.name);
        copy_folder(&self.model, &model);
        let config = model.join("config.json");
        std::fs::remove_file(&config).unwrap();
        std::fs::copy(newer, config).unwrap();
        ok([
            "convert",
            arg(&model),
            "--type",
            "bf16",
            "-o",
            arg(folder.path()),
            "-q",
        ]);
        let made = folder.path().join(expected.file_name().unwrap());
        assert!(std::fs::read(made).unwrap() == std::fs::read(expected).unwrap());
    }

    /// Logits and greedy tokens are the original framework's.
    fn check_computation(&self, path: &Path, golden: &Json) {
        let bytes = std::fs::read(self.golden.with_extension("safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let ids: Vec<u32> = words(&tensors, "ids");
        let expected: Vec<f32> = words(&tensors, "logits")
            .into_iter()
            .map(f32::from_bits)
            .collect();
        let std = golden["logits"]["std"].as_f64().unwrap().max(1.0);
        let runtime = Runtime::new(2, Numeric::Exact).unwrap();
        let mut model = Model::open(path).unwrap();
        if let Some((_, window)) = WINDOWS.iter().find(|(name, _)| *name == self.name) {
            model.set_sliding_window(Some(*window)).unwrap();
        }
        let mut cache = model.cache(ids.len(), CacheType::F32).unwrap();
        let n = ids.len();
        let batch = runtime.forward(&model, &ids, &mut cache, 0..n).unwrap();
        let difference = largest_difference(&batch.into_data(), &expected);
        assert!(difference < 2e-3 * std, "all at once: {difference}");

        let mut cache = model.cache(ids.len(), CacheType::F32).unwrap();
        let mut single = Vec::new();
        for id in &ids {
            let row = runtime.forward(&model, &[*id], &mut cache, 0..1).unwrap();
            single.extend(row.into_data());
        }
        let difference = largest_difference(&single, &expected);
        assert!(difference < 2e-3 * std, "one by one: {difference}");

        let prompt = words(&tensors, "greedy_prompt");
        let greedy = |model: &Model, key: &str| {
            let expected = words(&tensors, key);
            let mut next = prompt.clone();
            let mut cache = model
                .cache(next.len() + expected.len(), CacheType::F32)
                .unwrap();
            let mut found: Vec<u32> = Vec::new();
            while found.len() < expected.len() {
                let last = next.len() - 1;
                let logits = runtime
                    .forward(model, &next, &mut cache, last..last + 1)
                    .unwrap();
                let row = logits.row(0);
                let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
                next = vec![best.unwrap() as u32];
                found.extend(&next);
            }
            assert_eq!(found, expected, "{key}");
        };
        greedy(&model, "greedy");
        if tensors.tensor("greedy_nowindow").is_ok() {
            model.set_sliding_window(None).unwrap();
            greedy(&model, "greedy_nowindow");
        }
    }
}

/// A tensor of 32-bit words.
fn words(tensors: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    let bytes = tensors.tensor(name).unwrap().data();
    let words = bytes.chunks_exact(4);
    words
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // A NaN must not be taken for the smallest difference.
    differences.fold(0.0, |largest, x| if x <= largest { largest } else { x })
}

/// Differences that `docs/metadata.md` gives reasons for.
fn expected_difference(key: &str) -> bool {
    matches!(key, "general.basename" | "general.finetune")
}

fn assert_metadata(path: &Path, golden: &Json) {
    let golden = golden.as_object().unwrap();
    let file = GgufFile::open(path).unwrap();
    let mut problems = Vec::new();
    for (key, want) in golden.iter().filter(|(key, _)| !expected_difference(key)) {
        match described(file.metadata(), key) {
            Some(found) if found == *want => {}
            found => problems.push(format!("{key}: {found:?}, expected {want}")),
        }
    }
    for (key, value) in file.metadata().iter() {
        if !golden.contains_key(key) && !expected_difference(key) {
            problems.push(format!("{key}: {value:?}, not in the reference"));
        }
    }
    assert!(
        problems.is_empty(),
        "{}\n{}",
        path.display(),
        problems.join("\n")
    );
}

/// A key as the golden files describe it: long arrays by length, beginning and digest.
fn described(metadata: &Metadata<'_>, key: &str) -> Option<Json> {
    let scalar = |value: &Value<'_>| match value {
        Value::String(s) => json!(s),
        Value::Bool(b) => json!(b),
        Value::F32(_) | Value::F64(_) => json!(value.as_float().unwrap()),
        other => json!(i64::try_from(other.as_integer().unwrap()).unwrap()),
    };
    Some(match metadata.get(key)? {
        Value::Array(array) => {
            let items: Vec<Json> = array.iter().map(|item| scalar(&item)).collect();
            let value = if items.len() > 16 {
                // As Python writes a list.
                let text: Vec<String> = items.iter().map(Json::to_string).collect();
                let text = format!("[{}]", text.join(", "));
                json!({
                    "len": items.len(),
                    "sha256": sha256(text.as_bytes()),
                    "head": items[..5],
                })
            } else {
                json!(items)
            };
            json!({ "type": ["ARRAY", array.element_type().name()], "value": value })
        }
        other => json!({ "type": [other.value_type().name()], "value": scalar(other) }),
    })
}

#[test]
fn a_file_says_what_its_family_is() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    ok([
        "convert",
        arg(&model),
        "--type",
        "bf16",
        "-o",
        arg(out.path()),
        "-q",
    ]);
    let path = out.path().join("notus-mini.BF16.gguf");
    let model = Model::open(&path).unwrap();
    assert_eq!(model.hyper().family.architecture, "llama");
}
