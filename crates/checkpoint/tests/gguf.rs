//! GGUF files as checkpoints.

mod common;

use aeolus_arch::family_of_architecture;
use aeolus_checkpoint::{
    Checkpoint, Error, Forecastable, OpenOptions, RowMap, TokenizerMode, open,
};
use aeolus_gguf::{Array, Endian, HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType};
use std::path::{Path, PathBuf};

/// The tiny model's metadata with a tokenizer of 16 tokens and one merge.
fn metadata() -> Metadata<'static> {
    let mut m = Metadata::new();
    m.insert("general.architecture", "llama");
    m.insert("general.name", "Tiny Model");
    m.insert("llama.block_count", 1u32);
    m.insert("llama.context_length", 32u32);
    m.insert("llama.embedding_length", 16u32);
    m.insert("llama.feed_forward_length", 24u32);
    m.insert("llama.attention.head_count", 4u32);
    m.insert("llama.attention.head_count_kv", 2u32);
    m.insert("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    m.insert("general.file_type", 1u32);
    m.insert("general.quantization_version", 2u32);
    m.insert("tokenizer.ggml.model", "llama");
    let tokens = (0..16).map(|i| format!("t{i}"));
    m.insert("tokenizer.ggml.tokens", Array::from_strings(tokens));
    m.insert("tokenizer.ggml.merges", Array::from_strings(["a b"]));
    m.insert("tokenizer.ggml.bos_token_id", 1u32);
    m.insert("custom.key", 7u64);
    m
}

fn specs() -> Vec<TensorSpec> {
    let specs = common::tensors()
        .into_iter()
        .map(|(hf, _, shape)| TensorSpec {
            name: family_of_architecture("llama")
                .unwrap()
                .gguf_name(&hf)
                .unwrap(),
            shape: Shape::from_hf(&shape).unwrap(),
            ty: TensorType::F16,
        });
    specs.collect()
}

fn file(
    dir: &Path,
    endian: Endian,
    metadata: Metadata<'static>,
    tensors: Vec<TensorSpec>,
) -> PathBuf {
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian,
        metadata,
        tensors,
    })
    .unwrap();
    let mut bytes = layout.encode_header();
    bytes.extend((bytes.len() as u64..layout.file_bytes()).map(|i| (i % 251) as u8));
    let path = dir.join("file.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn open_with(
    options: &OpenOptions,
    change: impl FnOnce(&mut Metadata<'static>, &mut Vec<TensorSpec>),
) -> Result<Checkpoint, Error> {
    let dir = tempfile::tempdir().unwrap();
    let (mut metadata, mut tensors) = (metadata(), specs());
    change(&mut metadata, &mut tensors);
    open(
        &file(dir.path(), Endian::Little, metadata, tensors),
        options,
    )
}

#[test]
fn facts_and_metadata_are_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), Endian::Little, metadata(), specs());
    let c = open(&path, &OpenOptions::default()).unwrap();
    assert_eq!(c.name, "Tiny-Model");
    let h = &c.hyper;
    assert_eq!(
        (h.layers(), h.hidden(), h.feed_forward(), h.heads()),
        (1, 16, 24, 4)
    );
    assert_eq!(
        (h.kv_heads(), h.head_dim(), h.vocab(), h.context()),
        (2, 4, 16, 32)
    );
    assert_eq!((h.norm_eps(), h.rotary_base()), (1e-5, 10_000.0));
    for key in ["general.file_type", "general.quantization_version"] {
        assert!(c.metadata.get(key).is_none(), "{key}");
    }
    assert_eq!(c.metadata.u32("custom.key"), Ok(Some(7)));
    assert!(c.merges.is_none());
    assert_eq!((c.tokenizer.tokens, c.tokenizer.bos), (16, Some(1)));
    assert_eq!((c.endian, c.tensors.len()), (Endian::Little, 12));
    let whole = std::fs::read(&path).unwrap();
    for (tensor, spec) in c.tensors.iter().zip(specs()) {
        assert_eq!(
            (&tensor.name, tensor.shape, tensor.ty),
            (&spec.name, spec.shape, spec.ty)
        );
        assert_eq!(tensor.row_map, RowMap::Identity);
        let (_, range) = tensor.spans(0..tensor.shape.rows() as usize).remove(0);
        assert_eq!(tensor.to_bytes(), whole[range]);
        assert_eq!(tensor.size_bytes(), spec.bytes());
    }
    let f = Forecastable::from_config(&path, &OpenOptions::default()).unwrap();
    assert_eq!(f.tensors.len(), 12);

    // Whatever the recipe says of merges, those of the source stay, and where they are.
    for merges in [false, true] {
        let out = c.output_metadata(15, merges);
        let kept = |m: &Metadata<'_>| -> Vec<String> {
            let keys = m.iter().filter(|(key, _)| !key.starts_with("general."));
            keys.map(|(key, value)| format!("{key} {value:?}"))
                .collect()
        };
        assert_eq!(kept(&out), kept(&metadata()));
    }
    let out = c.output_metadata(15, true);
    assert_eq!(out.u32("general.file_type"), Ok(Some(15)));
    assert_eq!(out.u32("general.quantization_version"), Ok(Some(2)));
    assert_eq!(
        out.array("tokenizer.ggml.merges").unwrap().unwrap().len(),
        1
    );
}

