//! Models of every family are converted, quantized and computed as their references have them.
//!
//! Tiny checkpoints with random weights, one folder each, and beside them what llama.cpp's
//! converter and quantizer made of them and what transformers computes. They lie in the folder that
//! `AEOLUS_REFERENCE` names; without it only the bundled one is tested.

use crate::support::{aeolus, arg, assert_tensors, copy_folder, fixture, greedy, ok, sha256};
use aeolus_gguf::{Endian, GgufFile, HeaderSpec, Layout, Metadata, TensorSpec, Value};
use aeolus_infer::{CacheType, EncodeOptions, Model, Numeric, Runtime, Tokenizer};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
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
    cohere2 deepseek2 deepseek3 gemma2 gemma3 gemma3vl gemma4 gemma4e gemma4moe glm4 gptoss gptossmx
    granite lfm2 llama3 llamabias llamalinear llamayarn ministral3 mixtral nemo nemowindow olmo2 phi3
    phi3longrope qwen2 qwen2moe qwen3 qwen35 qwen35vl qwen3moe qwen3next smollm3 starcoder2
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
        check_tokenizer(&file("BF16"), &golden);
        self.check_forecast(out.path());
        self.check_new_spelling(&file("BF16"));

        if golden["quantized"].as_object().unwrap().is_empty() {
            return self.check_computation(&file("F32"), &golden);
        }
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
            "Q8_0,Q4_K_M,Q2_K,IQ4_XS",
            "--name",
            self.name,
            "-o",
            arg(quantized.path()),
            "-q",
        ]);
        for ty in ["Q8_0", "Q4_K_M", "Q2_K", "IQ4_XS"] {
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
        let std = golden["logits"]["std"].as_f64().unwrap().max(1.0);
        let mut computed = Computed {
            runtime: Runtime::new(2, Numeric::Exact).unwrap(),
            model: Model::open(path).unwrap(),
            tensors,
            bound: 2e-3 * std,
        };
        if let Some((_, window)) = WINDOWS.iter().find(|(name, _)| *name == self.name) {
            computed.model.set_sliding_window(*window);
        }
        computed.logits("ids", "logits");
        computed.greedy("greedy");
        if computed.has("logits_short") {
            computed.logits("ids_short", "logits_short");
        }
        if computed.has("greedy_nowindow") {
            computed.model.set_sliding_window(0);
            computed.greedy("greedy_nowindow");
        }
        if computed.has("logits_nowindow") {
            computed.logits("ids", "logits_nowindow");
            computed.without_window_by_hand(path);
        }
        if computed.has("logits_truncated") {
            computed.model = Model::open(&without_key(path, YARN_TRUNCATE)).unwrap();
            computed.logits("ids", "logits_truncated");
            if computed.has("greedy_truncated") {
                computed.greedy("greedy_truncated");
            }
        }
    }
}

/// Writes a file again without a key, beside it.
fn without_key(path: &Path, end: &str) -> PathBuf {
    let file = GgufFile::open(path).unwrap();
    let mut metadata = file.metadata().clone();
    let keys = metadata.iter().map(|(key, _)| key.to_owned());
    let key = keys.filter(|key| key.ends_with(end)).collect::<Vec<_>>();
    assert_eq!(key.len(), 1, "{end}");
    metadata.remove(&key[0]);
    let tensors = file.tensors().iter().map(|info| TensorSpec {
        name: info.name.clone(),
        shape: info.shape,
        ty: info.ty,
    });
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata,
        tensors: tensors.collect(),
    });
    let layout = layout.unwrap();
    let mut bytes = layout.encode_header();
    for (i, info) in file.tensors().iter().enumerate() {
        bytes.resize(layout.tensor_offset(i) as usize, 0);
        bytes.extend_from_slice(file.tensor_bytes(info));
    }
    bytes.resize(layout.file_bytes() as usize, 0);
    let out = path.with_extension("without.gguf");
    std::fs::write(&out, bytes).unwrap();
    out
}

