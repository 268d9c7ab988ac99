//! The original framework's logits, batches against single tokens, and files that are no model.

mod hybrids;
mod windows;

use aeolus_gguf::{TensorType, Value};
use safetensors::SafeTensors;

use super::*;
use crate::matmul::{Compute, Numeric};
use crate::testing::{Content, Small, encode, fixture, notus_mini, write_gguf};

fn compute(numeric: Numeric, parallel: bool) -> Compute<'static> {
    Compute {
        kernels: aeolus_quant::Cpu::select().unwrap().kernels(),
        numeric,
        parallel,
        tap: None,
    }
}

fn exact() -> Compute<'static> {
    compute(Numeric::Exact, true)
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))
        .unwrap()
}

/// Ids and logits of a golden file.
fn golden(name: &str) -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(fixture("golden").join(name)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let ids = tensors.tensor("ids").unwrap().data().chunks_exact(8);
    let logits = tensors.tensor("logits").unwrap().data().chunks_exact(4);
    (
        ids.map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32)
            .collect(),
        logits
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect(),
    )
}

/// Largest difference; panics unless the best token is the same everywhere.
fn largest_difference(logits: &Logits, expected: &[f32]) -> f32 {
    let mut largest = 0.0_f32;
    for (row, expected) in logits.rows().zip(expected.chunks_exact(logits.vocab())) {
        assert_eq!(argmax(row), argmax(expected));
        for (a, b) in row.iter().zip(expected) {
            largest = largest.max((a - b).abs());
        }
    }
    largest
}

#[test]
fn logits_are_those_of_the_original_framework() {
    let folder = tempfile::tempdir().unwrap();
    for ty in [TensorType::F32, TensorType::BF16] {
        let mut model = Model::open(&notus_mini(folder.path(), ty)).unwrap();
        for (name, window) in [("logits", 0), ("logits-window64", 64)] {
            let (ids, expected) = golden(&format!("{name}.safetensors"));
            model.set_sliding_window(window);
            for (cache, bound) in [(CacheType::F32, 2e-4), (CacheType::F16, 2e-2)] {
                let mut cache = model.cache(ids.len(), cache).unwrap();
                let all = 0..ids.len();
                let logits = model.forward(exact(), &ids, &mut cache, all).unwrap();
                assert_eq!(logits.positions(), 192);
                let largest = largest_difference(&logits, &expected);
                println!("{name} {ty}: largest difference {largest:.2e}");
                assert!(largest < bound, "{name} {ty}: {largest}");
            }
        }
    }
}

/// The largest logit error of 8 bits is not bounded by a formula; its mean square is far below what rounded
/// activations cost (0.02).
#[test]
fn keys_and_values_in_8_bits_cost_little_however_a_text_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&notus_mini(folder.path(), TensorType::BF16)).unwrap();
    let (ids, expected) = golden("logits.safetensors");
    for cut in [1, 50, 192] {
        let mut cache = model.cache(192, CacheType::Q8_0).unwrap();
        let mut found = Vec::new();
        for part in ids.chunks(cut) {
            let all = 0..part.len();
            let logits = model.forward(exact(), part, &mut cache, all).unwrap();
            found.extend(logits.into_data());
        }
        let difference = rms(&found, &expected);
        println!("{cut} at a time: rms difference {difference:.2e}");
        assert!(
            difference > 1e-4 && difference < 0.02,
            "{cut}: {difference}"
        );
    }
}

/// Any way of cutting a text into batches gives the same logits up to the order of the sums,
/// which differs between the kernels for few and for many tokens. In fast mode such a difference
/// in the last bit may round an activation to the next of 255 steps, so two runs agree only as
/// well as each agrees with the exact one.
#[test]
fn batches_and_single_tokens_agree() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&notus_mini(folder.path(), TensorType::Q4_K)).unwrap();
    let (ids, _) = golden("logits.safetensors");
    let ids = &ids[..100];
    for (numeric, bound) in [(Numeric::Exact, 1e-5), (Numeric::Fast, 0.03)] {
        let compute = compute(numeric, true);
        let mut cache = model.cache(128, CacheType::F32).unwrap();
        let whole = model
            .forward(compute, ids, &mut cache, 0..ids.len())
            .unwrap()
            .into_data();
        for cut in [1, 3, 33] {
            cache.truncate(0);
            let mut rows = Vec::new();
            for part in ids.chunks(cut) {
                let logits = model
                    .forward(compute, part, &mut cache, 0..part.len())
                    .unwrap();
                rows.extend(logits.into_data());
            }
            let difference = rms(&whole, &rows);
            println!("{numeric:?}, {cut} at a time: rms difference {difference:.2e}");
            assert!(difference < bound, "{numeric:?} {cut}: {difference}");
        }
    }
}