#[test]
fn names_come_from_the_user_then_the_metadata_then_the_file() {
    let options = OpenOptions {
        name: Some("other".into()),
        ..OpenOptions::default()
    };
    let c = open_with(&options, |_, _| ()).unwrap();
    assert_eq!(
        (&*c.name, c.metadata.str("general.name")),
        ("other", Ok(Some("other")))
    );
    for (name, expected) in [
        ("a/b\\c: d", "a-b-c--d"),
        ("..", "file"),
        (" ", "file"),
        ("-rf\u{202e}", "rf-"),
    ] {
        let c = open_with(&OpenOptions::default(), |m, _| {
            m.insert("general.name", name.to_owned());
        });
        assert_eq!(c.unwrap().name, expected);
    }
    let c = open_with(&OpenOptions::default(), |m, _| {
        m.remove("general.name");
    });
    assert_eq!(c.unwrap().name, "file");
}

#[test]
fn tokenizers_are_required_skipped_or_kept_whole() {
    let skip = OpenOptions {
        tokenizer: TokenizerMode::Skip,
        ..OpenOptions::default()
    };
    let c = open_with(&skip, |_, _| ()).unwrap();
    let left: Vec<_> = c
        .metadata
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer"))
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(c.metadata.str("tokenizer.ggml.model"), Ok(Some("none")));
    assert!(c.merges.is_none());

    let error = open_with(&OpenOptions::default(), |m, _| {
        m.remove("tokenizer.ggml.tokens");
    });
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("looked for tokenizer.ggml.tokens; --no-tokenizer"),
        "{error}"
    );

    // A byte-level BPE tokenizer works by its merges.
    let c = open_with(&OpenOptions::default(), |m, _| {
        m.insert("tokenizer.ggml.model", "gpt2");
    })
    .unwrap();
    assert!(c.merges.is_none() && c.metadata.get("tokenizer.ggml.merges").is_some());
}

#[test]
fn special_ids_that_no_token_has_are_noted_and_kept() {
    let c = open_with(&OpenOptions::default(), |m, _| {
        m.insert("tokenizer.ggml.eos_token_id", 16u32);
        m.insert("tokenizer.ggml.padding_token_id", -1i32);
        m.insert("tokenizer.ggml.unknown_token_id", u32::MAX);
    });
    let c = c.unwrap();
    let [note] = &*c.notes else {
        panic!("{:?}", c.notes);
    };
    let said = "tokenizer.ggml.eos_token_id 16 is none of the 16 tokens; it is kept as it is";
    assert!(note.ends_with(said), "{note}");
    assert_eq!(c.metadata.u32("tokenizer.ggml.eos_token_id"), Ok(Some(16)));
}

