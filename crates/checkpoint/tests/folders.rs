//! Checkpoint folders, good and bad.

mod common;

use aeolus_checkpoint::{
    Checkpoint, Error, Forecastable, OpenOptions, RowMap, Tensor, TokenizerMode, open,
};
use aeolus_gguf::{TensorType, Value as GgufValue};
use common::{Spec, config, folder, safetensors, tensors, write};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

fn no_tokenizer() -> OpenOptions {
    OpenOptions {
        tokenizer: TokenizerMode::Skip,
        ..OpenOptions::default()
    }
}

fn open_tiny(config: &Value, tensors: &[Spec]) -> Result<Checkpoint, Error> {
    open(
        &folder(config, tensors).path().join("tiny"),
        &no_tokenizer(),
    )
}

fn with(changes: Value) -> Value {
    let mut config = config();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn tensor<'a>(c: &'a Checkpoint, name: &str) -> &'a Tensor {
    c.tensors.iter().find(|t| t.name == name).unwrap()
}

#[test]
fn a_tiny_folder_without_tokenizer() {
    let c = open_tiny(&config(), &tensors()).unwrap();
    assert_eq!((&*c.name, c.tensors.len()), ("tiny", 12));
    let k = tensor(&c, "blk.0.attn_k.weight");
    assert_eq!(k.source_name, "model.layers.0.self_attn.k_proj.weight");
    assert_eq!((k.shape.dims(), k.ty), (&[16, 8][..], TensorType::F16));
    let rope = RowMap::Rope {
        heads: 2,
        head_dim: 4,
    };
    assert_eq!(k.row_map, rope);
    assert_eq!(c.metadata.str("tokenizer.ggml.model"), Ok(Some("none")));
    assert_eq!((&*c.tokenizer.model, c.tokenizer.tokens), ("none", 0));
    assert_eq!(c.metadata.str("general.size_label"), Ok(Some("2.5K")));
    assert!(c.merges.is_none());
}

#[test]
fn tensors_that_do_not_fit_the_config() {
    let replaced = |name: &str, spec: Option<(&str, &'static str, Vec<u64>)>| -> Vec<Spec> {
        let others = tensors().into_iter().filter(|(n, ..)| n != name);
        let spec = spec.map(|(name, dtype, shape)| (name.to_owned(), dtype, shape));
        others.chain(spec).collect()
    };
    let q = "model.layers.0.self_attn.q_proj.weight";
    for (tensors, parts) in [
        (
            replaced("model.norm.weight", None),
            [
                "tiny: missing tensor model.norm.weight",
                "expected with shape [16]",
            ],
        ),
        (
            replaced("lm_head.weight", None),
            ["missing tensor lm_head.weight", "[16, 16]"],
        ),
        (
            replaced(q, Some((q, "F16", vec![16, 15]))),
            [
                "model.safetensors: tensor model.layers.0.self_attn.q_proj.weight",
                "shape [16, 15], but the hyperparameters give [16, 16]",
            ],
        ),
        (
            replaced(q, Some((q, "F16", vec![256]))),
            ["q_proj.weight", "shape [256], but"],
        ),
        (
            replaced(q, Some((q, "I64", vec![16, 16]))),
            [
                "q_proj.weight: dtype I64",
                "supported are F64, F32, F16 and BF16",
            ],
        ),
        (
            replaced(q, Some((q, "F8_E4M3", vec![16, 16]))),
            [
                "q_proj.weight: dtype F8_E4M3",
                "fp8 weights are quantized already",
            ],
        ),
        (
            replaced("", Some(("model.extra.weight", "F16", vec![1]))),
            [
                "unexpected tensor model.extra.weight",
                "no tensor of llama models",
            ],
        ),
        (
            replaced(
                "",
                Some(("model.layers.1.mlp.up_proj.weight", "F16", vec![24, 16])),
            ),
            [
                "unexpected tensor model.layers.1.mlp.up_proj.weight",
                "num_hidden_layers 1",
            ],
        ),
        (
            replaced(
                "",
                Some(("model.layers.0.self_attn.q_proj.bias", "F16", vec![16])),
            ),
            ["unexpected tensor", "set attention_bias to true there"],
        ),
    ] {
        let error = open_tiny(&config(), &tensors).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}: no {part}");
        }
    }
}

#[test]
fn rotary_buffers_are_skipped() {
    let mut all = tensors();
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    all.push((name.into(), "F64", vec![2]));
    assert_eq!(open_tiny(&config(), &all).unwrap().tensors.len(), 12);
}

#[test]
fn tied_embeddings_need_no_output() {
    let tied = with(json!({"tie_word_embeddings": true}));
    let c = open_tiny(&tied, &tensors()[1..]).unwrap();
    assert_eq!(c.tensors[0].name, "token_embd.weight");
    // An output that is there all the same is kept.
    let c = open_tiny(&tied, &tensors()).unwrap();
    assert_eq!(c.tensors[0].name, "output.weight");
}