/// Root of the mean square of the difference.
fn rms(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

#[test]
fn threads_do_not_change_the_logits() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&notus_mini(folder.path(), TensorType::Q6_K)).unwrap();
    let (ids, _) = golden("logits.safetensors");
    for numeric in [Numeric::Exact, Numeric::Fast] {
        let logits = |parallel, tokens: &[u32]| {
            let mut cache = model.cache(192, CacheType::F16).unwrap();
            let all = 0..tokens.len();
            model
                .forward(compute(numeric, parallel), tokens, &mut cache, all)
                .unwrap()
        };
        assert!(logits(true, &ids) == logits(false, &ids));
        assert!(logits(true, &ids[..1]) == logits(false, &ids[..1]));
    }
}

/// 8-bit activations cost less than 4-bit weights do.
#[test]
fn fast_stays_close_to_exact() {
    let folder = tempfile::tempdir().unwrap();
    let (ids, golden) = golden("logits.safetensors");
    for ty in [TensorType::Q8_0, TensorType::Q4_K, TensorType::Q2_K] {
        let model = Model::open(&notus_mini(folder.path(), ty)).unwrap();
        let logits = |numeric| {
            let mut cache = model.cache(192, CacheType::F32).unwrap();
            model
                .forward(compute(numeric, true), &ids, &mut cache, 0..192)
                .unwrap()
                .into_data()
        };
        let (exact, fast) = (logits(Numeric::Exact), logits(Numeric::Fast));
        let (rounding, weights) = (rms(&exact, &fast), rms(&exact, &golden));
        println!("{ty}: rms from activations {rounding:.4}, from weights {weights:.4}");
        assert!(rounding > 0.0 && rounding < 0.05, "{ty}: {rounding}");
        assert!(ty == TensorType::Q8_0 || rounding < 0.5 * weights);
    }
}

/// A straightforward transformer in f64, for the numbers that notus-mini does not have.
fn oracle(
    small: &Small,
    tensors: &[Content],
    ids: &[u32],
    window: usize,
    turns: &[f64],
) -> Vec<f64> {
    let get = |name: &str| -> Vec<f64> {
        let tensor = tensors.iter().find(|t| t.name == name).unwrap();
        let floats = tensor.bytes.chunks_exact(4);
        floats
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect()
    };
    let times = |w: &[f64], x: &[f64]| -> Vec<f64> {
        w.chunks_exact(x.len())
            .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
            .collect()
    };
    let norm = |x: &[f64], w: &[f64]| -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        x.iter()
            .zip(w)
            .map(|(x, w)| x * w / (mean + 1e-5).sqrt())
            .collect()
    };
    let rotate = |x: &mut [f64], position: usize| {
        for head in x.chunks_exact_mut(small.head_dim) {
            for (i, turn) in turns.iter().enumerate() {
                let (sin, cos) = (position as f64 * turn).sin_cos();
                let (a, b) = (head[2 * i], head[2 * i + 1]);
                (head[2 * i], head[2 * i + 1]) = (a * cos - b * sin, a * sin + b * cos);
            }
        }
    };
    let (hidden, dim) = (small.hidden, small.head_dim);
    let embd = get("token_embd.weight");
    let mut xs: Vec<Vec<f64>> = ids
        .iter()
        .map(|&id| embd[id as usize * hidden..][..hidden].to_vec())
        .collect();
    for layer in 0..small.layers {
        let w = |part: &str| get(&format!("blk.{layer}.{part}.weight"));
        let normed: Vec<_> = xs.iter().map(|x| norm(x, &w("attn_norm"))).collect();
        let project = |part: &str, turn: bool| -> Vec<Vec<f64>> {
            let w = w(part);
            let mut all: Vec<_> = normed.iter().map(|x| times(&w, x)).collect();
            if turn {
                all.iter_mut()
                    .enumerate()
                    .for_each(|(position, x)| rotate(x, position));
            }
            all
        };
        let (q, k, v) = (
            project("attn_q", true),
            project("attn_k", true),
            project("attn_v", false),
        );
        for t in 0..ids.len() {
            let mut attended = Vec::new();
            for head in 0..small.heads {
                let kv = head / (small.heads / small.kv_heads) * dim;
                let seen = (t + 1).saturating_sub(window)..t + 1;
                let score = |p: usize| -> f64 {
                    let dot: f64 = (0..dim).map(|d| q[t][head * dim + d] * k[p][kv + d]).sum();
                    (dot / (dim as f64).sqrt()).exp()
                };
                let total: f64 = seen.clone().map(score).sum();
                for d in 0..dim {
                    attended.push(seen.clone().map(|p| score(p) / total * v[p][kv + d]).sum());
                }
            }
            let step = times(&w("attn_output"), &attended);
            xs[t].iter_mut().zip(step).for_each(|(x, s)| *x += s);
            let x = norm(&xs[t], &w("ffn_norm"));
            let (gate, up) = (times(&w("ffn_gate"), &x), times(&w("ffn_up"), &x));
            let inner: Vec<f64> = gate
                .iter()
                .zip(up)
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            let step = times(&w("ffn_down"), &inner);
            xs[t].iter_mut().zip(step).for_each(|(x, s)| *x += s);
        }
    }
    let head = if small.tied {
        embd
    } else {
        get("output.weight")
    };
    xs.iter()
        .flat_map(|x| times(&head, &norm(x, &get("output_norm.weight"))))
        .collect()
}

