use super::*;
use crate::{Absent, Bounds, Field, Hyperparameters, Presence, Rows, Scope, Value};
use std::collections::{BTreeMap, BTreeSet};

fn hyper_values() -> BTreeMap<Field, Value> {
    BTreeMap::from([
        (Field::Layers, Value::Size(2)),
        (Field::Context, Value::Size(128)),
        (Field::Hidden, Value::Size(64)),
        (Field::FeedForward, Value::Size(96)),
        (Field::Heads, Value::Size(4)),
        (Field::KvHeads, Value::Size(2)),
        (Field::Vocab, Value::Size(40)),
        (Field::NormEps, Value::Number(1e-5)),
    ])
}

fn hyper(family: &'static Family, changes: &[(Field, u32)]) -> Hyperparameters {
    let mut stated = hyper_values();
    stated.extend(changes.iter().map(|(field, n)| (*field, Value::Size(*n))));
    Hyperparameters::complete(family, stated, &Bounds::default()).unwrap()
}

#[test]
fn names_classes_and_tensors_are_each_said_once() {
    let mut classes = BTreeSet::new();
    let mut architectures = BTreeSet::new();
    for family in FAMILIES {
        assert!(architectures.insert(family.architecture));
        assert!(family.classes.iter().all(|class| classes.insert(class)));
        for names in [|t: &crate::TensorLine| t.hf, |t: &crate::TensorLine| t.gguf] {
            let mut seen = BTreeSet::new();
            let lines = family.tensors.iter();
            assert!(
                lines
                    .clone()
                    .all(|t| seen.insert((t.scope == Scope::Layer, names(t))))
            );
        }
        let mut fields = BTreeSet::new();
        assert!(family.fields().all(|key| fields.insert(key.field)));
        // The order in which checkpoints store a layer's tensors.
        let layer = family.tensors.iter().filter(|t| t.scope == Scope::Layer);
        assert!(layer.map(|t| t.hf).is_sorted(), "{}", family.architecture);
    }
}

#[test]
fn names_go_there_and_back() {
    for family in FAMILIES {
        for tensor in family.expected(&hyper(family, &[])) {
            assert_eq!(family.gguf_name(&tensor.hf).as_deref(), Some(&*tensor.gguf));
            assert_eq!(family.hf_name(&tensor.gguf).as_deref(), Some(&*tensor.hf));
        }
    }
    let llama = family_of_architecture("llama").unwrap();
    assert_eq!(
        llama
            .gguf_name("model.layers.31.self_attn.k_proj.bias")
            .as_deref(),
        Some("blk.31.attn_k.bias")
    );
    for name in [
        "",
        "weight",
        "lm_head",
        "lm_head.bias",
        "model.norm.bias",
        "model.layers.0.input_layernorm.bias",
        "model.layers.00.input_layernorm.weight",
        "model.layers.+1.input_layernorm.weight",
        "model.layers.99999999999.input_layernorm.weight",
        "model.layers.0.block_sparse_moe.gate.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.0.lm_head.weight",
    ] {
        assert_eq!(llama.gguf_name(name), None, "{name}");
    }
    for name in [
        "rope_freqs.weight",
        "blk.0.attn_norm.bias",
        "blk.x.attn_q.weight",
    ] {
        assert_eq!(llama.hf_name(name), None, "{name}");
    }
}

#[test]
fn shapes_follow_the_hyperparameters() {
    let llama = family_of_class("MistralForCausalLM").unwrap();
    let hyper = hyper(llama, &[(Field::HeadDim, 24)]);
    let expected: Vec<_> = llama.expected(&hyper).collect();
    let find = |name: &str| expected.iter().find(|t| t.gguf == name).unwrap();
    assert_eq!(find("output.weight").shape, [40, 64]);
    assert_eq!(find("output.weight").presence, Presence::Untied);
    assert_eq!(find("blk.1.attn_q.weight").shape, [96, 64]);
    assert_eq!(find("blk.1.attn_k.weight").shape, [48, 64]);
    assert_eq!(find("blk.1.attn_k.bias").shape, [48]);
    assert_eq!(find("blk.1.attn_output.weight").shape, [64, 96]);
    assert_eq!(find("blk.1.ffn_down.weight").shape, [64, 96]);
    assert!(matches!(
        find("blk.0.attn_k.bias").rows,
        Rows::RotaryPairs(_)
    ));
    assert_eq!(expected[0].gguf, "output.weight");
    assert_eq!(expected[1].gguf, "token_embd.weight");
    assert_eq!(expected.last().unwrap().gguf, "output_norm.weight");
}

#[test]
fn keys_are_written_as_each_family_has_them() {
    let written = |family: &'static Family, changes: &[(Field, u32)]| -> Vec<&'static str> {
        hyper(family, changes)
            .written()
            .flatten()
            .map(|(key, _)| key)
            .collect()
    };
    let llama = family_of_architecture("llama").unwrap();
    assert_eq!(
        written(llama, &[]),
        [
            "block_count",
            "context_length",
            "embedding_length",
            "feed_forward_length",
            "attention.head_count",
            "attention.head_count_kv",
            "rope.freq_base",
            "attention.layer_norm_rms_epsilon",
            "attention.key_length",
            "attention.value_length",
            "vocab_size",
            "rope.dimension_count",
        ]
    );
    let qwen2 = family_of_architecture("qwen2").unwrap();
    assert!(!written(qwen2, &[]).contains(&"attention.key_length"));
    assert!(!written(qwen2, &[]).contains(&"vocab_size"));
    assert!(written(qwen2, &[(Field::HeadDim, 32)]).contains(&"attention.value_length"));
    let qwen3 = family_of_architecture("qwen3").unwrap();
    assert_eq!(hyper(qwen3, &[]).head_dim(), 128);
    let smollm3 = family_of_architecture("smollm3").unwrap();
    let hyper = hyper(smollm3, &[]);
    assert_eq!((hyper.rotary_dims(), hyper.rotary_base()), (16, 2e6));
    assert!(matches!(
        smollm3.key(Field::HeadDim).unwrap().absent,
        Absent::Default
    ));
}