#[test]
fn biases_are_permuted_like_their_weights() {
    let mut all = tensors();
    let attention = [("q", 16), ("k", 8), ("v", 8), ("o", 16)];
    for (part, rows) in attention {
        let name = format!("model.layers.0.self_attn.{part}_proj.bias");
        all.push((name, "F16", vec![rows]));
    }
    let biased = with(json!({"attention_bias": true}));
    let c = open_tiny(&biased, &all).unwrap();
    let (k, v) = (
        tensor(&c, "blk.0.attn_k.bias"),
        tensor(&c, "blk.0.attn_v.bias"),
    );
    assert_eq!((k.row_map, k.shape.dims()), (RowMap::Identity, &[8][..]));
    assert!(k.computed().is_some() && v.computed().is_none());
    // Elements of two bytes; heads of 4: 0 2 1 3 inside each head.
    let source: Vec<u8> = {
        let (map, range) = v.spans(0..1).remove(0);
        map[range.start - 16..range.start].to_vec()
    };
    let expected: Vec<u8> = [0, 2, 1, 3, 4, 6, 5, 7]
        .iter()
        .flat_map(|i| source[2 * i..2 * i + 2].to_vec())
        .collect();
    assert_eq!(k.to_bytes(), expected);
}

#[test]
fn rope_scaling_becomes_keys_or_a_tensor() {
    let scaled = |scaling| {
        let config = with(json!({"rope_scaling": scaling}));
        open_tiny(&config, &tensors()).unwrap()
    };
    let c = scaled(json!({"type": "linear", "factor": 4}));
    assert_eq!(
        c.metadata.str("llama.rope.scaling.type"),
        Ok(Some("linear"))
    );
    assert_eq!(c.metadata.f32("llama.rope.scaling.factor"), Ok(Some(4.0)));
    let c = scaled(json!({
        "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64,
        "beta_fast": 32, "beta_slow": 1, "attention_factor": 1.5, "extrapolation_factor": 1,
    }));
    for (key, value) in [
        ("factor", GgufValue::F32(2.0)),
        ("original_context_length", GgufValue::U32(64)),
        ("yarn_ext_factor", GgufValue::F32(1.0)),
        ("yarn_attn_factor", GgufValue::F32(1.5)),
        // 1.5 / (0.1 ln(2) + 1)
        ("attn_factor", GgufValue::F32(1.402_767_5)),
        ("yarn_beta_fast", GgufValue::F32(32.0)),
        ("yarn_beta_slow", GgufValue::F32(1.0)),
    ] {
        assert_eq!(
            c.metadata.get(&format!("llama.rope.scaling.{key}")),
            Some(&value),
            "{key}"
        );
    }
    let c = scaled(json!({"rope_type": "llama3", "factor": 8.0}));
    assert!(c.metadata.get("llama.rope.scaling.type").is_none());
    let freqs = &c.tensors[0];
    assert_eq!(
        (&*freqs.name, freqs.ty),
        ("rope_freqs.weight", TensorType::F32)
    );
    assert_eq!(freqs.shape.dims(), [2]);
    assert_eq!(
        freqs.to_bytes(),
        [1.0f32.to_le_bytes(), 1.0f32.to_le_bytes()].concat()
    );
}

#[test]
fn recommended_sampling_is_carried_over() {
    let dir = folder(&config(), &tensors());
    let tiny = dir.path().join("tiny");
    let text = br#"{"temperature":0.7,"top_k":50,"top_p":0.9,"do_sample":true,"min_p":null}"#;
    write(&tiny, "generation_config.json", text);
    let m = open(&tiny, &no_tokenizer()).unwrap().metadata;
    assert_eq!(m.get("general.sampling.temp"), Some(&GgufValue::F32(0.7)));
    assert_eq!(m.get("general.sampling.top_k"), Some(&GgufValue::I32(50)));
    assert_eq!(m.get("general.sampling.top_p"), Some(&GgufValue::F32(0.9)));
    assert!(m.get("general.sampling.min_p").is_none());
}