#[test]
fn odd_shapes_windows_and_rotations_are_those_of_a_plain_transformer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.gguf");
    let pairs = Small::ODD.head_dim / 2;
    let plain = |i: usize| 10_000_f64.powf(-2.0 * i as f64 / 20.0);
    // YaRN with factor 4 and 64 original positions: pairs up to the first are kept, from the
    // fifth on divided. 20 ln(64 / (32 tau)) / (2 ln 10000) < 0; with 1 turn: 2.52, so 3.
    let yarn = |i: usize| {
        let stretched = (i as f64 / 3.0).clamp(0.0, 1.0);
        plain(i) * (1.0 - stretched + stretched / 4.0)
    };
    let usual = 1.0 + 0.1 * 4_f64.ln();
    let ids: Vec<u32> = (0..50).map(|i| i * 7 % 77).collect();
    for (case, tied, window) in [
        ("plain", true, None),
        ("linear", false, Some(7)),
        ("factors", true, Some(33)),
        ("yarn", false, None),
        ("yarn, twice the magnitude", true, None),
        ("yarn, a magnitude of 0.75", true, None),
        ("yarn, both", true, None),
        ("longrope, as long as the original context", true, None),
        ("longrope, longer", false, Some(33)),
    ] {
        let small = Small { tied, ..Small::ODD };
        let (mut metadata, mut tensors) = (small.metadata(), small.tensors());
        let mut oracle_tensors = small.tensors();
        if let Some(window) = window {
            metadata.insert("llama.attention.sliding_window", window as u32);
        }
        let turns: Vec<f64> = match case {
            "linear" => {
                metadata.insert("llama.rope.scaling.type", "linear");
                metadata.insert("llama.rope.scaling.factor", 2.5_f32);
                (0..pairs).map(|i| plain(i) / 2.5).collect()
            }
            "factors" => {
                let factors: Vec<f32> = (0..pairs).map(|i| 1.0 + i as f32).collect();
                tensors.push(Content {
                    name: "rope_freqs.weight".into(),
                    dims: vec![pairs as u64],
                    ty: TensorType::F32,
                    bytes: encode(&factors, pairs, TensorType::F32),
                });
                (0..pairs).map(|i| plain(i) / (1.0 + i as f64)).collect()
            }
            yarn_of if yarn_of.starts_with("yarn") => {
                let (multiple, whole, magnitude) = match yarn_of {
                    "yarn, twice the magnitude" => (Some(2.0), None, 2.0 * usual),
                    "yarn, a magnitude of 0.75" => (None, Some(0.75), 0.75),
                    "yarn, both" => (Some(1.5), Some(9.0), 1.5 * usual),
                    _ => (None, None, usual),
                };
                for (key, value) in [
                    ("llama.rope.scaling.attn_factor", multiple),
                    ("llama.rope.scaling.yarn_attn_factor", whole),
                ] {
                    if let Some(value) = value {
                        metadata.insert(key, value as f32);
                    }
                }
                metadata.insert("llama.rope.scaling.type", "yarn");
                metadata.insert("llama.rope.scaling.factor", 4.0_f32);
                metadata.insert("llama.rope.scaling.original_context_length", 64_u32);
                magnify(&mut oracle_tensors, magnitude);
                (0..pairs).map(yarn).collect()
            }
            // The reference names no type.
            longrope if longrope.starts_with("longrope") => {
                let is_longer = longrope.ends_with("longer");
                let original = 64 - u32::from(is_longer);
                metadata.insert("llama.rope.scaling.original_context_length", original);
                metadata.insert("llama.rope.scaling.attn_factor", 1.25_f32);
                magnify(&mut oracle_tensors, 1.25);
                let factor = |i: usize, long: bool| 1.0 + i as f32 * if long { 0.75 } else { 0.25 };
                for (name, long) in [("long", true), ("short", false)] {
                    let factors: Vec<f32> = (0..pairs).map(|i| factor(i, long)).collect();
                    tensors.push(Content {
                        name: format!("rope_factors_{name}.weight"),
                        dims: vec![pairs as u64],
                        ty: TensorType::F32,
                        bytes: encode(&factors, pairs, TensorType::F32),
                    });
                }
                let turn = |i| plain(i) / f64::from(factor(i, is_longer));
                (0..pairs).map(turn).collect()
            }
            _ => (0..pairs).map(plain).collect(),
        };
        write_gguf(&path, metadata, &tensors, Endian::Little);
        let model = Model::open(&path).unwrap();
        let mut cache = model.cache(64, CacheType::F32).unwrap();
        let first = model
            .forward(exact(), &ids[..20], &mut cache, 0..20)
            .unwrap();
        let second = model
            .forward(exact(), &ids[20..], &mut cache, 0..30)
            .unwrap();
        let window = window.unwrap_or(usize::MAX);
        let expected = oracle(&small, &oracle_tensors, &ids, window, &turns);
        let logits = [first.into_data(), second.into_data()].concat();
        for (i, (logit, expected)) in logits.iter().zip(&expected).enumerate() {
            let error = (f64::from(*logit) - expected).abs();
            assert!(
                error < 1e-4 * expected.abs().max(1.0),
                "{case} {i}: {logit} {expected}"
            );
        }
    }
}