#[test]
fn optional_tensors_and_old_files() {
    let c = open_with(&OpenOptions::default(), |m, t| {
        // Files of 2023 lack these keys.
        m.remove("llama.attention.head_count_kv");
        m.insert("llama.attention.head_count", 2u32);
        m.remove("tokenizer.ggml.merges");
        for spec in t
            .iter_mut()
            .filter(|s| s.name.contains("attn_k.") || s.name.contains("attn_v."))
        {
            spec.shape = Shape::from_gguf(&[16, 16]).unwrap();
        }
        t.remove(0);
        let extra = [
            ("rope_freqs.weight", 4),
            ("blk.0.attn_q.bias", 16),
            ("blk.0.ffn_up.bias", 24),
        ];
        t.extend(extra.map(|(name, len)| TensorSpec {
            name: name.into(),
            shape: Shape::from_gguf(&[len]).unwrap(),
            ty: TensorType::F32,
        }));
    })
    .unwrap();
    assert_eq!((c.hyper.kv_heads(), c.hyper.head_dim()), (2, 8));
    assert_eq!(c.tensors.len(), 14);
    assert!(c.merges.is_none());
}

#[test]
fn doubles_are_a_source_like_any_other_and_are_told() {
    let c = open_with(&OpenOptions::default(), |_, t| t[2].ty = TensorType::F64).unwrap();
    assert_eq!(c.tensors[2].ty, TensorType::F64);
    assert!(
        c.notes[0].contains("in F64: rounded to F32"),
        "{:?}",
        c.notes
    );
}

