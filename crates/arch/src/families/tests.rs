use super::*;
use crate::{
    Absent, Bounds, EXPERT, Entry, Field, Hyperparameters, Key, Part, Presence, Rows, Scope,
    TensorLine, Value,
};
use aeolus_gguf::Value as GgufValue;
use std::collections::{BTreeMap, BTreeSet};

/// The key that is written, and its value.
fn key(entry: Entry) -> Option<(&'static str, GgufValue<'static>)> {
    match entry {
        Entry::Key(key, value) => Some((key, value)),
        _ => None,
    }
}

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
    if family.key(Field::LatentRank).is_some() {
        stated.remove(&Field::KvHeads);
    }
    // What only this family has no default for.
    for key in family.fields().filter(|key| key.absent == Absent::Error) {
        stated.entry(key.field).or_insert(Value::Size(8));
    }
    if !matches!(
        family.key(Field::Experts),
        None | Some(Key {
            absent: Absent::Default,
            ..
        })
    ) {
        stated.insert(Field::ExpertsUsed, Value::Size(2));
    }
    stated.extend(changes.iter().map(|(field, n)| (*field, Value::Size(*n))));
    Hyperparameters::complete(family, stated, None, &Bounds::default()).unwrap()
}

#[test]
fn names_classes_and_tensors_are_each_said_once() {
    let mut classes = BTreeSet::new();
    let mut architectures = BTreeSet::new();
    for family in FAMILIES {
        assert!(architectures.insert(family.architecture));
        assert!(family.classes.iter().all(|class| classes.insert(class)));
        let (mut gguf, mut hf) = (BTreeSet::new(), Vec::new());
        for line in family.tensors {
            assert!(
                gguf.insert((line.scope == Scope::Layer, line.gguf)),
                "{}",
                line.gguf
            );
            // Several lines may be parts of one tensor, each another part.
            let stored = (line.scope, line.hf, line.part);
            assert!(!hf.contains(&stored), "{}", line.hf);
            hf.push(stored);
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
            let hf = tensor.hf.replace(EXPERT, "7");
            let line = family.line_of_hf(&hf).unwrap();
            let is_part = |other: &&TensorLine| other.hf == line.hf && other.part != Part::Whole;
            if family.tensors.iter().filter(is_part).count() < 2 {
                assert_eq!(family.gguf_name(&hf).as_deref(), Some(&*tensor.gguf));
            }
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
        "model.layers.0.block_sparse_moe.experts.07.w1.weight",
        "model.layers.0.block_sparse_moe.experts..w1.weight",
        "model.layers.0.mlp.gate.weight",
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
            .filter_map(key)
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
        Hyperparameters::complete(family, stated, None, &Bounds::default()).unwrap()
    };
    // A head of 128 by default, half of it rotated; a part in decimals is not cut short.
    assert_eq!(of("glm4", &[]).rotary_dims(), 64);
    let part = (Field::RotaryFraction, Value::Number(0.7));
    let head = (Field::HeadDim, Value::Size(20));
    assert_eq!(of("glm4", &[part, head]).rotary_dims(), 14);
    let written = |hyper: &Hyperparameters| -> Vec<(&str, GgufValue)> {
        hyper.written().filter_map(key).collect()
    };
    let glm4 = of("glm4", &[]);
    assert!(written(&glm4).contains(&("rope.dimension_count", 64_u32.into())));
    assert!(written(&glm4).iter().all(|(key, _)| !key.is_empty()));
    let mut starcoder = hyper_values();
    starcoder.remove(&Field::FeedForward);
    starcoder.remove(&Field::KvHeads);
    let starcoder =
        Hyperparameters::complete(family("starcoder"), starcoder, None, &Bounds::default());
    let starcoder = starcoder.unwrap();
    assert_eq!((starcoder.feed_forward(), starcoder.kv_heads()), (256, 1));
    assert_eq!(starcoder.dim(crate::Dim::QueryKeyValue, None), 64 + 2 * 16);
    assert_eq!(starcoder.dim(crate::Dim::Context, None), 128);
    let neox = of("gptneox", &[]);
    assert_eq!(neox.flag(Field::ParallelResidual), Some(true));
    assert!(written(&neox).contains(&("use_parallel_residual", true.into())));
    // What readers assume anyway is not written.
    assert!(
        written(&neox)
            .iter()
            .all(|(key, _)| *key != "rope.freq_base")
    );
    let base = (Field::RotaryBase, Value::Number(5e5));
    assert!(written(&of("gptneox", &[base])).contains(&("rope.freq_base", 5e5_f32.into())));
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
        match Hyperparameters::complete(llama, stated, None, &Bounds::default()) {
            Err(problem) => {
                assert_eq!(problem.field, field);
                assert!(problem.problem.contains(part), "{problem:?}");
            }
            Ok(hyper) => assert_eq!((part, hyper.rotary_dims()), ("", 6)),
        }
    }
}