/// Tiny checkpoints that lie in the fixtures, without tokenizers: what the original framework computes.
#[test]
fn families_of_the_fixtures_are_computed_as_the_framework_does() {
    let out = tempfile::tempdir().unwrap();
    for name in ["glm4moe", "granitemoe"] {
        let model = fixture("families/models/tiny").join(name);
        let golden = fixture("families/golden/arch").join(name);
        let path = out.path().join(format!("{name}.gguf"));
        let convert = [
            "convert",
            arg(&model),
            "--no-tokenizer",
            "--type",
            "f32",
            "-q",
        ];
        ok(convert.into_iter().chain(["-o", arg(&path)]));
        let bytes = std::fs::read(golden.with_extension("safetensors")).unwrap();
        let computed = Computed {
            runtime: Runtime::new(2, Numeric::Exact).unwrap(),
            model: Model::open(&path).unwrap(),
            tensors: SafeTensors::deserialize(&bytes).unwrap(),
            bound: 2e-3,
        };
        computed.logits("ids", "logits");
        computed.greedy("greedy");
    }
}

/// A model with a further block, which predicts a second token.
#[test]
fn the_block_that_predicts_a_second_token_is_kept_on_demand() {
    let out = tempfile::tempdir().unwrap();
    let plain = fixture("families/models/tiny/glm4moe");
    let model = out.path().join("glm");
    copy_folder(&plain, &model);
    change_tensors(&model, |tensors| {
        let of_last = |name: &str| name.contains("layers.2.");
        let last = tensors.iter().filter(|(name, _)| of_last(name));
        let last: Vec<_> = last.cloned().collect();
        for (name, view) in last {
            tensors.push((name.replace("layers.2.", "layers.3."), view));
        }
        for (name, shape) in [
            ("eh_proj.weight", vec![32, 64]),
            ("enorm.weight", vec![32]),
            ("hnorm.weight", vec![32]),
            ("shared_head.norm.weight", vec![32]),
            ("shared_head.head.weight", vec![96, 32]),
        ] {
            let bytes = vec![0; 2 * shape.iter().product::<usize>()].leak();
            let view = TensorView::new(Dtype::BF16, shape, bytes).unwrap();
            tensors.push((format!("model.layers.3.{name}"), view));
        }
    });
    let convert = |model: &Path, name: &str, more: &[&str]| {
        let file = out.path().join(name);
        let convert = ["convert", arg(model), "--no-tokenizer", "--type", "f32"];
        let args = ["-o", arg(&file), "--name", "x"];
        let output = aeolus(convert.iter().chain(&args).chain(more));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (file, said)
    };
    let (plain, said) = convert(&plain, "plain.gguf", &[]);
    assert!(!said.contains("--mtp"), "{said}");
    let (without, said) = convert(&model, "without.gguf", &[]);
    let line = "the block that predicts a second token is left out: 45 tensors";
    assert!(
        said.contains(line) && said.contains("--mtp keeps it"),
        "{said}"
    );
    let same = |a: &Path, b: &Path| std::fs::read(a).unwrap() == std::fs::read(b).unwrap();
    assert!(same(&plain, &without));

    let (with, said) = convert(&model, "with.gguf", &["--mtp"]);
    assert!(!said.contains("left out"), "{said}");
    let file = GgufFile::open(&with).unwrap();
    for (key, value) in [("block_count", 4), ("nextn_predict_layers", 1)] {
        let key = format!("glm4moe.{key}");
        assert_eq!(file.metadata().u32(&key).unwrap(), Some(value), "{key}");
    }
    for name in [
        "nextn.eh_proj.weight",
        "nextn.enorm.weight",
        "nextn.hnorm.weight",
        "nextn.shared_head_norm.weight",
        "nextn.shared_head_head.weight",
        "ffn_down_exps.weight",
        "exp_probs_b.bias",
    ] {
        assert!(file.tensor(&format!("blk.3.{name}")).is_some(), "{name}");
    }
    // It is no part of what predicts the next token, and a file with it is a source as well.
    let again = out.path().join("again.gguf");
    let quantize = [
        "quantize",
        arg(&with),
        "--no-tokenizer",
        "--type",
        "q8_0",
        "-q",
    ];
    ok(quantize.into_iter().chain(["-o", arg(&again)]));
    assert!(
        GgufFile::open(&again)
            .unwrap()
            .tensor("blk.3.nextn.eh_proj.weight")
            .is_some()
    );
    let errors = ["errors", arg(&again), "--against", arg(&model), "--csv"];
    assert!(ok(errors).contains("blk.3.nextn.eh_proj.weight"));
    let logits = |path: &Path| {
        let runtime = Runtime::new(1, Numeric::Exact).unwrap();
        let model = Model::open(path).unwrap();
        let mut cache = model.cache(8, CacheType::F32).unwrap();
        runtime
            .forward(&model, &[1, 2, 3], &mut cache, 0..3)
            .unwrap()
    };
    assert!(logits(&plain) == logits(&with));
}

