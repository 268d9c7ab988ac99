//! Derivatives against differences, on small random models of several families.

use super::layer::Watch;
use super::tensors::Linear;
use super::weight::Weight;
use super::*;
use aeolus_arch::{Bounds, family_of_architecture};
use aeolus_gguf::{Endian, HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType, Value};
use aeolus_infer::{CacheType, Compute, Model, Numeric};
use aeolus_quant::Cpu;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const VOCAB: usize = 37;

/// A model of a family's record with random weights in F32: tied, four layers, heads of 8.
pub(crate) fn random(folder: &Path, architecture: &'static str, seed: u64) -> PathBuf {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture);
    let mut keys = vec![
        ("block_count", Value::from(4_u32)),
        ("context_length", 64_u32.into()),
        ("embedding_length", 32_u32.into()),
        ("feed_forward_length", 40_u32.into()),
        ("attention.head_count", 4_u32.into()),
        ("attention.head_count_kv", 2_u32.into()),
        ("attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
        ("attention.layer_norm_epsilon", 1e-5_f32.into()),
        ("vocab_size", (VOCAB as u32).into()),
    ];
    if architecture == "granite" {
        keys.extend([
            ("embedding_scale", Value::from(3.0_f32)),
            ("residual_scale", 0.4_f32.into()),
            ("logit_scale", 2.0_f32.into()),
            ("attention.scale", 0.3_f32.into()),
        ]);
    }
    if architecture == "qwen3" {
        keys.push(("attention.key_length", 12_u32.into()));
        keys.push(("attention.value_length", 12_u32.into()));
    }
    for (key, value) in keys {
        metadata.insert(format!("{architecture}.{key}"), value);
    }
    let family = family_of_architecture(architecture).unwrap();
    let bounds = Bounds::default();
    let hyper =
        aeolus_arch::Hyperparameters::from_metadata(family, &metadata, Some(VOCAB as u32), &bounds);
    let hyper = hyper.unwrap();
    let mut state = seed;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let has_biases = architecture == "qwen2";
    let wanted = |name: &str| name != "output.weight" && (has_biases || !name.ends_with(".bias"));
    let tensors: Vec<_> = family
        .expected(&hyper)
        .filter(|expected| wanted(&expected.gguf))
        .map(|expected| {
            let shape = expected.shape;
            let cols = *shape.last().unwrap() as usize;
            let is_bias = expected.gguf.ends_with(".bias");
            let count = shape.iter().product::<u64>() as usize;
            let number = |x: f32| match (shape.len(), is_bias) {
                (1, true) => 0.3 * x,
                (1, false) => 1.0 + 0.3 * x,
                _ => 1.7 * x / (cols as f32).sqrt(),
            };
            let numbers = (0..count).map(|_| number(random()));
            let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
            let dims: Vec<u64> = shape.into_iter().rev().collect();
            (expected.gguf, dims, bytes)
        })
        .collect();
    let path = folder.join(format!("{architecture}-{seed}.gguf"));
    write(&path, metadata, &tensors);
    path
}

fn write(path: &Path, metadata: Metadata<'_>, tensors: &[(String, Vec<u64>, Vec<u8>)]) {
    let specs = tensors.iter().map(|(name, dims, _)| TensorSpec {
        name: name.clone(),
        shape: Shape::from_gguf(dims).unwrap(),
        ty: TensorType::F32,
    });
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata,
        tensors: specs.collect(),
    })
    .unwrap();
    let mut file = vec![0; layout.file_bytes() as usize];
    let header = layout.encode_header();
    file[..header.len()].copy_from_slice(&header);
    for (i, (_, _, bytes)) in tensors.iter().enumerate() {
        let start = layout.tensor_offset(i) as usize;
        file[start..start + bytes.len()].copy_from_slice(bytes);
    }
    std::fs::write(path, file).unwrap();
}

/// Windows of tokens that such a model has.
pub(crate) fn random_texts(count: usize, tokens: usize) -> Vec<Vec<u32>> {
    let token = |w: usize, t: usize| ((t * t + 5 * w * t + 11 * w + 3) % VOCAB) as u32;
    (0..count)
        .map(|w| (0..tokens).map(|t| token(w, t)).collect())
        .collect()
}

/// The families that the module's documentation names, as far as their records differ here.
const FAMILIES: [&str; 6] = ["llama", "qwen2", "qwen3", "smollm3", "granite", "olmo2"];