/// A model with experts, some of its layers dense, and what belongs to each.
#[test]
fn experts_are_in_the_layers_that_have_them() {
    let llama = family_of_architecture("llama").unwrap();
    let experts = [(Field::Experts, 4), (Field::ExpertsUsed, 2)];
    let names = |hyper: &Hyperparameters| -> Vec<String> {
        hyper.family().expected(hyper).map(|t| t.gguf).collect()
    };
    let dense = names(&hyper(llama, &[]));
    assert!(dense.contains(&"blk.1.ffn_up.weight".into()));
    assert!(dense.iter().all(|name| !name.contains("exps")));
    let mixture = hyper(llama, &experts);
    let expected: Vec<_> = llama.expected(&mixture).collect();
    let down = expected
        .iter()
        .find(|t| t.gguf == "blk.1.ffn_down_exps.weight")
        .unwrap();
    assert_eq!(down.shape, [4, 64, 96]);
    assert_eq!(
        down.hf,
        "model.layers.1.block_sparse_moe.experts.{}.w2.weight"
    );
    assert!(!names(&mixture).contains(&"blk.1.ffn_up.weight".into()));

    let deepseek = family_of_architecture("deepseek2").unwrap();
    let some = [
        (Field::Layers, 4),
        (Field::DenseLayers, 1),
        (Field::PredictLayers, 1),
        (Field::SharedExperts, 2),
    ];
    let mixture = hyper(deepseek, &some);
    let all = names(&mixture);
    for (name, is_there) in [
        ("blk.0.ffn_up.weight", true),
        ("blk.0.ffn_up_exps.weight", false),
        ("blk.1.ffn_up.weight", false),
        ("blk.1.ffn_up_exps.weight", true),
        ("blk.1.ffn_up_shexp.weight", true),
        ("blk.1.exp_probs_b.bias", false),
        ("blk.2.nextn.eh_proj.weight", false),
        ("blk.3.nextn.eh_proj.weight", true),
        ("blk.3.ffn_up_exps.weight", true),
        ("blk.3.attn_q.weight", true),
        ("blk.3.attn_q_a.weight", false),
    ] {
        assert_eq!(all.contains(&name.into()), is_there, "{name}");
    }
    assert_eq!((mixture.main_layers(), mixture.layers()), (3, 4));
    assert_eq!(mixture.dim(crate::Dim::SharedForward, None), 16);
    let sigmoid = hyper(deepseek, &[(Field::Gating, 2)]);
    assert!(names(&sigmoid).contains(&"blk.1.exp_probs_b.bias".into()));
}

#[test]
fn experts_and_latent_sizes_that_do_not_fit_each_other_are_told_by_field() {
    let deepseek = family_of_architecture("deepseek2").unwrap();
    for (changes, field, part) in [
        (
            &[(Field::ExpertsUsed, 9)][..],
            Field::ExpertsUsed,
            "at most the 8 experts",
        ),
        (
            &[(Field::ExpertGroups, 3)],
            Field::ExpertGroups,
            "3 does not divide the 8",
        ),
        (
            &[(Field::ExpertGroups, 8), (Field::ExpertGroupsUsed, 1)],
            Field::ExpertGroupsUsed,
            "1 of 8 groups hold no 2",
        ),
        (
            &[(Field::ExpertGroups, 4), (Field::ExpertGroupsUsed, 5)],
            Field::ExpertGroupsUsed,
            "5 of 4 groups",
        ),
        (
            &[(Field::PredictLayers, 2)],
            Field::PredictLayers,
            "fewer than the 2 layers",
        ),
        (
            &[(Field::LatentKeyDim, 8)],
            Field::LatentKeyDim,
            "more than the 8",
        ),
        (
            &[(Field::HeadDim, 8)],
            Field::HeadDim,
            "expected 8 and the 8",
        ),
        (&[(Field::KvHeads, 2)], Field::KvHeads, "expected 1"),
        (
            &[
                (Field::SharedExperts, 4096),
                (Field::ExpertFeedForward, 1 << 20),
            ],
            Field::SharedExperts,
            "more than 16777216",
        ),
        (
            &[(Field::LatentKeyDim, 1 << 23)],
            Field::LatentKeyDim,
            "rows of all heads",
        ),
    ] {
        let mut stated = hyper_values();
        for field in [
            Field::Experts,
            Field::LatentRank,
            Field::UnrotatedDim,
            Field::LatentValueDim,
            Field::RotaryDims,
            Field::ExpertFeedForward,
        ] {
            stated.insert(field, Value::Size(8));
        }
        stated.remove(&Field::KvHeads);
        stated.insert(Field::ExpertsUsed, Value::Size(2));
        stated.extend(changes.iter().map(|(field, n)| (*field, Value::Size(*n))));
        let problem =
            Hyperparameters::complete(deepseek, stated, None, &Bounds::default()).unwrap_err();
        assert_eq!(problem.field, field, "{problem:?}");
        assert!(problem.problem.contains(part), "{problem:?}");
    }
}

