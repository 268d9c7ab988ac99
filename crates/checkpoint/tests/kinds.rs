//! Folders as people have them: saved twice, wrapped, quantized, adapted, half fetched.

mod common;

use aeolus_checkpoint::{Checkpoint, Error, Forecastable, OpenOptions, TokenizerMode, open};
use aeolus_gguf::TensorType;
use common::{Spec, config, folder, safetensors, tensors, write};
use serde_json::{Value, json};
use std::path::Path;

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
const A: &str = "model-00001-of-00002.safetensors";
const B: &str = "model-00002-of-00002.safetensors";

fn options() -> OpenOptions {
    OpenOptions {
        tokenizer: TokenizerMode::Skip,
        ..OpenOptions::default()
    }
}

/// A folder of these files, config.json by default the tiny model's.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let dir = folder(&config(), &[]);
        let tiny = dir.path().join("tiny");
        std::fs::remove_file(tiny.join(SINGLE)).unwrap();
        for (name, bytes) in files {
            write(&tiny, name, bytes);
        }
        Self(dir)
    }

    /// The same tensors for all, in `model.safetensors`, under a changed configuration.
    fn single(tensors: &[Spec], changes: Value) -> Self {
        let mut config = config();
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        Self::new(&[
            ("config.json", config.to_string().into_bytes()),
            (SINGLE, safetensors(tensors)),
        ])
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("tiny")
    }

    /// Opens it, and checks that the forecast is of the same tensors.
    fn open(&self) -> Result<Checkpoint, Error> {
        let opened = open(&self.path(), &options());
        if let Ok(c) = &opened {
            let f = Forecastable::from_config(&self.path(), &options()).unwrap();
            let facts = c.tensors.iter().map(|tensor| tensor.facts());
            assert_eq!(f.tensors, facts.collect::<Vec<_>>());
            assert_eq!(
                (&f.metadata, &f.name, &f.notes),
                (&c.metadata, &c.name, &c.notes)
            );
        }
        opened
    }

    /// Opens it with these words among the notes; without words there are none.
    fn notes(&self, words: &[&str]) -> Checkpoint {
        let c = self
            .open()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let notes = c.notes.join("\n");
        assert_eq!(notes.is_empty(), words.is_empty(), "{notes}");
        for word in words {
            assert!(notes.contains(word), "{notes}: no {word}");
        }
        c
    }

    /// Is refused with these words.
    fn refused(&self, words: &[&str]) {
        let error = self.open().expect_err(words[0]).to_string();
        for word in words {
            assert!(error.contains(word), "{error}: no {word}");
        }
        assert!(error.matches(". ").count() < 3, "{error}");
        assert!(!error.ends_with('.'), "{error}");
    }
}

/// The model's tensors in two shards.
fn halves() -> (Vec<u8>, Vec<u8>) {
    let all = tensors();
    (safetensors(&all[..5]), safetensors(&all[5..]))
}

/// An index that places the first `split` tensors in one file, the others in another.
fn index(split: usize, first: &str, second: &str) -> Vec<u8> {
    let all = tensors().into_iter().enumerate();
    let map = all.map(|(i, (name, ..))| (name, json!(if i < split { first } else { second })));
    let map: serde_json::Map<String, Value> = map.collect();
    json!({ "weight_map": map }).to_string().into_bytes()
}

fn renamed(change: impl Fn(&str) -> String) -> Vec<Spec> {
    let all = tensors().into_iter();
    all.map(|(name, dtype, shape)| (change(&name), dtype, shape))
        .collect()
}

