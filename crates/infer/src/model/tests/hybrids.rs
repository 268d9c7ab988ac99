//! Models whose layers differ: small ones with random weights, made from the families' records.

use std::path::{Path, PathBuf};

use aeolus_arch::{Bounds, family_of_architecture};
use aeolus_gguf::{Array, Endian, Metadata, TensorType, Value};

use super::{compute, exact};
use crate::matmul::Numeric;
use crate::model::{Cache, CacheType, Model};
use crate::testing::{Content, encode, write_gguf};

/// The numbers of a small model of each kind, beside those that all have.
fn keys(architecture: &str) -> Vec<(&'static str, Value<'static>)> {
    let sizes = |sizes: &[i32]| Value::from(Array::from_i32s(sizes));
    let flags = |flags: &[bool]| {
        let flags = flags.iter().map(|flag| Value::Bool(*flag));
        Value::from(Array::from_values(aeolus_gguf::ValueType::Bool, flags).unwrap())
    };
    match architecture {
        "lfm2" => vec![
            ("attention.head_count_kv", sizes(&[0, 2, 0, 2])),
            ("feed_forward_length", 96_u32.into()),
            ("shortconv.l_cache", 3_u32.into()),
        ],
        "qwen35" => vec![
            ("attention.head_count_kv", 2_u32.into()),
            ("feed_forward_length", 96_u32.into()),
            ("attention.key_length", 24_u32.into()),
            ("attention.value_length", 24_u32.into()),
            ("rope.dimension_count", 12_u32.into()),
            ("ssm.conv_kernel", 4_u32.into()),
            ("ssm.state_size", 20_u32.into()),
            ("ssm.group_count", 2_u32.into()),
            ("ssm.time_step_rank", 6_u32.into()),
            ("ssm.inner_size", 240_u32.into()),
            ("full_attention_interval", 2_u32.into()),
        ],
        _ => vec![
            ("attention.head_count_kv", sizes(&[2, 1, 2, 1])),
            ("feed_forward_length", sizes(&[96, 96, 192, 192])),
            ("attention.key_length", 32_u32.into()),
            ("attention.value_length", 32_u32.into()),
            ("attention.key_length_swa", 16_u32.into()),
            ("attention.value_length_swa", 16_u32.into()),
            ("attention.sliding_window", 40_u32.into()),
            (
                "attention.sliding_window_pattern",
                flags(&[true, false, true, false]),
            ),
            ("attention.shared_kv_layers", 2_u32.into()),
            ("embedding_length_per_layer_input", 12_u32.into()),
        ],
    }
}

/// Writes such a model.
pub(super) fn random(folder: &Path, architecture: &'static str) -> PathBuf {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture);
    let common = [
        ("block_count", Value::from(4_u32)),
        ("context_length", 512_u32.into()),
        ("embedding_length", 64_u32.into()),
        ("attention.head_count", 4_u32.into()),
        ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
        ("vocab_size", 77_u32.into()),
    ];
    for (key, value) in common.into_iter().chain(keys(architecture)) {
        metadata.insert(format!("{architecture}.{key}"), value);
    }
    let family = family_of_architecture(architecture).unwrap();
    let bounds = Bounds::default();
    let hyper =
        aeolus_arch::Hyperparameters::from_metadata(family, &metadata, Some(77), &bounds).unwrap();
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let optional = |name: &str| name == "output.weight" || name.ends_with(".bias");
    let tensors = family
        .expected(&hyper)
        .filter(|e| !optional(&e.gguf) || e.gguf.contains("ssm_dt"))
        .map(|expected| {
            let (dims, name) = (expected.shape, expected.gguf);
            let cols = *dims.last().unwrap() as usize;
            let count = dims.iter().product::<u64>() as usize;
            let number = |x: f32| match (dims.len(), &*name) {
                // What a state decays by.
                (_, name) if name.ends_with("ssm_a") => -x.abs(),
                (1, _) => 1.0 + 0.2 * x,
                _ => 1.8 * x / (cols as f32).sqrt(),
            };
            let numbers: Vec<f32> = (0..count).map(|_| number(random())).collect();
            Content {
                bytes: encode(&numbers, cols, TensorType::F32),
                dims: dims.into_iter().rev().collect(),
                ty: TensorType::F32,
                name,
            }
        });
    let tensors: Vec<Content> = tensors.collect();
    let path = folder.join(format!("{architecture}.gguf"));
    write_gguf(&path, metadata, &tensors, Endian::Little);
    path
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * i + 3 * i) % 77).collect()
}

/// The logits of some tokens, behind those that the cache has seen.
fn logits(model: &Model, tokens: &[u32], cache: &mut Cache) -> Vec<f32> {
    let logits = model.forward(exact(), tokens, cache, 0..tokens.len());
    logits.unwrap().into_data()
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = differences.fold(0.0, f32::max);
    assert!(found.iter().all(|x| x.is_finite()), "{what}");
    assert!(largest < 1e-4, "{what}: {largest}");
}

#[test]
fn batches_of_any_size_and_any_threads_agree() {
    let folder = tempfile::tempdir().unwrap();
    let ids = tokens(150);
    for architecture in ["gemma4", "lfm2", "qwen35"] {
        let model = Model::open(&random(folder.path(), architecture)).unwrap();
        let cache = || model.cache(ids.len(), CacheType::F32).unwrap();
        let whole = logits(&model, &ids, &mut cache());
        for batch in [1, 3, 64, 100] {
            let mut cache = cache();
            let parts = ids.chunks(batch);
            let parts: Vec<f32> = parts
                .flat_map(|ids| logits(&model, ids, &mut cache))
                .collect();
            assert_near(
                &parts,
                &whole,
                &format!("{architecture}, {batch} at a time"),
            );
        }
        let alone = compute(Numeric::Exact, false);
        let alone = model.forward(alone, &ids, &mut cache(), 0..ids.len());
        assert!(alone.unwrap().into_data() == whole, "{architecture}");
    }
}

#[test]
fn a_state_goes_back_to_its_mark_or_to_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let ids = tokens(60);
    for architecture in ["lfm2", "qwen35"] {
        let model = Model::open(&random(folder.path(), architecture)).unwrap();
        let mut cache = model.cache(ids.len(), CacheType::F32).unwrap();
        let whole = logits(&model, &ids, &mut cache);
        assert_eq!(cache.truncate(60), 60, "nothing is forgotten");
        assert_eq!(cache.truncate(40), 0, "without a mark");
        logits(&model, &ids[..20], &mut cache);
        cache.mark();
        logits(&model, &ids[20..50], &mut cache);
        for length in [20, 35] {
            assert_eq!(cache.truncate(length), 20);
            let rest = logits(&model, &ids[20..], &mut cache);
            assert_near(&rest, &whole[20 * 77..], architecture);
        }
        assert_eq!(cache.truncate(19), 0, "before the mark");
        assert_near(&logits(&model, &ids, &mut cache), &whole, architecture);
        assert_eq!(cache.truncate(30), 0, "the mark is forgotten too");
    }
    // Keys and values are kept position by position.
    let model = Model::open(&random(folder.path(), "gemma4")).unwrap();
    let mut cache = model.cache(ids.len(), CacheType::F32).unwrap();
    let whole = logits(&model, &ids, &mut cache);
    cache.mark();
    assert_eq!(cache.truncate(33), 33);
    assert_near(
        &logits(&model, &ids[33..], &mut cache),
        &whole[33 * 77..],
        "gemma4",
    );
}