/// Larger rotated numbers are larger weights.
fn magnify(tensors: &mut [Content], magnitude: f64) {
    let rotated =
        |tensor: &&mut Content| tensor.name.contains("attn_q") || tensor.name.contains("attn_k");
    for tensor in tensors.iter_mut().filter(rotated) {
        for bytes in tensor.bytes.chunks_exact_mut(4) {
            let w = f32::from_le_bytes(bytes.try_into().unwrap());
            let w = (f64::from(w) * magnitude) as f32;
            bytes.copy_from_slice(&w.to_le_bytes());
        }
    }
}

#[test]
fn a_full_context_and_wrong_arguments_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.gguf");
    let small = Small::ODD;
    write_gguf(&path, small.metadata(), &small.tensors(), Endian::Little);
    let model = Model::open(&path).unwrap();
    let mut cache = model.cache(5, CacheType::F16).unwrap();
    model
        .forward(exact(), &[1, 2, 3], &mut cache, 0..0)
        .unwrap();
    let error = model
        .forward(exact(), &[1, 2, 3], &mut cache, 0..0)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::ContextFull {
                used: 3,
                wanted: 3,
                context: 5
            }
        ),
        "{error}"
    );
    let error = model.forward(exact(), &[77], &mut cache, 0..0).unwrap_err();
    assert!(matches!(
        error,
        Error::TokenOutOfRange { id: 77, vocab: 77 }
    ));
    assert!(model.forward(exact(), &[1], &mut cache, 0..2).is_err());
    assert_eq!(cache.used(), 3, "errors leave the cache as it was");
    assert_eq!(
        model
            .forward(exact(), &[], &mut cache, 0..0)
            .unwrap()
            .positions(),
        0
    );
    let logits = model.forward(exact(), &[1, 2], &mut cache, 1..2).unwrap();
    assert_eq!(
        (logits.positions(), logits.row(0).len(), cache.used()),
        (1, 77, 5)
    );
    assert!(model.cache(0, CacheType::F16).is_err());
    assert!(model.cache(usize::MAX, CacheType::F16).is_err());
    assert!(model.cache(usize::MAX / 1000, CacheType::F32).is_err());
    let other = Small {
        kv_heads: 3,
        ..Small::ODD
    };
    write_gguf(&path, other.metadata(), &other.tensors(), Endian::Little);
    let other = Model::open(&path).unwrap();
    assert!(
        other.forward(exact(), &[1], &mut cache, 0..0).is_err(),
        "another model's cache"
    );
}