#[test]
fn a_bad_generation_config_is_a_note_and_what_is_good_in_it_is_kept() {
    let dir = folder(&config(), &tensors());
    let tiny = dir.path().join("tiny");
    let many = format!("[{}0]", "0,".repeat(500_000));
    for (text, kept, noted) in [
        (r#"{"length_penalty":Infinity,"top_k":7}"#, true, &[][..]),
        (
            r#"{"temperature":NaN,"top_p":"much","top_k":7}"#,
            true,
            &[
                "top_p: expected a number that fits 32 bits, found string",
                "temperature: expected a number that fits 32 bits, found NaN; left out",
            ],
        ),
        ("[7]", false, &["expected an object, found an array"]),
        ("{\"top_k\":7", false, &["not the expected JSON"]),
        (
            "version https://git-lfs.github.com/spec/v1\n",
            false,
            &["a Git LFS pointer"],
        ),
        (&*many, false, &["values of the JSON text"]),
    ] {
        write(&tiny, "generation_config.json", text.as_bytes());
        let checkpoint = open(&tiny, &no_tokenizer()).unwrap();
        let top_k = checkpoint.metadata.get("general.sampling.top_k");
        assert_eq!(top_k.is_some(), kept, "{noted:?}");
        assert_eq!(
            checkpoint.notes.len(),
            noted.len(),
            "{:?}",
            checkpoint.notes
        );
        for (note, part) in checkpoint.notes.iter().zip(noted) {
            let path = tiny.join("generation_config.json");
            assert!(note.starts_with(&format!("{}: ", path.display())), "{note}");
            assert!(note.contains(part), "{note}");
        }
    }
}

#[test]
fn paths_that_are_no_checkpoint() {
    let dir = folder(&config(), &tensors());
    let tiny = dir.path().join("tiny");
    let error = |path: &Path| open(path, &OpenOptions::default()).unwrap_err().to_string();
    for (path, part) in [
        (dir.path().join("nowhere"), "cannot read"),
        (
            dir.path().into(),
            "no config.json; a checkpoint is in a folder below: give",
        ),
        (
            tiny.join("model.safetensors"),
            "give the folder with config.json",
        ),
        (tiny.clone(), "no tokenizer: looked for tokenizer.model"),
    ] {
        assert!(error(&path).contains(part), "{}: no {part}", error(&path));
    }
    write(dir.path(), "x.gguf", b"hello, this is text");
    assert!(error(&dir.path().join("x.gguf")).contains("GGUF"));
    for name in ["", "a/b", "..", "a\\b", "C:x", "-x"] {
        let options = OpenOptions {
            name: Some(name.into()),
            ..no_tokenizer()
        };
        let error = open(&tiny, &options).unwrap_err().to_string();
        assert!(error.contains("cannot start a file name"), "{error}");
    }
}

#[test]
fn the_folder_of_a_relative_config_still_has_its_name() {
    let dir = folder(&config(), &tensors());
    let path = dir.path().join("tiny/../tiny/.");
    let c = open(&path, &no_tokenizer()).unwrap();
    assert_eq!(c.name, "tiny");
    let c = Forecastable::from_config(&dir.path().join("tiny/x/.."), &no_tokenizer());
    assert!(c.is_err(), "x does not exist");
    std::fs::create_dir(dir.path().join("tiny/x")).unwrap();
    let c = Forecastable::from_config(&dir.path().join("tiny/x/.."), &no_tokenizer()).unwrap();
    assert_eq!((&*c.name, c.tensors[0].ty), ("tiny", TensorType::F16));
}

#[test]
fn a_file_that_changes_under_the_checkpoint_is_noticed() {
    let dir = folder(&config(), &tensors());
    let tiny = dir.path().join("tiny");
    let c = open(&tiny, &no_tokenizer()).unwrap();
    c.verify_unchanged().unwrap();
    let mut longer = safetensors(&tensors());
    longer.push(0);
    write(&tiny, "model.safetensors", &longer);
    let error = c.verify_unchanged().unwrap_err().to_string();
    assert!(error.contains("model.safetensors: changed"), "{error}");
}

/// Bytes of anonymous memory of this process at its highest.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

#[test]
fn hostile_files_are_refused_at_once_and_in_little_memory() {
    let dir = folder(&config(), &tensors());
    let tiny = dir.path().join("tiny");
    let good = safetensors(&tensors());
    let mut hostile: Vec<(&str, Vec<u8>)> = Vec::new();
    for cut in [0, 4, 8, 100, good.len() - 1] {
        hostile.push(("model.safetensors", good[..cut].to_vec()));
    }
    hostile.push(("model.safetensors", u64::MAX.to_le_bytes().repeat(4)));
    // 16 MB of entries, more than the limit of tensors.
    let mut many = String::from("{");
    for i in 0..200_000 {
        many += &format!(
            r#""{i}":{{"dtype":"U8","shape":[],"data_offsets":[{i},{}]}},"#,
            i + 1
        );
    }
    let mut bytes = (many.len() as u64).to_le_bytes().to_vec();
    bytes.extend(many.as_bytes());
    hostile.push(("model.safetensors", bytes));
    hostile.push(("config.json", vec![b'['; 1 << 20]));
    hostile.push(("config.json", vec![b' '; (1 << 20) + 1]));
    let wide = with(json!({"vocab_size": 1 << 20, "num_hidden_layers": 4096}));
    hostile.push(("config.json", wide.to_string().into_bytes()));
    hostile.push(("model.safetensors.index.json", vec![b'['; 32 << 20]));
    hostile.push(("model.safetensors.index.json", vec![b' '; (32 << 20) + 1]));
    let before = peak_bytes();
    for (name, bytes) in &hostile {
        let saved = std::fs::read(tiny.join(name)).ok();
        write(&tiny, name, bytes);
        let start = Instant::now();
        let error = open(&tiny, &no_tokenizer()).unwrap_err();
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{error}: {:?}",
            start.elapsed()
        );
        assert!(error.to_string().len() < 1000, "{error}");
        match saved {
            Some(saved) => write(&tiny, name, &saved),
            None => std::fs::remove_file(tiny.join(name)).unwrap(),
        }
    }
    if let (Some(before), Some(after)) = (before, peak_bytes()) {
        assert!(after - before < 100 << 20, "{} bytes more", after - before);
    }
    open(&tiny, &no_tokenizer()).unwrap();
}