#[test]
fn numbers_that_follow_from_others_are_written() {
    let family = |name| family_of_architecture(name).unwrap();
    let of = |name, changes: &[(Field, Value)]| {
        let family = family(name);
        let mut stated = hyper_values();
        stated.extend(changes.iter().copied());
        Hyperparameters::complete(family, stated, &Bounds::default()).unwrap()
    };
    // A head of 128 by default, half of it rotated; a part in decimals is not cut short.
    assert_eq!(of("glm4", &[]).rotary_dims(), 64);
    let part = (Field::RotaryFraction, Value::Number(0.7));
    let head = (Field::HeadDim, Value::Size(20));
    assert_eq!(of("glm4", &[part, head]).rotary_dims(), 14);
    let written =
        |hyper: &Hyperparameters| -> Vec<(&str, Value)> { hyper.written().flatten().collect() };
    let glm4 = of("glm4", &[]);
    assert!(written(&glm4).contains(&("rope.dimension_count", Value::Size(64))));
    assert!(written(&glm4).iter().all(|(key, _)| !key.is_empty()));
    let mut starcoder = hyper_values();
    starcoder.remove(&Field::FeedForward);
    starcoder.remove(&Field::KvHeads);
    let starcoder = Hyperparameters::complete(family("starcoder"), starcoder, &Bounds::default());
    let starcoder = starcoder.unwrap();
    assert_eq!((starcoder.feed_forward(), starcoder.kv_heads()), (256, 1));
    assert_eq!(starcoder.dim(crate::Dim::QueryKeyValue), 64 + 2 * 16);
    assert_eq!(starcoder.dim(crate::Dim::Context), 128);
    let neox = of("gptneox", &[]);
    assert_eq!(neox.flag(Field::ParallelResidual), Some(true));
    assert!(written(&neox).contains(&("use_parallel_residual", Value::Flag(true))));
    // What readers assume anyway is not written.
    assert!(
        written(&neox)
            .iter()
            .all(|(key, _)| *key != "rope.freq_base")
    );
    let base = (Field::RotaryBase, Value::Number(5e5));
    assert!(written(&of("gptneox", &[base])).contains(&("rope.freq_base", Value::Number(5e5))));
}

#[test]
fn names_may_begin_otherwise() {
    let neox = family_of_architecture("gptneox").unwrap();
    let hf = "gpt_neox.layers.3.attention.query_key_value.bias";
    assert_eq!(neox.gguf_name(hf).as_deref(), Some("blk.3.attn_qkv.bias"));
    assert_eq!(neox.hf_name("blk.3.attn_qkv.bias").as_deref(), Some(hf));
    assert_eq!(neox.without_layer(hf), "attention.query_key_value.bias");
    assert_eq!(neox.output(), "embed_out.");
    assert_eq!(neox.gguf_name("model.layers.3.attention.dense.bias"), None);
}

#[test]
fn numbers_that_do_not_fit_each_other_are_told_by_field() {
    let llama = family_of_architecture("llama").unwrap();
    let base = [
        (Field::Layers, 2),
        (Field::Context, 128),
        (Field::Hidden, 64),
        (Field::FeedForward, 96),
        (Field::Heads, 4),
        (Field::Vocab, 40),
    ];
    for (change, field, part) in [
        (
            (Field::KvHeads, 3),
            Field::KvHeads,
            "3 does not divide the 4",
        ),
        (
            (Field::KvHeads, 8),
            Field::KvHeads,
            "8 does not divide the 4",
        ),
        (
            (Field::Hidden, 62),
            Field::Hidden,
            "62 is not a multiple of the 4 heads",
        ),
        ((Field::HeadDim, 7), Field::HeadDim, "7 elements is odd"),
        ((Field::RotaryDims, 6), Field::RotaryDims, ""),
        ((Field::RotaryDims, 18), Field::RotaryDims, "up to the 16"),
        (
            (Field::HeadDim, 8_000_000),
            Field::HeadDim,
            "more than 16777216 rows",
        ),
    ] {
        let mut stated: BTreeMap<Field, Value> = base
            .iter()
            .map(|(field, n)| (*field, Value::Size(*n)))
            .collect();
        stated.insert(Field::NormEps, Value::Number(1e-5));
        stated.insert(change.0, Value::Size(change.1));
        match Hyperparameters::complete(llama, stated, &Bounds::default()) {
            Err(problem) => {
                assert_eq!(problem.field, field);
                assert!(problem.problem.contains(part), "{problem:?}");
            }
            Ok(hyper) => assert_eq!((part, hyper.rotary_dims()), ("", 6)),
        }
    }
}