#[test]
fn scores_are_those_of_the_forward_pass() {
    let folder = tempfile::tempdir().unwrap();
    for architecture in FAMILIES {
        let path = random(folder.path(), architecture, 1);
        let mut model = Model::open(&path).unwrap();
        for window in [0, 5] {
            model.set_sliding_window(window);
            let backward = Backward::new(&model, Cpu::select().unwrap()).unwrap();
            let texts = random_texts(3, 19);
            let hidden = backward.last_hidden(&texts).unwrap();
            let (scores, _) = backward.scores(&hidden).unwrap();
            let compute = Compute {
                kernels: Cpu::select().unwrap().kernels(),
                numeric: Numeric::Exact,
                parallel: false,
                tap: None,
            };
            let mut expected = Vec::new();
            for text in &texts {
                let mut cache = model.cache(19, CacheType::F32).unwrap();
                let logits = model.forward(compute, text, &mut cache, 0..19);
                expected.extend(logits.unwrap().into_data());
            }
            assert_eq!(scores.len(), expected.len());
            let differences = scores.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let largest = differences.fold(0.0, f32::max);
            assert!(largest < 1e-4, "{architecture} {window}: {largest}");
        }
    }
}

/// Sums of the gradients at the outputs of every matrix over all tokens: the gradients at biases.
#[derive(Default)]
struct Biases(BTreeMap<String, Vec<f32>>);