#[test]
fn files_that_are_no_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.gguf");
    let small = Small::ODD;
    let open = |change: &dyn Fn(&mut Metadata<'static>, &mut Vec<Content>)| {
        let (mut metadata, mut tensors) = (small.metadata(), small.tensors());
        change(&mut metadata, &mut tensors);
        write_gguf(&path, metadata, &tensors, Endian::Little);
        Model::open(&path)
    };
    assert!(open(&|_, _| {}).is_ok());
    for (key, value) in [
        ("general.architecture", Value::from("gpt2")),
        ("llama.attention.head_count", 0_u32.into()),
        ("llama.attention.head_count", 7_u32.into()),
        ("llama.attention.head_count", u32::MAX.into()),
        ("llama.attention.head_count_kv", 0_u32.into()),
        ("llama.attention.head_count_kv", (-1_i32).into()),
        ("llama.attention.key_length", 0_u32.into()),
        ("llama.attention.value_length", 10_u32.into()),
        ("llama.rope.dimension_count", 21_u32.into()),
        ("llama.rope.dimension_count", 22_u32.into()),
        ("llama.block_count", 0_u32.into()),
        ("llama.block_count", 3_u32.into()),
        ("llama.block_count", u32::MAX.into()),
        ("llama.block_count", "2".into()),
        ("llama.context_length", 0_u32.into()),
        ("llama.embedding_length", u64::MAX.into()),
        ("llama.embedding_length", 97_u32.into()),
        ("llama.feed_forward_length", 0_u32.into()),
        ("llama.attention.layer_norm_rms_epsilon", f32::NAN.into()),
        ("llama.rope.freq_base", 0.0_f32.into()),
        ("llama.rope.freq_base", f32::INFINITY.into()),
        ("llama.rope.scaling.type", "magic".into()),
        ("llama.expert_count", 8_u32.into()),
        ("llama.vocab_size", 78_u32.into()),
    ] {
        let result = open(&|metadata, _| {
            metadata.insert(key, value.clone());
        });
        assert!(result.is_err(), "{key} = {value:?}");
    }
    for key in [
        "llama.block_count",
        "llama.attention.head_count",
        "general.architecture",
    ] {
        let result = open(&|metadata, _| {
            metadata.remove(key);
        });
        assert!(matches!(result, Err(Error::MissingKey { .. })), "{key}");
    }
    let missing = open(&|_, tensors| tensors.retain(|t| t.name != "blk.1.ffn_up.weight"));
    assert!(
        matches!(missing, Err(Error::MissingTensor { name, .. }) if name == "blk.1.ffn_up.weight")
    );
    let turned = open(&|_, tensors| {
        let t = tensors
            .iter_mut()
            .find(|t| t.name == "blk.0.attn_k.weight")
            .unwrap();
        t.dims.reverse();
    });
    assert!(matches!(turned, Err(Error::Shape { .. })));
    let strange = open(&|_, tensors| {
        let t = tensors
            .iter_mut()
            .find(|t| t.name == "blk.0.attn_k.weight")
            .unwrap();
        t.ty = TensorType::I32;
    });
    assert!(matches!(
        strange,
        Err(Error::TensorType {
            found: TensorType::I32,
            ..
        })
    ));
    let extra = open(&|_, tensors| {
        tensors.push(Content {
            name: "blk.0.attn_q_norm.weight".into(),
            dims: vec![1],
            ty: TensorType::F32,
            bytes: vec![0; 4],
        });
    });
    assert!(matches!(extra, Err(Error::UnusedTensor { .. })));
    write_gguf(&path, small.metadata(), &small.tensors(), Endian::Big);
    assert!(matches!(Model::open(&path), Err(Error::BigEndian)));
}

/// A small model with biases (part, row of numbers) in every layer.
fn biased(path: &Path, small: &Small, biases: &[(&str, Vec<f32>)]) -> Model {
    let mut tensors = small.tensors();
    for layer in 0..small.layers {
        for (part, bias) in biases {
            tensors.push(Content {
                name: format!("blk.{layer}.{part}.bias"),
                dims: vec![bias.len() as u64],
                ty: TensorType::F32,
                bytes: encode(bias, bias.len(), TensorType::F32),
            });
        }
    }
    write_gguf(path, small.metadata(), &tensors, Endian::Little);
    Model::open(path).unwrap()
}

