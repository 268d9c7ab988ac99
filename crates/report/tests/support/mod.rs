//! Collections from golden figures: no model, no files.
#![allow(dead_code, reason = "each test program uses a part")]

use aeolus_gguf::{Endian, Metadata, Shape, TensorInfo, TensorType};
use aeolus_recipe::FileType;
use aeolus_report::{Collection, File, HeaderFacts, Prompt, Quality, TensorErrors};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(path)
}

pub fn json_fixture(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(path)).unwrap()).unwrap()
}

/// Metadata of a Mistral of a name.
pub fn metadata(name: &str) -> Metadata<'static> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.name", name.to_owned());
    for (key, value) in [
        ("llama.block_count", 8u32),
        ("llama.context_length", 32768),
        ("llama.embedding_length", 256),
        ("llama.attention.head_count", 8),
        ("llama.attention.head_count_kv", 2),
        ("llama.vocab_size", 4096),
    ] {
        metadata.insert(key, value);
    }
    metadata
}

/// The twelve files of notus-mini, as the reference made them; `name` is the model's.
pub fn collection(name: &str, files: &str) -> Collection {
    let golden = json_fixture("golden/tensors.json");
    let golden = &golden["quantized"]["2023-11/via-f16"];
    let list = FileType::TABLE.iter().map(|ty| {
        let tensors: Vec<TensorInfo> = golden[ty.name()]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, t)| {
                let dims: Vec<u64> = serde_json::from_value(t["shape"].clone()).unwrap();
                TensorInfo {
                    name: name.clone(),
                    shape: Shape::from_gguf(&dims).unwrap(),
                    ty: TensorType::from_name(t["type"].as_str().unwrap()).unwrap(),
                    offset: 0,
                    measured: None,
                }
            })
            .collect();
        let mut metadata = metadata(name);
        metadata.insert("general.file_type", ty.ftype_id());
        let bytes = 130_000 + tensors.iter().map(TensorInfo::bytes).sum::<u64>();
        let header = HeaderFacts {
            version: 2,
            endian: Endian::Little,
            metadata: &metadata,
            tensors: &tensors,
            bytes,
        };
        File::from_header(&format!("{files}.{}.gguf", ty.name()), &header)
    });
    let mut collection = Collection::new(&metadata(name), list.collect());
    collection.model.prompt = Prompt::find(zephyr);
    collection
}

fn zephyr(turns: &[(&str, &str)]) -> Option<String> {
    let turns = turns
        .iter()
        .map(|(role, text)| format!("<|{role}|>\n{text}</s>\n"));
    Some(turns.collect::<String>() + "<|assistant|>\n")
}

/// Quality of the twelve files, by an independent framework.
pub fn quality(text: &str, files: &str) -> Quality {
    let golden = json_fixture("golden/quality-exact.json");
    let rows: Vec<Value> = FileType::TABLE
        .iter()
        .map(|ty| {
            let result = &golden["results"][format!("2023-11/{}", ty.name())];
            json!({
                "path": format!("out/{files}.{}.gguf", ty.name()),
                "file_type": ty.name(),
                "quality": result,
            })
        })
        .collect();
    let document = json!({
        "schema": "aeolus.compare/1",
        "text": text,
        "n_ctx": golden["n_ctx"],
        "chunks": golden["chunks"],
        "base": { "path": "notus-mini", "ppl": golden["results"]["base"]["ppl"] },
        "files": rows,
    });
    read(&document, Quality::read)
}

/// Made-up errors that grow with layers and shrink with bits.
pub fn errors(collection: &Collection) -> TensorErrors {
    let rows: Vec<Value> = collection
        .files
        .iter()
        .map(|file| {
            let tensors: Vec<Value> = file
                .tensors
                .iter()
                .enumerate()
                .map(|(i, t)| {
                    let relative = 2f64.powf(-t.ty.bits_per_weight()) * (1.0 + i as f64 / 40.0);
                    json!({
                        "name": t.name, "type": t.ty.name(), "weights": t.weights,
                        "rmse": relative * 0.02, "max": relative * 0.2,
                        "relative": relative, "cosine": 1.0 - relative * relative / 2.0,
                    })
                })
                .collect();
            json!({ "path": file.name, "file_type": file.method, "tensors": tensors })
        })
        .collect();
    read(
        &json!({ "schema": "aeolus.errors/1", "files": rows }),
        TensorErrors::read,
    )
}

/// Through a file, as results come.
pub fn read<T>(document: &Value, read: fn(&Path) -> Result<T, aeolus_report::Error>) -> T {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    read(file.path()).unwrap()
}

/// Compares with a golden file after taking away what may differ: white space at line ends, and
/// this project's version. `AEOLUS_BLESS=1` writes it instead.
pub fn assert_golden(name: &str, found: &str) {
    let normalized = |text: &str| {
        let version = env!("CARGO_PKG_VERSION");
        let lines = text.lines().map(str::trim_end);
        lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace(version, "VERSION")
            + "\n"
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let found = normalized(found);
    if std::env::var_os("AEOLUS_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = normalized(&std::fs::read_to_string(&path).unwrap());
    for (i, (a, b)) in found.lines().zip(golden.lines()).enumerate() {
        assert_eq!(a, b, "{name}, line {}", i + 1);
    }
    assert_eq!(found.lines().count(), golden.lines().count(), "{name}");
}

/// Names and texts that try to break out of wherever they land.
pub const HOSTILE: &str = "</title><script>alert(1)</script>|`x`\n# no --- {{ 7*7 }} \"q\" 'p' $(id) [a](javascript:1) &lt; \u{202e}";