impl Watch for Biases {
    fn inputs(&mut self, _: &[&Weight<'_>], _: &[f32]) {}

    fn gradients(&mut self, matrix: &Weight<'_>, g: &[f32]) {
        let name = matrix.name.to_owned();
        let sum = self.0.entry(name).or_insert_with(|| vec![0.0; matrix.rows]);
        for g in g.chunks_exact(matrix.rows) {
            sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
        }
    }

    fn norm(&mut self, _: &Option<String>, _: Vec<f32>) {}
}

/// Half the difference of the divergence between two changed models, by the change.
const STEP: f32 = 0.02;

fn assert_near(found: f32, plus: f64, minus: f64, what: &str) {
    let difference = (plus - minus) / (2.0 * f64::from(STEP));
    let error = (f64::from(found) - difference).abs();
    assert!(
        error < 2e-4 + 0.01 * difference.abs(),
        "{what}: {found} and {difference}"
    );
}

#[test]
fn gradients_at_norms_are_differences_of_the_divergence() {
    let folder = tempfile::tempdir().unwrap();
    let cpu = Cpu::select().unwrap();
    for architecture in FAMILIES {
        let [model, source] =
            [1, 2].map(|seed| Model::open(&random(folder.path(), architecture, seed)).unwrap());
        let source = Backward::new(&source, cpu).unwrap();
        let mut changed = Backward::new(&model, cpu).unwrap();
        let texts = random_texts(2, 13);
        let hidden = source.last_hidden(&texts).unwrap();
        let found = norm_gradients(&changed, (&source, &hidden), &texts, folder.path());
        let found = found.unwrap();
        let divergence = changed.divergence((&source, &hidden), &texts).unwrap();
        assert!(
            (found.divergence - divergence).abs() < 1e-6,
            "{architecture}"
        );
        assert!(divergence > 0.1, "{architecture}: {divergence}");
        assert_eq!(found.gradients.len(), changed.norms().len());
        for (n, (name, gradients)) in found.gradients.iter().enumerate() {
            let i = (n * 7 + 3) % gradients.len();
            let mut at = |step: f32| {
                let mut norms = changed.norms().clone();
                norms.get_mut(name).unwrap()[i] += step;
                let old = changed.norms().clone();
                changed.set_norms(&norms);
                let divergence = changed.divergence((&source, &hidden), &texts).unwrap();
                changed.set_norms(&old);
                divergence
            };
            let (plus, minus) = (at(STEP), at(-STEP));
            assert_near(gradients[i], plus, minus, &format!("{architecture} {name}"));
        }
    }
}

/// One of the seven matrices of a layer.
fn linear_mut<'b, 'm>(
    model: &'b mut Backward<'m>,
    layer: usize,
    part: usize,
) -> &'b mut Linear<'m> {
    let layer = &mut model.layers[layer];
    match part {
        0 => &mut layer.q,
        1 => &mut layer.k,
        2 => &mut layer.v,
        3 => &mut layer.output,
        4 => &mut layer.gate,
        5 => &mut layer.up,
        _ => &mut layer.down,
    }
}

#[test]
fn gradients_at_outputs_are_those_at_biases() {
    let folder = tempfile::tempdir().unwrap();
    let cpu = Cpu::select().unwrap();
    for architecture in ["qwen3", "granite"] {
        let [model, source] =
            [1, 2].map(|seed| Model::open(&random(folder.path(), architecture, seed)).unwrap());
        let source = Backward::new(&source, cpu).unwrap();
        let mut changed = Backward::new(&model, cpu).unwrap();
        let texts = random_texts(1, 13);
        let hidden = source.last_hidden(&texts).unwrap();
        let (p, _) = source.scores(&hidden).unwrap();
        let mut x = vec![changed.embedded(&texts).unwrap()];
        for layer in &changed.layers {
            x.push(
                layer
                    .forward(&changed, x.last().unwrap(), 13, &mut pass::Nobody)
                    .unwrap(),
            );
        }
        let mut seen = Biases::default();
        let mut dy = changed
            .head_backward(x.last().unwrap(), &mut seen, &mut |_, q| {
                for (q, p) in q.chunks_exact_mut(VOCAB).zip(p.chunks_exact(VOCAB)) {
                    let mut p = p.to_vec();
                    aeolus_infer::math::softmax(&mut p);
                    q.iter_mut().zip(p).for_each(|(q, p)| *q = (*q - p) / 13.0);
                }
                Ok(())
            })
            .unwrap();
        for (layer, x) in changed.layers.iter().zip(&x).rev() {
            dy = layer.backward(&changed, (x, dy), 13, &mut seen).unwrap();
        }
        assert_eq!(seen.0.len(), 4 * 7, "{architecture}");
        for layer in [0, 2] {
            for part in 0..7 {
                let mut at = |step: f32| {
                    let linear = linear_mut(&mut changed, layer, part);
                    let mut bias = vec![0.0; linear.weight.rows];
                    bias[5] = step;
                    let (old, name) = (linear.bias.replace(bias), linear.weight.name);
                    let divergence = changed.divergence((&source, &hidden), &texts).unwrap();
                    linear_mut(&mut changed, layer, part).bias = old;
                    (divergence, name)
                };
                let ((plus, name), (minus, _)) = (at(STEP), at(-STEP));
                assert_near(
                    seen.0[name][5],
                    plus,
                    minus,
                    &format!("{architecture} {name}"),
                );
            }
        }
    }
}

/// Windows, all of whose moments are wanted, and the last `held_out` apart.
fn text<'t>(windows: &'t [Vec<u32>], held_out: usize, folder: &'t Path) -> Text<'t> {
    Text {
        windows,
        held_out,
        wanted: &|_| true,
        seed: 7,
        folder,
    }
}

/// All moments, in the order in which they come.
fn all_moments(cpu: Cpu, model: &Model, folder: &Path) -> Vec<LayerMoments> {
    let backward = Backward::new(model, cpu).unwrap();
    let mut all = Vec::new();
    let mut last = None;
    moments(
        &backward,
        text(&random_texts(5, 19), 2, folder),
        &mut |moments| -> Result<(), Error> {
            all.push(moments);
            Ok(())
        },
        &mut |step| {
            assert!(last.is_none_or(|last| last < step.done) && step.done <= step.total);
            last = Some(step.done);
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(last, Some(2 * 4 * 4), "two parts of windows");
    all
}

#[test]
fn moments_are_the_same_for_any_threads_and_level() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&random(folder.path(), "qwen3", 3)).unwrap();
    let bits = |all: &[LayerMoments]| -> Vec<(Position, String, Vec<u32>)> {
        let each = all.iter().flat_map(|part| {
            let both = part.moments.iter().chain(&part.held_out);
            both.flat_map(move |(name, moments)| {
                let both = [Some(&moments.inputs), moments.gradients.as_ref()];
                both.into_iter().flatten().map(move |x| {
                    let bits = x.as_slice().iter().map(|x| x.to_bits()).collect();
                    (part.position, name.clone(), bits)
                })
            })
        });
        each.collect()
    };
    let one = all_moments(Cpu::select().unwrap(), &model, folder.path());
    let positions: Vec<_> = one.iter().map(|part| part.position).collect();
    let layers = (0..4).rev().map(Position::Layer);
    let expected: Vec<_> = std::iter::once(Position::Output)
        .chain(layers)
        .chain([Position::Embedding])
        .collect();
    assert_eq!(positions, expected);
    for part in &one[1..5] {
        assert_eq!(part.moments.len(), 7);
        assert!(part.moments.values().all(|m| m.gradients.is_some()));
        assert_eq!(part.held_out.len(), 7);
        let trace = |x: &crate::Symmetric| x.diagonal().iter().sum::<f32>();
        assert!(part.moments.values().all(|m| trace(&m.inputs) > 0.0));
    }
    let one = bits(&one);
    for cpu in Cpu::available() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let found = pool
                .unwrap()
                .install(|| all_moments(cpu, &model, folder.path()));
            assert!(bits(&found) == one, "{} {threads}", cpu.name());
        }
    }
}