#[test]
fn sizes_and_kinds_of_single_layers_are_read_from_arrays() {
    use crate::LayerKind::{Global, Local, Recurrent};
    use aeolus_gguf::{Array, Metadata};
    let read = |architecture: &str, keys: &[(&str, GgufValue<'static>)]| {
        let mut metadata = Metadata::new();
        for (key, value) in keys {
            metadata.insert(format!("{architecture}.{key}"), value.clone());
        }
        let family = family_of_architecture(architecture).unwrap();
        Hyperparameters::from_metadata(family, &metadata, Some(40), &Bounds::default())
    };
    let sizes = |sizes: &[i32]| GgufValue::from(Array::from_i32s(sizes));
    let lfm2 = |changes: &[(&'static str, GgufValue<'static>)]| {
        let mut keys = vec![
            ("block_count", 3_u32.into()),
            ("context_length", 128_u32.into()),
            ("embedding_length", 64_u32.into()),
            ("feed_forward_length", 96_u32.into()),
            ("attention.head_count", 4_u32.into()),
            ("attention.head_count_kv", sizes(&[0, 2, 0])),
            ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
            ("shortconv.l_cache", 3_u32.into()),
        ];
        for (key, value) in changes {
            keys.retain(|(known, _)| known != key);
            keys.push((key, value.clone()));
        }
        read("lfm2", &keys)
    };
    let hyper = lfm2(&[]).unwrap();
    let kinds = |hyper: &Hyperparameters| (0..3).map(|n| hyper.layer(n).kind).collect::<Vec<_>>();
    assert_eq!(kinds(&hyper)[0], Recurrent);
    assert_eq!(kinds(&hyper)[2], Recurrent);
    assert!(matches!(kinds(&hyper)[1], Global | Local));
    assert_eq!(hyper.dim(crate::Dim::KeyHeads, Some(1)), 32);
    let names: Vec<String> = hyper.family().expected(&hyper).map(|e| e.gguf).collect();
    let has = |name: &str| names.iter().any(|n| n == name);
    assert!(has("blk.0.shortconv.conv.weight") && !has("blk.1.shortconv.conv.weight"));
    assert!(has("blk.1.attn_q.weight") && !has("blk.2.attn_q.weight"));
    let hyper = lfm2(&[("feed_forward_length", sizes(&[96, 32, 96]))]).unwrap();
    assert_eq!(hyper.dim(crate::Dim::FeedForward, Some(1)), 32);
    for (key, value, field, part) in [
        (
            "attention.head_count_kv",
            sizes(&[0, 2]),
            Field::KvHeads,
            "2 items, expected one for each of 3",
        ),
        (
            "attention.head_count_kv",
            sizes(&[0, 3, 0]),
            Field::KvHeads,
            "3 does not divide the 4",
        ),
        (
            "attention.head_count_kv",
            sizes(&[0, -1, 0]),
            Field::KvHeads,
            "whole numbers from 0",
        ),
        (
            "feed_forward_length",
            sizes(&[96, 0, 96]),
            Field::FeedForward,
            "0 in a layer",
        ),
    ] {
        let problem = lfm2(&[(key, value)]).unwrap_err();
        assert_eq!(problem.field, field, "{problem:?}");
        assert!(problem.problem.contains(part), "{problem:?}");
    }
}