/// Experts that are stored in one tensor, gate and up together, give the file of those that are stored one
/// by one; half of them give none.
#[test]
fn experts_may_be_stored_one_by_one_or_together() {
    let out = tempfile::tempdir().unwrap();
    let plain = fixture("families/models/tiny/glm4moe");
    let model = out.path().join("glm");
    copy_folder(&plain, &model);
    let convert = |model: &Path, name: &str| {
        let file = out.path().join(name);
        let convert = [
            "convert",
            arg(model),
            "--no-tokenizer",
            "--type",
            "bf16",
            "-q",
        ];
        let output = aeolus(convert.into_iter().chain(["-o", arg(&file), "--name", "x"]));
        (file, String::from_utf8(output.stderr).unwrap())
    };
    change_tensors(&model, |tensors| {
        for layer in 1..3 {
            let take = |tensors: &mut Vec<(String, TensorView<'_>)>, expert: usize, part: &str| {
                let name = format!("model.layers.{layer}.mlp.experts.{expert}.{part}_proj.weight");
                let at = tensors
                    .iter()
                    .position(|(found, _)| *found == name)
                    .unwrap();
                tensors.swap_remove(at).1.data().to_vec()
            };
            let (mut gate_up, mut down) = (Vec::new(), Vec::new());
            for expert in 0..8 {
                gate_up.extend(take(tensors, expert, "gate"));
                gate_up.extend(take(tensors, expert, "up"));
                down.extend(take(tensors, expert, "down"));
            }
            for (part, shape, bytes) in [
                ("gate_up_proj", vec![8, 48, 32], gate_up),
                ("down_proj", vec![8, 32, 24], down),
            ] {
                let view = TensorView::new(Dtype::BF16, shape, bytes.leak()).unwrap();
                tensors.push((format!("model.layers.{layer}.mlp.experts.{part}"), view));
            }
        }
    });
    let (one_by_one, _) = convert(&plain, "one-by-one.gguf");
    let (together, said) = convert(&model, "together.gguf");
    assert_eq!(said, "");
    let tensors = |path: &Path| {
        let file = GgufFile::open(path).unwrap();
        let tensors = file.tensors().iter();
        let mut all: Vec<_> = tensors
            .map(|info| (info.name.clone(), file.tensor_bytes(info).to_vec()))
            .collect();
        all.sort();
        all
    };
    assert!(tensors(&one_by_one) == tensors(&together));

    let name = "model.layers.2.mlp.experts.7.up_proj.weight";
    copy_folder_again(&plain, &model);
    change_tensors(&model, |tensors| tensors.retain(|(found, _)| found != name));
    let (_, said) = convert(&model, "half.gguf");
    assert!(said.contains(&format!("missing tensor {name}")), "{said}");
}

/// Puts the files of a folder in the place of its copy's.
fn copy_folder_again(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy_folder(from, to);
}

/// Texts have the ids of the original framework, there and back.
fn check_tokenizer(path: &Path, golden: &Json) {
    let file = GgufFile::open(path).unwrap();
    let tokenizer = Tokenizer::from_metadata(file.metadata()).unwrap();
    let ids = |ids: &Json| -> Vec<u32> { serde_json::from_value(ids.clone()).unwrap() };
    let bos = ids(&golden["tokenizer"]["bos_prefix"]);
    let options = |add_special| EncodeOptions {
        add_special,
        parse_special: true,
    };
    for case in golden["tokenizer"]["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected = ids(&case["ids_without_special"]);
        assert_eq!(tokenizer.encode(text, options(false)), expected, "{text:?}");
        let decoded = tokenizer.decode_with(&expected, true).unwrap();
        assert_eq!(decoded, case["decoded"].as_str().unwrap());
        let mut with = ids(&case["ids_with_special"]);
        // Where a text begins with the token by itself, the framework puts a second one in front.
        if with.len() > 1 && with[..1] == bos && with[0] == with[1] {
            with.remove(0);
        }
        assert_eq!(tokenizer.encode(text, options(true)), with, "{text:?}");
    }
}