#[test]
fn big_endian_files_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), Endian::Big, metadata(), specs());
    let c = open(&path, &OpenOptions::default()).unwrap();
    assert_eq!((c.endian, c.hyper.hidden()), (Endian::Big, 16));
    assert_eq!(
        c.metadata
            .array("tokenizer.ggml.merges")
            .unwrap()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn files_that_contradict_themselves() {
    type Change = fn(&mut Metadata<'static>, &mut Vec<TensorSpec>);
    let cases: [(Change, [&str; 2]); 18] = [
        (
            |m, _| drop(m.insert("general.architecture", "gpt2")),
            ["general.architecture", "supported are arcee"],
        ),
        (
            |m, _| drop(m.remove("general.architecture")),
            ["general.architecture", "missing"],
        ),
        (
            |m, _| drop(m.insert("general.architecture", 1u32)),
            ["general.architecture", "expected STRING"],
        ),
        (
            |m, _| drop(m.remove("llama.block_count")),
            ["llama.block_count", "missing"],
        ),
        (
            |m, _| drop(m.insert("llama.block_count", "one")),
            ["llama.block_count", "an integer"],
        ),
        (
            |m, _| drop(m.insert("llama.block_count", 5000u32)),
            ["llama.block_count", "found 5000"],
        ),
        (
            |m, _| drop(m.insert("llama.embedding_length", 0u32)),
            ["llama.embedding_length", "found 0"],
        ),
        (
            |m, _| drop(m.insert("llama.embedding_length", 18u32)),
            ["llama.embedding_length", "multiple of the 4"],
        ),
        (
            |m, _| drop(m.insert("llama.attention.head_count_kv", 3u32)),
            ["head_count_kv", "3 does not divide"],
        ),
        (
            |m, _| drop(m.insert("llama.attention.value_length", 8u32)),
            ["value_length", "8 differs"],
        ),
        (
            |m, _| drop(m.insert("llama.expert_count", 8u32)),
            ["llama.expert_used_count", "missing"],
        ),
        (
            |m, _| drop(m.insert("llama.attention.layer_norm_rms_epsilon", f32::NAN)),
            ["layer_norm_rms_epsilon", "found NaN"],
        ),
        (
            |_, t| drop(t.remove(1)),
            ["llama.vocab_size", "no token_embd.weight"],
        ),
        (
            |_, t| drop(t.remove(2)),
            ["missing tensor blk.0.attn_norm.weight", "[16]"],
        ),
        (
            |_, t| t[3].shape = Shape::from_gguf(&[24, 15]).unwrap(),
            [
                "file.gguf: tensor blk.0.ffn_down.weight",
                "shape [24, 15], but the hyperparameters give [24, 16]",
            ],
        ),
        (
            |_, t| t[3].name = "blk.1.ffn_down.weight".into(),
            [
                "unexpected tensor blk.1.ffn_down.weight",
                "the keys give the model no such tensor (block_count 1)",
            ],
        ),
        (
            |_, t| t[3].name = "blk.0.ffn_gate_exps.weight".into(),
            [
                "unexpected tensor blk.0.ffn_gate_exps.weight",
                "the keys give the model no such tensor",
            ],
        ),
        (
            |_, t| t[3].name = "blk.0.ffn_gates.weight".into(),
            [
                "unexpected tensor blk.0.ffn_gates.weight",
                "no tensor of llama models",
            ],
        ),
    ];
    for (change, parts) in cases {
        let error = open_with(&OpenOptions::default(), change)
            .unwrap_err()
            .to_string();
        assert!(error.contains("file.gguf: "), "{error}");
        for part in parts {
            assert!(error.contains(part), "{error}: no {part}");
        }
    }
}

#[test]
fn refusals_cut_and_escape_what_they_quote() {
    let name = format!("\u{1b}]0;{}", "x".repeat(1 << 20));
    let error = open_with(&OpenOptions::default(), |m, _| {
        m.insert("general.architecture", name);
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("supported are arcee"));
    assert!(error.len() < 1024 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn keys_are_counted_since_each_output_gets_them_all() {
    let open = |keys: usize| {
        open_with(&OpenOptions::default(), |m, _| {
            for i in m.len()..keys {
                m.insert(format!("key.{i}"), 0u32);
            }
        })
    };
    let most = open(4096).unwrap();
    assert_eq!(most.output_metadata(7, true).len(), 4096);
    let error = open(4097).unwrap_err().to_string();
    assert!(error.contains("4097") && error.contains("4096"), "{error}");
}

#[test]
fn vocabularies_and_block_formats_are_checked() {
    let error = |change: fn(&mut Metadata<'static>, &mut Vec<TensorSpec>)| {
        open_with(&OpenOptions::default(), change)
            .unwrap_err()
            .to_string()
    };
    let text = error(|m, _| drop(m.insert("tokenizer.ggml.tokens", Array::from_strings(["a"]))));
    assert!(
        text.contains("1 tokens, but the vocabulary has 16"),
        "{text}"
    );
    let text = error(|m, _| {
        let numbers: Vec<i32> = (0..16).collect();
        m.insert("tokenizer.ggml.tokens", Array::from_i32s(&numbers));
    });
    assert!(
        text.contains("tokenizer.ggml.tokens: expected strings, found INT32"),
        "{text}"
    );
    let text = error(|m, _| drop(m.insert("tokenizer.ggml.tokens", 1u32)));
    assert!(text.contains("expected ARRAY"), "{text}");
    let text = error(|m, _| drop(m.insert("tokenizer.ggml.merges", Array::from_i32s(&[1]))));
    assert!(
        text.contains("tokenizer.ggml.merges: expected strings"),
        "{text}"
    );
    let text = error(|m, _| drop(m.insert("llama.vocab_size", 17u32)));
    assert!(text.contains("the hyperparameters give [16, 17]"), "{text}");
    let text = error(|m, t| {
        m.insert("general.quantization_version", 1u32);
        m.insert("llama.feed_forward_length", 32u32);
        for spec in t.iter_mut().filter(|s| s.name.contains("ffn_down")) {
            spec.shape = Shape::from_gguf(&[32, 16]).unwrap();
            spec.ty = TensorType::Q4_0;
        }
    });
    assert!(
        text.contains("quantization_version: expected 2, found 1"),
        "{text}"
    );
}