#[test]
fn moments_are_means_over_their_own_windows() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&random(folder.path(), "qwen3", 3)).unwrap();
    let backward = Backward::new(&model, Cpu::select().unwrap()).unwrap();
    let windows = random_texts(5, 19);
    let of = |windows: &[Vec<u32>], held_out: usize, name: &str| {
        let mut found = None;
        let wanted = |asked: &str| asked == name;
        let text = Text {
            wanted: &wanted,
            ..text(windows, held_out, folder.path())
        };
        inputs(
            &backward,
            text,
            &mut |part| -> Result<(), Error> {
                assert!(part.moments.len() <= 1);
                let moments = part.moments.get(name);
                found = found
                    .take()
                    .or(moments.cloned().zip(part.held_out.get(name).cloned()));
                Ok(())
            },
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
        found
    };
    for name in [
        "blk.2.ffn_down.weight",
        "blk.1.attn_v.weight",
        "token_embd.weight",
    ] {
        let (moments, held_out) = of(&windows, 2, name).unwrap();
        // The first three alone, and the others alone.
        assert_eq!(
            *moments.inputs,
            *of(&windows[..4], 1, name).unwrap().0.inputs
        );
        assert_eq!(
            *held_out.inputs,
            *of(&windows[2..], 2, name).unwrap().1.inputs
        );
        // Those of the way back are the same.
        let all = all_moments(backward.cpu, &model, folder.path());
        let part = all.iter().find(|part| part.moments.contains_key(name));
        assert_eq!(*part.unwrap().moments[name].inputs, *moments.inputs);
    }
}

#[test]
fn labels_are_drawn_from_predictions() {
    let row = [0.5, 0.0, 0.25, 0.125, 0.125];
    let many: Vec<f32> = row.iter().copied().cycle().take(5 * 8000).collect();
    let drawn = labels(&many, 5, 1, 0);
    for (label, p) in row.iter().enumerate() {
        let count = drawn
            .iter()
            .filter(|found| **found as usize == label)
            .count();
        assert!((count as f32 / 8000.0 - p).abs() < 0.02, "{label}: {count}");
    }
    assert_eq!(labels(&many[..50], 5, 1, 90), drawn[90..100]);
    assert_ne!(labels(&many, 5, 2, 0), drawn);
    assert_eq!(labels(&[0.0, 0.0], 2, 1, 0), [1], "what cannot be");
}

#[test]
fn what_has_no_derivative_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (architecture, what) in [("gemma2", "SiLU"), ("cohere2", "LayerNorm")] {
        let model = Model::open(&random(folder.path(), architecture, 1)).unwrap();
        let error = Backward::new(&model, Cpu::select().unwrap()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(what) && said.contains(architecture), "{said}");
    }
}

#[test]
fn a_pass_can_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::open(&random(folder.path(), "llama", 1)).unwrap();
    let backward = Backward::new(&model, Cpu::select().unwrap()).unwrap();
    let ended = moments(
        &backward,
        text(&random_texts(1, 9), 0, folder.path()),
        &mut |_| Ok::<(), Error>(()),
        &mut |_| ControlFlow::Break(()),
    );
    assert!(matches!(ended, Err(Error::Cancelled)));
    let nowhere = folder.path().join("nowhere");
    let go_on = &mut |_| ControlFlow::Continue(());
    let refused = moments(
        &backward,
        text(&random_texts(1, 9), 0, &nowhere),
        &mut |_| Ok::<(), Error>(()),
        go_on,
    );
    assert!(refused.unwrap_err().to_string().contains("nowhere"));
}