/// A model beside what the original framework computes with it.
struct Computed<'a> {
    runtime: Runtime,
    model: Model,
    tensors: SafeTensors<'a>,
    /// The largest difference of logits.
    bound: f64,
}

impl Computed<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn assert_near(&self, found: &[f32], name: &str) {
        let expected = words(&self.tensors, name).into_iter().map(f32::from_bits);
        let difference = largest_difference(found, &expected.collect::<Vec<_>>());
        assert!(difference < self.bound, "{name}: {difference}");
    }

    /// All tokens at once, and one by one.
    fn logits(&self, ids: &str, name: &str) {
        let (ids, model) = (words(&self.tensors, ids), &self.model);
        for batch in [ids.len(), 1] {
            let mut cache = model.cache(ids.len(), CacheType::F32).unwrap();
            let mut logits = Vec::new();
            for ids in ids.chunks(batch) {
                let runtime = &self.runtime;
                let rows = runtime.forward(model, ids, &mut cache, 0..ids.len());
                logits.extend(rows.unwrap().into_data());
            }
            self.assert_near(&logits, name);
        }
    }

    fn greedy(&self, name: &str) {
        let expected = words(&self.tensors, name);
        let prompt = words(&self.tensors, "greedy_prompt");
        let found = greedy(&self.runtime, &self.model, &prompt, expected.len());
        assert_eq!(found, expected, "{name}");
    }

    /// The command line's way to say that there is no window.
    fn without_window_by_hand(&self, path: &Path) {
        let ids = words(&self.tensors, "ids");
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        let out = path.with_extension("logits");
        let ids = ids.join(",");
        let args = ["logits", arg(path), "--ids", &*ids, "--out", arg(&out)];
        ok(args.into_iter().chain(["--sliding-window", "0"]));
        let bytes = std::fs::read(out).unwrap();
        let written = SafeTensors::deserialize(&bytes).unwrap();
        let logits = words(&written, "logits").into_iter().map(f32::from_bits);
        self.assert_near(&logits.collect::<Vec<_>>(), "logits_nowindow");
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

/// A key of our own.
const YARN_TRUNCATE: &str = ".aeolus.yarn_truncate";

/// Differences that `docs/metadata.md` gives reasons for.
fn expected_difference(key: &str) -> bool {
    matches!(key, "general.basename" | "general.finetune") || key.ends_with(YARN_TRUNCATE)
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

/// A checkpoint that lies here, made by families/golden.py.
#[test]
fn qwen35moe() {
    Family::new(&fixture("families"), "qwen35moe").check();
}

/// However a text is cut into batches, its logits are the same.
#[test]
fn long_sequences_give_the_same_logits_in_batches_of_any_size() {
    const TOKENS: usize = 4096;
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: nothing is compared");
        return;
    };
    let runtime = Runtime::new(2, Numeric::Exact).unwrap();
    for name in [
        "gemma4",
        "gemma4e",
        "gemma4moe",
        "lfm2",
        "qwen35",
        "qwen3next",
    ] {
        let family = Family::new(Path::new(&reference), name);
        let golden = std::fs::read(family.golden.with_extension("json")).unwrap();
        let golden: Json = serde_json::from_slice(&golden).unwrap();
        let bound = 2e-3 * golden["logits"]["std"].as_f64().unwrap().max(1.0);
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("f32.gguf");
        let (folder, file) = (arg(&family.model), arg(&path));
        ok(["convert", folder, "--type", "f32", "-o", file, "-q"]);
        let model = Model::open(&path).unwrap();
        let mut id = 1;
        let ids: Vec<u32> = (0..TOKENS)
            .map(|_| {
                id = id * 1_103_515_245 % 2_147_483_647;
                (id % model.vocab() as u64) as u32
            })
            .collect();
        let mut cache = model.cache(TOKENS, CacheType::F32).unwrap();
        let whole = runtime
            .forward(&model, &ids, &mut cache, 0..TOKENS)
            .unwrap();
        for batch in [1, 64, 512] {
            cache.truncate(0);
            for (number, ids) in ids.chunks(batch).enumerate() {
                let logits = runtime.forward(&model, ids, &mut cache, 0..ids.len());
                for (row, logits) in logits.unwrap().rows().enumerate() {
                    let position = number * batch + row;
                    let difference = largest_difference(logits, whole.row(position));
                    assert!(
                        difference < bound,
                        "{name}, {batch} at a time, position {position}: {difference}"
                    );
                }
            }
        }
    }
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

/// The names that transformers 5 gives to the text model inside, beside those of an image tower.
#[test]
fn a_text_model_inside_a_multimodal_one_gives_the_same_file() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: nothing is compared");
        return;
    };
    let plain = Path::new(&reference).join("models/tiny/ministral3");
    let out = tempfile::tempdir().unwrap();
    let wrapped = out.path().join("ministral3");
    copy_folder(&plain, &wrapped);

    let config = std::fs::read(plain.join("config.json")).unwrap();
    let mut config: Json = serde_json::from_slice(&config).unwrap();
    config.as_object_mut().unwrap().remove("architectures");
    let config = json!({
        "architectures": ["Mistral3ForConditionalGeneration"],
        "model_type": "mistral3",
        "image_token_index": 10,
        "text_config": config,
        "vision_config": {"model_type": "pixtral", "hidden_size": 8},
    });
    let path = wrapped.join("config.json");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, config.to_string()).unwrap();

    change_tensors(&wrapped, |tensors| {
        for (name, _) in tensors.iter_mut() {
            if let Some(rest) = name.strip_prefix("model.") {
                *name = format!("model.language_model.{rest}");
            }
        }
        for name in [
            "model.multi_modal_projector.linear_1.weight",
            "model.vision_tower.patch_conv.weight",
            "model.vision_tower.transformer.layers.0.attention.q_proj.weight",
        ] {
            let view = TensorView::new(Dtype::BF16, vec![4, 8], &[0; 64]).unwrap();
            tensors.push((name.to_owned(), view));
        }
    });

    let made = ["plain", "wrapped"].map(|name| out.path().join(format!("{name}.gguf")));
    for (model, file) in [plain, wrapped].iter().zip(&made) {
        let output = aeolus(["convert", arg(model), "--type", "bf16", "-o", arg(file)]);
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        let left_out = "left out: 3 tensors (model.multi_modal_projector, model.vision_tower)";
        let count = said.matches(left_out).count();
        assert_eq!(count, usize::from(file.ends_with("wrapped.gguf")), "{said}");
    }
    let [plain, wrapped] = made.map(|file| std::fs::read(file).unwrap());
    assert!(plain == wrapped);
}