#[test]
fn biases_are_added_to_every_product() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("biased.gguf");
    // One layer: what the value bias does passes through attn_output alone.
    let small = Small {
        layers: 1,
        ..Small::ODD
    };
    let logits = |biases: &[(&str, Vec<f32>)]| {
        let model = biased(&path, &small, biases);
        let mut cache = model.cache(8, CacheType::F32).unwrap();
        let ids = [3, 1, 4, 1, 5];
        let all = model.forward(exact(), &ids, &mut cache, 0..ids.len());
        all.unwrap().into_data()
    };
    let plain = logits(&[]);
    let (q, kv) = (
        small.heads * small.head_dim,
        small.kv_heads * small.head_dim,
    );
    let wave = |n: usize| -> Vec<f32> { (0..n).map(|i| (i as f32).sin()).collect() };
    for (part, rows) in [
        ("attn_q", q),
        ("attn_k", kv),
        ("attn_v", kv),
        ("attn_output", small.hidden),
        ("ffn_gate", small.ff),
        ("ffn_up", small.ff),
        ("ffn_down", small.hidden),
    ] {
        assert!(logits(&[(part, vec![0.0; rows])]) == plain, "{part}");
        assert!(rms(&logits(&[(part, wave(rows))]), &plain) > 1e-3, "{part}");
    }
    // Attention's weights add up to 1, so a value bias is attn_output's matrix times it.
    let values = wave(kv);
    let tensors = small.tensors();
    let matrix = tensors
        .iter()
        .find(|t| t.name == "blk.0.attn_output.weight");
    let matrix = matrix.unwrap().bytes.chunks_exact(4);
    let matrix: Vec<f32> = matrix
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let shared = small.heads / small.kv_heads;
    let projected = matrix.chunks_exact(q).map(|row| {
        let terms = row.iter().enumerate().map(|(i, w)| {
            let (head, at) = (i / small.head_dim / shared, i % small.head_dim);
            w * values[head * small.head_dim + at]
        });
        terms.sum::<f32>()
    });
    let projected: Vec<f32> = projected.collect();
    let difference = rms(
        &logits(&[("attn_v", values)]),
        &logits(&[("attn_output", projected)]),
    );
    assert!(difference < 1e-5, "{difference}");
}

/// Biases everywhere, with the logits of the original framework.
#[test]
fn logits_with_biases_are_those_of_the_original_framework() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: llamabias is not compared");
        return;
    };
    let reference = Path::new(&reference);
    let options = aeolus_checkpoint::OpenOptions {
        tokenizer: aeolus_checkpoint::TokenizerMode::Skip,
        ..Default::default()
    };
    let source = aeolus_checkpoint::open(&reference.join("models/tiny/llamabias"), &options);
    let folder = tempfile::tempdir().unwrap();
    let path = crate::testing::converted(folder.path(), &source.unwrap(), TensorType::F32);
    let model = Model::open(&path).unwrap();
    let bytes = std::fs::read(reference.join("golden/arch/llamabias.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name| tensors.tensor(name).unwrap().data().chunks_exact(4);
    let ids: Vec<u32> = numbers("ids")
        .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let expected: Vec<f32> = numbers("logits")
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let mut cache = model.cache(ids.len(), CacheType::F32).unwrap();
    let logits = model.forward(exact(), &ids, &mut cache, 0..ids.len());
    let largest = largest_difference(&logits.unwrap(), &expected);
    println!("llamabias: largest difference {largest:.2e}");
    assert!(largest < 5e-5, "{largest}");
}

#[test]
fn what_a_planned_file_is_checked_for_is_what_opening_it_checks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("planned.gguf");
    let small = Small::ODD;
    for change in [
        None,
        Some("blk.0.attn_q.weight"),
        Some("blk.1.ffn_norm.weight"),
        Some("token_embd.weight"),
    ] {
        let mut tensors = small.tensors();
        if let Some(name) = change {
            tensors.retain(|t| t.name != name);
        }
        write_gguf(&path, small.metadata(), &tensors, Endian::Little);
        let file = GgufFile::open(&path).unwrap();
        let infos = file.tensors().iter();
        let infos = infos.map(|info| (&*info.name, info.shape, info.ty));
        let checked = Model::check_plan(file.metadata(), infos).map_err(|e| e.to_string());
        let opened = Model::open(&path).map(drop).map_err(|e| e.to_string());
        assert_eq!(checked, opened);
        assert_eq!(checked.is_ok(), change.is_none());
    }
}