#[test]
fn what_is_whole_is_opened_whatever_an_index_says_and_what_was_used_is_told() {
    let (a, b) = halves();
    let whole = safetensors(&tensors());
    let extra = |name: &str| {
        let mut index: Value = serde_json::from_slice(&index(5, A, B)).unwrap();
        index["weight_map"][name] = json!(B);
        index.to_string().into_bytes()
    };
    for (files, words) in [
        // As it should be.
        (vec![(SINGLE, whole.clone())], vec![]),
        (
            vec![(INDEX, index(5, A, B)), (A, a.clone()), (B, b.clone())],
            vec![],
        ),
        (
            vec![(INDEX, index(0, A, SINGLE)), (SINGLE, whole.clone())],
            vec![],
        ),
        // No index.
        (
            vec![(A, a.clone()), (B, b.clone())],
            vec![INDEX, A, B, "used"],
        ),
        // An index of other shards, beside a single file and beside a set.
        (
            vec![
                (INDEX, index(5, "model-00001-of-00003.safetensors", B)),
                (SINGLE, whole.clone()),
            ],
            vec![
                INDEX,
                "earlier save",
                "model-00001-of-00003",
                "model.safetensors is used",
            ],
        ),
        (
            vec![
                (INDEX, index(5, "x.safetensors", "y.safetensors")),
                (A, a.clone()),
                (B, b.clone()),
            ],
            vec![INDEX, "earlier save", A, B],
        ),
        // An index of these shards with tensors elsewhere, too many or too few.
        (
            vec![(INDEX, index(4, A, B)), (A, a.clone()), (B, b.clone())],
            vec![INDEX, "is placed in", A, B],
        ),
        (
            vec![
                (INDEX, extra("model.layers.7.mlp.up_proj.weight")),
                (A, a.clone()),
                (B, b.clone()),
            ],
            vec![INDEX, "layers.7", "used"],
        ),
        // Two models.
        (
            vec![
                (SINGLE, whole.clone()),
                (INDEX, index(5, A, B)),
                (A, a.clone()),
                (B, b.clone()),
            ],
            vec!["other safetensors files are not used: model.safetensors; used: model-00001"],
        ),
        (
            vec![(SINGLE, whole.clone()), (A, a.clone()), (B, b.clone())],
            vec![
                "not used: model-00001-of-00002.safetensors and",
                "; used: model.safetensors",
            ],
        ),
        // A shard that an earlier save left.
        (
            vec![(SINGLE, whole.clone()), (A, a.clone())],
            vec!["not used: model-00001-of-00002.safetensors; used: model.safetensors"],
        ),
        // A part of the model that the framework does not load.
        (
            vec![(SINGLE, whole.clone()), ("mtp.safetensors", a.clone())],
            vec!["other safetensors files are not used: mtp.safetensors; used: model.safetensors"],
        ),
        // A single file of another model.
        (
            vec![
                (SINGLE, safetensors(&tensors()[1..])),
                (A, a.clone()),
                (B, b.clone()),
            ],
            vec![
                "lm_head.weight",
                A,
                "are used",
                "not used: model.safetensors",
            ],
        ),
        // Other names.
        (
            vec![("weights.safetensors", whole.clone())],
            vec!["weights.safetensors is used"],
        ),
        (
            vec![("p1.safetensors", a.clone()), ("p2.safetensors", b.clone())],
            vec!["p1.safetensors and p2.safetensors are used"],
        ),
    ] {
        let c = Folder::new(&files).notes(&words);
        assert_eq!(c.tensors.len(), 12, "{words:?}");
    }
}

#[test]
fn what_is_not_whole_is_an_error_that_names_what_is_missing() {
    let (a, b) = halves();
    for (files, words) in [
        (vec![(A, a.clone())], vec![B, "missing shard", A]),
        (
            vec![(INDEX, index(5, A, B)), (A, a.clone())],
            vec![B, "missing shard", "the index places"],
        ),
        (
            vec![
                ("model-00002-of-00003.safetensors", b.clone()),
                ("model-00003-of-00003.safetensors", a.clone()),
            ],
            vec!["model-00001-of-00003.safetensors", "missing shard"],
        ),
        (
            vec![(A, a.clone()), (B, a.clone())],
            vec!["lm_head.weight", "and again in"],
        ),
        (
            vec![(INDEX, index(5, A, B)), (A, a.clone()), (B, a.clone())],
            vec!["lm_head.weight", "and again in"],
        ),
    ] {
        Folder::new(&files).refused(&words);
    }
    // A forecast needs no weights, and says so where they are not all there.
    let dir = Folder::new(&[(A, a)]);
    let f = Forecastable::from_config(&dir.path(), &options()).unwrap();
    assert_eq!(f.tensors.len(), 12);
    assert!(f.notes[0].contains("config.json alone"), "{:?}", f.notes);
}