/// Writes a folder's weights again, with a change.
fn change_tensors(folder: &Path, change: impl FnOnce(&mut Vec<(String, TensorView<'_>)>)) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    change(&mut tensors);
    let changed = safetensors::serialize(tensors, None).unwrap();
    // A copy of a file that cannot be written cannot be written either.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, changed).unwrap();
}

/// llama.cpp refuses files of this family that have an output.
#[test]
fn an_output_that_is_the_embedding_again_is_left_out() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: nothing is compared");
        return;
    };
    let plain = Path::new(&reference).join("models/tiny/gemma2");
    let out = tempfile::tempdir().unwrap();
    let model = out.path().join("gemma2");
    copy_folder(&plain, &model);
    let embedding = "model.embed_tokens.weight";
    let convert = |model: &Path, name: &str| {
        let file = out.path().join(name);
        let output = aeolus(["convert", arg(model), "--type", "bf16", "-o", arg(&file)]);
        let said = String::from_utf8(output.stderr).unwrap();
        (std::fs::read(file), said)
    };
    change_tensors(&model, |tensors| {
        let (_, view) = tensors.iter().find(|(name, _)| name == embedding).unwrap();
        tensors.push(("lm_head.weight".into(), view.clone()));
    });
    let (plain, _) = convert(&plain, "plain.gguf");
    let (copied, said) = convert(&model, "copied.gguf");
    assert!(
        said.contains("lm_head.weight is the embedding once more"),
        "{said}"
    );
    assert!(plain.unwrap() == copied.unwrap());

    change_tensors(&model, |tensors| {
        let other = tensors
            .iter_mut()
            .find(|(name, _)| name == "lm_head.weight");
        let (_, other) = other.unwrap();
        let zeros = vec![0; other.data().len()].leak();
        *other = TensorView::new(Dtype::BF16, other.shape().to_vec(), zeros).unwrap();
    });
    let (differs, said) = convert(&model, "differs.gguf");
    assert!(
        said.contains("lm_head.weight differs from the embedding"),
        "{said}"
    );
    assert!(differs.is_err());
}