#[test]
fn quantization_that_only_the_configuration_has_left_is_a_note() {
    let bnb =
        json!({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}});
    for (changes, words) in [
        (json!({"quantization_config": {}}), vec![]),
        (json!({"quantization_config": null}), vec![]),
        (json!({"quantization_config": false}), vec![]),
        (json!({"quantization_config": []}), vec![]),
        (
            json!({"quantization_config": {"load_in_4bit": false}}),
            vec![],
        ),
        (
            json!({"quantization_config": {"quant_method": null}}),
            vec![],
        ),
        (
            bnb.clone(),
            vec![
                "config.json",
                "bitsandbytes",
                "they are read as unquantized",
            ],
        ),
        (
            json!({"quantization_config": {"bits": 4}}),
            vec!["quantization_config"],
        ),
        (
            json!({"quantization": {"group_size": 64, "bits": 4}}),
            vec!["quantization"],
        ),
    ] {
        Folder::single(&tensors(), changes).notes(&words);
    }
    // Each key is told once.
    for key in ["quantization", "compression_config"] {
        let c = Folder::single(&tensors(), json!({key: {"bits": 4}})).notes(&[key]);
        assert_eq!(c.notes.len(), 1, "{:?}", c.notes);
    }
    let without = Folder::new(&[("config.json", {
        let mut config = config();
        config["quantization_config"] = bnb["quantization_config"].clone();
        config.to_string().into_bytes()
    })]);
    let f = Forecastable::from_config(&without.path(), &options()).unwrap();
    assert!(f.notes[0].contains("bitsandbytes"), "{:?}", f.notes);
}

#[test]
fn quantized_weights_are_called_by_what_they_are() {
    let up = "model.layers.0.mlp.up_proj";
    let gptq = json!({"quantization_config": {"quant_method": "gptq"}});
    let none = || json!({});
    type Tensors<'a> = &'a [(&'a str, &'static str, &'a [u64])];
    let cases: [(Tensors<'_>, Value, &[&str]); 14] = [
        (
            &[
                ("weight", "U8", &[192, 1]),
                ("weight.absmax", "U8", &[6]),
                ("weight.quant_state.bitsandbytes__nf4", "U8", &[20]),
            ],
            none(),
            &["bitsandbytes 4-bit", "adapter"],
        ),
        (
            &[("weight", "I8", &[24, 16]), ("SCB", "F32", &[24])],
            none(),
            &["LLM.int8"],
        ),
        (
            &[
                ("weight", "U32", &[24, 2]),
                ("scales", "F16", &[24, 1]),
                ("biases", "F16", &[24, 1]),
            ],
            json!({"quantization": {"bits": 4}}),
            &["MLX"],
        ),
        (
            &[
                ("qweight", "I32", &[2, 24]),
                ("qzeros", "I32", &[1, 3]),
                ("scales", "F16", &[1, 24]),
                ("g_idx", "I32", &[16]),
            ],
            gptq,
            &["GPTQ", "gptq"],
        ),
        (
            &[
                ("qweight", "I32", &[16, 3]),
                ("qzeros", "I32", &[1, 3]),
                ("scales", "F16", &[1, 24]),
            ],
            none(),
            &["GPTQ or AWQ"],
        ),
        (
            &[
                ("weight", "F8_E4M3", &[24, 16]),
                ("weight_scale_inv", "F32", &[1, 1]),
            ],
            none(),
            &["fp8", "block scales"],
        ),
        (
            &[("weight", "F8_E4M3", &[24, 16])],
            none(),
            &["F8_E4M3", "fp8"],
        ),
        (
            &[("weight", "F8_E5M2", &[24, 16])],
            none(),
            &["F8_E5M2", "fp8"],
        ),
        (
            &[
                ("weight_packed", "I32", &[24, 2]),
                ("weight_shape", "I64", &[2]),
                ("weight_scale", "BF16", &[24, 1]),
            ],
            none(),
            &["compressed-tensors"],
        ),
        (
            &[
                ("weight", "I8", &[24, 16]),
                ("weight_scale", "F32", &[24, 1]),
            ],
            none(),
            &["8-bit"],
        ),
        (
            &[("W_q", "U8", &[24, 8]), ("meta", "U8", &[4])],
            none(),
            &["HQQ"],
        ),
        (&[("q_weight", "I32", &[4, 4])], none(), &["EXL2"]),
        (&[("weight", "U8", &[24, 8])], none(), &["U8", "packed"]),
        (
            &[("odd", "F16", &[24])],
            json!({"quantization_config": {"quant_method": "new"}}),
            &["already quantized", "new", "odd"],
        ),
    ];
    for (stored, changes, words) in cases {
        let mut all = tensors();
        all.retain(|(name, ..)| !name.starts_with(up));
        let stored = stored.iter();
        all.extend(
            stored.map(|(end, dtype, shape)| (format!("{up}.{end}"), *dtype, shape.to_vec())),
        );
        let words: Vec<&str> = words.iter().copied().chain([up, "16 or 32 bits"]).collect();
        Folder::single(&all, changes).refused(&words);
    }
}

#[test]
fn prefixes_are_taken_off_and_told() {
    for prefix in ["base_model.model.", "_orig_mod.", "module.", "transformer."] {
        let all = renamed(|name| format!("{prefix}{name}"));
        let c = Folder::single(&all, json!({})).notes(&[prefix, "taken out"]);
        let q = c
            .tensors
            .iter()
            .find(|t| t.name == "blk.0.attn_q.weight")
            .unwrap();
        assert!(q.source_name.starts_with(prefix), "{}", q.source_name);
    }
    // AutoModel: no prefix, no head.
    let bare = renamed(|name| name.trim_start_matches("model.").to_owned());
    let tied = json!({"tie_word_embeddings": true});
    Folder::single(&bare[1..], tied).notes(&["AutoModel", "put in front"]);
    Folder::single(&bare[1..], json!({})).refused(&["AutoModel", "without its output head"]);
    Folder::single(&bare, json!({})).notes(&["put in front"]);
    // One name twice, and one outside.
    let mut twice = renamed(|name| format!("module.{name}"));
    twice.push(("module._orig_mod.model.norm.weight".into(), "F16", vec![16]));
    Folder::single(&twice, json!({})).refused(&["model.norm.weight", "again"]);
    let mut outside = renamed(|name| format!("language_model.{name}"));
    outside.push(("vision.weight".into(), "F16", vec![16]));
    Folder::single(&outside, json!({})).refused(&["unexpected tensor vision.weight"]);
}

#[test]
fn adapters_are_called_so_and_name_their_base() {
    let adapter = |text: &str| ("adapter_config.json", text.as_bytes().to_vec());
    let lora = r#"{"base_model_name_or_path":"some/base-7b","peft_type":"LORA"}"#;
    let weights = || ("adapter_model.safetensors", safetensors(&tensors()[..1]));
    Folder::new(&[adapter(lora), weights()]).refused(&[
        "adapter_config.json: a LoRA adapter of some/base-7b",
        "merge_and_unload",
    ]);
    let without_config = Folder::new(&[adapter(lora), weights()]);
    std::fs::remove_file(without_config.path().join("config.json")).unwrap();
    without_config.refused(&["a LoRA adapter of some/base-7b"]);
    Folder::new(&[weights()]).refused(&["adapter_model.safetensors: a LoRA adapter"]);
    Folder::new(&[adapter(r#"{"model":"m/x","fine_tune_type":"dora"}"#)])
        .refused(&["a dora adapter of m/x"]);
    Folder::new(&[adapter("nonsense")]).refused(&["a LoRA adapter and no"]);
    // Beside a whole model it is left alone.
    Folder::new(&[adapter(lora), (SINGLE, safetensors(&tensors()))])
        .notes(&["some/base-7b", "not merged"]);
    let c = Folder::new(&[
        ("pytorch_lora_weights.safetensors", vec![]),
        (SINGLE, safetensors(&tensors())),
    ])
    .notes(&["pytorch_lora_weights.safetensors: a LoRA adapter is beside"]);
    assert_eq!(c.notes.len(), 1, "{:?}", c.notes);
    // Not merged, and saved whole.
    let mut all = renamed(|name| {
        let name = name.replace("q_proj.weight", "q_proj.base_layer.weight");
        format!("base_model.model.{name}")
    });
    let a = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight";
    all.push((a.into(), "F16", vec![8, 16]));
    Folder::single(&all, json!({})).refused(&["an adapter that is not merged"]);
}

#[test]
fn folders_without_weights_are_called_by_what_they_hold() {
    let byte = || vec![0];
    for (files, words) in [
        (vec![], vec!["no weights", INDEX, "Fetch"]),
        (
            vec!["consolidated.safetensors", "params.json"],
            vec!["consolidated.safetensors", "Mistral"],
        ),
        (
            vec!["consolidated.00.pth", "params.json"],
            vec!["consolidated.00.pth", "Meta"],
        ),
        (
            vec!["pytorch_model.bin"],
            vec!["pytorch_model.bin", "pickle", "save_pretrained"],
        ),
        (
            vec!["pytorch_model-00001-of-00002.bin"],
            vec!["pytorch_model-00001", "pickle"],
        ),
        (
            vec!["model.Q4_K_M.gguf"],
            vec!["a GGUF file", "model.Q4_K_M.gguf"],
        ),
        (
            vec!["tf_model.h5"],
            vec!["tf_model.h5", "another framework"],
        ),
        (vec!["model.safetensors.incomplete"], vec!["not finished"]),
        (vec!["training_args.bin", "optimizer.pt"], vec!["Fetch"]),
    ] {
        let files: Vec<(&str, Vec<u8>)> = files.into_iter().map(|name| (name, byte())).collect();
        let dir = Folder::new(&files);
        dir.refused(&words);
        // The forecast needs none of it.
        Forecastable::from_config(&dir.path(), &options()).unwrap();
        if !files.is_empty() && words[0] != "Fetch" {
            std::fs::remove_file(dir.path().join("config.json")).unwrap();
            dir.refused(&words);
        }
    }
    let mistral = [("tok_embeddings.weight".to_owned(), "F16", vec![16, 16])];
    Folder::single(&mistral, json!({})).refused(&["tok_embeddings.weight", "Mistral"]);

    let empty = tempfile::tempdir().unwrap();
    let error = |path: &Path| open(path, &options()).unwrap_err().to_string();
    assert!(error(empty.path()).contains("the folder is empty"));
    let model = Folder::new(&[(SINGLE, safetensors(&tensors()))]);
    let said = error(model.0.path());
    assert!(
        said.contains(&format!("give {}", model.path().display())),
        "{said}"
    );
    std::fs::remove_file(model.path().join("config.json")).unwrap();
    let said = error(&model.path());
    assert!(
        said.contains("weights are there (model.safetensors)"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn links_to_nothing_are_downloads_that_were_interrupted() {
    use std::os::unix::fs::symlink;
    let (a, _) = halves();
    for (files, link) in [
        (vec![], SINGLE),
        (vec![(A, a.clone())], B),
        (vec![(INDEX, index(5, A, B)), (A, a.clone())], B),
        (vec![(SINGLE, safetensors(&tensors()))], "config.json"),
    ] {
        let dir = Folder::new(&files);
        let _ = std::fs::remove_file(dir.path().join(link));
        symlink("../../blobs/0123", dir.path().join(link)).unwrap();
        dir.refused(&[
            link,
            "a link to ../../blobs/0123",
            "interrupted",
            "fetch it again",
        ]);
    }
    let whole = || (SINGLE, safetensors(&tensors()));
    let index = Folder::new(&[whole()]);
    symlink("../../blobs/0123", index.path().join(INDEX)).unwrap();
    index.refused(&[INDEX, "a link to ../../blobs/0123", "fetch it again"]);
    for link in ["tokenizer.model", "tokenizer.json"] {
        let dir = Folder::new(&[whole()]);
        symlink("../../blobs/0123", dir.path().join(link)).unwrap();
        let error = open(&dir.path(), &OpenOptions::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("{link}: is a link to")), "{error}");
    }
    // What a file may lack without harm is a note.
    let dir = Folder::new(&[whole()]);
    symlink(
        "../../blobs/0123",
        dir.path().join("generation_config.json"),
    )
    .unwrap();
    dir.notes(&["generation_config.json: is a link to ../../blobs/0123"]);
}

#[test]
fn doubles_are_kept_and_told_and_buffers_are_skipped() {
    let mut all = tensors();
    all.last_mut().unwrap().1 = "F64";
    for (name, dtype) in [
        ("model.embed_positions.position_ids", "I64"),
        ("model.layers.0.self_attn.masked_bias", "F32"),
        ("model.layers.0.self_attn.rotary_emb.cos_cached", "F32"),
    ] {
        all.push((name.into(), dtype, vec![4]));
    }
    let c = Folder::single(&all, json!({})).notes(&["model.norm.weight in F64: rounded to F32"]);
    assert_eq!((c.tensors.len(), c.tensors[11].ty), (12, TensorType::F64));
}

#[test]
fn declared_biases_may_be_absent_in_all_layers_and_undeclared_ones_are_refused() {
    let with = |parts: &[&str]| {
        let mut all = tensors();
        for part in parts {
            let rows = match *part {
                "self_attn.k_proj" | "self_attn.v_proj" => 8,
                "mlp.up_proj" => 24,
                _ => 16,
            };
            all.push((format!("model.layers.0.{part}.bias"), "F16", vec![rows]));
        }
        all
    };
    let qkv = with(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]);
    let declared = json!({"attention_bias": true});
    let c = Folder::single(&qkv, declared.clone()).notes(&["self_attn.o_proj.bias", "zero"]);
    assert_eq!(c.tensors.len(), 15);
    Folder::single(&tensors(), declared).notes(&["self_attn.q_proj.bias"]);
    Folder::single(&qkv, json!({})).refused(&["self_attn.q_proj.bias", "attention_bias to true"]);
    Folder::single(&with(&["mlp.up_proj"]), json!({})).refused(&["mlp_bias to true"]);
    // In one of two layers it was lost.
    let second = tensors().into_iter().filter(|t| t.0.contains("layers.0"));
    let second = second.map(|(name, d, s)| (name.replace("layers.0", "layers.1"), d, s));
    let two: Vec<Spec> = qkv.into_iter().chain(second).collect();
    Folder::single(
        &two,
        json!({"attention_bias": true, "num_hidden_layers": 2}),
    )
    .refused(&["missing tensor model.layers.1.self_attn", ".bias"]);
}

#[test]
fn tied_embeddings_with_an_output_of_their_own_are_forecast_as_they_are() {
    let tied = || json!({"tie_word_embeddings": true});
    let differs = ["lm_head.weight differs from the embedding", "the output"];
    let c = Folder::single(&tensors(), tied()).notes(&differs);
    assert_eq!(c.tensors[0].name, "output.weight");
    // The output's bytes are before the embedding's: a copy of them there makes the two equal.
    let same = Folder::single(&tensors(), tied());
    let path = same.path().join(SINGLE);
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes.copy_within(8 + header..8 + header + 512, 8 + header + 512);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(same.notes(&[]).tensors[0].name, "output.weight");
    // Other types say nothing: one is likely the other, rounded.
    let mut all = tensors();
    all[0].1 = "F32";
    Folder::single(&all, tied()).notes(&[]);
}

#[cfg(unix)]
#[test]
fn a_folder_in_the_hubs_cache_has_the_models_name() {
    let dir = tempfile::tempdir().unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let repository = dir.path().join("hub/models--owner--tiny-7b-v2");
    let snapshot = repository.join("snapshots").join(commit);
    std::fs::create_dir_all(snapshot.join("sub")).unwrap();
    for folder in [&snapshot, &snapshot.join("sub")] {
        write(folder, "config.json", config().to_string().as_bytes());
        write(folder, SINGLE, &safetensors(&tensors()));
    }
    std::os::unix::fs::symlink(&snapshot, dir.path().join("link")).unwrap();
    let slash = format!("{}/", snapshot.display());
    for path in [
        snapshot.clone(),
        slash.into(),
        snapshot.join("."),
        snapshot.join("sub/.."),
        snapshot.join("config.json"),
        dir.path().join("link"),
        repository.join("refs/../snapshots").join(commit),
    ] {
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        let f = Forecastable::from_config(&path, &options()).unwrap();
        assert_eq!(f.name, "tiny-7b-v2", "{}", path.display());
        assert_eq!(f.metadata.str("general.basename"), Ok(Some("tiny")));
    }
    let sub = open(&snapshot.join("sub"), &options()).unwrap();
    assert_eq!(sub.name, "sub");
}
